"""
Records out of a tracker, into a tracker, and from one tracker into another.
"""

from __future__ import annotations

import numpy as np
from construct import ConstructError
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.plugins.prads.hosts import MOST_FACTS, PATIENCE, TCP, UDP, Host, Service
from openmb.plugins.prads.records import HOST, LATEST, NAME, REPORTING, SUPPORTING, HostTail
from openmb.plugins.prads.signatures.fingerprint import Check
from openmb.plugins.prads.signatures.services import TEXT
from openmb.plugins.prads.signatures.vendors import VENDOR
from openmb.plugins.prads.statistics import Counter
from openmb.plugins.prads.tracker import Tracker
from openmb.state.flowkey import FLOW_KEY, HOST_KEY
from openmb.state.records import RecordBatch, recordBytes

_CHECKS = 4 | 8 | 16 | 32
#: Counters are signed elsewhere.
_LARGEST = (1 << 63) - 1
_LAYOUTS = {layout.names: layout for layout in (SUPPORTING, REPORTING, HOST)}


def exportFlows(tracker: Tracker, slots: NDArray[np.int64]) -> tuple[RecordBatch, RecordBatch]:
    """The supporting and the reporting part of the connections in C{slots}."""
    octets = tracker.table.arrays.octets[slots]
    keys = tracker.table.keyBytes(slots)
    return (
        RecordBatch(*SUPPORTING.names, keys, octets[:, : SUPPORTING.size].copy()),
        RecordBatch(*REPORTING.names, keys, octets[:, SUPPORTING.size :].copy()),
    )


