"""
The two ends of an operation's ordered, numbered, sealed stream.

The sender keeps every frame until the receiver's credit for it returns, so the credit window is the retransmission
buffer too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from openmb.errors import OperationError, Refusal
from openmb.packets.batch import PacketBatch
from openmb.state.headers import HeaderFieldList
from openmb.state.keyring import Keyring
from openmb.state.packing import packRecords, splitBatch
from openmb.state.records import RecordBatch
from openmb.state.sealing import TransferOpener, TransferSealer, transferContext
from openmb.wire.framing import BODY_LIMIT
from openmb.wire.messages import Get, Prepare, Side, StreamFrame, StreamType
from openmb.wire.stream import (
    PACKET_OVERHEAD,
    PACKET_TYPES,
    Opened,
    associatedData,
    countEvents,
    packEvents,
    packPart,
    unpackPart,
)

#: Packet bytes put in one frame of events, and record bytes in one pack (a single larger packet travels alone).
PACK_BYTES = 65536
#: Bytes of a frame's clear and plain part together: the body's limit less what seal and head add.
LARGEST = BODY_LIMIT - 1024


def contextOf(kind: str, request: Get | Prepare, side: Side, nonce: bytes) -> bytes:
    """
    What the sub-key of one direction of an operation is bound to.

    @param nonce: the destination's; for its own direction followed by the salt of the source's, so that neither end
        takes anything that was made for another transfer.
    """
    source, destination = request.source, request.destination
    return transferContext(
        kind,
        request.operation,
        int(side),
        source.name,
        source.incarnation,
        destination.name,
        destination.incarnation,
        nonce,
        int(request.sort),
        bytes(request.cells),
        str(HeaderFieldList.parse(request.flows)),
    )


class StreamSender:
    """
    Seals, numbers and paces what one end sends.

    @ivar backlog: bytes of frames that wait for credit.
    @ivar sent: number of the newest frame made, -1 before the first.
    @ivar salt: of this end's sealer.
    """

    def __init__(
        self,
        operation: int,
        side: Side,
        keyring: Keyring,
        context: bytes,
        window: int,
        emit: Callable[[StreamFrame], None],
    ) -> None:
        self._operation, self._side, self._window, self._emit = operation, side, window, emit
        self._sealer = TransferSealer(keyring, context)
        self.salt = self._sealer.salt
        self._waiting: deque[StreamFrame] = deque()
        self._inFlight: deque[StreamFrame] = deque()
        self._inFlightBytes = 0
        self.backlog = 0
        self.sent = -1
        self.append(StreamType.OPENED, packPart(Opened(self._sealer.keyID, self._sealer.salt)), b"")

    @property
    def roomy(self) -> bool:
        """Is there credit left and nothing waiting?  Only then more records are exported."""
        return not self._waiting and self._inFlightBytes < self._window

    def append(self, type_: StreamType, clear: bytes, plain: bytes) -> None:
        """
        Seal one frame and send it as soon as there is credit.

        @raise OperationError: C{BUFFER_FULL}, it is larger than any frame may be; nothing was sent.
        """
        if len(clear) + len(plain) > LARGEST:
            size = len(clear) + len(plain)
            raise OperationError(Refusal.BUFFER_FULL, f"{size} bytes in one piece; a frame takes {LARGEST}")
        self.sent += 1
        bound = associatedData(self._operation, self._side, self.sent, type_, clear)
        sealed = self._sealer.seal(self.sent, bound, plain)
        frame = StreamFrame(self._operation, self._side, self.sent, type_, clear, sealed)
        self._waiting.append(frame)
        self.backlog += frame.size
        self._pump()

    def events(self, type_: StreamType, packets: PacketBatch) -> None:
        """Send packets, in frames of about L{PACK_BYTES}."""
        for part in splitPackets(packets, PACK_BYTES):
            self.append(type_, *packEvents(part))

    def records(self, type_: StreamType, batch: RecordBatch) -> int:
        """
        Send records, in frames of about L{PACK_BYTES}; how many bytes they have.

        @raise OperationError: C{BUFFER_FULL}, one of them is larger than any frame; those before it were sent.
        """
        size = 0
        for part in splitBatch(batch, PACK_BYTES):
            clear, plain = packRecords(part)
            self.append(type_, clear, plain)
            size += len(plain)
        return size

    def credited(self, number: int) -> None:
        """The receiver is done with everything up to C{number}."""
        while self._inFlight and self._inFlight[0].number <= number:
            self._inFlightBytes -= self._inFlight.popleft().size
        self._pump()

    def resume(self, number: int) -> None:
        """The receiver has nothing after C{number}: send again, in order, what was sent of that."""
        for frame in tuple(self._inFlight):
            if frame.number > number:
                self._emit(frame)

    @property
    def isIdle(self) -> bool:
        """Is everything acknowledged?"""
        return not self._inFlight and not self._waiting

    def packetsUnacknowledged(self) -> int:
        """How many packets the other end may not have."""
        return sum(countEvents(each.clear) for each in (*self._inFlight, *self._waiting) if each.type in PACKET_TYPES)

    def unacknowledged(self) -> tuple[StreamFrame, ...]:
        """The frames that were sent and not credited, in order: what a resumed session sends again."""
        return tuple(self._inFlight)

    def _pump(self) -> None:
        while self._waiting and (
            self._inFlightBytes == 0 or self._inFlightBytes + self._waiting[0].size <= self._window
        ):
            frame = self._waiting.popleft()
            self.backlog -= frame.size
            self._inFlight.append(frame)
            self._inFlightBytes += frame.size
            self._emit(frame)


class StreamReceiver:
    """
    Opens what the other end sealed, in order, each frame once.

    @ivar received: number of the newest frame opened, -1 before the first.
    @ivar credited: number of the newest frame acknowledged, -1 before the first.
    @ivar salt: of the other end's sealer, empty before its first frame.
    @ivar keyring: to answer with: from the first frame on it seals with the key that the other end has used, whatever
        becomes the current one meanwhile.
    """

    def __init__(self, keyring: Keyring, context: bytes) -> None:
        self.keyring, self._context = keyring, context
        self._opener: TransferOpener | None = None
        self.received = self.credited = -1
        self.salt = b""

    def receive(self, frame: StreamFrame) -> bytes | None:
        """
        The plain content of the next frame; None for a duplicate or a frame beyond a gap (it will be sent again).

        @raise SealBroken: the frame was altered, re-labelled, or made for somebody else.
        @raise OperationError: the stream does not begin with OPENED.
        """
        if frame.number != self.received + 1:
            return None
        if self._opener is None:
            if frame.type is not StreamType.OPENED:
                raise OperationError(Refusal.BAD_REQUEST, "the stream does not begin with OPENED")
            opened = unpackPart(Opened, frame.clear)
            self._opener = TransferOpener(self.keyring, opened.keyID, opened.salt, self._context)
            self.salt, self.keyring = opened.salt, self.keyring.using(opened.keyID)
        bound = associatedData(frame.operation, frame.side, frame.number, frame.type, frame.clear)
        plain = self._opener.open(frame.number, bound, frame.sealed)
        self.received = frame.number
        return plain


def splitPackets(packets: PacketBatch, limit: int) -> Iterator[PacketBatch]:
    """Consecutive parts of C{packets} that hold at most C{limit} bytes each, and at least one packet."""
    if not len(packets):
        return
    ends = np.cumsum(packets.lengths.astype(np.int64) + PACKET_OVERHEAD)
    if int(ends[-1]) <= limit:
        yield packets
        return
    start, base = 0, 0
    while start < len(packets):
        stop = max(int(np.searchsorted(ends, base + limit, side="right")), start + 1)
        yield packets.select(slice(start, stop))
        start, base = stop, int(ends[stop - 1])
