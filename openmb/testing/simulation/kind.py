"""
What the simulation needs of a kind of middlebox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from openmb.interfaces import IMiddlebox
from openmb.testing.simulation.oracle import Row


class SimulatedKind(Protocol):
    """One kind, as the simulation runs it."""

    name: str

    def engine(self, emit: Callable[[Row], None]) -> IMiddlebox:
        """A middlebox whose rows go to C{emit} as they are made."""

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """The flow that each packet belongs to, as in C{Row.flow}."""

    def leftovers(self, engine: IMiddlebox) -> list[str]:
        """What operations have left behind in C{engine} (marks, frozen lists, provisional records), in words."""

    def shared(self, single: IMiddlebox, instances: Sequence[IMiddlebox], whole: bool) -> list[str]:
        """
        What is wrong with the state that flows share, in words; the input of all has ended.

        @param single: saw every packet.
        @param instances: those that are alive.
        @param whole: nothing was lost with a process, or by an operation that was cut off.
        """
