"""
PRADS's lines of connections, as its C{-x} prints them, and the order in which it ends connections.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.state.flowkey import FLOW_KEY

_BUCKETS = 31337
_MAPPED = 0xFFFF
_LOW = (1 << 32) - 1


def connectionLines(keys: NDArray[Any], rows: NDArray[Any], statuses: Iterable[str]) -> bytes:
    """
    Lines of connections, each with its end.

    @param keys: C{FLOW_KEY[n]}.
    @param rows: C{ROW[n]}.
    """
    isFour = _isFour(keys).tolist()
    ends = [
        list(zip(*(keys[f"{end}_{part}"].tolist() for part in ("high", "low", "port")), strict=True)) for end in "ab"
    ]
    columns = [rows[name].tolist() for name in ("swapped", "number", "start", "last", "packets", "bytes", "flags")]
    protocols = keys["protocol"].tolist()
    lines = []
    for four, a, b, protocol, swapped, number, start, last, packets, octets, flags, status in zip(
        isFour, *ends, protocols, *columns, statuses, strict=True
    ):
        (high, low, port), (high2, low2, port2) = (b, a) if swapped else (a, b)
        lines.append(
            f"{start}{number:09}|{_time(start)}|{_time(last)}|{last - start}|{protocol}|"
            f"{addressText(high, low, four)}|{port}|{addressText(high2, low2, four)}|{port2}|"
            f"{packets[0]}|{octets[0]}|{packets[1]}|{octets[1]}|{flags[0]}|{flags[1]}|[{status}]\n"
        )
    return "".join(lines).encode()


@lru_cache(maxsize=1024)
def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _isFour(keys: Any) -> Any:
    """Is it IPv4?  Of one key, or of each of several."""
    return (keys["padding"] == 0) & (keys["a_high"] == 0) & (keys["a_low"] >> np.uint64(32) == _MAPPED)


@lru_cache(maxsize=1 << 14)
def addressText(high: int, low: int, four: bool) -> str:
    """An address as the real program writes it."""
    if four:
        return socket.inet_ntop(socket.AF_INET, (low & _LOW).to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, (high << 64 | low).to_bytes(16, "big"))


def endStatuses(keys: NDArray[Any], rows: NDArray[Any]) -> list[str]:
    """How connections are said to have ended that were idle for longer than every time-out."""
    client, server = rows["flags"][:, 0], rows["flags"][:, 1]
    isEnded = (keys["protocol"] == 6) & (((client & server & 1) | ((client | server) & 4)) != 0)
    return ["ended" if each else "expired" for each in isEnded.tolist()]


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
