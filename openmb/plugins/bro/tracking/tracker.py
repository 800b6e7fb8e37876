"""
A table of connections and all that belongs to it: ranges held out of order, application parsers, finished rows.

An engine has one for its own records, and one for the provisional records of each operation, whose output goes nowhere.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from openmb.interfaces import Failed
from openmb.packets.headers import Decoded
from openmb.packets.loads import plainArrays
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.analyzers.sessions import Found, Session
from openmb.plugins.bro.records import ROW
from openmb.plugins.bro.tracking.expiry import expiredSlots
from openmb.plugins.bro.tracking.kernels import finishSlots, trackPackets
from openmb.plugins.bro.tracking.ports import portTable
from openmb.plugins.bro.tracking.states import HISTORY_LIMIT, LETTER_LIMIT
from openmb.plugins.bro.tracking.work import (
    FINISHED,
    PIECE_REMOVED,
    PIECES,
    USED_RANGES,
    dropRanges,
    makeWork,
    reserveRanges,
)
from openmb.state.table import FlowTable

#: Packets that one call of the kernel gets.
SLICE = 4096
_PORTS = portTable()
_NONE = np.zeros(0, np.uint64)
_LIMIT_LETTER = ord("X")


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Which connection a row of an application log is about.

    @ivar key: its native key, 40 bytes.
    @ivar start: when it began, microseconds.
    @ivar swapped: the originator is endpoint b of the key.
    """

    key: bytes
    start: int
    swapped: bool


class IOutput(Protocol):
    """Takes what a tracker has to report."""

    def connections(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """Finished connections: C{uint64[n, 5]}, C{ROW[n]}; all or, if one throws, none of them."""

    def requests(self, identity: Identity, rows: list[HTTPRow]) -> None:
        """Finished HTTP requests of one connection."""


class Tracker:
    """
    @param maximum: records at most.
    @param output: takes what is to be reported; None: nothing is.
    """

    def __init__(self, maximum: int, output: IOutput | None, capacity: int = 1024) -> None:
        self.table = FlowTable(ROW, capacity=capacity, maximum=maximum)
        self.work = makeWork()
        self.sessions: dict[int, Session] = {}
        self._failed: list[Failed] = []
        self._output = output

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
        data, offsets, lengths = plainArrays(packets.packets)[:3]
        born = _NONE if births is None else births
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
                    _PORTS,
                )
                self.drain(data, offsets)
        return marks

    def takeFailed(self) -> tuple[Failed, ...]:
        """What a parser or a log threw since the last call; such connections go on without that parser."""
        failed, self._failed = tuple(self._failed), []
        return failed

    def expired(self, now: int) -> NDArray[np.int64]:
        """The slots whose records have ended at C{now} (microseconds)."""
        slots = np.empty(max(len(self.table), 1), np.int64)
        return slots[: expiredSlots(self.table.rows, self.table.used, 0, now, slots)]

    def finish(self, slots: NDArray[np.int64]) -> None:
        """The connections in C{slots} have ended: report and forget them."""
        while len(slots):
            done = finishSlots(self.work, self.table.arrays, self.table.rows, slots)
            self.drain(np.zeros(0, np.uint8), np.zeros(0, np.int64))
            slots = slots[done:]

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Drop what hangs on the records in C{slots}, their ranges and sessions; most have none."""
        for slot in slots[(self.table.rows["head"][slots] >= 0).any(axis=1)].tolist():
            for side in range(2):
                dropRanges(self.work, self.table.rows[slot], side)
        if self.sessions:
            for slot in self.sessions.keys() & set(slots.tolist()):
                del self.sessions[slot]

    def remove(self, slots: NDArray[np.int64]) -> int:
        """Remove records in silence; how many."""
        self.forget(slots)
        return self.table.remove(slots)

    @property
    def isEmpty(self) -> bool:
        """Is there no record, and nothing that hangs on one?"""
        return not (len(self.table) or self.sessions or self.work.cursors[USED_RANGES])

    def take(self, other: Tracker) -> None:
        """An empty tracker takes over everything that C{other} has, which must not be used any more."""
        self.table, self.work, self.sessions = other.table, other.work, other.sessions

    def drain(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Empty the work arrays: feed the parsers, report what has finished."""
        cursors = self.work.cursors
        try:
            if cursors[PIECES]:
                self._feed(data, offsets)
            if cursors[FINISHED] and self._output is not None:
                self._reportFinished(int(cursors[FINISHED]))
        finally:
            cursors[PIECES] = cursors[FINISHED] = 0

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

    def _threw(self, packet: int, error: Exception) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        self._failed.append(Failed(packet, f"{error!r} at {where.name}:{where.lineno}"))

    def _feed(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        touched: dict[int, int] = {}
        pieces = self.work.pieces[: int(self.work.cursors[PIECES])]
        for piece in pieces.tolist():
            stamp, sequence, start, size, slot, packet, offset, length, kind, side, analyzer, swapped, _, key = piece
            found = Found(kind, side == 0, side ^ swapped, stamp, sequence, length, size)
            try:
                if kind == PIECE_REMOVED:
                    touched.pop(slot, None)
                    session = self.sessions.pop(slot, None)
                    rows = session.parser.removed(stamp) if session is not None else []
                else:
                    session = self.sessions.get(slot)
                    if session is None:
                        session = self.sessions[slot] = Session.fresh(analyzer)
                    touched[slot] = swapped
                    begin = int(offsets[packet]) + offset if length else 0
                    rows = session.take(found, data[begin : begin + length].tobytes())
                if rows and self._output is not None:
                    identity = Identity(np.array(key, np.uint64).tobytes(), start, bool(swapped))
                    self._output.requests(identity, rows)
            except Exception as error:  # noqa: BLE001 - whatever a parser throws: only its connection loses it
                self._threw(packet if packet < len(offsets) else -1, error)
                if kind != PIECE_REMOVED:
                    self.sessions[slot] = Session.silent(analyzer)
        for slot in touched:
            self._tellKernel(slot)

    def _tellKernel(self, slot: int) -> None:
        """Note in the record what the parser wants from here on, and what it found."""
        session, row = self.sessions[slot], self.table.rows[slot]
        for side in range(2):
            row["skipUntil"][side] = session.wanted(side == 0, side ^ int(row["swapped"]))
        if session.exceeded and not row["seen"] & (1 << LETTER_LIMIT):
            row["seen"] |= 1 << LETTER_LIMIT
            if row["letters"] < HISTORY_LIMIT:
                row["history"][row["letters"]] = _LIMIT_LETTER
                row["letters"] += 1
