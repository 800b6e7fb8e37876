"""
The messages of the southbound protocol, as values.

C{openmb.wire.formats} gives each its bytes and C{docs/protocol.md} its normative byte table.  Names follow the
hand-over in C{docs/handover.md}: requests of the controller are imperatives, answers are past participles.
C{operation} is the 64-bit operation id.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from openmb.errors import Refusal
from openmb.state.taxonomy import Cell
from openmb.wire.questions import CellStats as CellStats
from openmb.wire.questions import ConfigurationAnswer as ConfigurationAnswer
from openmb.wire.questions import ConfigurationEntry as ConfigurationEntry
from openmb.wire.questions import Configured as Configured
from openmb.wire.questions import DeleteConfiguration as DeleteConfiguration
from openmb.wire.questions import DisableEvents as DisableEvents
from openmb.wire.questions import EnableEvents as EnableEvents
from openmb.wire.questions import Event as Event
from openmb.wire.questions import EventField as EventField
from openmb.wire.questions import Events as Events
from openmb.wire.questions import EventsEnabled as EventsEnabled
from openmb.wire.questions import GetConfiguration as GetConfiguration
from openmb.wire.questions import Learn as Learn
from openmb.wire.questions import Learned as Learned
from openmb.wire.questions import SetConfiguration as SetConfiguration
from openmb.wire.questions import Stats as Stats
from openmb.wire.questions import StatsAnswer as StatsAnswer
from openmb.wire.questions import Warnings as Warnings
from openmb.wire.session import Goodbye as Goodbye
from openmb.wire.session import Hello as Hello
from openmb.wire.session import LayoutVersion as LayoutVersion
from openmb.wire.session import OperationStatus as OperationStatus
from openmb.wire.session import Ping as Ping
from openmb.wire.session import Pong as Pong
from openmb.wire.session import Welcome as Welcome
from openmb.wire.types import MessageType as MessageType
from openmb.wire.types import Side as Side
from openmb.wire.types import Sort as Sort
from openmb.wire.types import StreamType as StreamType


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of an operation: the middlebox's name and the incarnation (16 bytes) it had when the operation began."""

    name: str
    incarnation: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Either way: the request C{request} (a L{MessageType}) was refused, or the operation failed (C{request} 0)."""

    operation: int
    request: int
    refusal: Refusal
    reason: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """To the destination: records of this operation will come and are provisional until COMMIT."""

    operation: int
    flows: str
    cells: tuple[Cell, ...]
    source: Peer
    destination: Peer
    window: int  # bytes of stream frames that may be unacknowledged
    lease: int  # milliseconds without a controller after which this end gives the operation up
    sort: Sort = Sort.MOVE


@dataclass(frozen=True, slots=True)
class Prepared:
    """Answer to L{Prepare}.  C{nonce}: 16 bytes that the source binds its seals to, so that no stream fits twice."""

    operation: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Get:
    """
    To the source: export and mark, then raise re-process events; of shared state, export a copy (clone), or all there
    is (merge).
    """

    operation: int
    flows: str
    cells: tuple[Cell, ...]
    source: Peer
    destination: Peer
    window: int
    lease: int  # longer than the destination's
    nonce: bytes  # the destination's
    sort: Sort = Sort.MOVE


@dataclass(frozen=True, slots=True)
class Getting:
    """Answer to L{Get}."""

    operation: int


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """
    One frame of the ordered stream of an operation; the controller relays it unread.

    @ivar side: the end that made it.
    @ivar number: 0, 1, 2, … without gaps for each side.
    @ivar clear: authenticated but readable (layout in C{docs/protocol.md}).
    @ivar sealed: encrypted and authenticated.
    @ivar frame: at a relay, the bytes that arrived, to be passed on as they are; empty everywhere else.
    """

    operation: int
    side: Side
    number: int
    type: StreamType
    clear: bytes
    sealed: bytes
    frame: bytes = field(default=b"", repr=False, compare=False)

    @property
    def size(self) -> int:
        """The bytes that count against the credit window."""
        return len(self.clear) + len(self.sealed) + 64


@dataclass(frozen=True, slots=True)
class Credit:
    """The receiver of a stream made by C{side} is done with all frames up to C{number}."""

    operation: int
    side: Side
    number: int


@dataclass(frozen=True, slots=True)
class Resume:
    """
    To the end C{side}, after a connection was lost: send every unacknowledged frame after C{number} again, in order.

    C{number} is the last frame that the other end has received, -1 for none.
    """

    operation: int
    side: Side
    number: int


@dataclass(frozen=True, slots=True)
class Installed:
    """From the destination: GET_DONE met, and its count is the count of records put."""

    operation: int
    records: int
    bytes: int
    reprocessed: int


@dataclass(frozen=True, slots=True)
class Hold:
    """To the destination: direct packets of matching flows wait.  C{token}: 16 bytes that genuine markers carry."""

    operation: int
    token: bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """Answer to L{Hold}."""

    operation: int


@dataclass(frozen=True, slots=True)
class Divert:
    """To the source: stop processing matching packets, keep and re-direct each."""

    operation: int
    token: bytes


@dataclass(frozen=True, slots=True)
class DivertConfirmed:
    """From the destination: DIVERTED came, everything before it is applied, and no live record conflicts."""

    operation: int
    reprocessed: int


@dataclass(frozen=True, slots=True)
class Finish:
    """To the source of a clone or merge: its vote; a clone's changes are followed no longer."""

    operation: int


