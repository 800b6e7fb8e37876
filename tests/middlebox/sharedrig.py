"""Two hosts of the counting kind with a clone or a merge between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmb.packets.batch import PacketBatch
from openmb.state.taxonomy import Cell
from openmb.testing.adapters import START, manyFlows
from openmb.testing.totals import ENDINGS, TRAFFIC, WRITTEN, Tally
from openmb.wire import messages as m
from tests.middlebox.rig import LEASES, OP, End, Pair, peer

CELLS = {m.Sort.CLONE: (Cell.SUPPORTING_SHARED,), m.Sort.MERGE: (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)}
#: Stamps at which the flows of C{START} are over, and of C{LATER} in turn.
LATER, LAST = START + 2 * 10**9, START + 4 * 10**9


class SharedPair(Pair):
    """As L{Pair}, for shared state."""

    def __init__(self, sort: m.Sort, window: int = 1 << 20, **settings: Any) -> None:
        super().__init__(window, "*", **settings)
        self.prepare = m.Prepare(OP, "*", CELLS[sort], peer("a"), peer("b"), window, LEASES[0], sort)

    def asked(self) -> SharedPair:
        """Up to GETTING; both have counted."""
        self.a.feed(manyFlows())
        self.b.feed(manyFlows(range(3)))
        self.b.tell(self.prepare)
        self.a.tell(self.get)
        return self

    def copied(self) -> SharedPair:
        """Up to INSTALLED."""
        self.asked()
        while self.a.host.work():
            self.relay()
        self.relay()
        return self

    def voted(self) -> SharedPair:
        """Up to FINISH_CONFIRMED."""
        self.copied()
        self.a.tell(m.Finish(OP))
        self.relay()
        return self

    def committed(self) -> SharedPair:
        """Up to COMMITTED."""
        self.voted()
        self.b.tell(m.Commit(OP))
        return self


def tallies(end: End) -> tuple[Tally, Tally, Tally]:
    """What the flows of one middlebox share: traffic, endings, rows written."""
    own = end.engine.totals.own
    return own.sum(TRAFFIC), own.sum(ENDINGS), own.sum(WRITTEN)


def counts(end: End) -> tuple[int, int, int]:
    """How many packets, flows that were over, and rows written."""
    traffic, endings, written = tallies(end)
    return traffic.count, endings.count, written.count


def later(stamp: int = LATER, flows: Sequence[int] = range(6), rounds: int = 4) -> PacketBatch:
    """The same flows, after their time-out."""
    return manyFlows(flows, stamp, rounds)
