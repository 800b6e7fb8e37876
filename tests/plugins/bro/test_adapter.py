"""What the adapter promises to the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from openmb.errors import FinerThanNative, OperationError, Refusal
from openmb.interfaces import IMiddlebox
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.records import REPORTING, SUPPORTING
from openmb.plugins.bro.settings import BroSettings
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell
from tests.plugins.bro.running import EVERYTHING, end, makeBro, readLog
from tests.plugins.bro.wire import ACK, BEGIN, CLIENT, FIN, SECOND, SERVER, SYN, Script, udp

WEB = HeaderFieldList.parse("tcp,tp_dst=9000")


def decoded(script: Script) -> Decoded:
    """The script's packets."""
    return Decoder().decode(script.batch)


def exported(source: BroMiddlebox, flows: HeaderFieldList = EVERYTHING, operation: int = 1) -> list[RecordBatch]:
    """All batches of an export."""
    return [batch for step in source.getPerflow(flows, operation, 64) for batch in step]


class AdapterTests(SynchronousTestCase):
    """Marks, moves, conflicts and refusals."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.middlebox = makeBro(self.folder)

    def rows(self) -> int:
        self.middlebox.flush()
        return len(readLog(self.folder / "conn.log"))

    def test_provides(self) -> None:
        verifyObject(IMiddlebox, self.middlebox)

    def test_cells(self) -> None:
        """Supporting and reporting parts of the same records come together."""
        self.middlebox.process(decoded(Script().handshake()), None)
        batches = exported(self.middlebox)
        self.assertEqual([batch.cell for batch in batches], [Cell.SUPPORTING_PER_FLOW, Cell.REPORTING_PER_FLOW])
        self.assertEqual(batches[0].keys.tolist(), batches[1].keys.tolist())

    def test_exportedOnce(self) -> None:
        self.middlebox.process(decoded(Script().handshake()), None)
        self.assertEqual(len(exported(self.middlebox)), 2)
        self.assertEqual(exported(self.middlebox), [])

    def test_onlyMatching(self) -> None:
        self.middlebox.process(decoded(Script().handshake().add(udp(CLIENT, 1, SERVER, 2, b"x"))), None)
        self.assertEqual(len(exported(self.middlebox, HeaderFieldList.parse("udp"))[0]), 1)
        self.assertEqual([one.marked for one in self.middlebox.usage(EVERYTHING)[:2]], [1, 1])

    def test_marks(self) -> None:
        """Each packet tells the mark of the record that it updated."""
        script = Script().handshake()
        self.middlebox.process(decoded(script), None)
        exported(self.middlebox, operation=9)
        later = Script().client(ACK, 1001, 5001, b"x", at=1.0).add(udp(CLIENT, 1, SERVER, 2, b"x"))
        self.assertEqual(self.middlebox.process(decoded(later), None).marks.tolist(), [9, 0])

    def test_births(self) -> None:
        """A record is born with the mark that is given, and not exported."""
        script = Script().handshake()
        marks = self.middlebox.process(decoded(script), np.full(3, 5, np.uint64)).marks
        self.assertEqual(marks.tolist(), [5, 5, 5])
        self.assertEqual(exported(self.middlebox), [])

    def test_rebornMarked(self) -> None:
        """A connection that replaces a marked one is born marked; the old row is logged."""
        self.middlebox.process(decoded(Script().handshake()), None)
        exported(self.middlebox, operation=5)
        again = decoded(Script().client(SYN, 77777, at=2.0))
        self.assertEqual(self.middlebox.process(again, np.full(1, 5, np.uint64)).marks.tolist(), [5])
        self.assertEqual(self.rows(), 1)

    def test_markedNotFlushed(self) -> None:
        self.middlebox.process(decoded(Script().handshake()), None)
        exported(self.middlebox, operation=5)
        self.middlebox.advance(BEGIN + 10_000 * SECOND)
        end(self.middlebox)
        self.assertEqual(self.rows(), 0)
        self.middlebox.unmark(5)
        end(self.middlebox)
        self.assertEqual(self.rows(), 1)

    def test_frozen(self) -> None:
        """No timer takes frozen records, known or new."""
        self.middlebox.freeze(WEB, 5)
        self.middlebox.process(decoded(Script().handshake()), None)
        self.middlebox.advance(BEGIN + 10_000 * SECOND)
        self.assertEqual(self.rows(), 0)
        self.middlebox.thaw(5)
        self.middlebox.advance(BEGIN + 10_010 * SECOND)
        self.assertEqual(self.rows(), 1)

    def test_deletedInSilence(self) -> None:
        self.middlebox.process(decoded(Script().handshake()), None)
        exported(self.middlebox, operation=5)
        self.assertEqual(self.middlebox.delPerflow(5, EVERYTHING), 1)
        end(self.middlebox)
        self.assertEqual(self.rows(), 0)

    def _prepared(self, script: Script) -> None:
        """Provisional records of operation 3, from another middlebox's packets."""
        source = BroMiddlebox(BroSettings())
        source.process(decoded(script), None)
        self.middlebox.prepare(3, EVERYTHING)
        for batch in exported(source, operation=3):
            self.middlebox.putPerflow(3, batch)

    def test_provisionalNeverLogged(self) -> None:
        self._prepared(Script().handshake())
        self.middlebox.advance(BEGIN + 10_000 * SECOND)
        end(self.middlebox)
        self.assertEqual(self.rows(), 0)
        self.assertEqual(self.middlebox.usage(EVERYTHING)[0].records, 0)

    def test_commit(self) -> None:
        self._prepared(Script().handshake())
        self.assertEqual(self.middlebox.commit(3), 1)
        end(self.middlebox)
        self.assertEqual(self.rows(), 1)

    def test_discard(self) -> None:
        self._prepared(Script().handshake())
        self.middlebox.discard(3)
        self.assertEqual(self._refusal(lambda: self.middlebox.commit(3)), Refusal.UNKNOWN_OPERATION)

    def test_liveConflict(self) -> None:
        """A live record of its own refuses the commit, and nothing changes."""
        self.middlebox.process(decoded(Script().handshake()), None)
        self._prepared(Script().client(ACK, 1001, 5001, b"x", at=1.0))
        self.assertEqual(self.middlebox.conflicts(3), 1)
        self.assertEqual(self._refusal(lambda: self.middlebox.commit(3)), Refusal.CONFLICTING_RECORD)
        end(self.middlebox)
        self.assertEqual(self.rows(), 1)

    def test_endedRecordInTheWay(self) -> None:
        """Closed and expired records are reported and replaced."""
        closed = Script().handshake().client(FIN | ACK, 1001, 5001).server(FIN | ACK, 5001, 1002)
        for own, at in ((closed, 2.0), (Script().handshake(), 400.0)):
            self.setUpAgain()
            self.middlebox.process(decoded(own), None)
            self._prepared(Script().client(SYN, 50000, at=at))
            self.assertEqual((self.middlebox.conflicts(3), self.middlebox.commit(3)), (0, 1))
            self.assertEqual(self.rows(), 1)
            end(self.middlebox)
            self.assertEqual(self.rows(), 2)

    def setUpAgain(self) -> None:
        """A fresh middlebox."""
        self.folder = Path(self.mktemp())
        self.middlebox = makeBro(self.folder)

    def test_putReplaces(self) -> None:
        """A chunk replaces what an earlier event built."""
        source = BroMiddlebox(BroSettings())
        source.process(decoded(Script().handshake()), None)
        self.middlebox.prepare(3, EVERYTHING)
        self.middlebox.reprocess(3, decoded(Script().client(ACK, 1001, 5001, b"x", at=0.5)))
        for batch in exported(source, operation=3):
            self.middlebox.putPerflow(3, batch)
        self.middlebox.commit(3)
        end(self.middlebox)
        self.assertEqual([row["history"] for row in readLog(self.folder / "conn.log")], ["ShA"])

    def test_owns(self) -> None:
        packets = decoded(Script().handshake())
        self.assertEqual(self.middlebox.owns(packets).tolist(), [False] * 3)
        self.middlebox.process(packets, None)
        self.assertEqual(self.middlebox.owns(packets).tolist(), [True] * 3)

    def test_usage(self) -> None:
        self.middlebox.process(decoded(Script().handshake()), None)
        usage = self.middlebox.usage(EVERYTHING)
        self.assertEqual([one.bytes for one in usage[:2]], [SUPPORTING.size, REPORTING.size])

    def test_finer(self) -> None:
        self.assertRaises(FinerThanNative, self.middlebox.check, HeaderFieldList.parse("dl_vlan=5"))

    def test_governing(self) -> None:
        """Middleboxes that would name connections differently do not exchange records."""
        other = BroMiddlebox(BroSettings(uidKey=b"another key"))
        self.assertNotEqual(other.governing, self.middlebox.governing)
        self.assertEqual(BroMiddlebox(BroSettings()).governing, self.middlebox.governing)

    def _refusal(self, act: object) -> Refusal:
        error = self.assertRaises(OperationError, act)
        assert isinstance(error, OperationError)
        return error.refusal

    def _damaged(self, layout: int, field: str, value: int) -> Refusal:
        """Why a batch with this value is refused."""
        source = BroMiddlebox(BroSettings())
        source.process(decoded(Script().handshake()), None)
        batches = exported(source)
        rows = batches[layout].as_((SUPPORTING, REPORTING)[layout].dtype).copy()
        rows[field] = value
        octets = rows.view(np.uint8).reshape(batches[layout].records.shape)
        good = batches[layout]
        bad = RecordBatch(good.cell, good.layout, good.version, good.keys, octets, good.tailLengths, good.tails)
        self.middlebox.prepare(3, EVERYTHING)
        if layout:
            self.middlebox.putPerflow(3, batches[0])
        return self._refusal(lambda: self.middlebox.putPerflow(3, bad))

    def test_nonsenseRefused(self) -> None:
        """Values that a kernel would trust are looked at before they are stored."""
        for layout, field, value in (
            (0, "head", 5),
            (0, "blocks", 1),
            (0, "swapped", 2),
            (0, "state", 7),
            (0, "analyzer", 15),
            (0, "inspect", 2),
            (1, "services", 15),
            (0, "tcp", 0),
            (0, "deadline", -(1 << 63)),
            (1, "letters", 200),
            (1, "start", -(1 << 63)),
        ):
            self.assertEqual(self._damaged(layout, field, value), Refusal.BAD_REQUEST, field)

    def test_wrongLayoutRefused(self) -> None:
        batch = RecordBatch(Cell.SUPPORTING_PER_FLOW, 1, 99, np.zeros((1, 40), np.uint8), np.zeros((1, 9), np.uint8))
        self.middlebox.prepare(3, EVERYTHING)
        self.assertEqual(self._refusal(lambda: self.middlebox.putPerflow(3, batch)), Refusal.INCOMPATIBLE_RECORDS)
