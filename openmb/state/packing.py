"""
Record batches as bytes: a clear part (what and under which keys), and a plain part that is sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from construct import Container, Int8ul, Int16ul, Int32ul, Struct
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell

CLEAR = Struct(
    "cell" / Int8ul * "role * 2 + partition",
    "layout" / Int16ul * "identifier of the record layout, unique within the kind",
    "version" / Int16ul * "version of the record layout",
    "keySize" / Int16ul * "bytes of each native key",
    "count" / Int32ul * "how many records; as many keys follow, one after the other",
).compile()
PLAIN = Struct(
    "recordSize" / Int32ul * "bytes of the fixed-size part of each record; the fixed-size parts follow",
    "tailed" / Int8ul * "1: then follow the length of each record's tail (u32) and the tails; 0: nothing follows",
).compile()
#: Bytes that a pack of records may have unless told otherwise (a single larger record travels alone).
PACK_BYTES = 65536
_CELLS = frozenset(Cell)
# a compiled construct still asks every field for its size each time
_CLEAR_SIZE, _PLAIN_SIZE = CLEAR.sizeof(), PLAIN.sizeof()
_HEADS = _CLEAR_SIZE + _PLAIN_SIZE


def packRecords(batch: RecordBatch) -> tuple[bytes, bytes]:
    """The clear and the plain part of C{batch}."""
    keySize, recordSize = batch.keys.shape[1], batch.records.shape[1]
    head = {"cell": batch.cell, "layout": batch.layout, "version": batch.version}
    clear = CLEAR.build({**head, "keySize": keySize, "count": len(batch)})
    tailed = batch.tails is not None and batch.tailLengths is not None
    parts = [PLAIN.build({"recordSize": recordSize, "tailed": tailed}), batch.records.tobytes()]
    if batch.tails is not None and batch.tailLengths is not None:
        parts += [batch.tailLengths.astype("<u4", copy=False).tobytes(), batch.tails.tobytes()]
    return clear + batch.keys.tobytes(), b"".join(parts)


def unpackRecords(clear: bytes, plain: bytes) -> RecordBatch:
    """
    The batch that L{packRecords} took apart; its arrays are read-only.

    @raise OperationError: C{BAD_REQUEST}, the lengths do not fit to the last byte or a code is unknown.
    """
    head, front = _parse(CLEAR, _CLEAR_SIZE, clear), _parse(PLAIN, _PLAIN_SIZE, plain)
    if head.cell not in _CELLS or front.tailed > 1 or not front.recordSize:
        raise _nonsense(f"cell {head.cell}, {front.recordSize} bytes a record, tail mark {front.tailed}")
    keys, rest = _rows(np.frombuffer(clear, np.uint8)[_CLEAR_SIZE:], head.count, head.keySize)
    if len(rest):
        raise _nonsense(f"{len(rest)} bytes after {head.count} keys")
    records, rest = _rows(np.frombuffer(plain, np.uint8)[_PLAIN_SIZE:], head.count, front.recordSize)
    lengths, tails = _tails(rest, head.count) if front.tailed else (None, None)
    if lengths is None and len(rest):
        raise _nonsense(f"{len(rest)} bytes after {head.count} records")
    return RecordBatch(Cell(head.cell), head.layout, head.version, keys, records, lengths, tails)


def _parse(part: Any, size: int, data: bytes) -> Container[Any]:
    if len(data) < size:
        raise _nonsense("cut off in its head")
    found: Container[Any] = part.parse(data)
    return found


def _rows(data: NDArray[np.uint8], count: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """C{count} rows of C{size} bytes, and the rest."""
    if count * size > len(data):
        raise _nonsense(f"{len(data)} bytes where {count} times {size} are due")
    return data[: count * size].reshape(count, size), data[count * size :]


def _tails(data: NDArray[np.uint8], count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    octets, tails = _rows(data, count, 4)
    lengths = np.ascontiguousarray(octets).view("<u4").reshape(count)
    total = int(lengths.sum(dtype=np.uint64))
    if total != len(tails):
        raise _nonsense(f"{len(tails)} bytes of tails where {total} are due")
    return lengths, tails


def _nonsense(reason: str) -> OperationError:
    return OperationError(Refusal.BAD_REQUEST, f"a pack of records makes no sense: {reason}")


def splitBatch(batch: RecordBatch, maximumBytes: int = PACK_BYTES) -> Iterator[RecordBatch]:
    """
    C{batch} in consecutive parts that give packs (clear and plain part together) of at most C{maximumBytes}; a record
    that is larger by itself travels alone.  Nothing for an empty batch.
    """
    each = batch.keys.shape[1] + batch.records.shape[1]
    costs = np.full(len(batch), each, np.int64)
    if batch.tailLengths is not None:
        costs += batch.tailLengths.astype(np.int64) + 4
    ends = np.cumsum(costs)
    start, base = 0, 0
    while start < len(batch):
        stop = max(int(np.searchsorted(ends, base + maximumBytes - _HEADS, side="right")), start + 1)
        yield _part(batch, start, stop)
        start, base = stop, int(ends[stop - 1])


def _part(batch: RecordBatch, start: int, stop: int) -> RecordBatch:
    if (start, stop) == (0, len(batch)):
        return batch
    lengths = tails = None
    if batch.tails is not None and batch.tailLengths is not None:
        lengths = batch.tailLengths[start:stop]
        first = int(batch.tailLengths[:start].sum(dtype=np.uint64))
        tails = batch.tails[first : first + int(lengths.sum(dtype=np.uint64))]
    keys, records = batch.keys[start:stop], batch.records[start:stop]
    return RecordBatch(batch.cell, batch.layout, batch.version, keys, records, lengths, tails)
