"""
One move as the demonstration asks for it and sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openmb.rpc.client import RPCClient
from openmb.rpc.unix import ILocalReactor

#: Seconds that a move may take.
PATIENCE = 300.0

#: The counts of a move that the demonstration shows.
COUNTS = ("deleted", "records", "bytes", "reprocessed", "redirected", "held", "late", "lost", "longestHold")


@dataclass
class Moved:
    """
    One move.

    @ivar asked: the stamp of the last packet that the switch had sent the old way when the switch-over was asked for.
    @ivar over: the same, when the source had deleted: everything after it takes the new way.
    @ivar stages: seconds from the request to each stage.
    @ivar counts: what the controller reports.
    @ivar requests: @ivar queries: of HTTP and of DNS, that the destination brought to their end.
    """

    source: str
    destination: str
    operation: str = ""
    asked: int = 0
    over: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    queries: int = 0

    @property
    def transfer(self) -> float:
        """Seconds until every record was installed."""
        return self.stages.get("installed", 0.0)

    @property
    def switchOver(self) -> float:
        """Seconds from there until the destination had caught up."""
        return self.stages.get("merged", self.stages.get("moved", 0.0)) - self.transfer

    def enter(self, report: Mapping[str, Any]) -> None:
        """Take the counts of a report."""
        self.operation = str(report["operation"])
        self.counts = {name: int(report[name]) for name in COUNTS}


async def move(
    controller: RPCClient, clock: ILocalReactor, moved: Moved, flows: str, switched: Callable[[], Awaitable[int]]
) -> None:
    """
    Have the records moved; when they are installed, change the route; wait until the source has deleted.

    @param switched: the highest stamp that the switch has sent on.
    @raise OperationError: the controller refused, or the move failed.
    """
    began = clock.seconds()

    def notice(report: Mapping[str, Any]) -> None:
        moved.stages.setdefault(str(report["stage"]), clock.seconds() - began)

    ends = {"source": moved.source, "destination": moved.destination, "flows": flows, "route": None}
    moved.enter(await controller.call("moveInternal", ends, PATIENCE, notice))
    moved.asked = await switched()
    change = {"operation": moved.operation, "table": "monitor", "priority": 100}
    moved.enter(await controller.call("switchOver", change, PATIENCE, notice))
    moved.over = await switched()
