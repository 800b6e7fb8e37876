"""
PRADS's lines of connections, as its C{-x} prints them, and the order in which it ends connections.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.state.flowkey import FLOW_KEY

_BUCKETS = 31337
_MAPPED = 0xFFFF
_LOW = (1 << 32) - 1


def connectionLine(key: np.void, row: np.void, status: str) -> str:
    """One line, without its end."""
    client, server = ("b", "a") if row["swapped"] else ("a", "b")
    start, last = int(row["start"]), int(row["last"])
    fields = (
        f"{start}{int(row['number']):09}",
        _time(start),
        _time(last),
        last - start,
        int(key["protocol"]),
        _address(key, client),
        int(key[f"{client}_port"]),
        _address(key, server),
        int(key[f"{server}_port"]),
        int(row["packets"][0]),
        int(row["bytes"][0]),
        int(row["packets"][1]),
        int(row["bytes"][1]),
        int(row["flags"][0]),
        int(row["flags"][1]),
        f"[{status}]",
    )
    return "|".join(map(str, fields))


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _isFour(keys: Any) -> Any:
    """Is it IPv4?  Of one key, or of each of several."""
    return (keys["padding"] == 0) & (keys["a_high"] == 0) & (keys["a_low"] >> np.uint64(32) == _MAPPED)


def _address(key: np.void, end: str) -> str:
    high, low = int(key[f"{end}_high"]), int(key[f"{end}_low"])
    if _isFour(key):
        return socket.inet_ntop(socket.AF_INET, (low & _LOW).to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, (high << 64 | low).to_bytes(16, "big"))


def endStatus(key: np.void, row: np.void) -> str:
    """How a connection is said to have ended that was idle for longer than every time-out."""
    if int(key["protocol"]) == 6:
        client, server = int(row["flags"][0]), int(row["flags"][1])
        if client & server & 1 or (client | server) & 4:
            return "ended"
    return "expired"


def endOrder(keys: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.intp]:
    """The order in which the real program ends connections: by bucket of its hash table, the newest first."""
    found = keys.view(FLOW_KEY).reshape(len(rows))
    four = _isFour(found)
    total = np.zeros(len(rows), np.uint64)
    for end in "ab":
        low, high = found[f"{end}_low"], found[f"{end}_high"]
        total += _swapped(low & np.uint64(_LOW))
        rest = _swapped(low >> np.uint64(32)) + _swapped(high & np.uint64(_LOW)) + _swapped(high >> np.uint64(32))
        total += np.where(four, np.uint64(0), rest)
        total += found[f"{end}_port"].byteswap()
    total += found["protocol"]
    buckets = (total & np.uint64(_LOW)) % np.uint64(_BUCKETS)
    return np.lexsort((-rows["number"].astype(np.int64), buckets))


def _swapped(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """32-bit words as the real program loads them from network order."""
    return words.astype(np.uint32).byteswap().astype(np.uint64)