def hostsOf(tracker: Tracker, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slots of the hosts that are known of those at the ends of these connections, ascending."""
    keys = tracker.table.keys[slots]
    found = tracker.hosts.table.find(np.concatenate([keys[:, :2], keys[:, 2:4]]))
    return np.unique(found[found >= 0])


def exportHosts(tracker: Tracker, slots: NDArray[np.int64]) -> RecordBatch:
    """Copies of what is known of the hosts in C{slots}."""
    table, known = tracker.hosts.table, tracker.hosts.known
    rows, tails = table.rows[slots], []
    for place, slot in enumerate(slots.tolist()):
        host = known.get(slot) or Host()
        rows["card"][place] = np.frombuffer(host.card, rows["card"].dtype)
        tails.append(_packTail(host))
    lengths = np.fromiter(map(len, tails), np.uint32, len(tails))
    joined = np.frombuffer(b"".join(tails), np.uint8)
    return RecordBatch(*HOST.names, table.keyBytes(slots), recordBytes(rows), lengths, joined)


def _packTail(host: Host) -> bytes:
    return bytes(
        HostTail.build(
            {
                "vendor": [] if host.vendor is None else [host.vendor],
                "systems": [{"check": check, "line": line} for check, line in host.systems],
                "services": [
                    {"port": port, "protocol": protocol} | {name: getattr(one, name) for name in Service.__slots__}
                    for (port, protocol), one in host.services.items()
                ],
            }
        )
    )


def importBatch(tracker: Tracker, batch: RecordBatch) -> None:
    """
    Store records in a tracker; one that is there under the same key is replaced.

    @raise OperationError: the batch cannot be accepted; nothing is stored.
    """
    layout = _LAYOUTS.get((batch.cell, batch.layout, batch.version))
    if layout is None:
        raise OperationError(
            Refusal.INCOMPATIBLE_RECORDS, f"no layout {batch.layout} version {batch.version} in cell {batch.cell!r}"
        )
    size = HOST_KEY.itemsize if layout is HOST else FLOW_KEY.itemsize
    _accept(batch.keys.shape == (len(batch), size) and batch.records.shape[1] == layout.size, "a size that is wrong")
    if layout is HOST:
        _importHosts(tracker, batch)
        return
    _accept(batch.tails is None or not len(batch.tails), "tails where there are none")
    records = layout.rows(batch.records)
    if layout is SUPPORTING:
        _accept(bool((records["swapped"] <= 1).all()), "an orientation that does not exist")
        _accept(bool((records["check"] & ~np.uint8(_CHECKS) == 0).all()), "a check that does not exist")
        _accept(not records["pending"].any(), "a search that is not over")
        slots = tracker.table.insert(batch.keys)
        tracker.table.arrays.octets[slots, : layout.size] = batch.records
        # the row of a record that is there already must not be taken for that of a new connection
        new = slots[tracker.table.rows["number"][slots] == 0]
        tracker.counters[Counter.NUMBER] += len(new)
        tracker.table.rows["number"][new] = tracker.counters[Counter.NUMBER]
        return
    _accept(bool((records["number"] > 0).all()), "a connection without a number")
    _accept(_areTimes(records["start"]) and _areTimes(records["last"]), "a time out of range")
    most = max(int(records[name].max(initial=0)) for name in ("number", "packets", "bytes"))
    _accept(most <= _LARGEST, "a number out of range")
    slots = tracker.table.find(batch.keys)
    _accept(bool((slots >= 0).all()), "a report without its supporting record")
    tracker.table.arrays.octets[slots, SUPPORTING.size :] = batch.records
    tracker.table.mark(slots, 1)


def _areTimes(values: NDArray[np.int64]) -> bool:
    return bool(((values >= 0) & (values <= LATEST)).all())


def _accept(isFine: bool, complaint: str) -> None:
    if not isFine:
        raise OperationError(Refusal.BAD_REQUEST, f"not records of PRADS: {complaint}")


def _importHosts(tracker: Tracker, batch: RecordBatch) -> None:
    records = HOST.rows(batch.records)
    _accept(_areTimes(records["first"]) and _areTimes(records["last"]), "a time out of range")
    lengths = batch.tailLengths
    _accept(lengths is not None and batch.tails is not None and len(lengths) == len(records), "hosts without tails")
    assert lengths is not None and batch.tails is not None
    ends = np.cumsum(lengths, dtype=np.int64)
    _accept(not len(ends) or int(ends[-1]) == len(batch.tails), "tails that do not fit")
    octets = batch.tails.tobytes()
    hosts = [
        _parseTail(tracker, octets[end - length : end], bytes(card))
        for end, length, card in zip(ends.tolist(), lengths.tolist(), records["card"], strict=True)
    ]
    slots = tracker.hosts.table.insert(batch.keys)
    tracker.hosts.table.arrays.octets[slots] = batch.records
    for slot, host in zip(slots.tolist(), hosts, strict=True):
        tracker.hosts.replace(slot, host)


def _parseTail(tracker: Tracker, data: bytes, card: bytes) -> Host:
    try:
        parsed = HostTail.parse(data)
    except ConstructError as error:
        raise OperationError(Refusal.BAD_REQUEST, f"not what is known of a host: {error}") from error
    _accept(len(parsed.vendor) <= 1 and all(len(each) <= VENDOR for each in parsed.vendor), "no vendor")
    host = Host(card=card, vendor=bytes(parsed.vendor[0]) if parsed.vendor else None)
    _accept(max(len(parsed.systems), len(parsed.services)) <= MOST_FACTS, "too many services or fingerprints")
    for each in parsed.systems:
        _accept(each.check in tuple(Check), "a check that does not exist")
        _accept(-1 <= each.line < len(tracker.rules.signatures.named[each.check]), "a signature that does not exist")
        host.systems[each.check, each.line] = None
    for each in parsed.services:
        _accept(each.protocol in (TCP, UDP) and each.role <= 2 and each.attempts <= PATIENCE, "no service")
        _accept(0 <= each.first <= LATEST and 0 <= each.last <= LATEST, "a service's time out of range")
        _accept(len(each.name) <= NAME and len(each.application) <= TEXT, "a text that is too long")
        host.services[each.port, each.protocol] = Service(
            **{name: each[name] for name in Service.__slots__}  # the fields of both have the same names
        )
    return host


def mergeHosts(tracker: Tracker, other: Tracker) -> None:
    """What C{other} knows of hosts is known from now on: facts unite, nothing is written."""
    slots = other.hosts.table.slots()
    if len(slots) > tracker.hosts.maximum:
        slots = slots[np.argsort(other.hosts.table.rows["last"][slots], kind="stable")[-tracker.hosts.maximum :]]
    theirs = other.hosts.table
    for place in slots.tolist():
        tracker.hosts.reserve(1)
        slot = int(tracker.hosts.table.insert(theirs.keys[place : place + 1])[0])
        row, given = tracker.hosts.table.rows[slot], theirs.rows[place]
        isLater = given["last"] >= row["last"]
        host = other.hosts.known.get(place)
        if host is not None:
            tracker.hosts.merge(slot, host, bool(isLater))
        row["first"] = min(row["first"], given["first"]) if row["last"] else given["first"]
        if isLater:
            row["last"], row["vlan"] = given["last"], given["vlan"]


def adopt(tracker: Tracker, other: Tracker) -> int:
    """Take over everything that C{other} has, of which no connection is known here; how many connections."""
    slots = other.table.slots()
    rows = other.table.rows[slots]
    # those built by re-processing alone never had an id from their source
    own = np.flatnonzero(other.table.marks[slots] == 0)
    order = own[np.argsort(rows["number"][own], kind="stable")]
    number = int(tracker.counters[Counter.NUMBER])
    rows["number"][order] = np.arange(number + 1, number + 1 + len(order))
    tracker.counters[Counter.NUMBER] += len(order)
    places = tracker.table.insert(other.table.keys[slots])
    tracker.table.rows[places] = rows
    mergeHosts(tracker, other)
    return len(slots)
