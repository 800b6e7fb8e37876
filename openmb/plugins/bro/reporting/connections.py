"""
Rows of conn.log from finished records.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.reporting.locality import PRIVATE, LocalNetworks
from openmb.plugins.bro.reporting.logs import Column, Value
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.service import MOST_SERVICES, Service
from openmb.plugins.bro.tracking.endpoints import endpointSizes
from openmb.plugins.bro.tracking.identity import Identity, endpoints
from openmb.plugins.bro.tracking.states import (
    CLOSED,
    ESTABLISHED,
    HISTORY_LIMIT,
    INACTIVE,
    PARTIAL,
    RESET,
    SYN_ACK_SENT,
    SYN_SENT,
)
from openmb.state.addresses import wordsAddress

#: What the rows of every log begin with: a time, and which connection they are about.
BEGINNING = (
    Column("ts", "time"),
    Column("uid", "string"),
    Column("id.orig_h", "addr"),
    Column("id.orig_p", "port"),
    Column("id.resp_h", "addr"),
    Column("id.resp_p", "port"),
)
CONNECTION_COLUMNS = (
    *BEGINNING,
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
_FIELDS = ("swapped", "tcp", "start", "last", "state", "size", "letters", "packets", "bytes", "missed")


@lru_cache(maxsize=65536)
def addressText(high: int, low: int) -> str:
    """An address for people and logs."""
    return str(wordsAddress(high, low))


def beginningOf(ids: ConnectionIDs, identity: Identity) -> tuple[str, str, int, str, int]:
    """The values of L{BEGINNING} but for the time: id, originator and its port, responder and its port."""
    first, second = endpoints(identity.words, identity.swapped)
    uid = ids.identify(identity.key, identity.start)
    return uid, addressText(first[0], first[1]), first[2], addressText(second[0], second[1]), second[2]


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


@lru_cache(maxsize=16384)
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


@lru_cache(maxsize=4096)
def _serviceText(names: bytes) -> str | None:
    """The names of these services, in order."""
    return ",".join(Service(name).text for name in names if name) or None


def connectionRows(
    ids: ConnectionIDs, keys: NDArray[np.uint64], rows: NDArray[Any], local: LocalNetworks = PRIVATE
) -> Iterator[list[Value]]:
    """The values of L{CONNECTION_COLUMNS} for each of some finished records: C{uint64[n, 5]}, C{ROW[n]}."""
    sizes = np.empty((len(rows), 2), np.uint64)
    endpointSizes(rows, sizes)
    octets, histories, services = keys.tobytes(), rows["history"].tobytes(), rows["services"].tobytes()
    columns = (rows[name].tolist() for name in _FIELDS)
    for place, (words, size, record) in enumerate(
        zip(keys.tolist(), sizes.tolist(), zip(*columns, strict=True), strict=True)
    ):
        swapped, tcp, start, last, states, plain, letters, packets, carried, missed = record
        first, second = endpoints(words, swapped)
        history = histories[place * HISTORY_LIMIT : place * HISTORY_LIMIT + letters].decode("ascii")
        protocol = (words[4] >> 32) & 0xFF
        if tcp:
            state = tcpState(*states, size == [0, 0], history)
        else:
            state = _udpState(*plain) if protocol == 17 else "OTH"
            size = [max(each, 0) for each in plain]
        timed = last > start
        yield [
            start,
            ids.identify(octets[40 * place : 40 * place + 40], start),
            addressText(first[0], first[1]),
            first[2],
            addressText(second[0], second[1]),
            second[2],
            _PROTOCOLS.get(protocol, "unknown_transport"),
            _serviceText(services[place * MOST_SERVICES : (place + 1) * MOST_SERVICES]),
            last - start if timed else None,
            size[0] if timed else None,
            size[1] if timed else None,
            state,
            local.isLocal(first[0], first[1]),
            local.isLocal(second[0], second[1]),
            missed,
            history or None,
            packets[0],
            carried[0],
            packets[1],
            carried[1],
            None,
            protocol,
        ]
