"""
The oracle for clones and merges of the counting kind: what the flows share is counted once, whoever holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from openmb.middlebox.host import MiddleboxHost
from openmb.testing.counter import CounterMiddlebox
from openmb.testing.simulation.sharedbox import SharedBox
from openmb.testing.totals import ENDINGS, TRAFFIC, WRITTEN, SharedState, Tally
from openmb.wire import messages as m

SUPPORTING = (TRAFFIC, ENDINGS)


class SharedTruth:
    """
    Watches one history.

    @ivar deaths: has a process died?  What it alone held is lost with it then.
    @ivar wrong: what was found, in words.
    """

    def __init__(self) -> None:
        self.deaths = False
        self.wrong: list[str] = []
        self._given: dict[int, SharedState] = {}
        self._folded: set[int] = set()

    # -- while it happens

    def taken(self, name: str, host: MiddleboxHost, message: m.Message, sorts: Mapping[int, m.Sort]) -> None:
        """A host has taken a message: see what each end has at the source's vote, and at COMMIT."""
        if getattr(message, "operation", 0) not in sorts:
            return
        if isinstance(message, m.Finish):
            self._vote(host, message.operation)
        elif isinstance(message, m.SourceGone) and sorts[message.operation] is m.Sort.CLONE:
            self._given.pop(message.operation, None)  # the last changes may have died with the source
        elif isinstance(message, m.Commit) and message.operation not in self._folded:
            outcome = host._outcomes.get(message.operation)
            if outcome is not None and m.Commit in outcome.answers:
                self._folded.add(message.operation)
                self._compare(name, host, message.operation, sorts[message.operation])

    def _vote(self, host: MiddleboxHost, operation: int) -> None:
        known = host._operations.get(operation)
        if known is not None and known.state.value == "voted" and operation not in self._given:
            totals = cast(CounterMiddlebox, host.engine).totals
            self._given[operation] = totals.taken.get(operation, totals.own).copy()

    def _compare(self, name: str, host: MiddleboxHost, operation: int, sort: m.Sort) -> None:
        given, own = self._given.get(operation), cast(CounterMiddlebox, host.engine).totals.own
        layouts = SUPPORTING if sort is m.Sort.CLONE else (*SUPPORTING, WRITTEN)
        for layout in layouts if given is not None else ():
            for origin, tally in given.origins[layout.identifier].items():  # type: ignore[union-attr]
                if (found := own.origins[layout.identifier].get(origin, Tally())) < tally:
                    what = f"{sort.name.lower()} {operation:016x} to {name}"
                    self.wrong.append(f"{what}: {found} of {layout.name}, and the source had {tally}")

    # -- at the end

    def judge(self, boxes: Sequence[SharedBox]) -> None:
        """Everything is over, but the hosts have not ended yet; they do now."""
        for box in boxes:
            self.wrong += self._left(box)
        self.wrong += self._supporting(boxes)
        for box in boxes:
            box.host.finish()
            box.twin.engine.finish()
            if box.witness.rows != box.twin.rows:
                self.wrong.append(f"{box.name}: rows of its flows are not those of a middlebox without operations")
        self.wrong += self._reporting(boxes)

    @staticmethod
    def _left(box: SharedBox) -> Iterator[str]:
        totals = box.witness.engine.totals
        if box.host.operations or totals.watches or totals.taken or totals.provisional:
            yield f"{box.name}: operations have left something behind"
        if box.host.setAside.faults:
            yield f"{box.name}: the engine threw"

    def _supporting(self, boxes: Sequence[SharedBox]) -> Iterator[str]:
        """The fold of what is anywhere, by the instance that counted."""
        whole = SharedState()
        for box in boxes:
            whole.fold(box.witness.engine.totals.own)
        for box in boxes:
            ended = box.twin.engine.totals.own.sum(ENDINGS)
            for layout, true in ((TRAFFIC, box.seen), (ENDINGS, ended.count)):
                found = countOf(whole, layout.identifier, box.peer)
                if found > true or (found < true and not self.deaths):
                    yield f"{layout.name} of {box.name}: {found}, not {true}"

    def _reporting(self, boxes: Sequence[SharedBox]) -> Iterator[str]:
        """What is reported of all rows together is as much as the rows that were written."""
        reported = [tally for box in boxes for tally in box.witness.written]
        twins = [twin for box in boxes for twin in (box.twin, *box.past)]
        rows, packets = sum(len(twin.rows) for twin in twins), sum(twin.packets for twin in twins)
        found = (sum(tally.count for tally in reported), sum(tally.total for tally in reported))
        if found > (rows, packets) or (found < (rows, packets) and not self.deaths):
            yield f"reported: {found[0]} rows of {found[1]} packets, not {rows} of {packets}"


def countOf(state: SharedState, layout: int, peer: m.Peer) -> int:
    """What one instance has counted, in all its epochs, as far as C{state} knows."""
    origin = hashlib.sha256(peer.name.encode() + b"\0" + peer.incarnation).digest()[:16]
    return sum(tally.count for each, tally in state.origins[layout].items() if each[:16] == origin)
