"""
The destination's end of a move: provisional records, hold, merge by stamp, give back.

The machine's table stands in C{docs/handover.md}.
"""

from __future__ import annotations

import enum
import os

from openmb.errors import OperationError, Refusal
from openmb.middlebox.environment import Environment
from openmb.middlebox.queue import PacketQueue
from openmb.middlebox.stream import StreamReceiver, StreamSender, contextOf
from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.packets.marker import BACK_MARKERS
from openmb.state.headers import HeaderFieldList
from openmb.state.packing import unpackRecords
from openmb.wire.messages import (
    Committed,
    Discard,
    Discarded,
    DivertConfirmed,
    Hold,
    Holding,
    Installed,
    Merged,
    Prepare,
    Side,
    StreamFrame,
    StreamType,
)
from openmb.wire.stream import GetDone, Marked, ReturnDone, packPart, unpackEvents, unpackPart


class DestinationState(enum.Enum):
    """Where the destination stands."""

    RECEIVING = "receiving"
    HOLDING = "holding"
    CONFIRMED = "confirmed"
    MERGING = "merging"
    MERGED = "merged"
    RETURNING = "returning"


UNDECIDED = (DestinationState.RECEIVING, DestinationState.HOLDING, DestinationState.CONFIRMED)


class DestinationOperation:
    """One move of which this middlebox is the destination."""

    side = Side.DESTINATION

    def __init__(self, host: Environment, request: Prepare) -> None:
        self._host = host
        self.identifier = request.operation
        self.request = request
        self.flows = HeaderFieldList.parse(request.flows)
        host.engine.check(self.flows)
        host.engine.prepare(request.operation, self.flows)
        self.nonce = os.urandom(16)
        self.receiver = StreamReceiver(host.keyring, contextOf(host.kind, request, Side.SOURCE, self.nonce))
        self.sender: StreamSender | None = None
        self.state = DestinationState.RECEIVING
        self.token: bytes | None = None
        self._redirects, self._held = PacketQueue(), PacketQueue()
        self._records = self._recordBytes = self._reprocessed = self._redirected = self._heldCount = self._late = 0
        self._longest = 0.0
        self._drained = False
        self._quietUntil: float | None = None
        self._uncredited: StreamFrame | None = None
        self._returned = 0

    @property
    def decided(self) -> bool:
        """Has this end confirmed the source's vote?"""
        return self.state not in (DestinationState.RECEIVING, DestinationState.HOLDING)

    @property
    def over(self) -> bool:
        """Is everything that waited processed?"""
        return self.state is DestinationState.MERGED

    # -- the source's stream

    def streamed(self, frame: StreamFrame) -> None:
        """One frame of the source's stream."""
        if self.state is DestinationState.RETURNING:
            return
        plain = self.receiver.receive(frame)
        if plain is None:
            return
        self._apply(frame, plain)
        if self._redirects.bytes <= self._host.settings.redirectBytes:
            self._host.credit(self, frame)
        else:
            self._uncredited = frame

    def _apply(self, frame: StreamFrame, plain: bytes) -> None:
        match frame.type:
            case StreamType.RECORDS:
                batch = unpackRecords(frame.clear, plain)
                self._host.engine.putPerflow(self.identifier, batch)
                self._records += len(batch)
                self._recordBytes += len(plain)
            case StreamType.REPROCESS:
                self._reprocess(unpackEvents(frame.clear, plain))
            case StreamType.REDIRECT:
                self._redirect(unpackEvents(frame.clear, plain))
            case StreamType.GET_DONE:
                self._compare(plain)
            case StreamType.DIVERTED:
                self._confirm()
            case StreamType.MARKED:
                self._redirects.passed(unpackPart(Marked, plain).stamp)
                self._merge()
            case StreamType.DRAINED:
                self.sourceEnded()
            case _:
                if frame.type is not StreamType.OPENED:
                    raise OperationError(Refusal.BAD_REQUEST, f"{frame.type.name} does not come from a source")

    def _reprocess(self, packets: PacketBatch) -> None:
        if self.state not in (DestinationState.RECEIVING, DestinationState.HOLDING):
            raise OperationError(Refusal.WRONG_STATE, "re-process events after DIVERTED")
        self._reprocessed += len(packets)
        self._host.engine.reprocess(self.identifier, self._host.decodeEvents(packets))

    def _compare(self, plain: bytes) -> None:
        done = unpackPart(GetDone, plain)
        if (done.records, done.bytes) != (self._records, self._recordBytes):
            came = f"{self._records} records of {self._recordBytes} bytes came"
            raise OperationError(Refusal.COUNT_MISMATCH, f"{came}, the source sent {done.records} of {done.bytes}")
        self._host.send(Installed(self.identifier, done.records, done.bytes, self._reprocessed))

    def _confirm(self) -> None:
        if self.state is not DestinationState.HOLDING:
            raise OperationError(Refusal.WRONG_STATE, "DIVERTED came before HOLD")
        live = self._host.engine.conflicts(self.identifier)
        if live:
            raise OperationError(Refusal.CONFLICTING_RECORD, f"{live} live records of its own are in the way")
        self.state = DestinationState.CONFIRMED
        self._host.send(DivertConfirmed(self.identifier, self._reprocessed))

    def _redirect(self, packets: PacketBatch) -> None:
        if self.state is DestinationState.MERGED:
            self._late += len(packets)
            self._host.reinject(packets)
            return
        self._redirected += len(packets)
        self._redirects.append(packets, self._host.now())
        self._merge()

    # -- switch-over

    def hold(self, message: Hold) -> None:
        """Matching direct packets wait from here on; earlier windows of this middlebox that they match end."""
        if self.state is DestinationState.RECEIVING:
            self.token = message.token
            self.state = DestinationState.HOLDING
            self._host.engine.freeze(self.flows, self.identifier)
            self._host.endWindows(self.flows)
        self._host.send(Holding(self.identifier))

    @property
    def intercepting(self) -> bool:
        """Does this operation take matching packets away from the engine?"""
        return self.state not in (DestinationState.RECEIVING, DestinationState.MERGED)

    def take(self, packets: Decoded) -> None:
        """Matching direct packets."""
        if self.state is DestinationState.RETURNING:
            self._giveBack(packets)
            return
        self._heldCount += len(packets)
        self._held.append(packets.packets.compact(), self._host.now())
        self._merge()

    def marker(self, stamp: int, number: int, final: bool) -> None:
        """A genuine drain marker came down the new path."""
        if self.state is DestinationState.RETURNING:
            # one of the way forward may still be on its path: it says nothing about the old route's return
            if final and number >= BACK_MARKERS:
                self._endReturn()
            return
        self._held.passed(stamp)
        self._merge()

    def commit(self) -> None:
        """Own the records; from here on there is output."""
        if self.state is DestinationState.CONFIRMED:
            self._records = self._host.engine.commit(self.identifier)
            self.state = DestinationState.MERGING
        elif self.state in UNDECIDED:
            raise OperationError(Refusal.WRONG_STATE, "COMMIT before the source's vote was confirmed")
        elif self.state is DestinationState.RETURNING:
            raise OperationError(Refusal.WRONG_STATE, "COMMIT after DISCARD: the records are gone")
        self._host.send(Committed(self.identifier, self._records))
        self._merge()

    def sourceEnded(self) -> None:
        """DRAINED, or the source is dead: nothing more will be re-directed in time."""
        self._drained = True
        self._quietUntil = self._host.now() + self._host.settings.mergeQuiet
        self._merge()

    def _merge(self) -> None:
        """Apply what both sequences have reached; after the end of one, what the other one has."""
        if self.state is not DestinationState.MERGING:
            return
        now = self._host.now()
        if self._drained:
            self._applyUpTo(now, self._held.reached)
            if not len(self._redirects):
                self._endMerge(now)
        else:
            self._applyUpTo(now, min(self._redirects.reached, self._held.reached))

    def _applyUpTo(self, now: float, stamp: int | None) -> None:
        self._longest = max(self._longest, self._held.longest(now))
        packets = PacketQueue.merge(self._redirects.takeUpTo(stamp), self._held.takeUpTo(stamp))
        if packets is not None:
            self._host.processAlone(packets)
        if self._uncredited is not None and self._redirects.bytes <= self._host.settings.redirectBytes:
            frame, self._uncredited = self._uncredited, None
            self._host.credit(self, frame)

    def _endMerge(self, now: float) -> None:
        self._applyUpTo(now, None)
        self.state = DestinationState.MERGED
        self._quietUntil = None
        self._host.engine.thaw(self.identifier)
        longest = int(self._longest * 1e6)
        self._host.send(Merged(self.identifier, self._redirected, self._heldCount, self._late, longest, 0))

    # -- abort

    def discard(self, message: Discard) -> None:
        """Drop what is provisional; held packets of its own flows are processed, the others perhaps given back."""
        if self.state in (DestinationState.MERGING, DestinationState.MERGED):
            raise OperationError(Refusal.WRONG_STATE, "the records are committed")
        if self.state is DestinationState.RETURNING:
            return
        self._host.engine.discard(self.identifier)
        self._host.engine.thaw(self.identifier)
        self._redirects.clear()
        held = self._held.drain()
        if message.giveBack:
            self._openReturn()
            if held is not None:
                self._giveBack(self._host.decodeEvents(held))
            return
        self._host.drop(self)
        if held is not None:
            self._host.reinject(held)
        self._host.send(Discarded(self.identifier, 0))

    def _openReturn(self) -> None:
        self.state = DestinationState.RETURNING
        context = contextOf(self._host.kind, self.request, Side.DESTINATION, self.nonce)
        self.sender = StreamSender(
            self.identifier,
            Side.DESTINATION,
            self._host.keyring,
            context,
            self.request.window,
            self._host.send,
        )

    def _giveBack(self, packets: Decoded) -> None:
        own = self._host.engine.owns(packets)
        if own.any():
            self._host.processAlone(packets.select(own).packets)
        rest = packets.select(~own).packets
        if len(rest) and self.sender is not None:
            self._returned += len(rest)
            self.sender.events(StreamType.RETURNED, rest)

    def _endReturn(self) -> None:
        if self.sender is not None:
            self.sender.append(StreamType.RETURN_DONE, b"", packPart(ReturnDone(self._returned)))
        self._host.drop(self)
        self._host.send(Discarded(self.identifier, self._returned))

    # -- bounds and time

    @property
    def full(self) -> bool:
        """Must the host stop reading packets?"""
        return self._held.bytes > self._host.settings.holdBytes

    def timePassed(self, now: float) -> None:
        """After DRAINED, do not wait for ever for the direct path's marker."""
        if self._quietUntil is not None and self.state is DestinationState.MERGING and now >= self._quietUntil:
            self._applyUpTo(now, None)
            self._endMerge(now)

    def orphaned(self) -> None:
        """No controller came back within the lease: what is committed stays, what is provisional goes."""
        if self.state in UNDECIDED:
            self.discard(Discard(self.identifier, False))
        elif self.state is DestinationState.MERGING:
            self.sourceEnded()
            self.timePassed(float("inf"))
        else:
            self._host.drop(self)
