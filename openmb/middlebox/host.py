"""
The middlebox host: packets and southbound messages in, messages out.

It ties one engine to the operations it takes part in: which packets the engine processes, which raise events, which
wait.  Sans-I/O: time, packets and messages are handed in; C{send} takes what goes to the controller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from twisted.logger import Logger

from openmb.errors import OperationError, ProtocolError, Refusal
from openmb.interfaces import IMiddlebox
from openmb.middlebox.capabilities import capabilitiesOf
from openmb.middlebox.credits import CreditBook
from openmb.middlebox.dispatch import Dispatcher, Move, Operation
from openmb.middlebox.environment import HostCounts, Participant
from openmb.middlebox.faults import SetAside, describe
from openmb.middlebox.following import Following
from openmb.middlebox.inquiries import Inquiries
from openmb.middlebox.introspection import Introspection
from openmb.middlebox.outcomes import Answers, Outcome, Outcomes
from openmb.middlebox.settings import HostSettings
from openmb.middlebox.sharedsource import SharedSource
from openmb.middlebox.source import SourceOperation
from openmb.middlebox.states import SourceState
from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded, Kind
from openmb.packets.marker import parseMarker
from openmb.packets.quality import checksumWarning
from openmb.state.headers import HeaderFieldList
from openmb.state.keyring import Keyring
from openmb.wire import messages as m
from openmb.wire.formats import HIGHEST_VERSION, LOWEST_VERSION


class MiddleboxHost:
    """
    One middlebox: engine, operations, and the packets between them.

    @param send: takes each message for the controller.
    @param now: monotonic time in seconds.
    @param setAside: directory for captures of packets on which the engine threw; None: they are only counted.
    @param reassemble: hand the engine whole datagrams; else fragments as they come, as C{IMiddleboxPlugin} says.
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
        setAside: Path | None = None,
        reassemble: bool = True,
    ) -> None:
        self.name, self.kind, self.incarnation = name, kind, incarnation
        self.engine, self.keyring, self.send, self.now = engine, keyring, send, now
        self.capabilities = capabilitiesOf(engine)
        self.capabilities.shared.identify(name, incarnation)
        self.settings = settings or HostSettings()
        self.counts = HostCounts()
        self.setAside = SetAside(name, setAside)
        self.forward: Callable[[PacketBatch], None] = lambda packets: None
        self._decoder = Decoder(checksums=checksums, reassemble=reassemble)
        # events carry whole datagrams: nothing to put together, and the live decoder's memory must not be touched
        self._eventDecoder = Decoder(checksums=checksums, reassemble=False)
        self._operations: dict[int, Operation] = {}
        self._following = Following(self.capabilities.shared, self._operations)
        self._checksums = bytes([checksums])
        self._warned: tuple[str, ...] = ()
        self.introspection = Introspection(self.capabilities, send, self.setAside.tell, self.settings.announceBytes)
        self._outcomes = Outcomes()
        self._credits = CreditBook(send)
        who, inquiries = m.Peer(name, incarnation), Inquiries(self, self.introspection)
        self._dispatcher = Dispatcher(self, who, self._operations, self._outcomes, inquiries)
        self._epoch = 0
        self._aloneSince: float | None = None  # since when there is no controller

    # -- who this is

    def hello(self) -> m.Hello:
        """The first message of a session."""
        return m.Hello(
            LOWEST_VERSION,
            HIGHEST_VERSION,
            self.name,
            self.kind,
            self.incarnation,
            self.governing,
            tuple(m.LayoutVersion(*layout) for layout in self.engine.layouts),
            tuple(self._statuses()),
        )

    @property
    def governing(self) -> bytes:
        """SHA-256 of the configuration that governs records, as it is now."""
        return hashlib.sha256(self.engine.governing + self._checksums).digest()

    def _statuses(self) -> Iterator[m.OperationStatus]:
        for operation in self._operations.values():
            sent = operation.sender.sent if operation.sender is not None else -1
            yield m.OperationStatus(
                operation.identifier, operation.side, operation.state.value, operation.receiver.received, sent
            )
        for outcome in self._outcomes:
            yield outcome.status

    @property
    def operations(self) -> int:
        """How many operations this middlebox takes part in."""
        return len(self._operations)

    # -- packets

    @property
    def wantsPackets(self) -> bool:
        """False while some queue is full: where the source of packets can wait, it should."""
        return not any(move.full for move in self._moves)

    @property
    def _moves(self) -> tuple[Move, ...]:
        """The operations that take packets for a while."""
        return tuple(each for each in self._operations.values() if isinstance(each, Move))

    def packetsReceived(self, batch: PacketBatch) -> None:
        """Packets from the network, in order, drain markers among them: those are for this host, no engine sees one."""
        self._received(batch)
        self.introspection.flush()

    def _received(self, batch: PacketBatch) -> None:
        self.counts.packets += len(batch)
        self.counts.bytes += int(batch.lengths.sum())
        decoded = self._decoder.decode(batch)
        if not self._warned:
            self._checkChecksums()
        places = np.flatnonzero(decoded.headers["kind"] == Kind.MARKER)
        start = 0
        for place in places:
            self._direct(decoded.select(slice(start, int(place))))
            self._marker(decoded.packets, int(place))
            start = int(place) + 1
        self._direct(decoded.select(slice(start, len(decoded))) if start else decoded)

    def _checkChecksums(self) -> None:
        """Warn once if nearly all checksums are wrong."""
        warning = checksumWarning(self._decoder.counts)
        if warning is not None:
            self._warned = (warning,)
            self.log.warn("{text}", text=warning)
            self.sendWarnings()

    def sendWarnings(self) -> None:
        """Tell the controller what an operator must know, if there is anything."""
        if self._warned:
            self.send(m.Warnings(self._warned))

    def _marker(self, packets: PacketBatch, place: int) -> None:
        try:
            marker = parseMarker(packets.packet(place))
        except ProtocolError:  # anybody can send a frame that resembles one
            self.counts.strayMarkers += 1
            return
        operation = self._operations.get(marker.operation)
        if not isinstance(operation, Move) or operation.token != marker.token:
            self.counts.strayMarkers += 1
            return
        operation.marker(int(packets.stamps[place]), marker.number, marker.final)

    def _direct(self, decoded: Decoded) -> None:
        """Packets that arrived (or count as if they had): operations take theirs, the engine processes the rest."""
        for operation in self._moves:
            if not len(decoded):
                return
            if operation.intercepting:
                mask = operation.selection.packets(decoded)
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
            self._overwhelmed(error, decoded)
            return
        except Exception as error:  # noqa: BLE001 - an engine's own fault, whatever it is, ends nothing but these packets
            self.setAside.add(decoded.packets, describe(error))
            self._failed(decoded)
            self._following.lost()
            return
        if processed.failed:
            self._failed(decoded.select(self.setAside.addAll(decoded.packets, processed.failed)))
        for operation in taps:
            touched = np.flatnonzero(processed.marks == operation.identifier)
            if len(touched):
                operation.raised(decoded.packets.select(touched))
        self._following.processed(decoded.packets, processed)
        if processed.forward is not None:
            self.forward(processed.forward)

    def _failed(self, decoded: Decoded) -> None:
        """The engine threw on these packets."""
        self.counts.failedPackets += len(decoded)
        self._lost(decoded)

    def _lost(self, decoded: Decoded) -> None:
        """Operations that these packets concern say how many were lost."""
        for operation in self._moves:
            operation.lost += int(np.count_nonzero(operation.selection.packets(decoded)))

    def _overwhelmed(self, error: OperationError, decoded: Decoded) -> None:
        """The engine has no room, perhaps for records that operations keep in place: end those that can be ended."""
        self.counts.lostPackets += len(decoded)
        self.setAside.tell(f"{len(decoded)} packets lost ({self.counts.lostPackets} so far): {error.reason}")
        self._lost(decoded)
        for operation in tuple(self._operations.values()):
            if isinstance(operation, SourceOperation | SharedSource) and not operation.decided:
                operation.giveUp(error.refusal, error.reason)

    @staticmethod
    def _births(decoded: Decoded, taps: list[SourceOperation]) -> NDArray[np.uint64]:
        births = np.zeros(len(decoded), dtype=np.uint64)
        for operation in taps:
            births[operation.selection.packets(decoded)] = operation.identifier
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
        return any(op.exporting for op in self._operations.values() if isinstance(op, SourceOperation | SharedSource))

    def work(self) -> bool:
        """Export one slice of each operation that may; false when there was nothing to do."""
        worked = False
        for operation in tuple(self._operations.values()):
            if isinstance(operation, SourceOperation | SharedSource) and operation.exporting:
                operation.exportSlice()
                self._following.ask()
                worked = True
        return worked

    # -- operations

    def messageReceived(self, message: m.Message) -> None:
        """A message from the controller; whatever cannot be done is answered with REFUSED."""
        self._dispatcher.receive(message)
        self._following.ask()

    def credit(self, operation: Participant, frame: m.StreamFrame) -> None:
        """Acknowledge the frames of a stream up to C{frame}; small ones are acknowledged together, a little later."""
        self._credits.give(operation, frame)

    def repeatCredit(self, operation: Participant) -> None:
        """Acknowledge again what was acknowledged last: that may have been lost."""
        self._credits.repeat(operation)

    def ended(self, operation: Participant, answers: Answers) -> None:
        """It is over here; C{answers} are given to whoever asks again, until CLOSE."""
        known = self._operations.pop(operation.identifier)
        sent = known.sender.sent if known.sender is not None else -1
        received = known.receiver.received
        self._outcomes.remember(Outcome(known.identifier, known.side, received, sent, answers))

    def endWindows(self, flows: HeaderFieldList) -> None:
        """A HOLD ends the late windows that it intersects: those flows are coming back."""
        for operation in tuple(self._operations.values()):
            if (
                isinstance(operation, SourceOperation)
                and operation.state is SourceState.WINDOW
                and operation.flows.intersects(flows)
            ):
                operation.closeWindow()

    # -- time

    def advance(self, now: int) -> None:
        """Packet time has reached C{now} (ns) without a packet."""
        self.engine.advance(now)
        self._following.ask()

    def timePassed(self, now: float) -> None:
        """Call every few milliseconds."""
        self._credits.flush()
        self.introspection.flush()
        for operation in tuple(self._operations.values()):
            with self.setAside.enduring(f"what was due for operation {operation.identifier:016x}"):
                operation.timePassed(now)
        if self._aloneSince is not None:
            self._checkLeases(now - self._aloneSince)
        self._following.ask()

    def _checkLeases(self, alone: float) -> None:
        for operation in tuple(self._operations.values()):
            if alone >= operation.request.lease / 1000:
                with self.setAside.enduring(f"the end of the lease of operation {operation.identifier:016x}"):
                    operation.leaseEnded()

    @property
    def connected(self) -> bool:
        """Is there a controller?"""
        return self._aloneSince is None

    def connectionLost(self) -> None:
        """The controller is gone: the leases begin."""
        if self._aloneSince is None:
            self._aloneSince = self.now()

    def connectionMade(self, epoch: int = 0) -> None:
        """
        A controller has answered: no lease.  Credit may have been lost with the connection, so it is repeated.

        @param epoch: the controller's; nobody of an earlier one waits for introspection events any more.
        """
        self._aloneSince = None
        if epoch != self._epoch:
            self.introspection.disableAll()
        self._epoch = epoch
        self.sendWarnings()
        for operation in self._operations.values():
            operation.connectionMade()
            self._credits.repeat(operation)
        self._credits.flush()
        for outcome in self._outcomes:
            if outcome.credit is not None:
                self.send(outcome.credit)

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
            with self.setAside.enduring(f"the end of operation {operation.identifier:016x}"):
                operation.orphaned()
        with self.setAside.enduring("the last report"):
            self.engine.finish()
        self.engine.flush()
        self.introspection.flush()
