"""
The values that an operation's machine works with: what it is about, its settings, and what it reports.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from openmb.errors import Refusal
from openmb.state.taxonomy import PER_FLOW_CELLS, Cell
from openmb.wire.messages import Deleted, Installed, Merged, Peer, WindowClosed


class Stage(enum.Enum):
    """How far an operation has come, as told to applications."""

    STARTED = "started"
    INSTALLED = "installed"
    SWITCHING = "switching"
    ROUTED = "routed"
    MERGED = "merged"
    MOVED = "moved"
    FINISHED = "finished"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each wait may last, in seconds."""

    prepare: float = 10.0
    transfer: float = 120.0
    application: float = 300.0
    hold: float = 10.0
    divert: float = 10.0
    route: float = 10.0
    commit: float = 30.0
    drain: float = 60.0
    delete: float = 30.0
    window: float = 30.0
    abort: float = 30.0


@dataclass(frozen=True, slots=True)
class MoveSettings:
    """
    What governs one move.

    @ivar window: bytes of stream frames that may be unacknowledged.
    @ivar lateWindow: milliseconds for which the source re-directs late packets after the delete.
    """

    deadlines: Deadlines = field(default_factory=Deadlines)
    window: int = 4 << 20
    lateWindow: int = 2000
    cells: tuple[Cell, ...] = PER_FLOW_CELLS


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """One move: its 64-bit id, the two ends, the flows in text form, the markers' token, the settings."""

    operation: int
    source: Peer
    destination: Peer
    flows: str
    token: bytes
    settings: MoveSettings


@dataclass(frozen=True, slots=True)
class MoveReport:
    """
    What a move did, complete when it has finished.

    Counts of packets: C{reprocessed} (events before the switch-over), C{redirected}, C{held} (direct packets that
    waited), C{late} (after the merge), C{lost}.  C{longestHold} in microseconds.
    """

    operation: int
    stage: Stage = Stage.STARTED
    records: int = 0
    bytes: int = 0
    reprocessed: int = 0
    redirected: int = 0
    held: int = 0
    late: int = 0
    lost: int = 0
    deleted: int = 0
    longestHold: int = 0
    refusal: Refusal | None = None
    reason: str = ""

    def with_(self, answer: Installed | Merged | Deleted | WindowClosed) -> MoveReport:
        """This report with the counts of an answer entered."""
        match answer:
            case Installed():
                return replace(self, records=answer.records, bytes=answer.bytes, reprocessed=answer.reprocessed)
            case Merged():
                return replace(
                    self,
                    redirected=answer.redirected,
                    held=answer.held,
                    late=answer.late,
                    longestHold=answer.longestHold,
                )
            case Deleted():
                return replace(self, deleted=answer.records)
            case WindowClosed():
                return replace(self, late=self.late + answer.late, lost=answer.lost)
