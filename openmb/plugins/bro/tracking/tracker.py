"""
A table of connections and all that belongs to it: ranges held out of order, application parsers, finished rows.

An engine has one for its own records, and one for the provisional records of each operation, whose output goes nowhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from openmb.packets.headers import Decoded
from openmb.packets.loads import plainArrays
from openmb.plugins.bro.fastpath.lanes import (
    USED_LANES,
)
from openmb.plugins.bro.fastpath.pool import forgetSlots
from openmb.plugins.bro.tracking.expiry import expiredSlots
from openmb.plugins.bro.tracking.kernels import finishSlots, trackPackets
from openmb.plugins.bro.tracking.talks import Found, IOutput, Odd, Talks
from openmb.plugins.bro.tracking.work import FINISHED, PIECES, USED_RANGES, WEIRDS, dropRanges, reserveRanges

#: Packets that one call of the kernel gets.
SLICE = 4096
_NONE = np.zeros(0, np.uint64)
#: Bytes and offsets of no packets, read-only as those of a batch: to a kernel that is a type of its own.
NO_PACKETS = np.frombuffer(b"", np.uint8), np.frombuffer(b"", np.int64)


class Tracker(Talks):
    """
    @param maximum: records at most.
    @param output: takes what is to be reported; None: nothing is.
    """

    def reportTo(self, output: IOutput, found: Found | None = None, odd: Odd | None = None) -> None:
        """
        From now on report to C{output}, to C{odd} what is odd about segments, and to C{found} each time that services
        are recognised: only conversations tell of that, so nothing is on the fast path meanwhile.
        """
        self._output, self._found, self._odd = output, found, odd
        if found is not None:
            self.leave(self.table.slots())

    def process(
        self, packets: Decoded, births: NDArray[np.uint64] | None, makeRoom: Callable[[int], None] | None = None
    ) -> NDArray[np.uint64]:
        """
        Apply packets in order.

        @param makeRoom: removes so many records when the table is full.
        @return: C{uint64[n]}, the mark of the record that each packet met.
        @raise OperationError: C{BUFFER_FULL}, the table is full and no room can be made.
        """
        marks = np.zeros(len(packets), np.uint64)
        born = _NONE if births is None else births
        try:
            self._track(packets, born, marks, makeRoom)
        finally:
            self.reportRequests()
        return marks

    def _track(
        self,
        packets: Decoded,
        born: NDArray[np.uint64],
        marks: NDArray[np.uint64],
        makeRoom: Callable[[int], None] | None,
    ) -> None:
        data, offsets, lengths = plainArrays(packets.packets)[:3]
        step = min(SLICE, max(self.table.maximum // 2, 1))
        for start in range(0, len(packets), step):
            stop = min(start + step, len(packets))
            self.work = reserveRanges(self.work, stop - start)
            if makeRoom is not None and self.table.room < stop - start:
                makeRoom(stop - start - self.table.room)
            self.table.reserve(stop - start)
            headers = packets.headers[:stop]
            place = start
            while place < stop:
                place = trackPackets(
                    self.work,
                    self.table.arrays,
                    self.table.rows,
                    headers,
                    data,
                    offsets,
                    lengths,
                    place,
                    born,
                    marks,
                    self._ports,
                )
                self.drain(data, offsets)

    def expired(self, now: int) -> NDArray[np.int64]:
        """The slots whose records have ended at C{now} (microseconds)."""
        slots = np.empty(max(len(self.table), 1), np.int64)
        return slots[: expiredSlots(self.table.rows, self.table.used, 0, now, slots)]

    def finish(self, slots: NDArray[np.int64]) -> None:
        """The connections in C{slots} have ended: report and forget them."""
        while len(slots):
            done = finishSlots(self.work, self.table.arrays, self.table.rows, slots)
            self.drain(*NO_PACKETS)
            slots = slots[done:]
        self.reportRequests()

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Drop what hangs on the records in C{slots}, their ranges and conversations; most have none."""
        for slot in slots[(self.table.rows["head"][slots] >= 0).any(axis=1)].tolist():
            for side in range(2):
                dropRanges(self.work, self.table.rows[slot], side)
        forgetSlots(self.lanes, np.asarray(slots, np.int64))
        if self.conversations:
            for slot in self.conversations.keys() & set(slots.tolist()):
                del self.conversations[slot]

    def remove(self, slots: NDArray[np.int64]) -> int:
        """Remove records in silence; how many."""
        self.forget(slots)
        return self.table.remove(slots)

    @property
    def isEmpty(self) -> bool:
        """Is there no record, and nothing that hangs on one?"""
        hanging = self.conversations or self.work.cursors[USED_RANGES] or self.lanes.cursors[USED_LANES]
        return not (len(self.table) or hanging)

    def take(self, other: Tracker) -> None:
        """An empty tracker takes over everything that C{other} has, which must not be used any more."""
        self.table, self.work, self.conversations, self.lanes = (
            other.table,
            other.work,
            other.conversations,
            other.lanes,
        )
        self.learn(other)

    def drain(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Empty the work arrays: feed the parsers, report what has finished."""
        cursors = self.work.cursors
        try:
            if cursors[WEIRDS] and self._odd is not None:
                self._odd(self.work.weirds[: cursors[WEIRDS]])
            if cursors[PIECES]:
                self._feed(data, offsets)
            if cursors[FINISHED] and self._output is not None:
                self._reportFinished(int(cursors[FINISHED]))
        finally:
            cursors[PIECES] = cursors[FINISHED] = cursors[WEIRDS] = 0

    def _reportFinished(self, count: int) -> None:
        """Report the first C{count} finished rows together; if that throws, one by one: a bad row costs only itself."""
        assert self._output is not None
        try:
            self._output.connections(self.work.keys[:count], self.work.rows[:count])
            return
        except Exception:  # noqa: BLE001 - it is met again below, and reported there
            places = range(count)
        for place in places:
            try:
                self._output.connections(self.work.keys[place : place + 1], self.work.rows[place : place + 1])
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rows must not suffer for it
                self._threw(-1, error)
