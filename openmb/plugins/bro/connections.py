"""
Rows of conn.log from finished records.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.endpoints import endpointSize
from openmb.plugins.bro.locality import isLocal
from openmb.plugins.bro.logs import Column, Value
from openmb.plugins.bro.states import CLOSED, ESTABLISHED, INACTIVE, PARTIAL, RESET, SYN_ACK_SENT, SYN_SENT
from openmb.plugins.bro.uid import ConnectionIDs
from openmb.state.addresses import wordsAddress

CONNECTION_COLUMNS = (
    Column("ts", "time"),
    Column("uid", "string"),
    Column("id.orig_h", "addr"),
    Column("id.orig_p", "port"),
    Column("id.resp_h", "addr"),
    Column("id.resp_p", "port"),
    Column("proto", "enum"),
    Column("service", "string"),
    Column("duration", "interval"),
    Column("orig_bytes", "count"),
    Column("resp_bytes", "count"),
    Column("conn_state", "string"),
    Column("local_orig", "bool"),
    Column("local_resp", "bool"),
    Column("missed_bytes", "count"),
    Column("history", "string"),
    Column("orig_pkts", "count"),
    Column("orig_ip_bytes", "count"),
    Column("resp_pkts", "count"),
    Column("resp_ip_bytes", "count"),
    Column("tunnel_parents", "set[string]"),
    Column("ip_proto", "count"),
)

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
_WORD = 1 << 64


@lru_cache(maxsize=65536)
def addressText(high: int, low: int) -> str:
    """An address for people and logs."""
    return str(wordsAddress(high, low))


def endpoints(words: tuple[int, ...], swapped: bool) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(high, low, port) of originator and responder, from the five words of a native key."""
    first = (words[0], words[1], words[4] & 0xFFFF)
    second = (words[2], words[3], (words[4] >> 16) & 0xFFFF)
    return (second, first) if swapped else (first, second)


def _resetState(first: int, second: int, isEmpty: bool, history: str) -> str:
    """The state of a connection one of whose ends has sent a RST."""
    if second == RESET:
        if first in (SYN_SENT, SYN_ACK_SENT) or (first == RESET and isEmpty):
            return "REJ"
        return "RSTRH" if first in (INACTIVE, PARTIAL) else "RSTR"
    if second not in (INACTIVE, PARTIAL):
        return "RSTO"
    begin = history.removeprefix("^")
    before, found, _ = begin.partition("R")
    isHalf = begin.startswith("S") and found and not set(before) & set("HAFGIQ")
    return "RSTOS0" if isHalf else "OTH"


def tcpState(first: int, second: int, isEmpty: bool, history: str) -> str:
    """
    C{conn_state} of a TCP connection.

    @param first: the originator's endpoint state; C{second}: the responder's.
    @param isEmpty: neither side has sent a byte.
    """
    if RESET in (first, second):
        return _resetState(first, second, isEmpty, history)
    if first == CLOSED:
        if second == CLOSED:
            return "SF"
        return "SH" if second in (INACTIVE, PARTIAL) else "S2"
    if second == CLOSED:
        return "SHR" if first in (INACTIVE, PARTIAL) else "S3"
    if first == SYN_SENT and second == INACTIVE:
        return "S0"
    return "S1" if first == ESTABLISHED and second == ESTABLISHED else "OTH"


def _udpState(first: int, second: int) -> str:
    """C{conn_state} of UDP, from the sizes (-1: nothing was sent)."""
    if first >= 0:
        return "SF" if second >= 0 else "S0"
    return "SHR" if second >= 0 else "OTH"


def _stateAndSizes(row: np.void, protocol: int, history: str) -> tuple[str, int, int]:
    if row["tcp"]:
        sizes = int(endpointSize(row, 0)) % _WORD, int(endpointSize(row, 1)) % _WORD
        state = tcpState(int(row["state"][0]), int(row["state"][1]), sizes == (0, 0), history)
        return state, *sizes
    first, second = row["size"].tolist()
    state = _udpState(first, second) if protocol == 17 else "OTH"
    return state, max(first, 0), max(second, 0)


def connectionValues(ids: ConnectionIDs, key: NDArray[np.uint64], row: np.void) -> list[Value]:
    """The values of L{CONNECTION_COLUMNS} for one finished record."""
    words = tuple(key.tolist())
    protocol = (words[4] >> 32) & 0xFF
    originator, responder = endpoints(words, bool(row["swapped"]))
    history = row["history"][: int(row["letters"])].tobytes().decode("ascii")
    state, sent, received = _stateAndSizes(row, protocol, history)
    start = int(row["start"])
    duration = int(row["last"]) - start
    isTimed = duration > 0
    packets, octets = row["packets"].tolist(), row["bytes"].tolist()
    return [
        start,
        ids.identify(key.tobytes(), start),
        addressText(*originator[:2]),
        originator[2],
        addressText(*responder[:2]),
        responder[2],
        _PROTOCOLS.get(protocol, "unknown_transport"),
        None,
        duration if isTimed else None,
        sent if isTimed else None,
        received if isTimed else None,
        state,
        isLocal(*originator[:2]),
        isLocal(*responder[:2]),
        int(row["missed"]),
        history or None,
        packets[0],
        octets[0],
        packets[1],
        octets[1],
        None,
        protocol,
    ]
