"""
Records out of a tracker, into a tracker, and from one tracker into another.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.analyzer import Surroundings
from openmb.plugins.bro.records import REPORTING, ROW, SUPPORTING
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tails import Tail, hangRanges, packTail, parseTail, rangesOf
from openmb.plugins.bro.tracking.expiry import isExpired
from openmb.plugins.bro.tracking.states import HISTORY_LIMIT, NEVER, EndpointState
from openmb.plugins.bro.tracking.talks import surroundingsOf
from openmb.plugins.bro.tracking.tracker import Tracker
from openmb.plugins.bro.tracking.urgency import Urgency
from openmb.plugins.bro.tracking.work import reserveRanges
from openmb.state.flowkey import FLOW_KEY
from openmb.state.layout import RecordLayout
from openmb.state.records import RecordBatch

_TCP = 6
#: Tails that are packed at most only to know their size: some milliseconds.
TAILS_MEASURED = 256

#: Microseconds that 64 bits of nanoseconds can stand for.
_LATEST = (1 << 63) // 1000


def exportSlots(tracker: Tracker, slots: NDArray[np.int64]) -> tuple[RecordBatch, RecordBatch]:
    """The supporting and the reporting part of the records in C{slots}."""
    tracker.leave(slots)
    # as bytes: numpy would leave the padding of copied rows as it finds the memory, and that would leave the process
    octets = tracker.table.arrays.octets[slots]
    rows = octets.view(ROW).reshape(len(slots))
    tails = _tailsOf(tracker, slots, rows)
    rows["head"] = -1
    rows["blocks"] = 0
    rows["held"] = 0
    keys = tracker.table.keyBytes(slots)
    lengths = np.fromiter(map(len, tails), np.uint32, len(tails))
    joined = np.frombuffer(b"".join(tails), np.uint8)
    return (
        RecordBatch(*SUPPORTING.names, keys, octets[:, : SUPPORTING.size].copy(), lengths, joined),
        RecordBatch(*REPORTING.names, keys, octets[:, SUPPORTING.size :].copy()),
    )


def _tailsOf(tracker: Tracker, slots: NDArray[np.int64], rows: NDArray[Any]) -> list[bytes]:
    """The tails of these records; most have none."""
    tails = [b""] * len(slots)
    for place in _holding(tracker, slots, rows["head"]):
        tails[place] = _tailOf(tracker, int(slots[place]))
    return tails


def _holding(tracker: Tracker, slots: NDArray[np.int64], heads: NDArray[Any]) -> set[int]:
    """The places in C{slots} of records that have a tail."""
    holding = {int(place) for place in np.flatnonzero((heads >= 0).any(axis=1))}
    holding.update(np.flatnonzero(tracker.areSpeaking(slots)).tolist())
    return holding


def _tailOf(tracker: Tracker, slot: int) -> bytes:
    row = tracker.table.rows[slot]
    ranges = rangesOf(tracker.work, row, 0), rangesOf(tracker.work, row, 1)
    return packTail(Tail(ranges, tracker.conversationOf(slot)))


def tailBytes(tracker: Tracker, slots: NDArray[np.int64]) -> tuple[int, bool]:
    """
    How many bytes the tails of the records in C{slots} have, and whether that is reckoned from some of them: packets
    must not wait until all of many are packed.
    """
    holding = sorted(_holding(tracker, slots, tracker.table.rows["head"][slots]))
    measured = holding[:: -(-len(holding) // TAILS_MEASURED)] if holding else []
    size = sum(len(_tailOf(tracker, int(slots[place]))) for place in measured)
    if len(measured) == len(holding):
        return size, False
    return round(size * len(holding) / len(measured)), True


def importBatch(tracker: Tracker, batch: RecordBatch) -> None:
    """
    Store records in a tracker; one that is there under the same key is replaced.

    @raise OperationError: the batch cannot be accepted; nothing is stored.
    """
    layout = _layoutOf(batch)
    if batch.keys.shape != (len(batch), FLOW_KEY.itemsize) or batch.records.shape[1] != layout.size:
        raise OperationError(Refusal.BAD_REQUEST, f"{layout.name}: keys or records of the wrong size")
    if layout is SUPPORTING:
        _importSupporting(tracker, batch)
    else:
        _importReporting(tracker, batch)


def _layoutOf(batch: RecordBatch) -> RecordLayout:
    for layout in (SUPPORTING, REPORTING):
        if (batch.cell, batch.layout, batch.version) == layout.names:
            return layout
    raise OperationError(
        Refusal.INCOMPATIBLE_RECORDS, f"no layout {batch.layout} version {batch.version} in cell {batch.cell!r}"
    )


def _importSupporting(tracker: Tracker, batch: RecordBatch) -> None:
    records = SUPPORTING.rows(batch.records)
    _checkSupporting(records, batch.keys)
    tails = _parseTails(batch, records)
    wanted = sum(len(side) for tail in tails.values() for side in tail.ranges)
    tracker.work = reserveRanges(tracker.work, wanted)
    table = tracker.table
    known = table.find(batch.keys)
    slots = table.insert(batch.keys)
    # only what was there has ranges to give back: a new row is all zeros, and 0 would be the first range of somebody
    tracker.forget(known[known >= 0])
    table.arrays.octets[slots, : SUPPORTING.size] = batch.records
    for place, tail in tails.items():
        hangTail(tracker, int(slots[place]), tail)


def hangTail(tracker: Tracker, slot: int, tail: Tail) -> None:
    """Give the record in C{slot} what its tail said; room for the ranges was reserved."""
    for side in range(2):
        hangRanges(tracker.work, tracker.table.rows[slot], side, tail.ranges[side])
    if tail.conversation is not None:
        tracker.hang(slot, tail.conversation)
        for agreed in tail.conversation.agreed:
            tracker.agree(agreed)


def _parseTails(batch: RecordBatch, records: NDArray[Any]) -> dict[int, Tail]:
    """The tails that are not empty, by place in the batch."""
    if batch.tailLengths is None or batch.tails is None:
        return {}
    ends = np.cumsum(batch.tailLengths, dtype=np.int64)
    if len(ends) != len(records) or (len(ends) and int(ends[-1]) != len(batch.tails)):
        raise OperationError(Refusal.BAD_REQUEST, "the tails do not fit the records")
    found = {}
    for place in np.flatnonzero(batch.tailLengths).tolist():
        data = batch.tails[int(ends[place]) - int(batch.tailLengths[place]) : int(ends[place])].tobytes()
        found[place] = parseTail(data, partial(_surroundings, records[place], batch.keys[place]))
    return found


def _surroundings(record: np.void, key: NDArray[np.uint8]) -> Surroundings:
    """What the analysers of an imported connection know of it."""
    return surroundingsOf(key.tobytes(), bool(record["swapped"]), bool(record["tcp"]))


def _importReporting(tracker: Tracker, batch: RecordBatch) -> None:
    records = REPORTING.rows(batch.records)
    _accept(bool((records["letters"] <= HISTORY_LIMIT).all()), "a history that is too long")
    _accept(_isText(records["history"], records["letters"]), "a history of other characters than letters")
    _accept(_isMoment(records["start"]) and _isMoment(records["last"]), "a time out of range")
    _accept(_areNumbers(records, REPORTING), "a number out of range")
    _accept(bool((records["tunnelled"] <= 1).all()), "a mark that does not exist")
    _accept(not (records["login"].any() or records["reserved"].any()), "the end of a connection that goes on")
    slots = tracker.table.find(batch.keys)
    _accept(bool((slots >= 0).all()), "a report without its supporting record")
    _accept(bool((records["services"] <= max(Service)).all()), "a service that does not exist")
    tracker.table.arrays.octets[slots, SUPPORTING.size :] = batch.records
    if tracker.conversations:
        for place, slot in enumerate(slots.tolist()):
            if slot in tracker.conversations:
                names = records["services"][place].tolist()
                tracker.conversations[slot].services = [Service(name) for name in names if name]


def _checkSupporting(records: NDArray[Any], keys: NDArray[np.uint8]) -> None:
    """Refuse what no kernel could have written."""
    native = np.ascontiguousarray(keys).view(FLOW_KEY).reshape(len(keys))
    _accept(bool(((native["protocol"] == _TCP) == (records["tcp"] == 1)).all()), "a record of another protocol")
    _accept(bool((records["head"] == -1).all() and (records["blocks"] == 0).all()), "ranges outside the tail")
    _accept(bool((records["swapped"] <= 1).all()), "an orientation that does not exist")
    _accept(bool((records["analyzer"] <= max(Service)).all()), "a service that does not exist")
    _accept(bool((records["inspect"] <= 1).all()), "a mark that does not exist")
    _accept(bool((records["urgent"] <= max(Urgency)).all()), "an urgency that does not exist")
    _accept(bool((records["state"] <= max(EndpointState)).all()), "an endpoint state that does not exist")
    _accept(
        all(_isTime(records[name]) for name in ("deadline", "partialClose", "attempt", "timeout")),
        "a time out of range",
    )
    _accept(_areNumbers(records, SUPPORTING), "a number out of range")


def _areNumbers(records: NDArray[Any], layout: RecordLayout) -> bool:
    """Are all numbers of 64 bits small enough to be added to each other?"""
    return all(
        bool(((records[name] <= NEVER) & (records[name] >= -NEVER)).all())
        if kind.base.kind == "i"
        else bool((records[name] <= np.uint64(NEVER)).all())
        for name, (kind, *_) in (layout.dtype.fields or {}).items()
        if kind.base.itemsize == 8
    )


def _isText(history: NDArray[np.uint8], letters: NDArray[np.uint8]) -> bool:
    """Are the first C{letters[n]} of C{history[n, k]} printable characters of ASCII?"""
    isWritten = np.arange(history.shape[1]) < letters[:, None]
    return bool((~isWritten | ((history > ord(" ")) & (history <= ord("~")))).all())


def _isMoment(values: NDArray[np.int64]) -> bool:
    """Are these times of packets, which have 64 bits of nanoseconds?"""
    return bool(((values >= -_LATEST) & (values <= _LATEST)).all())


def _isTime(values: NDArray[np.int64]) -> bool:
    return bool(((values >= -NEVER) & (values <= NEVER)).all())


def _accept(isFine: bool, complaint: str) -> None:
    if not isFine:
        raise OperationError(Refusal.BAD_REQUEST, f"not records of connections: {complaint}")


def meetings(own: Tracker, provisional: Tracker) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """
    Where provisional records meet own ones under the same key.

    @return: slots of own records that have ended by the newest time of the provisional one, and slots of live ones.
    """
    slots = provisional.table.slots()
    found = own.table.find(provisional.table.keys[slots])
    ended: list[int] = []
    live: list[int] = []
    for mine, theirs in zip(found[found >= 0].tolist(), slots[found >= 0].tolist(), strict=True):
        row, newest = own.table.rows[mine], int(provisional.table.rows[theirs]["last"])
        isOver = row["deadline"] != NEVER or isExpired(row, newest)
        (ended if isOver and own.table.marks[mine] == 0 else live).append(mine)
    return np.array(ended, np.int64), np.array(live, np.int64)


def adopt(own: Tracker, provisional: Tracker) -> int:
    """Make all provisional records C{own}'s; none meets another, room was reserved.  How many."""
    if own.isEmpty and own.table.maximum == provisional.table.maximum:
        own.take(provisional)
        return len(own.table)
    slots = provisional.table.slots()
    provisional.leave(slots)
    rows = provisional.table.rows[slots]
    places = own.table.insert(provisional.table.keys[slots])
    own.table.rows[places] = rows
    own.table.rows["head"][places] = -1
    holding = set(np.flatnonzero((rows["head"] >= 0).any(axis=1)).tolist())
    wanted = int(rows["blocks"].sum())
    own.work = reserveRanges(own.work, wanted)
    for place in holding:
        row = provisional.table.rows[slots[place]]
        ranges = rangesOf(provisional.work, row, 0), rangesOf(provisional.work, row, 1)
        hangTail(own, int(places[place]), Tail(ranges, None))
    if provisional.conversations:
        moved = dict(zip(slots.tolist(), places.tolist(), strict=True))
        for slot, conversation in provisional.conversations.items():
            own.hang(moved[slot], conversation)
    own.learn(provisional)
    return len(slots)
