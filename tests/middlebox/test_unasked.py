"""A source that sends records and packets of flows that nobody asked for, and a destination that gives such back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, providedBy

from openmb.errors import OperationError, Refusal
from openmb.interfaces import ISelector
from openmb.middlebox.selection import Selection
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded, Kind
from openmb.plugins.prads.records import HOST
from openmb.state.flowkey import hostKey
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from openmb.wire.stream import packEvents
from tests.middlebox.rig import OP, End, Pair, operation, records, single
from tests.middlebox.sharedrig import SharedPair
from tests.packets.build import CLIENT, SERVER, ethernet, ip4, tcp, udp
from tests.packets.test_tunnels import gre
from tests.plugins.prads.running import makePrads

#: One flow of those that L{manyFlows} makes, and another one.
ASKED, MINE, FOREIGN = "udp,nw_src=10.0.1.1", 1, 2
LATER = START + 100_000_000
NOBODY = "that nobody asked for"


def exportOf(flow: int) -> RecordBatch:
    """The record of one flow."""
    end = End("x")
    end.feed(manyFlows((flow,)))
    ((batch,),) = end.engine.getPerflow(EVERYTHING, 1, 64)
    return batch


class LyingPair(Pair):
    """A source that says what it is told to, sealed as it should be."""

    def __init__(self) -> None:
        super().__init__(flows=ASKED)

    def lies(self, type_: m.StreamType, packets: PacketBatch) -> None:
        """The source sends C{packets} in a frame of that type."""
        operation(self.a).sender.append(type_, *packEvents(packets))
        self.relay()

    def installed(self, packets: PacketBatch | None = None) -> LyingPair:
        super().installed(packets)
        return self

    def confirmed(self) -> LyingPair:
        super().confirmed()
        return self

    def merged(self) -> LyingPair:
        super().merged()
        return self

    def begun(self) -> LyingPair:
        """Up to GET; nothing is exported."""
        self.a.feed(manyFlows())
        self.b.tell(self.prepare)
        self.a.tell(self.get)
        self.relay()
        return self


class UnaskedTests(SynchronousTestCase):
    """What the destination does with it."""

    def assertRefused(self, pair: Pair, request: int = 0) -> None:
        """The operation ends, with the source's name and the first flow; the destination has none of it."""
        (refused,) = pair.b.take(m.Refused)
        self.assertEqual((Refusal.BAD_REQUEST, request), (refused.refusal, refused.request))
        self.assertIn("a sent ", refused.reason)
        self.assertIn(f"{NOBODY} (udp,nw_src=10.0.1.1), the first of udp 10.0.1.2:1026 - 10.0.9.9:9999", refused.reason)

    def assertUndone(self, pair: Pair) -> None:
        """Both go back, and what comes out is what one middlebox would have put out."""
        pair.b.tell(m.Discard(OP, False), m.Close(OP))
        pair.a.tell(m.Unmark(OP, False), m.Close(OP))
        self.assertEqual((0, {}), (records(pair.b), pair.b.engine._provisional))
        self.assertEqual(single(manyFlows()), pair.finish())

    def test_records(self) -> None:
        """One record of another flow among those asked for: none of the frame is stored."""
        pair = LyingPair().begun()
        mine, foreign = exportOf(MINE), exportOf(FOREIGN)
        both = RecordBatch(
            *(mine.cell, mine.layout, mine.version),
            np.concatenate([mine.keys, foreign.keys]),
            np.concatenate([mine.records, foreign.records]),
        )
        operation(pair.a).sender.records(m.StreamType.RECORDS, both)
        pair.relay()
        self.assertRefused(pair)
        self.assertEqual({OP: {}}, pair.b.engine._provisional)
        self.assertUndone(pair)

    def test_othersGoOn(self) -> None:
        """Another operation between the two, under way meanwhile, comes to its end."""
        pair = LyingPair().begun()
        other = Pair(flows="udp,nw_src=10.0.1.4")
        prepare, pair.prepare = pair.prepare, m.Prepare(OP + 1, *_terms(other.prepare))
        pair.b.tell(pair.prepare)
        pair.a.tell(m.Get(OP + 1, *_terms(pair.get)))
        operation(pair.a).sender.records(m.StreamType.RECORDS, exportOf(FOREIGN))
        while pair.a.host.work():
            pair.relay()
        pair.relay()
        self.assertEqual([OP + 1], [each.operation for each in pair.b.take(m.Installed)])
        pair.prepare = prepare
        self.assertRefused(pair)

    def test_reprocess(self) -> None:
        """A packet of another flow among those of the flow: none is re-processed."""
        pair = LyingPair().installed()
        pair.lies(m.StreamType.REPROCESS, manyFlows((MINE, FOREIGN), LATER))
        self.assertRefused(pair)
        self.assertEqual([4], [each.packets for each in pair.b.engine._provisional[OP].values()])
        self.assertUndone(pair)

    def test_redirect(self) -> None:
        """Before COMMIT: the same; the foreign flow, which is live at the destination, is not touched."""
        pair = LyingPair().confirmed()
        pair.b.feed(manyFlows((FOREIGN,), LATER))
        before = pair.b.engine._table.copy()
        pair.lies(m.StreamType.REDIRECT, manyFlows((FOREIGN,), LATER + 10**6))
        self.assertRefused(pair)
        self.assertEqual(before, pair.b.engine._table)

    def test_redirectBeforeCommit(self) -> None:
        """COMMIT that comes after it is refused as COMMIT: the controller must not wait for an owner."""
        pair = LyingPair().confirmed()
        pair.lies(m.StreamType.REDIRECT, manyFlows((FOREIGN,), LATER))
        self.assertRefused(pair)
        pair.b.tell(m.Commit(OP))
        self.assertRefused(pair, m.MessageType.COMMIT)
        self.assertUndone(pair)

    def test_redirectAfterCommit(self) -> None:
        """Between COMMIT and its witness nothing is owned: the COMMIT is refused, the witness changes nothing."""
        pair = LyingPair().confirmed()
        pair.b.tell(m.Commit(OP))
        pair.lies(m.StreamType.REDIRECT, manyFlows((FOREIGN,), LATER))
        self.assertRefused(pair, m.MessageType.COMMIT)
        pair.b.mark(LATER + 10**9, True)
        self.assertEqual([], pair.b.take(m.Committed))
        pair.b.tell(m.Commit(OP))
        self.assertRefused(pair, m.MessageType.COMMIT)
        self.assertUndone(pair)

    def test_redirectWhileMerging(self) -> None:
        """The records are the destination's own: the foreign packet is left out and told, the others are processed."""
        pair = LyingPair().confirmed()
        pair.b.tell(m.Commit(OP))
        pair.a.mark(LATER, False)
        pair.relay()
        pair.lies(m.StreamType.REDIRECT, manyFlows((MINE, FOREIGN), LATER + 10**6, 1))
        self.assertRefused(pair)
        pair.a.mark(LATER + 10**9, True)
        pair.b.mark(LATER + 10**9 + 1, True)
        pair.relay()
        pair.tick(2.0)
        (merged,) = pair.b.take(m.Merged)
        self.assertEqual((1, 1), (merged.redirected, records(pair.b)))

    def test_late(self) -> None:
        """After the merge: the same."""
        pair = LyingPair().merged()
        pair.lies(m.StreamType.REDIRECT, manyFlows((MINE, FOREIGN), LATER + 10**9, 1))
        self.assertRefused(pair)
        self.assertEqual(1, records(pair.b))

    def test_beforeHold(self) -> None:
        """Nothing is re-directed before the destination holds."""
        pair = LyingPair().installed()
        pair.lies(m.StreamType.REDIRECT, manyFlows((MINE,), LATER))
        self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())

    def test_differentFlows(self) -> None:
        """A controller that tells the two ends different flows: no seal opens, nothing is stored."""
        pair = LyingPair()
        pair.a.feed(manyFlows())
        pair.b.tell(pair.prepare)
        get = pair.get
        pair.a.tell(m.Get(OP, "udp", *_terms(get)[1:]))
        while pair.a.host.work():
            pair.relay()
        pair.relay()
        self.assertEqual({Refusal.SEAL_BROKEN}, {each.refusal for each in pair.b.take(m.Refused)})
        self.assertEqual({OP: {}}, pair.b.engine._provisional)

    def test_sameFlowsInOtherWords(self) -> None:
        """What counts is which flows, not how that is written."""
        pair = LyingPair()
        pair.a.feed(manyFlows())
        pair.b.tell(pair.prepare)
        pair.a.tell(m.Get(OP, "nw_src=10.0.1.1/32,nw_proto=17,dl_type=0x0800", *_terms(pair.get)[1:]))
        while pair.a.host.work():
            pair.relay()
        pair.relay()
        self.assertEqual([1], [each.records for each in pair.b.take(m.Installed)])

    def test_clonesHaveNoKeys(self) -> None:
        """Records with a flow's key are no shared state."""
        pair = SharedPair(m.Sort.CLONE).asked()
        foreign = exportOf(FOREIGN)
        made = RecordBatch(Cell.SUPPORTING_SHARED, 3, 1, foreign.keys, foreign.records)
        operation(pair.a).sender.records(m.StreamType.RECORDS, made)
        pair.relay()
        (refused,) = pair.b.take(m.Refused)
        self.assertEqual(
            (Refusal.BAD_REQUEST, "a sent records of single flows for shared state"), (refused.refusal, refused.reason)
        )

    def test_clonesSendNoPerFlowState(self) -> None:
        """Nor does a clone bring records of flows, nor re-directed packets, nor a merge events."""
        for sort, type_ in (
            (m.Sort.CLONE, m.StreamType.REDIRECT),
            (m.Sort.MERGE, m.StreamType.REDIRECT),
            (m.Sort.MERGE, m.StreamType.REPROCESS),
        ):
            pair = SharedPair(sort).copied()
            operation(pair.a).sender.append(type_, *packEvents(manyFlows((1,), LATER)))
            pair.relay()
            self.assertIn(pair.b.refusal(), (Refusal.BAD_REQUEST, Refusal.WRONG_STATE))
        pair = SharedPair(m.Sort.CLONE).asked()
        operation(pair.a).sender.records(m.StreamType.RECORDS, exportOf(1))
        pair.relay()
        self.assertEqual(Refusal.BAD_REQUEST, pair.b.refusal())


