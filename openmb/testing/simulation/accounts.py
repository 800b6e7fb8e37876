"""
What the oracle must know of a history: where records are, what was lost with whom, which operations went wrong.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from openmb.controller.performer import MovePerformer
from openmb.errors import Refusal
from openmb.operations.journal import Entry, Step
from openmb.operations.values import MoveReport, Stage
from openmb.packets.headers import Decoded, Kind
from openmb.state.headers import HeaderFieldList
from openmb.testing.simulation.network import SimulatedNetwork
from openmb.testing.simulation.oracle import Excuse
from openmb.testing.simulation.traffic import Traffic
from openmb.wire.messages import Deleted, Discarded, Merged, Message, Sort, Unmarked, WindowClosed

#: Reasons for an end that only a long absence explains.
STRANGE = (
    Refusal.DEADLINE,
    Refusal.WRONG_STATE,
    Refusal.UNKNOWN_OPERATION,
    Refusal.BAD_REQUEST,
    Refusal.SEAL_BROKEN,
    Refusal.COUNT_MISMATCH,
)
#: Reasons for which an operation may end without an end having answered.
UNANSWERED = (Refusal.PEER_DIED, Refusal.DEADLINE, Refusal.WRONG_STATE)


class Accounts:
    """
    @param names: the canonical flow of each of the traffic's flows.
    @ivar dead: middleboxes that died and did not come back.
    @ivar tainted: flows of which part is lost with a middlebox that died.
    """

    def __init__(
        self, traffic: Traffic, decoded: Decoded, network: SimulatedNetwork, names: dict[int, str], counts: Counter[str]
    ) -> None:
        self._traffic, self._decoded, self._network, self._names = traffic, decoded, network, names
        self._counts = counts
        self.dead: set[str] = set()
        self.tainted: set[str] = set()
        self.entries: dict[int, Entry] = {}
        self._bereft: set[int] = set()  # operations whose destination died
        self._routed: set[int] = set()
        self._troubled: set[int] = set()
        self._leased: set[tuple[int, str]] = set()
        self._lost: dict[int, dict[type[Message], int]] = {}
        self._deleted: dict[int, int] = {}
        self._abandoned: set[int] = set()
        self._admitted: dict[int, int] = {}
        self._returned: dict[int, int] = {}
        self._stranded: set[int] = set()

    # -- operations

    def wrote(self, entry: Entry) -> None:
        """A journal entry became durable."""
        self.entries[entry.operation] = entry
        self._counts[f"journal {entry.step.value}"] += 1
        if entry.sort is not Sort.MOVE:
            return  # no flow goes anywhere
        if entry.step is Step.ROUTE:
            self._routed.add(entry.operation)
        elif entry.step is Step.COMMIT:
            self.given(entry.flows, entry.destination.name)
        elif entry.step is Step.COMMITTED:
            self.taken(entry.flows, entry.source.name)

    def looked(self, move: MovePerformer) -> None:
        """How a move stands, as the controller sees it."""
        if move.report.refusal in UNANSWERED or move.source.dead or move.destination.dead:
            self._troubled.add(move.request.operation)

    def leaseEnded(self, operation: int, role: str, state: str) -> None:
        """An end decides by itself."""
        if (operation, role) not in self._leased:
            self._leased.add((operation, role))
            self._troubled.add(operation)
            self._counts[f"lease of {role} ended when {state}"] += 1
            if state == "returning":  # what was given back and not yet received is lost: nobody can say how many
                self._stranded.add(operation)

    def ended(self, report: MoveReport) -> None:
        """
        What a report admits.

        One that failed after COMMIT because an end was not there says so: what that end had may be lost.
        """
        self._admitted[report.operation] = report.lost
        if report.stage is Stage.FAILED and report.refusal in (Refusal.DEADLINE, Refusal.PEER_DIED):
            self._abandoned.add(report.operation)
            self._counts["operations that report a lost end"] += 1

    def unsettled(self, operation: int) -> None:
        """Nobody will ever say how this ended."""
        self._troubled.add(operation)

    def tardy(self, flows: str) -> None:
        """The network takes longer over these flows than anybody waits: whatever is under way goes on without it."""
        self._troubled.update(each for each, entry in self.entries.items() if entry.flows == flows)
        self._counts["late routes"] += 1

    def told(self, message: Message) -> None:
        """A middlebox reports what it lost, whether or not anybody hears it; repeated answers count once."""
        if isinstance(message, Deleted):
            self._deleted[message.operation] = max(self._deleted.get(message.operation, 0), message.records)
        if isinstance(message, Discarded):
            self._returned[message.operation] = max(self._returned.get(message.operation, 0), message.returned)
        if isinstance(message, Merged | WindowClosed | Unmarked) and message.lost:
            reports = self._lost.setdefault(message.operation, {})
            reports[type(message)] = max(reports.get(type(message), 0), message.lost)

    def strange(self, report: MoveReport, brief: bool, short: bool) -> list[str]:
        """
        What a move's report says and cannot be.

        @param brief: was nobody away for long, taken together?
        @param short: was nobody away for long at a time?
        """
        told, found = self._lost.get(report.operation, {}), list[str]()
        if report.strays:
            found.append(f"{report.strays} messages of honest middleboxes were not theirs to say")
        if brief and report.refusal in STRANGE:
            found.append(f"a move is {report.stage.value} for {report.reason!r}")
        # what a destination that has died cannot acknowledge any more, the source may tell after the report's end
        isWhole = brief and not report.recovered and report.operation not in self._bereft
        if isWhole and report.stage is Stage.FINISHED and report.lost != sum(told.values()):
            found.append(f"a report knows of {report.lost} lost packets, the middleboxes of {sum(told.values())}")
        deleted = self._deleted.get(report.operation, 0)
        if short and not report.recovered and report.stage is Stage.FINISHED and report.deleted != deleted:
            found.append(f"a report knows of {report.deleted} deleted records, the source of {deleted}")
        return found

    def excuses(self) -> list[Excuse]:
        """
        The operations whose flows may have been cut in two: the route had been asked for, and then somebody had to
        decide alone, or was taken for dead; and those that report losses.
        """
        found = []
        for operation in (self._troubled & self._routed) | set(self._lost):
            entry = self.entries[operation]
            names = frozenset(self._names[index] for index in self._flowsOf(entry.flows))
            told = sum(self._lost.get(operation, {}).values())
            told += self._returned.get(operation, 0) if operation in self._stranded else 0
            lost: int | None = max(told, self._admitted.get(operation, 0))
            if operation in self._abandoned or names & self.tainted:
                lost = None
            found.append(Excuse(operation, names, lost))
        return found

    # -- flows

    def _flowsOf(self, flows: str) -> set[int]:
        headers = self._decoded.headers
        matching = HeaderFieldList.parse(flows).matchHeaders(headers) & (headers["kind"] != Kind.FRAGMENT)
        return {self._traffic.flows[index] for index in np.flatnonzero(matching)}

    def given(self, flows: str, destination: str) -> None:
        """The destination may own the records from here on."""
        for flow in self._flowsOf(flows):
            self._network.visited[flow].add(destination)

    def taken(self, flows: str, source: str) -> None:
        """What a middlebox has handed over completely does not die with it."""
        if source not in self.dead:
            for flow in self._flowsOf(flows):
                self._network.visited[flow].discard(source)

    def died(self, name: str) -> None:
        """From now on whatever was or comes there is lost."""
        self.dead.add(name)
        self._bereft.update(
            operation
            for operation, entry in self.entries.items()
            if entry.destination.name == name and entry.step is not Step.CLOSED
        )

    def returned(self, name: str) -> None:
        """A new process, which knows nothing: what happened until now is lost, what happens from now on is not."""
        self._taint(name)
        self.dead.discard(name)
        for seen in self._network.visited:
            seen.discard(name)

    def _taint(self, name: str) -> None:
        self.tainted |= {
            self._names[n] for n, seen in enumerate(self._network.visited) if name in seen and n in self._names
        }

    def close(self) -> None:
        """The history is over."""
        for name in self.dead:
            self._taint(name)
