"""
The middlebox host: packets and southbound messages in, messages out.

It ties one engine to the operations it takes part in: which packets the engine processes, which raise events, which
wait.  Sans-I/O: time, packets and messages are handed in; C{send} takes what goes to the controller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from twisted.logger import Logger

from openmb.errors import InvalidHeaderFields, OperationError, ProtocolError, Refusal, SealBroken
from openmb.interfaces import IMiddlebox
from openmb.middlebox.destination import DestinationOperation
from openmb.middlebox.environment import Participant
from openmb.middlebox.settings import HostSettings
from openmb.middlebox.source import SourceOperation, SourceState
from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded, Kind
from openmb.packets.marker import parseMarker
from openmb.state.headers import HeaderFieldList
from openmb.state.keyring import Keyring
from openmb.wire import messages as m

Operation = SourceOperation | DestinationOperation


@dataclass
class HostCounts:
    """Packets and bytes received, sealed frames refused, markers that were not genuine, packets lost."""

    packets: int = 0
    bytes: int = 0
    refusedFrames: int = 0
    strayMarkers: int = 0
    lostPackets: int = 0


class MiddleboxHost:
    """
    One middlebox: engine, operations, and the packets between them.

    @param send: takes each message for the controller.
    @param now: monotonic time in seconds.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        kind: str,
        incarnation: bytes,
        engine: IMiddlebox,
        keyring: Keyring,
        send: Callable[[m.Message], None],
        now: Callable[[], float],
        settings: HostSettings | None = None,
        checksums: bool = True,
    ) -> None:
        self.name, self.kind, self.incarnation = name, kind, incarnation
        self.engine, self.keyring, self.send, self.now = engine, keyring, send, now
        self.settings = settings or HostSettings()
        self.counts = HostCounts()
        self.forward: Callable[[PacketBatch], None] = lambda packets: None
        self._decoder = Decoder(checksums=checksums)
        # events carry whole datagrams: nothing to put together, and the live decoder's memory must not be touched
        self._eventDecoder = Decoder(checksums=checksums, reassemble=False)
        self._operations: dict[int, Operation] = {}
        self._governing = hashlib.sha256(engine.governing + bytes([checksums])).digest()
        self._lease: float | None = None
        self._credits: dict[tuple[int, m.Side], tuple[int, int]] = {}

    # -- who this is

    def hello(self) -> m.Hello:
        """The first message of a session."""
        return m.Hello(
            1,
            1,
            self.name,
            self.kind,
            self.incarnation,
            self._governing,
            tuple(m.LayoutVersion(*layout) for layout in self.engine.layouts),
            tuple(self._statuses()),
        )

    def _statuses(self) -> Iterator[m.OperationStatus]:
        for operation in self._operations.values():
            sent = operation.sender.sent if operation.sender is not None else -1
            yield m.OperationStatus(
                operation.identifier, operation.side, operation.state.value, operation.receiver.received, sent
            )

    @property
    def operations(self) -> int:
        """How many operations this middlebox takes part in."""
        return len(self._operations)

    # -- packets

    @property
    def wantsPackets(self) -> bool:
        """False while some queue is full: where the source of packets can wait, it should."""
        return not any(operation.full for operation in self._operations.values())

    def packetsReceived(self, batch: PacketBatch) -> None:
        """Packets from the network, in order, drain markers among them."""
        self.counts.packets += len(batch)
        self.counts.bytes += int(batch.lengths.sum())
        decoded = self._decoder.decode(batch)
        if not self._operations:
            self._process(decoded)
            return
        places = np.flatnonzero(decoded.headers["kind"] == Kind.MARKER)
        start = 0
        for place in places:
            self._direct(decoded.select(slice(start, int(place))))
            self._marker(decoded.packets, int(place))
            start = int(place) + 1
        self._direct(decoded.select(slice(start, len(decoded))) if start else decoded)

    def _marker(self, packets: PacketBatch, place: int) -> None:
        try:
            marker = parseMarker(packets.packet(place))
        except ProtocolError:  # anybody can send a frame that resembles one
            self.counts.strayMarkers += 1
            return
        operation = self._operations.get(marker.operation)
        if operation is None or operation.token != marker.token:
            self.counts.strayMarkers += 1
            return
        operation.marker(int(packets.stamps[place]), marker.number, marker.final)

    def _direct(self, decoded: Decoded) -> None:
        """Packets that arrived (or count as if they had): operations take theirs, the engine processes the rest."""
        for operation in tuple(self._operations.values()):
            if not len(decoded):
                return
            if operation.intercepting:
                mask = operation.flows.matchHeaders(decoded.headers)
                if mask.any():
                    operation.take(decoded.select(mask))
                    decoded = decoded.select(~mask)
        if len(decoded):
            self._process(decoded)

    def _process(self, decoded: Decoded) -> None:
        taps = [op for op in self._operations.values() if isinstance(op, SourceOperation) and op.tapping]
        try:
            processed = self.engine.process(decoded, self._births(decoded, taps) if taps else None)
        except OperationError as error:
            self._overwhelmed(error, len(decoded))
            return
        for operation in taps:
            touched = np.flatnonzero(processed.marks == operation.identifier)
            if len(touched):
                operation.raised(decoded.packets.select(touched))
        if processed.forward is not None:
            self.forward(processed.forward)

    def _overwhelmed(self, error: OperationError, packets: int) -> None:
        """The engine has no room, perhaps for records that operations keep in place: end those that can be ended."""
        self.counts.lostPackets += packets
        self.log.error("{count} packets lost: {reason}", count=packets, reason=error.reason)
        for operation in tuple(self._operations.values()):
            if isinstance(operation, SourceOperation) and operation.tapping:
                operation.giveUp(error.refusal, error.reason)

    @staticmethod
    def _births(decoded: Decoded, taps: list[SourceOperation]) -> NDArray[np.uint64]:
        births = np.zeros(len(decoded), dtype=np.uint64)
        for operation in taps:
            births[operation.flows.matchHeaders(decoded.headers)] = operation.identifier
        return births

    def decodeEvents(self, packets: PacketBatch) -> Decoded:
        """Decode packets that came as events or waited in a queue."""
        return self._eventDecoder.decode(packets)

    def reinject(self, packets: PacketBatch) -> None:
        """Treat packets as if they arrived now: an operation may take them again."""
        self._direct(self.decodeEvents(packets))

    def processAlone(self, packets: PacketBatch) -> None:
        """Process packets in full, no operation taking them."""
        self._process(self.decodeEvents(packets))

    # -- exporting

    @property
    def hasWork(self) -> bool:
        """Is there a slice to export?"""
        return any(isinstance(op, SourceOperation) and op.exporting for op in self._operations.values())

    def work(self) -> bool:
        """Export one slice of each operation that may; false when there was nothing to do."""
        worked = False
        for operation in tuple(self._operations.values()):
            if isinstance(operation, SourceOperation) and operation.exporting:
                operation.exportSlice()
                worked = True
        return worked

    # -- operations

    def credit(self, operation: Participant, frame: m.StreamFrame) -> None:
        """Acknowledge the frames of a stream up to C{frame}; small ones are acknowledged together, a little later."""
        key = (operation.identifier, frame.side)
        size = self._credits.get(key, (0, 0))[1] + frame.size
        self._credits[key] = (frame.number, size)
        if size * 8 >= operation.request.window:
            self._sendCredit(key)

    def _sendCredit(self, key: tuple[int, m.Side]) -> None:
        number, _ = self._credits.pop(key)
        self.send(m.Credit(key[0], key[1], number))

    def drop(self, operation: Participant) -> None:
        """Forget an operation."""
        self._operations.pop(operation.identifier, None)

    def endWindows(self, flows: HeaderFieldList) -> None:
        """A HOLD ends the late windows that it intersects: those flows are coming back."""
        for operation in tuple(self._operations.values()):
            if (
                isinstance(operation, SourceOperation)
                and operation.state is SourceState.WINDOW
                and operation.flows.intersects(flows)
            ):
                operation.closeWindow()

    # -- messages

    def messageReceived(self, message: m.Message) -> None:
        """A message from the controller; whatever cannot be done is answered with REFUSED."""
        identifier = int(getattr(message, "operation", 0))
        try:
            self._dispatch(message, identifier)
        except SealBroken as error:
            self.counts.refusedFrames += 1
            self.send(m.Refused(identifier, 0, Refusal.SEAL_BROKEN, str(error)))
        except OperationError as error:
            self.send(m.Refused(identifier, REQUESTS.get(type(message), 0), error.refusal, error.reason))
        except InvalidHeaderFields as error:
            self.send(m.Refused(identifier, REQUESTS.get(type(message), 0), Refusal.BAD_REQUEST, str(error)))

    def _dispatch(self, message: m.Message, identifier: int) -> None:
        operation = self._operations.get(identifier)
        match message, operation:
            case m.StreamFrame(), DestinationOperation() | SourceOperation():
                operation.streamed(message)
            case m.Credit(), DestinationOperation() | SourceOperation():
                if operation.sender is not None and message.side is operation.side:
                    operation.sender.credited(message.number)
            case ((m.StreamFrame() | m.Credit()), None):
                pass  # of an operation that has ended here: the other end is told by the controller
            case m.Prepare(), None:
                self._checkPeer(message.destination)
                self._operations[identifier] = made = DestinationOperation(self, message)
                self.send(m.Prepared(identifier, made.nonce))
            case m.Prepare(), DestinationOperation():
                self.send(m.Prepared(identifier, operation.nonce))
            case m.Get(), None:
                self._checkPeer(message.source)
                self.send(m.Getting(identifier))
                self._operations[identifier] = SourceOperation(self, message)
            case m.Get(), SourceOperation():
                self.send(m.Getting(identifier))
            case m.Hold(), DestinationOperation():
                operation.hold(message)
            case m.Divert(), SourceOperation():
                operation.divert(message)
            case m.Commit(), DestinationOperation():
                operation.commit()
            case m.SourceGone(), DestinationOperation():
                operation.sourceEnded()
            case m.Delete(), SourceOperation():
                operation.delete(message)
            case m.Delete(), None:
                self.send(m.Deleted(identifier, 0, 0))
                self.send(m.WindowClosed(identifier, 0, 0))
            case m.Unmark(), SourceOperation():
                operation.unmark(message)
            case m.Unmark(), None:
                self.send(m.Unmarked(identifier, 0, 0))
            case m.Discard(), DestinationOperation():
                operation.discard(message)
            case m.Discard(), None:
                self.send(m.Discarded(identifier, 0))
            case m.Close(), _:
                self._close(operation)
            case m.Stats(), _:
                self._stats(message)
            case _:
                raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {identifier} is not known here")

    def _checkPeer(self, peer: m.Peer) -> None:
        if (peer.name, peer.incarnation) != (self.name, self.incarnation):
            raise OperationError(Refusal.BAD_REQUEST, f"the request is meant for another incarnation of {peer.name}")

    def _close(self, operation: Operation | None) -> None:
        if operation is not None:
            operation.orphaned()
            self.drop(operation)

    def _stats(self, message: m.Stats) -> None:
        flows = HeaderFieldList.parse(message.flows)
        self.engine.check(flows)
        usage = self.engine.usage(flows)
        cells = tuple(m.CellStats(u.cell, u.records, u.bytes, u.marked) for u in usage)
        self.send(m.StatsAnswer(message.operation, cells))

    # -- time

    def timePassed(self, now: float) -> None:
        """Call every few milliseconds."""
        for key in tuple(self._credits):
            self._sendCredit(key)
        for operation in tuple(self._operations.values()):
            operation.timePassed(now)
        if self._lease is not None:
            self._checkLease(now - self._lease)

    def connectionLost(self) -> None:
        """The controller is gone: the lease begins."""
        if self._lease is None:
            self._lease = self.now()

    def connectionMade(self) -> None:
        """A controller answered: no lease."""
        self._lease = None

    def _checkLease(self, since: float) -> None:
        for operation in tuple(self._operations.values()):
            if since >= operation.request.lease / 1000:
                operation.orphaned()

    def shutDown(self) -> None:
        """The service is to end: have undecided operations undone; those beyond the vote must come to their end."""
        for operation in self._operations.values():
            if not operation.decided:
                reason = f"{self.name} shuts down"
                self.send(m.Refused(operation.identifier, 0, Refusal.SHUTTING_DOWN, reason))

    @property
    def settled(self) -> bool:
        """Is no operation under way whose records might be lost or reported twice if this ended now?"""
        return all(operation.over for operation in self._operations.values())

    def finish(self) -> None:
        """The input ends for good: settle what is provisional or marked, then let the engine report the rest."""
        for operation in tuple(self._operations.values()):
            operation.orphaned()
        self.engine.finish()
        self.engine.flush()


#: The request a REFUSED answers, by the type of the message.
REQUESTS = {
    m.Prepare: m.MessageType.PREPARE,
    m.Get: m.MessageType.GET,
    m.Hold: m.MessageType.HOLD,
    m.Divert: m.MessageType.DIVERT,
    m.Commit: m.MessageType.COMMIT,
    m.Delete: m.MessageType.DELETE,
    m.Unmark: m.MessageType.UNMARK,
    m.Discard: m.MessageType.DISCARD,
    m.Stats: m.MessageType.STATS,
}