def _terms(request: m.Prepare | m.Get) -> tuple[Any, ...]:
    """The fields of a request after the operation."""
    return tuple(getattr(request, name) for name in request.__slots__ if name != "operation")


class ReturnedTests(SynchronousTestCase):
    """What a destination gives back is held against the flows, and the state, as well."""

    def returning(self) -> LyingPair:
        """The route is set back: the source waits for what comes back."""
        pair = LyingPair()
        pair.confirmed()
        pair.a.tell(m.Unmark(OP, True))
        pair.b.tell(m.Discard(OP, True))
        pair.relay()
        return pair

    def test_foreign(self) -> None:
        """A packet of another flow is left out and told; the source goes on with the others."""
        pair = self.returning()
        sender = operation(pair.b).sender
        sender.append(m.StreamType.RETURNED, *packEvents(manyFlows((MINE, FOREIGN), LATER, 1)))
        pair.relay()
        (refused,) = pair.a.take(m.Refused)
        self.assertIn("b sent 1 packets of flows that nobody asked for", refused.reason)
        pair.b.mark(LATER + 10**9, True, number=1 << 31)
        pair.relay()
        pair.tick(5.0)
        self.assertEqual(1, pair.a.take(m.Unmarked)[0].replayed)

    def test_unasked(self) -> None:
        """Without the controller's word the end of a return changes nothing at a source that still diverts."""
        pair = LyingPair()
        pair.confirmed()
        pair.b.tell(m.Discard(OP, True))
        pair.b.mark(LATER, True, number=1 << 31)
        pair.relay()
        pair.tick(5.0)
        self.assertEqual(("diverted", []), (operation(pair.a).state.value, pair.a.take(m.Unmarked)))
        pair.a.tell(m.Unmark(OP, True))
        pair.tick(5.0)
        self.assertEqual(1, len(pair.a.take(m.Unmarked)))


