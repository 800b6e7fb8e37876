"""
Caches as records: packets of a cache, some dozens together, compressed before anybody seals them.

The fingerprint table is not sent: whoever needs one rebuilds it from the packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.plugins.smartre.caches import DecodingCache
from openmb.plugins.smartre.format import isNewer
from openmb.plugins.smartre.records import COUNTERS, COUNTS, PACK, PACKED
from openmb.plugins.smartre.settings import MOST_CACHES
from openmb.plugins.smartre.store import PacketStore
from openmb.state.flowkey import FLOW_KEY
from openmb.state.origins import LARGEST, Tallies
from openmb.state.records import RecordBatch, recordBytes

#: zstd's level: fast, and payloads are mostly text or mostly noise.
LEVEL = 1
_ID, _LENGTH = 8, 2


@dataclass(frozen=True, slots=True)
class Pack:
    """
    Some packets of one cache.

    @ivar ids: C{uint64[n]}, absolute; C{lengths}: C{int64[n]}; C{data}: the payloads, one after the other.
    """

    cache: int
    epoch: int
    next: int
    ids: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    data: NDArray[np.uint8]


def packsOf(number: int, epoch: int, store: PacketStore, ids: NDArray[np.uint64] | None = None) -> Iterator[Pack]:
    """
    The packets that a store holds, oldest first; at least one pack, which tells of the epoch.

    @param ids: only these; those that are not held are left out.
    """
    wanted = store.held() if ids is None else ids[np.array([store.holds(int(each)) for each in ids], np.bool_)]
    slots = (wanted & np.uint64(store.slots - 1)).astype(np.int64)
    lengths = store.lengths[slots].astype(np.int64)
    starts = slots * store.slotBytes
    for place in range(0, max(len(wanted), 1), PACKED):
        end = min(place + PACKED, len(wanted))
        parts = [store.payloads[starts[each] : starts[each] + lengths[each]] for each in range(place, end)]
        data = np.concatenate(parts) if parts else np.zeros(0, np.uint8)
        yield Pack(number, epoch, store.next, wanted[place:end], lengths[place:end], data)


def packCount(store: PacketStore) -> int:
    """How many packs L{packsOf} makes."""
    return max(-(-int(np.count_nonzero(store.ids)) // PACKED), 1)


def packBatch(packs: list[Pack], store: PacketStore) -> RecordBatch:
    """Packs of caches of the shape of C{store} as records."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    rows, tails = np.zeros(len(packs), PACK.dtype), []
    for row, pack in zip(rows, packs, strict=True):
        row["cache"], row["epoch"], row["next"] = pack.cache, pack.epoch, pack.next
        row["slots"], row["slotBytes"] = store.slots, store.slotBytes
        row["count"], row["size"] = len(pack.ids), len(pack.data)
        octets = pack.ids.astype("<u8").tobytes() + pack.lengths.astype("<u2").tobytes() + pack.data.tobytes()
        tails.append(compressor.compress(octets))
    lengths = np.fromiter(map(len, tails), np.uint32, len(tails))
    joined = np.frombuffer(b"".join(tails), np.uint8)
    return RecordBatch(*PACK.names, _keys(rows), recordBytes(rows), lengths, joined)


def _keys(rows: NDArray[Any]) -> NDArray[np.uint8]:
    return np.zeros((len(rows), FLOW_KEY.itemsize), np.uint8)


def parsePacks(batch: RecordBatch, store: PacketStore) -> list[Pack]:
    """
    The inverse of L{packBatch}.

    @raise OperationError: it cannot be accepted: damaged, or of caches that have another shape than C{store}.
    """
    _accept(batch.records.ndim == 2 and batch.records.shape[1] == PACK.size, "records of another size")
    _accept(len(batch.keys) == len(batch) and not batch.keys.any(), "shared records with keys")
    rows, lengths, tails = PACK.rows(batch.records), batch.tailLengths, batch.tails
    if lengths is None or tails is None or len(lengths) != len(rows) or int(lengths.sum()) != len(tails):
        raise OperationError(Refusal.BAD_REQUEST, "not the caches of SmartRE: the tails do not fit")
    ends, octets = np.cumsum(lengths, dtype=np.int64).tolist(), tails.tobytes()
    return [
        _parse(row, octets[end - length : end], store)
        for row, end, length in zip(rows, ends, lengths.tolist(), strict=True)
    ]


