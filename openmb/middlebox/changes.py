"""
What a clone's source tells of its state after the cut: in order, and never before the cut itself.
"""

from __future__ import annotations

from collections import deque

from openmb.middlebox.stream import StreamSender
from openmb.packets.batch import PacketBatch
from openmb.state.records import RecordBatch
from openmb.wire.messages import StreamType
from openmb.wire.stream import PACKET_OVERHEAD


class ChangeQueue:
    """
    Keeps changes until the whole cut is on its way: one that came before a record of the cut would be undone by it.

    @ivar events: packets so far.
    @ivar changed: records so far.
    """

    def __init__(self, sender: StreamSender) -> None:
        self._sender = sender
        self._kept: deque[PacketBatch | RecordBatch] | None = deque()
        self._keptBytes = 0
        self.events = self.changed = 0

    @property
    def backlog(self) -> int:
        """Bytes that wait, here or for credit."""
        return self._keptBytes + self._sender.backlog

    def packets(self, packets: PacketBatch) -> None:
        """Packets that have changed the state."""
        self.events += len(packets)
        self._put(packets)

    def records(self, batch: RecordBatch) -> None:
        """
        Records that have changed otherwise.

        @raise OperationError: C{BUFFER_FULL}, one of them is larger than any frame.
        """
        self.changed += len(batch)
        self._put(batch)

    def open(self) -> None:
        """
        The cut is on its way: what was kept follows it.

        @raise OperationError: as L{records}.
        """
        kept, self._kept, self._keptBytes = self._kept or (), None, 0
        for each in kept:
            self._send(each)

    def _put(self, each: PacketBatch | RecordBatch) -> None:
        if self._kept is None:
            self._send(each)
        elif isinstance(each, PacketBatch):
            self._kept.append(each.compact())
            self._keptBytes += int(each.lengths.sum()) + PACKET_OVERHEAD * len(each)
        else:
            self._kept.append(each)
            self._keptBytes += each.records.size + each.keys.size + (0 if each.tails is None else each.tails.size)

    def _send(self, each: PacketBatch | RecordBatch) -> None:
        if isinstance(each, PacketBatch):
            self._sender.events(StreamType.REPROCESS, each)
        else:
            self._sender.records(StreamType.CHANGES, each)
