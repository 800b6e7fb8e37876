"""
The kernel that decodes packets by PRADS's own rules.

Every capture is read as Ethernet and every fragment as if it were whole.  What lies beyond the captured bytes is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.prads.homenets import isHome
from openmb.plugins.prads.signatures.fingerprint import number, octet
from openmb.plugins.prads.statistics import Counter

#: What the kernel found in a packet.  C{network}, C{transport}, C{payload}: places in the batch's bytes; C{stop},
#: C{end}: where captured bytes end, and where PRADS believes that the packet does; C{slot}: of its connection, filled
#: in later; C{kind}: 6, 17, 1, 58, 0 other, 47 GRE, 254 ARP, 255 nothing of these; C{left}: bytes from C{payload} to
#: the end of what was captured, as PRADS reckons, below 0 for headers that are not whole; addresses and ports of source
#: and destination; C{size}: IP payload; C{hit}: 1 + the line of a signature of datagrams, 0 for none.
FOUND = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("high2", "<u8"),
        ("low2", "<u8"),
        ("network", "<i8"),
        ("transport", "<i8"),
        ("payload", "<i8"),
        ("stop", "<i8"),
        ("end", "<i8"),
        ("slot", "<i8"),
        ("left", "<i4"),
        ("size", "<i4"),
        ("near", "<u2"),
        ("far", "<u2"),
        ("vlan", "<u2"),
        ("kind", "u1"),
        ("four", "u1"),
        ("flags", "u1"),
        ("home", "u1"),
        ("ttl", "u1"),
        ("hit", "u1"),
    ]
)

ARP, GRE, NOTHING = 254, 47, 255
_MAPPED = np.uint64(0xFFFF00000000)


@njit(cache=True)
def _address(data: Any, place: Any, stop: Any, four: Any) -> Any:
    if four:
        return np.uint64(0), np.uint64(_MAPPED | number(data, place, stop, 4))
    return number(data, place, stop, 8), number(data, place + 8, stop, 8)


@njit(cache=True)
def decodePackets(
    data: Any, offsets: Any, lengths: Any, wire: Any, stamps: Any, counters: Any, homes: Any, found: Any
) -> None:
    """
    Decode packets and count them in C{counters}; C{found: FOUND[n]} gets what they are.

    @param homes: L{openmb.plugins.prads.homenets.HOMES}C{[h]}.
    """
    for i in range(len(offsets)):
        begin = offsets[i]
        stop = begin + np.int64(lengths[i])
        end = begin + min(np.int64(wire[i]), 1604)
        one = found[i]
        one["kind"] = NOTHING
        one["slot"] = -1
        one["stop"] = stop
        one["end"] = end
        counters[Counter.PACKETS] += 1
        if begin + 14 > end:
            counters[Counter.OTHER_LINK] += 1
            continue
        counters[Counter.ETHERNET] += 1
        kind = np.int64(number(data, begin + 12, stop, 2))
        network = begin + 14
        if kind == 0x8100:
            counters[Counter.VLAN] += 1
            one["vlan"] = np.int64(number(data, begin + 14, stop, 2))
            kind = np.int64(number(data, begin + 16, stop, 2))
            network = begin + 18
        elif kind == 0x9BA8:
            kind = np.int64(number(data, begin + 20, stop, 2))
            network = begin + 22
        one["network"] = network
        if kind == 0x0806:
            counters[Counter.ARP] += 1
            one["kind"] = ARP
            one["four"] = 1
            one["high"], one["low"] = _address(data, network + 14, stop, True)
            one["home"] = isHome(homes, one["high"], one["low"], True)
            continue
        if kind != 0x0800 and kind != 0x86DD:
            counters[Counter.OTHER_LINK] += 1
            continue
        four = kind == 0x0800
        first = True
        inner = np.int64(0)
        while True:
            if four:
                counters[Counter.IP4] += 1
                header = 4 * (octet(data, network, stop) & 15)
                protocol = octet(data, network + 9, stop)
                size = (np.int64(number(data, network + 2, stop, 2)) - header) & 0xFFFF
            else:
                counters[Counter.IP6] += 1
                header = np.int64(40)
                protocol = octet(data, network + 6, stop)
                size = np.int64(number(data, network + 4, stop, 2))
            if not (first and (protocol == 94 or protocol == 41)):
                break
            counters[Counter.IP4_TUNNELS if four else Counter.IP6_TUNNELS] += 1
            first = False
            network += header
            inner = network - begin
            one["vlan"] = 0
            # the real program goes by the protocol, not by the version: 41 is IPv6, 94 is IPv4
            four = protocol == 94
        transport = network + header
        if stop < transport:
            counters[Counter.MALFORMED] += 1
        one["network"] = network
        one["transport"] = transport
        one["four"] = four
        one["size"] = size
        one["high"], one["low"] = _address(data, network + (12 if four else 8), stop, four)
        one["high2"], one["low2"] = _address(data, network + (16 if four else 24), stop, four)
        one["home"] = isHome(homes, one["high"], one["low"], four)
        one["ttl"] = octet(data, network + (8 if four else 7), stop)
        if four and protocol == GRE:
            counters[Counter.GRE] += 1
            one["kind"] = GRE
            continue
        if protocol == 6 or protocol == 17:
            counters[Counter.TCP if protocol == 6 else Counter.UDP] += 1
            one["near"] = np.int64(number(data, transport, stop, 2))
            one["far"] = np.int64(number(data, transport + 2, stop, 2))
            own = np.int64(8)
            if protocol == 6:
                one["flags"] = octet(data, transport + 13, stop)
                own = 4 * (octet(data, transport + 12, stop) >> 4)
            one["payload"] = transport + own
            # inside a tunnel the real program forgets the headers outside
            one["left"] = stop - transport - own + inner
            if stop - transport < own:
                counters[Counter.MALFORMED] += 1
        elif protocol == (1 if four else 58):
            counters[Counter.ICMP] += 1
        else:
            counters[Counter.OTHER_TRANSPORT] += 1
            protocol = np.int64(0)
        one["kind"] = protocol
