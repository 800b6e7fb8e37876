"""
Rows of the fast path as lines of http.log, where no text in them has to be escaped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.fastpath.lanes import AGENT, HOST, INFO_REASON, METHOD, ORIGIN, REASON, REFERRER, URI, Lanes
from openmb.plugins.bro.reporting.rowkernel import putEnds
from openmb.plugins.bro.reporting.textkernel import LONGEST_ADDRESS, LONGEST_NUMBER, putNumber, putTime
from openmb.plugins.bro.reporting.uidkernel import LONGEST_ID, keyState, putID
from openmb.plugins.bro.tracking.letters import hexDigit
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth, constants

#: Something has to be escaped: the row must be written some other way.
ODD, _TAB, _DASH, _PERCENT = constants((-1, 9, 45, 37))
_EMPTY = np.frombuffer(b"(empty)", np.uint8)
#: What every such line ends with: no tags, no user, password and proxies, no files.
_REST = np.frombuffer(b"\t(empty)" + b"\t-" * 9 + b"\n", np.uint8)
#: Bytes of a line at most, besides its texts.
_FIXED = 12 * (LONGEST_NUMBER + 1) + 2 * LONGEST_ADDRESS + LONGEST_ID + 8 * len(_EMPTY) + len(_REST) + 32


def _ordinary() -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[0x20:0x7F] = True
    table[0x5C] = False
    return table


_ORDINARY = _ordinary()


def linesOf(
    lanes: Lanes, nodes: NDArray[np.int32], seed: NDArray[np.uint64], room: NDArray[np.uint64]
) -> tuple[bytes, NDArray[np.int64]] | None:
    """
    The lines of finished rows, and where each ends.

    @param seed: what L{openmb.plugins.bro.reporting.uidkernel.seedOf} gives.
    @param room: C{uint64[66]}, to work in.
    @return: None when something in them has to be escaped.
    """
    out = np.empty(int(lanes.requests["size"][nodes].sum()) + _FIXED * len(nodes), np.uint8)
    ends = np.empty(len(nodes), np.int64)
    with np.errstate(over="ignore"):  # without a compiler numpy warns of sums that hashing wants cut off
        size = int(_writeLines(lanes, nodes, seed, room, out, ends))
    return (out[:size].tobytes(), ends) if size >= 0 else None


@njit(**INNER)
def _readsUnset(out: Any, begin: Number, size: Number) -> Truth:
    """Does a text read like an unset or an empty field?"""
    if size == 1:
        return out[begin] == _DASH
    same, place = size == len(_EMPTY), 0
    while same and place < size:
        same = out[begin + place] == _EMPTY[place]
        place += 1
    return same


@njit(**INNER)
def _putAll(out: Any, place: Number, data: Any) -> Number:
    """Write bytes as they are."""
    for i in range(len(data)):
        out[place + i] = data[i]
    return place + len(data)


@njit(**INNER)
def _putText(out: Any, place: Number, data: Any, begin: Number, size: Number, isEscaped: Truth) -> Number:
    """
    Write a text, or an unset field where C{begin} is negative; L{ODD} where it would have to be escaped.

    @param isEscaped: C{%} with two hexadecimal digits stands for a byte.
    """
    if begin < 0:
        out[place] = _DASH
        return place + 1
    if size == 0:
        return _putAll(out, place, _EMPTY)
    first, position, stop = place, begin, begin + size
    while position < stop:
        byte = np.int64(data[position])
        position += 1
        if isEscaped and byte == _PERCENT:
            if position + 2 > stop:
                return ODD
            high, low = hexDigit(np.int64(data[position])), hexDigit(np.int64(data[position + 1]))
            if high < 0 or low < 0:
                return ODD
            byte = 16 * high + low
            position += 2
        if not _ORDINARY[byte]:
            return ODD
        out[place] = byte
        place += 1
    return ODD if _readsUnset(out, first, place - first) else place


@njit(**INNER)
def _putField(out: Any, place: Number, heap: Any, request: Any, text: Number, isEscaped: Truth) -> Number:
    """A tab and a text; L{ODD} as L{_putText}."""
    if place < 0:
        return place
    out[place] = _TAB
    return _putText(out, place + 1, heap, request["place"][text], np.int64(request["size"][text]), isEscaped)


@njit(**INNER)
def _putCount(out: Any, place: Number, number: Number) -> Number:
    """A tab and a number."""
    if place < 0:
        return place
    out[place] = _TAB
    return putNumber(out, place + 1, np.uint64(number))


@njit(**INNER)
def _putRow(out: Any, place: Number, heap: Any, request: Any) -> Number:
    """What follows the ends of the connection, but for the tab before it; L{ODD} as L{_putText}."""
    place = putNumber(out, place, np.uint64(request["depth"]))
    for text in (METHOD, HOST, URI, REFERRER):
        place = _putField(out, place, heap, request, text, request["escaped"] and text == URI)
    if place < 0:
        return place
    out[place] = _TAB
    out[place + 1] = 49
    out[place + 2] = 46
    out[place + 3] = 38 + np.int64(request["version"])
    place += 4
    for text in (AGENT, ORIGIN):
        place = _putField(out, place, heap, request, text, False)
    place = _putCount(out, place, request["requestLength"])
    place = _putCount(out, place, request["responseLength"])
    place = _putCount(out, place, request["status"])
    place = _putField(out, place, heap, request, REASON, False)
    if place < 0:
        return place
    if request["infoCode"]:
        place = _putField(out, _putCount(out, place, request["infoCode"]), heap, request, INFO_REASON, False)
    else:
        for i in range(0, 4, 2):
            out[place + i] = _TAB
            out[place + i + 1] = _DASH
        place += 4
    return place if place < 0 else _putAll(out, place, _REST)


@njit(cache=True)
def _writeLines(lanes: Any, nodes: Any, seed: Any, room: Any, out: Any, ends: Any) -> Number:
    """Write the lines: how many bytes; L{ODD} when something has to be escaped."""
    keyed, state, block = room[:24], room[24:48], room[48:64]
    keyState(seed, keyed)
    place = np.int64(0)
    for i in range(len(nodes)):
        request = lanes.requests[nodes[i]]
        key = request["key"]
        place = putTime(out, place, request["stamp"] // 1000)
        out[place] = _TAB
        place = putID(out, place + 1, keyed, key, request["start"], state, block)
        out[place] = _TAB
        place = putEnds(out, place + 1, key, np.int64(request["swapped"]))
        place = _putRow(out, place, lanes.heap, request)
        if place < 0:
            return ODD
        ends[i] = place
    return place