@dataclass(frozen=True, slots=True)
class FinishConfirmed:
    """
    From the destination of a clone or merge: the stream has ended, and everything on it is applied.

    @ivar reprocessed: packets re-processed.
    @ivar changed: records that came after GET_DONE.
    """

    operation: int
    reprocessed: int
    changed: int


@dataclass(frozen=True, slots=True)
class Commit:
    """To the destination: it owns the records now."""

    operation: int


@dataclass(frozen=True, slots=True)
class Committed:
    """Answer to L{Commit}: how many records the destination took over."""

    operation: int
    records: int


@dataclass(frozen=True, slots=True)
class Merged:
    """From the destination: DRAINED met and everything that was held is processed."""

    operation: int
    redirected: int
    held: int
    late: int
    longestHold: int  # microseconds that the longest waiting packet waited
    lost: int  # packets of the operation's flows that could not be processed here


@dataclass(frozen=True, slots=True)
class Delete:
    """To the source: drop records and copies in silence; re-direct what still comes for C{window} milliseconds."""

    operation: int
    window: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """Answer to L{Delete}: records dropped, packets re-directed so far."""

    operation: int
    records: int
    redirected: int


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """From the source: no more late packets will be re-directed."""

    operation: int
    late: int
    lost: int


@dataclass(frozen=True, slots=True)
class Unmark:
    """To the source, on abort: process the kept copies (and what was returned) in order and go on as if never asked."""

    operation: int
    returned: bool  # wait for RETURN_DONE on the stream first


@dataclass(frozen=True, slots=True)
class Unmarked:
    """Answer to L{Unmark}: how many kept packets were processed."""

    operation: int
    replayed: int
    lost: int  # packets that could not be kept for this case


@dataclass(frozen=True, slots=True)
class Discard:
    """To the destination, on abort: drop provisional records; C{giveBack}: return what it holds of the source."""

    operation: int
    giveBack: bool


@dataclass(frozen=True, slots=True)
class Discarded:
    """Answer to L{Discard}: how many held packets were returned."""

    operation: int
    returned: int


@dataclass(frozen=True, slots=True)
class Close:
    """To both: forget the operation."""

    operation: int


@dataclass(frozen=True, slots=True)
class SourceGone:
    """To the destination: the source died after its vote; nothing more will come on its stream."""

    operation: int


Message = (
    Hello
    | Welcome
    | Refused
    | Ping
    | Pong
    | Goodbye
    | Prepare
    | Prepared
    | Get
    | Getting
    | StreamFrame
    | Credit
    | Resume
    | Installed
    | Hold
    | Holding
    | Divert
    | DivertConfirmed
    | Finish
    | FinishConfirmed
    | Commit
    | Committed
    | Merged
    | Delete
    | Deleted
    | WindowClosed
    | Unmark
    | Unmarked
    | Discard
    | Discarded
    | Close
    | SourceGone
    | Stats
    | StatsAnswer
    | GetConfiguration
    | ConfigurationAnswer
    | SetConfiguration
    | DeleteConfiguration
    | Configured
    | EnableEvents
    | EventsEnabled
    | Learn
    | Learned
    | Warnings
    | DisableEvents
    | Events
)
