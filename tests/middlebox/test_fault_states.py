"""An engine throws on a packet at every state of both ends: the others are processed once, and the loss is told."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from openmb.middlebox.states import DestinationState, SourceState
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import BACK_MARKERS
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, End, Pair, operation, single

POISON = b"poison"
LATER = START + 100_000_000
Step = Callable[[Pair], None]


def traffic() -> tuple[PacketBatch, PacketBatch]:
    """Six packets, and the same with one among them on which the engine throws."""
    good = manyFlows((8,) * 6, LATER, 1)
    frames = [bytes(good.packet(place)) for place in range(len(good))]
    stamps = [int(stamp) for stamp in good.stamps]
    mixed = packetBatch([*frames[:3], frames[0] + POISON, *frames[3:]], [*stamps[:3], stamps[2] + 1, *stamps[3:]])
    return good, mixed


def prepared(pair: Pair) -> None:
    """PREPARE and GET, nothing exported yet."""
    pair.a.feed(manyFlows())
    pair.b.tell(pair.prepare)
    pair.a.tell(pair.get)


def installed(pair: Pair) -> None:
    pair.installed()


def held(pair: Pair) -> None:
    """HOLD at the destination, no vote yet."""
    pair.installed()
    pair.b.tell(m.Hold(OP, TOKEN))


def confirmed(pair: Pair) -> None:
    pair.confirmed()


def committing(pair: Pair) -> None:
    """COMMIT, and no marker has come."""
    pair.confirmed()
    pair.b.tell(m.Commit(OP))


def merging(pair: Pair) -> None:
    """A marker has come down both paths, not the final one."""
    committing(pair)
    for end in (pair.a, pair.b):
        end.mark(START + 50_000_000)
    pair.relay()


def merged(pair: Pair) -> None:
    pair.merged()


def inWindow(pair: Pair) -> None:
    pair.merged()
    pair.a.tell(m.Delete(OP, 100))


def returning(pair: Pair) -> None:
    """The route goes back: the destination returns what still comes."""
    pair.confirmed()
    pair.a.tell(m.Unmark(OP, True))
    pair.b.tell(m.Discard(OP, True))
    pair.relay()


def commit(pair: Pair) -> None:
    """From wherever it is, to the end."""
    while pair.a.host.work():
        pair.relay()
    pair.relay()
    pair.b.tell(m.Hold(OP, TOKEN))
    pair.a.tell(m.Divert(OP, TOKEN))
    pair.relay()
    pair.b.tell(m.Commit(OP))
    for end in (pair.a, pair.b):
        end.mark(LATER + 10**9, True)
    pair.relay()
    pair.tick(2.0)
    pair.a.tell(m.Delete(OP, 10))
    closeWindow(pair)


def abort(pair: Pair) -> None:
    """Nothing is returned: the route never changed."""
    while pair.a.host.work():
        pair.relay()
    pair.a.tell(m.Unmark(OP, False))
    pair.b.tell(m.Discard(OP, False))
    pair.relay()


def closeWindow(pair: Pair) -> None:
    pair.tick(1.0)
    pair.tick(1.0)


def comeBack(pair: Pair) -> None:
    """The end of the way back."""
    pair.b.mark(LATER + 10**9, True, number=BACK_MARKERS)
    pair.relay()
    pair.tick(2.0)


def lost(pair: Pair) -> int:
    """What the answers of both ends say is lost."""
    source = sum(closed.lost for closed in pair.a.take(m.WindowClosed))
    source += sum(unmarked.lost for unmarked in pair.a.take(m.Unmarked))
    return source + sum(merged.lost for merged in pair.b.take(m.Merged))


class StatesTests(SynchronousTestCase):
    """The packet comes among six good ones."""

    def check(self, way: Step, fed: str, state: object, end: Step, told: int = 1) -> None:
        """C{way} leads to C{state} of the end C{fed}, where the packets come; then C{end}."""
        pair = Pair()
        for one in (pair.a, pair.b):
            one.engine.poison = POISON
        way(pair)
        good, mixed = traffic()
        at: End = getattr(pair, fed)
        self.assertIs(state, operation(at).state)
        at.feed(mixed)
        pair.relay()
        end(pair)
        failed = sum(one.host.counts.failedPackets for one in (pair.a, pair.b))
        self.assertEqual((1, told), (failed, lost(pair)))
        self.assertEqual(single(manyFlows(), good), pair.finish())

    def test_exporting(self) -> None:
        for end in (commit, abort):
            self.check(prepared, "a", SourceState.EXPORTING, end)

    def test_tapping(self) -> None:
        for end in (commit, abort):
            self.check(installed, "a", SourceState.TAPPING, end)

    def test_diverted(self) -> None:
        """Re-directed: it is the destination that throws; or the source, when it goes on with its copies."""
        for end in (commit, abort):
            self.check(confirmed, "a", SourceState.DIVERTED, end)
        self.check(merging, "a", SourceState.DIVERTED, commit)

    def test_window(self) -> None:
        """A late packet: MERGED was sent before it came, so that only the destination's own count has it."""
        self.check(inWindow, "a", SourceState.WINDOW, closeWindow, told=0)

    def test_returning(self) -> None:
        """Returned by the destination, or kept by the source."""
        self.check(returning, "a", SourceState.RETURNING, comeBack)
        self.check(returning, "b", DestinationState.RETURNING, comeBack)

    def test_holding(self) -> None:
        self.check(held, "b", DestinationState.HOLDING, commit)

    def test_confirmed(self) -> None:
        self.check(confirmed, "b", DestinationState.CONFIRMED, commit)

    def test_committing(self) -> None:
        self.check(committing, "b", DestinationState.COMMITTING, commit)

    def test_merging(self) -> None:
        self.check(merging, "b", DestinationState.MERGING, commit)

    def test_merged(self) -> None:
        """It owns the flows: nobody is told but its log."""
        self.check(merged, "b", DestinationState.MERGED, commit, told=0)
