"""
What the simulation needs of a kind of middlebox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.testing.simulation.oracle import Row

#: Provides C{IMiddlebox}, C{IPerflowState} and C{ISharedState}: mypy has no type for all of them.
SimulatedMiddlebox = Any


class SimulatedKind(Protocol):
    """One kind, as the simulation runs it."""

    name: str
    #: Does its traffic come in fragments, too?
    fragments: bool

    def engine(self, emit: Callable[[Row], None]) -> SimulatedMiddlebox:
        """A middlebox whose rows go to C{emit} as they are made."""

    def passed(self, packets: PacketBatch) -> list[Row]:
        """A row for each packet that a middlebox of this kind has sent on; none if it is not in line."""

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """The flow that each packet belongs to, as in C{Row.flow}."""

    def leftovers(self, engine: SimulatedMiddlebox) -> list[str]:
        """What operations have left behind in C{engine} (marks, frozen lists, provisional records), in words."""

    def provisional(self, engine: SimulatedMiddlebox, operation: int) -> NDArray[Any]:
        """The keys of the provisional records of an operation, C{FLOW_KEY[n]} or C{uint64[n, 5]}."""

    def shared(self, single: SimulatedMiddlebox, instances: Sequence[SimulatedMiddlebox], whole: bool) -> list[str]:
        """
        What is wrong with the state that flows share, in words; the input of all has ended.

        @param single: saw every packet.
        @param instances: those that are alive.
        @param whole: nothing was lost with a process, or by an operation that was cut off.
        """
