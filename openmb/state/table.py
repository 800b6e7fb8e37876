"""
A table of records: one structured array, a keyed index on the canonical key, and a mark for each record.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.state.flowkey import FLOW_KEY, FLOW_WORDS, HOST_WORDS, keyWords, uniform
from openmb.state.headers import HeaderFieldList
from openmb.state.slots import CHANGES, COUNT, EMPTY, FREE, TableArrays, fillIndex, findAll, insertAll, removeAll

#: Slots that a table may have unless told otherwise.
DEFAULT_MAXIMUM = 1 << 22
Slots = NDArray[np.int64]


class FlowTable:
    """
    Records under keys of C{k} 64-bit words: 5 for flows (C{FLOW_KEY}), 2 for hosts (C{HOST_KEY}), or any other number.

    A record stays in its slot until it is removed; growth replaces the arrays and keeps the slots.

    @ivar keys: C{uint64[capacity, k]}.
    @ivar rows: C{dtype[capacity]}, the records; a new one is all zeros.
    @ivar marks: C{uint64[capacity]}, the operation that a record is marked with, 0 for none.
    @ivar used: C{uint8[capacity]}, 1 for a slot in use.
    @ivar arrays: these and the index, for the kernels of C{openmb.state.slots}.
    """

    def __init__(
        self, dtype: np.dtype[Any], keyWords: int = FLOW_WORDS, capacity: int = 1024, maximum: int = DEFAULT_MAXIMUM
    ) -> None:
        self.dtype, self.maximum = dtype, maximum
        self._words = keyWords
        self._secret = np.frombuffer(os.urandom(8 * keyWords), np.uint64).copy()
        self.clear(capacity)

    def clear(self, capacity: int = 1024) -> None:
        """Drop everything."""
        capacity = max(min(capacity, self.maximum), 1)
        self.rows = np.zeros(capacity, self.dtype)
        self.arrays = TableArrays(
            _emptyIndex(capacity),
            np.zeros((capacity, self._words), np.uint64),
            self._secret,
            np.zeros(capacity, np.uint8),
            np.arange(capacity - 1, -1, -1, dtype=np.int32),
            np.array([0, capacity, 0], np.int64),
            np.zeros(capacity, np.uint64),
            _octets(self.rows),
        )
        self._expose()

    def _expose(self) -> None:
        self.keys, self.marks, self.used = self.arrays.keys, self.arrays.marks, self.arrays.used

    def __len__(self) -> int:
        return int(self.arrays.counts[COUNT])

    @property
    def capacity(self) -> int:
        """How many slots there are now."""
        return len(self.rows)

    @property
    def room(self) -> int:
        """How many records more the table can ever take."""
        return self.maximum - len(self)

    @property
    def changes(self) -> int:
        """A number that differs after every insertion and removal of a key."""
        return int(self.arrays.counts[CHANGES])

    def reserve(self, count: int) -> None:
        """
        Make sure that C{count} insertions need no growth.

        @raise OperationError: C{BUFFER_FULL}, the table would exceed its maximum; nothing is changed.
        """
        if count <= self.arrays.counts[FREE]:
            return
        needed = len(self) + count
        if needed > self.maximum:
            raise OperationError(
                Refusal.BUFFER_FULL, f"{count} records more exceed the table's maximum of {self.maximum}"
            )
        self._grow(min(1 << (needed - 1).bit_length(), self.maximum))

    def _grow(self, capacity: int) -> None:
        old, before = self.arrays, self.capacity
        self.rows = _extended(self.rows, capacity)
        free = np.empty(capacity, np.int32)
        added, waiting = capacity - before, int(old.counts[FREE])
        free[:added] = np.arange(capacity - 1, before - 1, -1)
        free[added : added + waiting] = old.free[:waiting]
        old.counts[FREE] += added
        self.arrays = TableArrays(
            _emptyIndex(capacity),
            _extended(old.keys, capacity),
            self._secret,
            _extended(old.used, capacity),
            free,
            old.counts,
            _extended(old.marks, capacity),
            _octets(self.rows),
        )
        fillIndex(self.arrays)
        self._expose()

    def find(self, keys: NDArray[Any]) -> Slots:
        """The slots of C{keys} (structured, bytes or words), -1 for each that is not there."""
        wanted = uniform(keyWords(keys, self._words))
        slots = np.empty(len(wanted), np.int64)
        findAll(self.arrays, wanted, slots)
        return slots

    def insert(self, keys: NDArray[Any]) -> Slots:
        """
        The slots of C{keys}, new ones (row all zeros, mark 0) for those that are not there.

        @raise OperationError: C{BUFFER_FULL}; nothing is changed.
        """
        wanted = uniform(keyWords(keys, self._words))
        if len(wanted) > self.arrays.counts[FREE]:
            self._reserveMissing(wanted)
        slots = np.empty(len(wanted), np.int64)
        insertAll(self.arrays, wanted, slots)
        return slots

    def _reserveMissing(self, wanted: NDArray[np.uint64]) -> None:
        missing = wanted[self.find(wanted) < 0]
        if len(missing) > self.room:
            missing = np.unique(missing, axis=0)
        self.reserve(len(missing))

    def remove(self, slots: NDArray[Any]) -> int:
        """Remove the records in C{slots} in silence, passing over slots that are not in use; how many were removed."""
        return int(removeAll(self.arrays, uniform(np.asarray(slots, np.int64))))

    def select(self, flows: HeaderFieldList, start: int = 0, stop: int | None = None) -> Slots:
        """
        The used slots from C{start} up to C{stop} whose keys C{flows} matches, ascending.

        @raise FinerThanNative: C{flows} constrains what is not part of a flow key.
        @raise ValueError: the keys are neither flow keys nor host keys.
        """
        used = np.flatnonzero(self.used[start:stop])
        keys = self.keys[start:stop]
        if self._words == FLOW_WORDS:
            found = flows.matchKeys(keys)
        elif self._words == HOST_WORDS:
            found = flows.matchHosts(keys)
        else:
            raise ValueError(f"header fields cannot be matched with keys of {self._words} words")
        return used[found[used]].astype(np.int64, copy=False) + start

    def slots(self) -> Slots:
        """All used slots, ascending."""
        return np.flatnonzero(self.used).astype(np.int64, copy=False)

    def mark(self, slots: NDArray[Any], operation: int) -> None:
        """Mark the records in C{slots} with C{operation}; 0 frees them."""
        self.marks[slots] = np.uint64(operation)

    def marked(self, operation: int) -> Slots:
        """The slots of the records marked with C{operation}, ascending."""
        return np.flatnonzero((self.marks == np.uint64(operation)) & (self.used != 0)).astype(np.int64, copy=False)

    def flowKeys(self, slots: NDArray[Any]) -> NDArray[Any]:
        """The keys in C{slots} as C{FLOW_KEY[n]}."""
        keys: NDArray[Any] = self.keys[slots].view(FLOW_KEY).reshape(len(slots))
        return keys

    def keyBytes(self, slots: NDArray[Any]) -> NDArray[np.uint8]:
        """The keys in C{slots} as C{uint8[n, 8 * k]}, the form of C{RecordBatch.keys}."""
        keys: NDArray[np.uint8] = self.keys[slots].view(np.uint8)
        return keys


def _emptyIndex(capacity: int) -> NDArray[np.int32]:
    return np.full(1 << (2 * capacity - 1).bit_length(), EMPTY, np.int32)


def _extended(array: NDArray[Any], capacity: int) -> NDArray[Any]:
    """A larger copy of C{array}, zeros behind its contents."""
    longer = np.zeros((capacity, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _octets(rows: NDArray[Any]) -> NDArray[np.uint8]:
    return rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def warmUp() -> None:
    """Compile the kernels of tables and of header field lists."""
    table = FlowTable(np.dtype([("number", "<u4")]), capacity=1)
    keys = np.zeros(2, FLOW_KEY)
    keys["a_port"] = 1, 2
    slots = table.insert(keys)
    table.find(keys)
    HeaderFieldList().matchHosts(keys.view(np.uint64)[:4].reshape(2, 2))
    table.remove(table.select(HeaderFieldList(tpSrc=1)))
    table.remove(slots)