class BelongingTests(SynchronousTestCase):
    """What belongs stays accepted: a destination decodes what the source has decoded."""

    def selected(self, flows: str, frames: list[bytes], wire: list[int] | None = None) -> tuple[list[bool], list[bool]]:
        """Which packets a source takes, and of these, which the destination accepts."""
        batch = packetBatch(frames, [START + place for place in range(len(frames))], wire=wire)
        selection = Selection(End("x").engine, OP, HeaderFieldList.parse(flows), "a")
        live = Decoder().decode(batch)
        taken = selection.packets(live)
        sent = live.select(taken).packets
        there = Decoder(reassemble=False).decode(sent)
        return taken.tolist(), selection.packets(there).tolist()

    def test_fragments(self) -> None:
        """Fragments go by their addresses, and the last one as the whole datagram."""
        datagram = udp(bytes(range(64)) * 8)
        frames = [
            ethernet(ip4(datagram[:256], 17, fragment=0x2000)),
            ethernet(ip4(datagram[256:], 17, fragment=32)),
        ]
        for flows in ("udp,tp_dst=53", "udp,tp_dst=5353", f"udp,nw_src={SERVER}"):
            self.assertEqual(([True, True], [True, True]), self.selected(flows, frames), flows)
        self.assertEqual(([True, False], [True]), self.selected("udp,tp_dst=54", frames))

    def test_truncated(self) -> None:
        """A capture that cuts packets off, in their payload and in their ports."""
        frame = ethernet(ip4(tcp(b"x" * 400)))
        self.assertEqual(([True], [True]), self.selected("tcp,tp_dst=80", [frame[:100]], [len(frame)]))
        cut = frame[: 14 + 20 + 2]
        self.assertEqual(([True], [True]), self.selected(f"tcp,nw_src={CLIENT}", [cut], [len(frame)]))

    def test_tunnelled(self) -> None:
        """The packet inside counts, also when the tunnel's packet came in fragments."""
        inner = ip4(tcp(b"inside" * 40))
        frame = gre("00000800", inner)
        self.assertEqual(([True], [True]), self.selected("tcp,tp_dst=80", [frame]))
        self.assertEqual(([False], []), self.selected("udp", [frame]))
        payload = bytes.fromhex("00000800") + inner
        ends = ("198.51.100.1", "198.51.100.2")
        pieces = [
            ethernet(ip4(payload[:64], 47, between=ends, fragment=0x2000)),
            ethernet(ip4(payload[64:], 47, between=ends, fragment=8)),
        ]
        taken, accepted = self.selected("tcp,tp_dst=80", pieces)
        self.assertEqual(([False, True], [True]), (taken, accepted))

    def test_neverMore(self) -> None:
        """What is no packet of any flow belongs to none."""
        batch = packetBatch([bytes(60), b"", ethernet(b"\x45")], [1, 2, 3])
        selection = Selection(End("x").engine, OP, EVERYTHING, "a")
        decoded = Decoder(reassemble=False).decode(batch)
        self.assertNotIn(Kind.TCP, decoded.headers["kind"].tolist())
        self.assertFalse(selection.packets(decoded).any())


