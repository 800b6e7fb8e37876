"""
The engine: it processes packets and holds the internal tables.

Time stamps are nanoseconds since the epoch (packet time), durations seconds, unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zope.interface import Attribute, Interface

from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell


@dataclass(frozen=True, slots=True)
class Failed:
    """
    What the engine threw on one packet.

    @ivar index: its place in the batch; -1: no packet was at fault, but a row is missing, say.
    @ivar reason: what was thrown, for the log.
    """

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Processed:
    """
    What came of a batch.

    @ivar marks: C{uint64[n]}, for each packet the operation id that the record it updated is marked with, 0 for none.
    @ivar forward: for an in-line kind, the packets to send on; None for a passive one.
    @ivar failed: packets that an error of the engine's own kept from being processed in full; the host sets them aside.
    @ivar shared: C{bool[n]}, while C{ISharedState.getShared} watches: which packets changed shared supporting state in
        a way that depends on the packet and on that state alone; None: no packet did.
    """

    marks: NDArray[np.uint64]
    forward: PacketBatch | None = None
    failed: tuple[Failed, ...] = ()
    shared: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class CellUsage:
    """
    How much state one cell holds for some flows.

    @ivar bytes: of the records, their tails included.
    @ivar marked: how many of the records operations have marked.
    @ivar estimated: there are many tails, and C{bytes} was reckoned from some of them.
    """

    cell: Cell
    records: int
    bytes: int
    marked: int
    estimated: bool = False


class IEngine(Interface):
    """
    The part of a middlebox that processes packets and holds the internal tables.

    The host calls it from one thread, never re-entrantly.  Results depend on packet time alone: a packet that meets a
    record whose time-out has passed finds it expired, whenever timers last ran.
    """

    def process(packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """
        Process packets in full, output included, in order, against the engine's own records.

        @param births: C{uint64[n]}; a record that packet C{i} creates is born marked with C{births[i]} (0: free).
            None: all 0.
        @return: an engine catches what goes wrong with one packet, goes on with the others, and lists it as
            L{Processed.failed}.  What is raised instead costs the whole batch: all of it is set aside, since nobody
            knows how much of it was processed.
        @raise OperationError: C{BUFFER_FULL}, there is no room for the records that these packets need.
        """

    def reprocess(operation: int, packets: Decoded) -> None:
        """
        Update state only, all output suppressed, and only the provisional records of C{operation}.

        After C{IPerflowState.prepare} these are per-flow records, never shared state.  After
        C{ISharedState.prepareShared} they are provisional shared supporting state: nothing per-flow, nothing that is
        reported, and counted as what the source counted, not as this instance's own.

        @raise Exception: anything; the operation is then refused, and the source goes on as if never asked.
        """

    def advance(now: int) -> None:
        """Packet time has reached C{now} without a packet: run what is due.  Never goes back."""

    def finish() -> None:
        """
        The input ends: report everything unreported, except records that are marked or provisional.

        @raise OutputFailed: as L{flush}; may be called again.
        @raise Exception: something could not be reported; everything else was.
        """

    def flush() -> None:
        """
        Hand everything that was output so far to the operating system.

        @raise OutputFailed: it could not be taken; nothing of it is lost or written twice when this is called again.
        """


class IMiddlebox(IEngine):
    """
    One running instance of a kind.

    It provides besides whichever of these it can, and the host asks for each: C{IPerflowState}, C{ISharedState},
    C{ISelector}, C{IConfigurable}, C{IAnnouncer}, C{ILearner}.
    """

    kind: str = Attribute("the kind's name")
    layouts: Sequence[tuple[Cell, int, int]] = Attribute("(cell, layout, version) of every record layout of this kind")
    governing: bytes = Attribute("SHA-256 of the configuration that governs records; must agree at both ends of a move")

    def usage(flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """How much state matches, per cell; shared state as a whole, marked while it is watched or was taken."""
