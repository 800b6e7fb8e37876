"""
The values that an operation's machine works with: what it is about, its settings, and what it reports.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from openmb.errors import ConfigurationError, Refusal
from openmb.state.taxonomy import PER_FLOW_CELLS, Cell
from openmb.wire.messages import (
    Committed,
    Deleted,
    Discarded,
    DivertConfirmed,
    FinishConfirmed,
    Installed,
    Merged,
    Message,
    Peer,
    Sort,
    Unmarked,
    WindowClosed,
)

#: Seconds by which the two ends may differ in when they noticed that their controller is gone.
LEASE_MARGIN = 20.0


class Stage(enum.Enum):
    """How far an operation has come, as told to applications."""

    STARTED = "started"
    INSTALLED = "installed"
    FINISHING = "finishing"
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
    recover: float = 30.0
    finish: float = 60.0
    clone: float = 86400.0
    doubt: float = 600.0


@dataclass(frozen=True, slots=True)
class MoveSettings:
    """
    What governs one move.

    @ivar window: bytes of stream frames that may be unacknowledged.
    @ivar lateWindow: milliseconds for which the source re-directs late packets after the delete.
    @ivar destinationLease: seconds without a controller after which the destination decides by itself.
    @ivar sourceLease: the same for the source; longer by at least L{LEASE_MARGIN}, so that a source which goes on alone
        knows that no COMMIT can be accepted any more.
    @ivar grace: seconds that a middlebox may be without a connection before the operation takes it for dead.
    """

    deadlines: Deadlines = field(default_factory=Deadlines)
    window: int = 4 << 20
    lateWindow: int = 2000
    cells: tuple[Cell, ...] = PER_FLOW_CELLS
    destinationLease: float = 60.0
    sourceLease: float = 90.0
    grace: float = 15.0

    def __post_init__(self) -> None:
        if self.sourceLease < self.destinationLease + LEASE_MARGIN:
            raise ConfigurationError(
                f"the source's lease ({self.sourceLease:g} s) must be longer than the destination's "
                f"({self.destinationLease:g} s) by {LEASE_MARGIN:g} s"
            )


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """
    One operation: its 64-bit id, the two ends, the flows in text form, the markers' token, the settings, and what it
    does.
    """

    operation: int
    source: Peer
    destination: Peer
    flows: str
    token: bytes
    settings: MoveSettings
    sort: Sort = Sort.MOVE


@dataclass(frozen=True, slots=True)
class MoveReport:
    """
    What an operation did, complete when it has finished.

    Counts of packets: C{reprocessed} (events before the switch-over), C{redirected}, C{held} (direct packets that
    waited), C{late} (after the merge), C{lost} (or perhaps lost), C{returned} (given back to the source by an abort).
    C{longestHold} in microseconds.

    @ivar sort: what it does.
    @ivar changed: records that came after those of a clone's copy.
    @ivar folded: records that the destination has folded into its own.
    @ivar strays: messages of its two ends that were not theirs to say then.
    @ivar recovered: the controller was restarted meanwhile; counts from before are not known any more.
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
    recovered: bool = False
    returned: int = 0
    sort: Sort = Sort.MOVE
    changed: int = 0
    folded: int = 0
    strays: int = 0

    def with_(self, answer: Message) -> MoveReport:
        """This report with the counts of an answer entered, if it has any."""
        match answer:
            case Installed():
                return replace(self, records=answer.records, bytes=answer.bytes, reprocessed=answer.reprocessed)
            case DivertConfirmed():
                return replace(self, reprocessed=answer.reprocessed)
            case FinishConfirmed():
                return replace(self, reprocessed=answer.reprocessed, changed=answer.changed)
            case Committed() if self.sort is not Sort.MOVE:
                return replace(self, folded=answer.records)
            case Merged():
                return replace(
                    self,
                    redirected=answer.redirected,
                    held=answer.held,
                    late=answer.late,
                    longestHold=answer.longestHold,
                    lost=self.lost + answer.lost,
                )
            case Deleted():
                return replace(self, deleted=answer.records)
            case WindowClosed():
                return replace(self, late=self.late + answer.late, lost=self.lost + answer.lost)
            case Discarded():
                return replace(self, returned=answer.returned)
            case Unmarked():
                return replace(self, lost=self.lost + answer.lost)
            case _:
                return self
