"""
Shared state out of a ledger, and into one; every field of what comes in is checked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from construct import ConstructError
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.policies.ledger import Counted, Fact, Ledger, Matter, Note
from openmb.plugins.bro.policies.logs import SUPPRESSED_FOR
from openmb.plugins.bro.policies.observations import MOST_TOKENS, NOBODY, SESSION, Observation, Sort, Suspicion
from openmb.plugins.bro.policies.records import COUNTERS, FACT, QUIET, SHARED, SUSPICION, SuspicionTail
from openmb.plugins.bro.service import Service
from openmb.state.flowkey import FLOW_KEY
from openmb.state.layout import RecordLayout
from openmb.state.origins import LARGEST, Tallies
from openmb.state.records import RecordBatch, recordBytes

_LAYOUTS = {layout.names: layout for layout in SHARED}
#: Microseconds: no packet is later or earlier; and how much later a notice may be quiet, or a session end.
_HORIZON = (1 << 63) // 1000
_SECOND, _DAY = 1_000_000, 86_400 * 1_000_000
#: Makes a batch of some records of one layout.
_Pack = Callable[[RecordLayout, list[Any]], RecordBatch]


def batchesOf(ledger: Ledger, limit: int) -> Iterator[tuple[RecordBatch, ...]]:
    """All records of a ledger, C{limit} at a time; it may not change meanwhile."""
    parts: tuple[tuple[RecordLayout, dict[Any, Any], _Pack], ...] = (
        (SUSPICION, ledger.observations, _packSuspicions),
        (FACT, ledger.known, _packFacts),
        (QUIET, ledger.quiet, _packQuiet),
        (COUNTERS, ledger.counters.counts, partial(_packCounters, ledger.latest)),
    )
    for layout, things, pack in parts:
        items = iter(things.items())
        while some := list(islice(items, max(limit, 1))):
            yield (pack(layout, some),)


def _batch(layout: RecordLayout, rows: NDArray[Any], tails: Sequence[bytes] | None = None) -> RecordBatch:
    keys = np.zeros((len(rows), FLOW_KEY.itemsize), np.uint8)
    if tails is None:
        return RecordBatch(*layout.names, keys, recordBytes(rows))
    lengths = np.fromiter(map(len, tails), np.uint32, len(tails))
    return RecordBatch(*layout.names, keys, recordBytes(rows), lengths, np.frombuffer(b"".join(tails), np.uint8))


def _packSuspicions(layout: RecordLayout, items: list[tuple[Suspicion, Observation]]) -> RecordBatch:
    rows, tails = np.zeros(len(items), layout.dtype), []
    for row, (suspicion, found) in zip(rows, items, strict=True):
        row["sort"], row["epoch"], row["port"] = suspicion.sort, suspicion.epoch, suspicion.port
        row["who"], row["victim"] = suspicion.who, suspicion.victim
        row["first"], row["last"], row["noticed"] = found.first, found.last, found.noticed
        row["length"] = suspicion.length // _SECOND
        tails.append(bytes(SuspicionTail.build({"tokens": sorted(found.tokens)})))
    return _batch(layout, rows, tails)


def _packFacts(layout: RecordLayout, items: list[tuple[Fact, int]]) -> RecordBatch:
    rows = np.zeros(len(items), layout.dtype)
    for row, (fact, stamp) in zip(rows, items, strict=True):
        row["stamp"], row["address"] = stamp, fact.address
        row["port"], row["protocol"], row["service"] = fact.port, fact.protocol, fact.service
    return _batch(layout, rows)


def _packQuiet(layout: RecordLayout, items: list[Any]) -> RecordBatch:
    rows = np.zeros(len(items), layout.dtype)
    for row, ((note, who), until) in zip(rows, items, strict=True):
        row["note"], row["who"], row["until"] = note, who, until
    return _batch(layout, rows)


def _packCounters(latest: int, layout: RecordLayout, items: list[Any]) -> RecordBatch:
    rows = np.zeros(len(items), layout.dtype)
    rows["latest"] = latest
    for row, ((origin, epoch), counts) in zip(rows, items, strict=True):
        row["origin"] = np.frombuffer(origin, row["origin"].dtype)
        row["epoch"], row["counts"] = epoch, counts
    return _batch(layout, rows)


def parseBatch(batch: RecordBatch) -> Ledger:
    """
    The inverse of L{batchesOf}, of one batch.

    @raise OperationError: it cannot be accepted.
    """
    layout = _LAYOUTS.get((batch.cell, batch.layout, batch.version))
    if layout is None:
        raise OperationError(Refusal.INCOMPATIBLE_RECORDS, f"no shared layout {batch.layout} in cell {batch.cell!r}")
    _accept(batch.records.ndim == 2 and batch.records.shape[1] == layout.size, "records of another size")
    _accept(len(batch.keys) == len(batch) and not batch.keys.any(), "shared records with keys")
    rows = layout.rows(batch.records)
    if layout is SUSPICION:
        return Ledger(observations=_parseSuspicions(rows, batch))
    _accept(batch.tails is None or not len(batch.tails), "tails where there are none")
    if layout is FACT:
        return Ledger(known=_parseFacts(rows))
    if layout is QUIET:
        return Ledger(quiet=_parseQuiet(rows))
    return Ledger(counters=_parseCounters(rows), latest=int(rows["latest"].max(initial=0)))


def _accept(isFine: bool, complaint: str) -> None:
    if not isFine:
        raise OperationError(Refusal.BAD_REQUEST, f"not shared records of Bro: {complaint}")


def _areTimes(values: NDArray[np.int64], later: int = 0) -> bool:
    return bool(((values >= -_HORIZON) & (values <= _HORIZON + later)).all())


def _address(words: NDArray[np.uint64]) -> tuple[int, int]:
    return int(words[0]), int(words[1])


def _parseSuspicions(rows: NDArray[Any], batch: RecordBatch) -> OrderedDict[Suspicion, Observation]:
    lengths, tails = batch.tailLengths, batch.tails
    if lengths is None or tails is None or len(lengths) != len(rows) or int(lengths.sum()) != len(tails):
        raise OperationError(Refusal.BAD_REQUEST, "not shared records of Bro: the tails do not fit")
    _accept(all(_areTimes(rows[name]) for name in ("epoch", "first", "last")), "a time out of range")
    _accept(bool((rows["first"] <= rows["last"]).all()), "the first attempt after the last")
    _accept(bool((rows["noticed"] <= 1).all()), "a mark that does not exist")
    _accept(_areWithin(rows), "attempts that are not of their epoch")
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    octets, found = tails.tobytes(), OrderedDict[Suspicion, Observation]()
    for row, end, length in zip(rows, ends, lengths.tolist(), strict=True):
        tokens = _tokens(octets[end - length : end])
        _accept(not (row["noticed"] and tokens), "attempts after the notice")
        suspicion = _suspicion(row)
        _accept(suspicion not in found, "the same suspicion twice")
        found[suspicion] = Observation(int(row["first"]), int(row["last"]), bool(row["noticed"]), tokens)
    return found


def _areWithin(rows: NDArray[Any]) -> bool:
    """Attempts lie in their epochs; only a session that begins in one, with guesses of passwords, may end later."""
    lengths = rows["length"].astype(np.int64) * _SECOND
    if not ((lengths >= _SECOND) & (lengths <= _DAY)).all() or (rows["epoch"] % np.maximum(lengths, 1)).any():
        return False
    ends = rows["epoch"] + lengths + np.where(rows["sort"] == Sort.GUESSING, SESSION, -1)
    return bool(((rows["first"] >= rows["epoch"]) & (rows["last"] <= ends)).all())


def _suspicion(row: np.void) -> Suspicion:
    _accept(int(row["sort"]) in tuple(Sort), "a sort that does not exist")
    sort, victim, port = Sort(int(row["sort"])), _address(row["victim"]), int(row["port"])
    _accept(victim == NOBODY or sort is Sort.PORT_SCAN, "a victim of no port scan")
    _accept(port == 0 or sort is Sort.ADDRESS_SCAN, "a port of no address scan")
    return Suspicion(sort, int(row["epoch"]), int(row["length"]) * _SECOND, _address(row["who"]), victim, port)


def _tokens(data: bytes) -> set[bytes]:
    try:
        tokens = [bytes(token) for token in SuspicionTail.parse(data)["tokens"]]
    except ConstructError as error:
        raise OperationError(Refusal.BAD_REQUEST, f"not the attempts of a suspicion: {error}") from error
    found = set(tokens)
    _accept(len(tokens) <= MOST_TOKENS, "too many attempts")
    _accept(len(found) == len(tokens), "the same attempt twice")
    return found


def _parseFacts(rows: NDArray[Any]) -> OrderedDict[Fact, int]:
    _accept(_areTimes(rows["stamp"]) and not rows["spare"].any(), "a time out of range")
    _accept(bool(np.isin(rows["protocol"], (0, 6, 17)).all()), "a protocol that does not exist")
    _accept(bool((rows["service"] <= max(Service)).all()), "a service that does not exist")
    hosts = rows["protocol"] == 0
    _accept(not (rows["port"][hosts].any() or rows["service"][hosts].any()), "a host with a port")
    names = ("protocol", "port", "service")
    return OrderedDict(
        (Fact(_address(row["address"]), *(int(row[name]) for name in names)), int(row["stamp"])) for row in rows
    )


def _parseQuiet(rows: NDArray[Any]) -> OrderedDict[Matter, int]:
    _accept(_areTimes(rows["until"], SESSION + SUPPRESSED_FOR) and not rows["spare"].any(), "a time out of range")
    _accept(bool(np.isin(rows["note"], tuple(Note)).all()), "a notice that does not exist")
    return OrderedDict(((Note(int(row["note"])), _address(row["who"])), int(row["until"])) for row in rows)


def _parseCounters(rows: NDArray[Any]) -> Tallies:
    _accept(_areTimes(rows["latest"]), "a time out of range")
    _accept(bool((rows["counts"] <= LARGEST).all()) and not rows["spare"].any(), "a number out of range")
    tallies = Tallies(len(Counted))
    tallies.fold(((bytes(row["origin"]), int(row["epoch"])), row["counts"].astype(np.int64)) for row in rows)
    return tallies