def _parse(row: np.void, tail: bytes, store: PacketStore) -> Pack:
    if (int(row["slots"]), int(row["slotBytes"])) != (store.slots, store.slotBytes):
        reason = f"caches of {row['slots']} slots of {row['slotBytes']} bytes, not {store.slots} of {store.slotBytes}"
        raise OperationError(Refusal.INCOMPATIBLE_RECORDS, reason)
    count, size = int(row["count"]), int(row["size"])
    _accept(int(row["cache"]) < MOST_CACHES and not row["spare"], "a cache that does not exist")
    _accept(count <= PACKED and size <= PACKED * store.slotBytes, "a pack that is too large")
    _accept(bool(row["epoch"]) or not count, "packets of no epoch")
    whole = count * (_ID + _LENGTH) + size
    try:
        octets = zstandard.ZstdDecompressor().decompress(tail, max_output_size=max(whole, 1))
    except zstandard.ZstdError as error:
        raise OperationError(Refusal.BAD_REQUEST, f"not the packets of a cache: {error}") from error
    _accept(len(octets) == whole, "a pack of another length")
    ids = np.frombuffer(octets, "<u8", count)
    lengths = np.frombuffer(octets, "<u2", count, count * _ID).astype(np.int64)
    _accept(int(lengths.sum()) == size and not (lengths > store.slotBytes).any(), "payloads of another length")
    data = np.frombuffer(octets, np.uint8, size, whole - size)
    return Pack(int(row["cache"]), int(row["epoch"]), int(row["next"]), ids.astype(np.uint64), lengths, data)


def _accept(isFine: bool, complaint: str) -> None:
    if not isFine:
        raise OperationError(Refusal.BAD_REQUEST, f"not the caches of SmartRE: {complaint}")


def unpack(pack: Pack, cache: DecodingCache) -> None:
    """
    What a pack says is in C{cache} from now on.

    The encoder alone gives ids, so within an epoch the same id is the same packet: stores unite, and of two packets for
    one slot the later stays.  A newer epoch empties the cache, an older one says nothing.
    """
    store = cache.decoder.store
    if pack.epoch != cache.epoch:
        if not pack.epoch or (cache.epoch and not isNewer(pack.epoch, cache.epoch)):
            return
        cache.begin(pack.epoch, int(pack.ids[0]) if len(pack.ids) else pack.next)
    starts = np.cumsum(pack.lengths) - pack.lengths
    store.insertAll(pack.ids, pack.data, starts, pack.lengths)
    store.reached(pack.next)


def countersBatch(tallies: Tallies) -> RecordBatch:
    """Counters as records."""
    rows = np.zeros(len(tallies), COUNTERS.dtype)
    for row, ((origin, epoch), counts) in zip(rows, tallies.counts.items(), strict=True):
        row["origin"] = np.frombuffer(origin, row["origin"].dtype)
        row["epoch"], row["counts"] = epoch, counts
    return RecordBatch(*COUNTERS.names, _keys(rows), recordBytes(rows))


def parseCounters(batch: RecordBatch) -> Tallies:
    """
    The inverse of L{countersBatch}.

    @raise OperationError: it cannot be accepted.
    """
    _accept(batch.records.ndim == 2 and batch.records.shape[1] == COUNTERS.size, "records of another size")
    _accept(len(batch.keys) == len(batch) and not batch.keys.any(), "shared records with keys")
    rows = COUNTERS.rows(batch.records)
    _accept(bool((rows["counts"] <= LARGEST).all()) and not rows["spare"].any(), "a number out of range")
    tallies = Tallies(COUNTS)
    tallies.fold(((bytes(row["origin"]), int(row["epoch"])), row["counts"].astype(np.int64)) for row in rows)
    return tallies
