"""
What a destination builds before it owns anything: provisional records, in the engine's keeping, and their counts.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.middlebox.environment import Environment
from openmb.middlebox.faults import engineFaults
from openmb.middlebox.selection import Selection, checkSharedKeys
from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.state.packing import unpackRecords
from openmb.state.records import RecordBatch
from openmb.wire.messages import DivertConfirmed, FinishConfirmed, Installed, Prepare, Sort, StreamFrame
from openmb.wire.stream import Finished, GetDone, unpackEvents, unpackPart


class Provisional:
    """
    What records and events of one operation have built.

    @ivar installed: the answer once GET_DONE was met.
    """

    def __init__(self, host: Environment, request: Prepare) -> None:
        self._host, self._operation, self._cells = host, request.operation, request.cells
        self._source = request.source.name
        self._records = self._bytes = self._reprocessed = 0
        self.installed: Installed | None = None

    def _store(self, batch: RecordBatch) -> None:
        """Hand C{batch} to the engine."""
        raise AssertionError("a subclass knows where they belong")

    def _check(self, batch: RecordBatch) -> None:
        """@raise OperationError: nobody asked for one of these records."""
        raise AssertionError("a subclass knows what was asked for")

    def _decode(self, packets: PacketBatch) -> Decoded:
        """@raise OperationError: nobody asked for one of these packets."""
        return self._host.decodeEvents(packets)

    def put(self, frame: StreamFrame, plain: bytes) -> None:
        """Records of the source."""
        if self.installed is not None:
            raise OperationError(Refusal.WRONG_STATE, "records after GET_DONE")
        self._records += self._stored(frame, plain)
        self._bytes += len(plain)

    def _stored(self, frame: StreamFrame, plain: bytes) -> int:
        batch = unpackRecords(frame.clear, plain)
        if batch.cell not in self._cells:
            raise OperationError(Refusal.BAD_REQUEST, f"{batch.cell.name} was not asked for")
        self._check(batch)
        with engineFaults("storing records"):
            self._store(batch)
        return len(batch)

    def reprocess(self, frame: StreamFrame, plain: bytes) -> None:
        """Packets that have updated these records at the source."""
        packets = self._decode(unpackEvents(frame.clear, plain))
        self._reprocessed += len(packets)
        with engineFaults("re-processing packets"):
            self._host.engine.reprocess(self._operation, packets)

    def compare(self, plain: bytes) -> Installed:
        """
        GET_DONE: is everything there?

        @raise OperationError: C{COUNT_MISMATCH}.
        """
        done = unpackPart(GetDone, plain)
        if (done.records, done.bytes) != (self._records, self._bytes):
            came = f"{self._records} records of {self._bytes} bytes came"
            raise OperationError(Refusal.COUNT_MISMATCH, f"{came}, the source sent {done.records} of {done.bytes}")
        self.installed = Installed(self._operation, done.records, done.bytes, self._reprocessed)
        return self.installed


class ProvisionalRecords(Provisional):
    """
    The provisional per-flow records of a move.

    @ivar confirmed: the answer once the source's vote was met, and nothing was in the way.
    """

    confirmed: DivertConfirmed | None = None

    def __init__(self, host: Environment, request: Prepare, selection: Selection) -> None:
        super().__init__(host, request)
        self._selection = selection

    def _check(self, batch: RecordBatch) -> None:
        self._selection.checkRecords(batch)

    def _decode(self, packets: PacketBatch) -> Decoded:
        decoded = super()._decode(packets)
        self._selection.checkPackets(decoded)
        return decoded

    def _store(self, batch: RecordBatch) -> None:
        self._host.capabilities.perflow.putPerflow(self._operation, batch)

    def confirm(self) -> DivertConfirmed:
        """
        DIVERTED: may they become the engine's own?

        @raise OperationError: C{CONFLICTING_RECORD}.
        """
        with engineFaults("looking for records in the way"):
            live = self._host.capabilities.perflow.conflicts(self._operation)
        if live:
            raise OperationError(Refusal.CONFLICTING_RECORD, f"{live} live records of its own are in the way")
        self.confirmed = DivertConfirmed(self._operation, self._reprocessed)
        return self.confirmed


class ProvisionalShared(Provisional):
    """
    The provisional shared state of a clone or merge.

    @ivar finished: the answer once the stream's end was met.
    """

    finished: FinishConfirmed | None = None

    def __init__(self, host: Environment, request: Prepare) -> None:
        super().__init__(host, request)
        self._followed, self._changed = request.sort is Sort.CLONE, 0

    def _store(self, batch: RecordBatch) -> None:
        self._host.capabilities.shared.putShared(self._operation, batch)

    def _check(self, batch: RecordBatch) -> None:
        checkSharedKeys(batch, self._source)

    def _checkFollowing(self) -> None:
        if self.installed is None or not self._followed:
            raise OperationError(Refusal.WRONG_STATE, "changes come after GET_DONE of a clone")

    def reprocess(self, frame: StreamFrame, plain: bytes) -> None:
        """Packets that have changed this state at the source."""
        self._checkFollowing()
        super().reprocess(frame, plain)

    def change(self, frame: StreamFrame, plain: bytes) -> None:
        """Records that have changed at the source otherwise."""
        self._checkFollowing()
        self._changed += self._stored(frame, plain)

    def finish(self, plain: bytes | None) -> FinishConfirmed:
        """
        FINISHED, or (None) the source is dead: is everything there?

        @raise OperationError: C{COUNT_MISMATCH}, C{PEER_DIED}.
        """
        if self.installed is None:
            raise OperationError(Refusal.PEER_DIED, "the stream ended before everything had come")
        if plain is not None:
            done = unpackPart(Finished, plain)
            if (done.events, done.changes) != (self._reprocessed, self._changed):
                came = f"{self._reprocessed} packets and {self._changed} records came"
                raise OperationError(
                    Refusal.COUNT_MISMATCH, f"{came}, the source sent {done.events} and {done.changes}"
                )
        self.finished = FinishConfirmed(self._operation, self._reprocessed, self._changed)
        return self.finished