class Narrow:
    """Answers for a kind: one packet in two, no record."""

    def selects(self, operation: int, flows: HeaderFieldList, packets: Decoded) -> NDArray[np.bool_]:
        chosen = np.zeros(len(packets), np.bool_)
        chosen[::2] = True
        return chosen

    def selectsRecords(self, operation: int, flows: HeaderFieldList, batch: RecordBatch) -> NDArray[np.bool_]:
        return np.zeros(len(batch), np.bool_)


class KindTests(SynchronousTestCase):
    """A kind may answer itself, and both ends go by that."""

    def test_asked(self) -> None:
        pair = LyingPair()
        for end in (pair.a, pair.b):
            for name in ("selects", "selectsRecords"):
                setattr(end.engine, name, getattr(Narrow(), name))
            directlyProvides(end.engine, providedBy(end.engine) + ISelector)
        pair.begun()
        while pair.a.host.work():
            pair.relay()
        pair.relay()
        self.assertEqual(Refusal.BAD_REQUEST, pair.b.refusal())
        selection = operation(pair.a).selection
        four = Decoder().decode(manyFlows((FOREIGN,)))
        self.assertEqual([True, False, True, False], selection.packets(four).tolist())

    def test_otherKeys(self) -> None:
        """Records with keys that nobody can read belong to nothing, unless the kind says so."""
        batch = exportOf(MINE)
        odd = RecordBatch(batch.cell, 1, 1, batch.keys[:, :8], batch.records)
        selection = Selection(End("x").engine, OP, EVERYTHING, "a")
        error = self.assertRaises(OperationError, selection.checkRecords, odd)
        self.assertIn(NOBODY, str(error))

    def test_pradsFragments(self) -> None:
        """PRADS takes a later fragment for whole: it belongs where its connection does, and what updates that too."""
        prads = makePrads(Path(self.mktemp()))
        datagram = udp(bytes(range(64)) * 8)
        later = ethernet(ip4(datagram[256:], 17, fragment=32))
        ports = int.from_bytes(datagram[256:258], "big"), int.from_bytes(datagram[258:260], "big")
        whole = ethernet(ip4(udp(b"x" * 20, ports=ports), 17))
        decoded = Decoder(False, False).decode(packetBatch([later, whole, ethernet(ip4(datagram, 17))], [1, 2, 3]))
        for text, expected in (
            ("udp,tp_dst=53", [False, False, True]),
            (f"udp,tp_dst={ports[1]}", [True, True, False]),
            (f"udp,nw_src={CLIENT}", [True, True, True]),
        ):
            flows = HeaderFieldList.parse(text)
            self.assertEqual(expected, prads.selects(OP, flows, decoded).tolist(), text)
            births = prads.selects(OP, flows, decoded).astype(np.uint64) * np.uint64(OP)
            engine = makePrads(Path(self.mktemp()))
            marks = engine.process(decoded, births).marks
            self.assertFalse((marks != 0)[~np.array(expected)].any(), "what updates a marked record belongs")
            self.assertTrue((marks != 0)[np.array(expected)].all())

    def test_pradsHosts(self) -> None:
        """With connections go the hosts at their ends, and no others; asked for by address alone, a host goes too."""
        prads = makePrads(Path(self.mktemp()))
        prads.prepare(OP, EVERYTHING)
        host, stranger = hostKey("10.0.1.1"), hostKey("192.0.2.7")
        for text, expected in (("udp", [False, False]), ("nw_src=10.0.1.0/24", [True, False])):
            flows = HeaderFieldList.parse(text)
            self.assertEqual(expected, prads.selectsRecords(OP, flows, self._hosts(host, stranger)).tolist())
        source = makePrads(Path(self.mktemp()))
        source.process(Decoder(False, False).decode(manyFlows((1,))), None)
        for step in source.getPerflow(EVERYTHING, 1, 64):
            for batch in step:
                prads.putPerflow(OP, batch)
        found = prads.selectsRecords(OP, HeaderFieldList.parse("udp"), self._hosts(host, stranger))
        self.assertEqual([True, False], found.tolist())
        prads.discard(OP)
        self.assertEqual({}, prads._ends)

    @staticmethod
    def _hosts(*keys: NDArray[Any]) -> RecordBatch:
        octets = np.concatenate([key.reshape(-1).view(np.uint8).reshape(1, 16) for key in keys])
        return RecordBatch(*HOST.names, octets, np.zeros((len(keys), HOST.size), np.uint8))
