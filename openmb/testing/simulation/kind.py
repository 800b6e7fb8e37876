"""
What the simulation needs of a kind of middlebox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from openmb.interfaces import IMiddlebox
from openmb.packets.batch import PacketBatch
from openmb.testing.simulation.oracle import Row


class SimulatedKind(Protocol):
    """One kind, as the simulation runs it."""

    name: str
    #: Does its traffic come in fragments, too?
    fragments: bool

    def engine(self, emit: Callable[[Row], None]) -> IMiddlebox:
        """A middlebox whose rows go to C{emit} as they are made."""

    def passed(self, packets: PacketBatch) -> list[Row]:
        """A row for each packet that a middlebox of this kind has sent on; none if it is not in line."""

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """The flow that each packet belongs to, as in C{Row.flow}."""

    def leftovers(self, engine: IMiddlebox) -> list[str]:
        """What operations have left behind in C{engine} (marks, frozen lists, provisional records), in words."""

    def provisional(self, engine: IMiddlebox, operation: int) -> NDArray[Any]:
        """The keys of the provisional records of an operation, C{FLOW_KEY[n]} or C{uint64[n, 5]}."""

    def shared(self, single: IMiddlebox, instances: Sequence[IMiddlebox], whole: bool) -> list[str]:
        """
        What is wrong with the state that flows share, in words; the input of all has ended.

        @param single: saw every packet.
        @param instances: those that are alive.
        @param whole: nothing was lost with a process, or by an operation that was cut off.
        """
