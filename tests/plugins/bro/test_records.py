"""Record layouts and tails: the same bytes for construct, numpy and the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.analyzer import Surroundings
from openmb.plugins.bro.analyzers.conversation import Conversation
from openmb.plugins.bro.analyzers.ssh import SSHAnalyzer
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.records import REPORTING, ROW, SUPPORTING, ConnectionTail
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.settings import BroSettings
from openmb.plugins.bro.tails import Tail, packTail, parseTail
from tests.plugins.bro.running import EVERYTHING
from tests.plugins.bro.test_adapter import decoded, exported
from tests.plugins.bro.wire import Script

#: The supporting record's layout in this version; a change of it needs a new version number.
OFFSETS = {
    "delivered": 0,
    "skipUntil": 64,
    "deadline": 144,
    "timeout": 168,
    "startSequence": 176,
    "head": 216,
    "state": 228,
}


class LayoutTests(SynchronousTestCase):
    """One declaration, three uses."""

    def test_offsets(self) -> None:
        fields: Mapping[str, Any] = SUPPORTING.dtype.fields or {}
        self.assertEqual({name: fields[name][1] for name in OFFSETS}, OFFSETS)

    def test_constructAgrees(self) -> None:
        """What numpy wrote, construct reads, and writes again to the last byte."""
        source = BroMiddlebox(BroSettings())
        source.process(decoded(Script().handshake()), None)
        for batch, layout in zip(exported(source, EVERYTHING), (SUPPORTING, REPORTING), strict=True):
            octets = batch.records[0].tobytes()
            parsed = layout.struct.parse(octets)
            self.assertEqual(layout.struct.build(parsed), octets)
        self.assertEqual(list(parsed["packets"]), [2, 1])
        self.assertEqual(bytes(parsed["history"])[:3], b"ShA")

    def test_noGaps(self) -> None:
        """numpy does not copy what lies between fields: rows without gaps cannot carry stray memory away."""
        self.assertEqual(sum(kind.itemsize for kind, *_ in (ROW.fields or {}).values()), ROW.itemsize)

    def test_rowHoldsBoth(self) -> None:
        self.assertEqual(ROW.itemsize, SUPPORTING.size + REPORTING.size)
        row = np.zeros(1, ROW)
        row["start"] = 77
        self.assertEqual(REPORTING.rows(row.view(np.uint8).reshape(1, -1)[:, SUPPORTING.size :])["start"][0], 77)

    def test_documented(self) -> None:
        self.assertIn("| history |", REPORTING.document())


def watching(data: bytes) -> Conversation:
    """An SSH connection whose originator has sent this."""
    conversation = Conversation(Surroundings())
    conversation.begin(Service.SSH)
    conversation.analyzers[0].data(True, data, 0)
    conversation.position = [1 + len(data), 1]
    return conversation


class TailTests(SynchronousTestCase):
    """Tails round, and everything else is refused."""

    GOLDEN = bytes.fromhex("02010005000000000000000900000000000000000000")

    def test_empty(self) -> None:
        self.assertEqual(packTail(Tail(([], []), None)), b"")
        self.assertEqual(parseTail(b"", Surroundings), Tail(([], []), None))

    def test_golden(self) -> None:
        self.assertEqual(packTail(Tail(([(5, 9)], []), None)), self.GOLDEN)
        self.assertEqual(parseTail(self.GOLDEN, Surroundings).ranges, ([(5, 9)], []))

    def test_conversation(self) -> None:
        conversation = watching(b"SSH-2.0-x\r\n")
        conversation.ahead.hold(1, 7, b"later")
        again = parseTail(packTail(Tail(([], []), conversation)), Surroundings).conversation
        assert again is not None
        self.assertEqual((again.position, again.ahead.held(1)), ([12, 1], [(7, b"later")]))
        self.assertEqual(again.analyzers[0].dump(), conversation.analyzers[0].dump())
        self.assertIsInstance(again.analyzers[0], SSHAnalyzer)

    def test_cut(self) -> None:
        """A tail that is cut short anywhere, or goes on, is refused."""
        whole = packTail(Tail(([(5, 9)], [(1, 2), (4, 6)]), watching(b"SSH-2.0-x\r\n")))
        for length in range(1, len(whole)):
            self.assertRaises(OperationError, parseTail, whole[:length], Surroundings)
        self.assertRaises(OperationError, parseTail, whole + b"\0", Surroundings)

    def test_disorder(self) -> None:
        for ranges in ([(5, 5)], [(5, 9), (9, 12)], [(5, 9), (1, 3)]):
            self.assertRaises(OperationError, parseTail, packTail(Tail((ranges, []), None)), Surroundings)

    def test_limits(self) -> None:
        """Numbers that no conversation could have."""
        for change in ({"attached": 17}, {"attached": 0}, {"analyzers": [{"service": 7, "state": b""}]}):
            parsed = ConnectionTail.parse(packTail(Tail(([], []), watching(b"SSH-2.0-x\r\n"))))
            parsed.content.update(change)
            self.assertRaises(OperationError, parseTail, ConnectionTail.build(parsed), Surroundings)

    @given(some.binary(max_size=80))
    def test_junk(self, data: bytes) -> None:
        """Junk raises nothing but the one error."""
        try:
            parseTail(data, Surroundings)
        except OperationError:
            return
        self.assertIn(data[:1], (b"", b"\2"))
