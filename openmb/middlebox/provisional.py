"""
What a destination builds before it owns anything: provisional records, in the engine's keeping, and their counts.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.middlebox.environment import Environment
from openmb.middlebox.faults import engineFaults
from openmb.state.packing import unpackRecords
from openmb.wire.messages import DivertConfirmed, Installed, StreamFrame
from openmb.wire.stream import GetDone, unpackEvents, unpackPart


class ProvisionalRecords:
    """
    The provisional records of one operation.

    @ivar installed: the answer once GET_DONE was met.
    @ivar confirmed: the answer once the source's vote was met, and nothing was in the way.
    """

    def __init__(self, host: Environment, operation: int) -> None:
        self._host, self._operation = host, operation
        self._records = self._bytes = self._reprocessed = 0
        self.installed: Installed | None = None
        self.confirmed: DivertConfirmed | None = None

    def put(self, frame: StreamFrame, plain: bytes) -> None:
        """Records of the source."""
        if self.installed is not None:
            raise OperationError(Refusal.WRONG_STATE, "records after GET_DONE")
        batch = unpackRecords(frame.clear, plain)
        with engineFaults("storing records"):
            self._host.engine.putPerflow(self._operation, batch)
        self._records += len(batch)
        self._bytes += len(plain)

    def reprocess(self, frame: StreamFrame, plain: bytes) -> None:
        """Packets that have updated these records at the source."""
        packets = unpackEvents(frame.clear, plain)
        self._reprocessed += len(packets)
        with engineFaults("re-processing packets"):
            self._host.engine.reprocess(self._operation, self._host.decodeEvents(packets))

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

    def confirm(self) -> DivertConfirmed:
        """
        DIVERTED: may they become the engine's own?

        @raise OperationError: C{CONFLICTING_RECORD}.
        """
        with engineFaults("looking for records in the way"):
            live = self._host.engine.conflicts(self._operation)
        if live:
            raise OperationError(Refusal.CONFLICTING_RECORD, f"{live} live records of its own are in the way")
        self.confirmed = DivertConfirmed(self._operation, self._reprocessed)
        return self.confirmed
