"""The host: what is not part of one operation's table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.packets.batch import packetBatch
from openmb.packets.marker import buildMarker
from openmb.state.taxonomy import PER_FLOW_CELLS, Cell
from openmb.testing.adapters import START, manyFlows
from openmb.testing.counter import COUNTER
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, End, Pair, operation, peer, single
from tests.netctl.embedded.frames import packetsOf
from tests.packets.build import ethernet, ip4, udp

LATER = START + 100_000_000


class _AsTheyCome(End):
    """Nothing is put together."""

    reassemble = False


class HostTests(SynchronousTestCase):
    """One or two hosts."""

    def test_hello(self) -> None:
        """Who it is, what it understands, and what it remembers of operations."""
        pair = Pair().installed()
        hello = pair.a.host.hello()
        self.assertEqual(("a", "counter", peer("a").incarnation), (hello.name, hello.kind, hello.incarnation))
        self.assertEqual(32, len(hello.governing))
        (status,) = hello.operations
        self.assertEqual(
            (OP, m.Side.SOURCE, "tapping", -1), (status.operation, status.side, status.state, status.received)
        )
        self.assertEqual(status.sent, pair.b.host.hello().operations[0].received)

    def test_fragments(self) -> None:
        """An engine that takes packets as they come is handed fragments, and sends them on as they came."""
        datagram = udp(bytes(1400))
        cut = ((datagram[:800], 0x2000), (datagram[800:], 100))
        pieces = [ethernet(ip4(piece, 17, fragment=field)) for piece, field in cut]
        self.assertEqual(pieces, self._sentOn(_AsTheyCome("a"), pieces))
        self.assertNotEqual(pieces, self._sentOn(End("a"), pieces))

    def _sentOn(self, end: End, packets: list[bytes]) -> list[bytes]:
        sent: list[bytes] = []
        end.engine.inline = True
        end.host.forward = lambda batch: sent.extend(packetsOf(batch))
        end.feed(packetBatch(packets, [START + place for place in range(len(packets))]))
        return sent

    def test_unknownOperation(self) -> None:
        """Requests for an operation that is not known are refused with what they were."""
        end = End("a")
        for message in (m.Hold(OP, TOKEN), m.Divert(OP, TOKEN), m.Commit(OP)):
            end.tell(message)
            (refused,) = end.take(m.Refused)
            self.assertEqual((OP, Refusal.UNKNOWN_OPERATION), (refused.operation, refused.refusal))

    def test_wrongEnd(self) -> None:
        """What belongs to the other end is refused."""
        pair = Pair().installed()
        pair.a.tell(m.Commit(OP))
        pair.b.tell(m.Divert(OP, TOKEN))
        self.assertEqual(Refusal.UNKNOWN_OPERATION, pair.a.refusal())
        self.assertEqual(Refusal.UNKNOWN_OPERATION, pair.b.refusal())

    def test_strayFrames(self) -> None:
        """Frames and credit of an operation that is over are passed over."""
        end = End("a")
        end.tell(m.Credit(OP, m.Side.SOURCE, 3), m.StreamFrame(OP, m.Side.SOURCE, 0, m.StreamType.OPENED, b"", b""))
        self.assertEqual([], end.sent)

    def test_stats(self) -> None:
        """Counts for what the flows select; refusals name the request."""
        end = End("a")
        end.feed(manyFlows())
        end.tell(m.Stats(5, "nw_src=10.0.1.0/30"))
        (answer,) = end.take(m.StatsAnswer)
        self.assertEqual((5, list(Cell)), (answer.operation, [each.cell for each in answer.cells]))
        counts = {each.cell: (each.records, each.bytes, each.marked) for each in answer.cells}
        self.assertEqual((4, 4 * COUNTER.size, 0), counts[Cell.SUPPORTING_PER_FLOW])
        self.assertEqual(((3, 46, 0), (0, 0, 0)), (counts[Cell.CONFIGURATION], counts[Cell.REPORTING_SHARED]))
        end.tell(m.Stats(6, "dl_vlan=1"))
        (refused,) = end.take(m.Refused)
        self.assertEqual(
            (6, m.MessageType.STATS, Refusal.FINER_THAN_NATIVE), (refused.operation, refused.request, refused.refusal)
        )

    def test_resemblingMarkers(self) -> None:
        """Frames that begin like a marker but are none cost nothing but a count, wherever they stand in a batch."""
        pair = Pair().confirmed()
        good = buildMarker(OP, TOKEN, 1, True)
        packets, bad = manyFlows((0,), LATER, 1).packet(0), []
        for place in range(len(good)):
            bad.append(good[:place] + bytes((good[place] ^ 0x40,)) + good[place + 1 :])
        for frame in bad:
            pair.a.feed(packetBatch([packets, frame, packets], [LATER, LATER + 1, LATER + 2]))
        self.assertEqual(2 * len(bad), pair.a.host._operations[OP]._redirected)  # type: ignore[union-attr]
        self.assertGreater(pair.a.host.counts.strayMarkers, 0)

    def test_markerSplitsBatch(self) -> None:
        """Packets before a marker in one batch are taken before it, those behind it after it."""
        pair = Pair().confirmed()
        packet = manyFlows((0,), LATER, 1).packet(0)
        marker = buildMarker(OP, TOKEN, 1, True)
        pair.a.feed(packetBatch([packet, marker, packet], [LATER, LATER + 1, LATER + 2]))
        kinds = [frame.type.name for frame in pair.a.take(m.StreamFrame)]
        self.assertEqual(["REDIRECT", "MARKED", "DRAINED", "REDIRECT"], kinds)

    def test_otherFlowsUndisturbed(self) -> None:
        """Flows that the operation does not select are processed throughout."""
        pair = Pair(flows="nw_src=10.0.1.1").confirmed()
        later = manyFlows((2, 3), LATER)
        pair.a.feed(later.select(slice(0, 4)))
        self.assertEqual([], pair.a.take(m.StreamFrame))
        pair.b.feed(later.select(slice(4, 8)))
        self.assertEqual(2, pair.b.engine.usage(operation(pair.b).flows.__class__())[0].records)

    def test_holdEndsWindow(self) -> None:
        """Flows that come back: a HOLD here ends an earlier late window that it intersects."""
        pair = Pair().merged()
        pair.a.tell(m.Delete(OP, 60_000))
        ends = (OP + 1, "udp", PER_FLOW_CELLS, peer("b"), peer("a"), 1 << 20, 60_000)
        pair.a.tell(m.Prepare(*ends), m.Hold(OP + 1, TOKEN))
        self.assertEqual([m.WindowClosed(OP, 0, 0)], pair.a.take(m.WindowClosed))

    def test_closeUndoes(self) -> None:
        """CLOSE of an operation that the controller has given up: both ends go back; nothing is lost."""
        for pair in (Pair().installed(), Pair().confirmed()):
            pair.a.tell(m.Close(OP), m.Close(OP))
            pair.b.tell(m.Close(OP))
            self.assertEqual((0, 0), (pair.a.host.operations, pair.b.host.operations))
            self.assertEqual(single(manyFlows()), pair.finish())

    def test_finishSettles(self) -> None:
        """A host that ends in the middle reports what is its own: the source its records, the destination none."""
        for pair in (Pair().installed(), Pair().confirmed()):
            self.assertEqual(single(manyFlows()), pair.finish())

    def test_creditTogether(self) -> None:
        """Small frames are acknowledged together, at the next tick; large ones at once."""
        pair = Pair(window=1 << 20)
        pair.b.tell(pair.prepare)
        pair.a.feed(manyFlows())
        pair.a.tell(pair.get)
        while pair.a.host.work():
            pass
        frames = pair.a.take(m.StreamFrame)
        pair.b.tell(*frames)
        self.assertEqual([], pair.b.take(m.Credit))
        pair.b.host.timePassed(0.004)
        self.assertEqual([m.Credit(OP, m.Side.SOURCE, frames[-1].number)], pair.b.take(m.Credit))


class ShutDownTests(SynchronousTestCase):
    """A host that is to end first brings its operations to an end."""

    def test_undecided(self) -> None:
        """Before the votes both ends have the operation undone."""
        pair = Pair().installed()
        for end in (pair.a, pair.b):
            end.host.shutDown()
            self.assertEqual([Refusal.SHUTTING_DOWN], [answer.refusal for answer in end.take(m.Refused)])
            self.assertFalse(end.host.settled)
        pair.a.tell(m.Unmark(OP, False))
        pair.b.tell(m.Discard(OP, False))
        self.assertTrue(pair.a.host.settled and pair.b.host.settled)

    def test_decided(self) -> None:
        """After the votes it is over only when the destination has merged and the source has deleted."""
        pair = Pair().confirmed()
        for end in (pair.a, pair.b):
            end.host.shutDown()
            self.assertEqual([], end.take(m.Refused))
            self.assertFalse(end.host.settled)
        pair.merged()
        self.assertEqual((False, True), (pair.a.host.settled, pair.b.host.settled))
        pair.a.tell(m.Delete(OP, 100))
        self.assertTrue(pair.a.host.settled and pair.b.host.settled)
