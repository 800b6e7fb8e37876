"""
The kernel that decodes packets by PRADS's own rules and tracks their connections.

Every capture is read as Ethernet and every fragment as if it were whole.  What lies beyond the captured bytes is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.prads.statistics import Counter
from openmb.state.slots import insertKey

#: What the kernel found in a packet.  C{network}, C{transport}: offsets in the captured bytes; C{role}: 0 the first
#: packet of a connection, 1 from the client, 2 from the server; C{kind}: 6, 17, 1, 58, 0 other, 47 GRE, 255 no IP.
FOUND = np.dtype(
    [
        ("slot", "<i8"),
        ("network", "<i4"),
        ("transport", "<i4"),
        ("vlan", "<u2"),
        ("kind", "u1"),
        ("role", "u1"),
        ("four", "u1"),
        ("flags", "u1"),
    ]
)


@njit(cache=True)
def octet(data: Any, place: Any, stop: Any) -> Any:
    """One byte; 0 at or behind C{stop}."""
    return np.int64(data[place]) if place < stop else np.int64(0)


@njit(cache=True)
def number(data: Any, place: Any, stop: Any, size: Any) -> Any:
    """A big-endian number of C{size} bytes, at most 8."""
    total = np.uint64(0)
    for i in range(size):
        total = (total << np.uint64(8)) | np.uint64(octet(data, place + i, stop))
    return total


@njit(cache=True)
def track(
    data: Any, offsets: Any, lengths: Any, wire: Any, stamps: Any, counters: Any, table: Any, rows: Any, found: Any
) -> None:
    """
    Decode packets, count them in C{counters} and update their connections; C{found: FOUND[n]} gets what they are.

    The table has room for a connection for each packet.
    """
    key = np.zeros(5, np.uint64)
    for i in range(len(offsets)):
        begin = offsets[i]
        stop = begin + np.int64(lengths[i])
        end = begin + min(np.int64(wire[i]), 1604)
        found[i]["slot"] = -1
        found[i]["kind"] = 255
        counters[Counter.PACKETS] += 1
        if begin + 14 > end:
            counters[Counter.OTHER_LINK] += 1
            continue
        counters[Counter.ETHERNET] += 1
        kind = np.int64(number(data, begin + 12, stop, 2))
        network = begin + 14
        if kind == 0x8100:
            counters[Counter.VLAN] += 1
            found[i]["vlan"] = np.int64(number(data, begin + 14, stop, 2))
            kind = np.int64(number(data, begin + 16, stop, 2))
            network = begin + 18
        elif kind == 0x9BA8:
            kind = np.int64(number(data, begin + 20, stop, 2))
            network = begin + 22
        if kind == 0x0806:
            counters[Counter.ARP] += 1
        if kind != 0x0800 and kind != 0x86DD:
            counters[Counter.OTHER_LINK] += kind != 0x0806
            continue
        four = kind == 0x0800
        first = True
        size = np.int64(0)
        while True:
            if four:
                counters[Counter.IP4] += 1
                header = 4 * (octet(data, network, stop) & 15)
                protocol = octet(data, network + 9, stop)
                size = (np.int64(number(data, network + 2, stop, 2)) - header) & 0xFFFF
            else:
                counters[Counter.IP6] += 1
                header = 40
                protocol = octet(data, network + 6, stop)
                size = np.int64(number(data, network + 4, stop, 2))
            if not (first and (protocol == 94 or protocol == 41)):
                break
            counters[Counter.IP4_TUNNELS if four else Counter.IP6_TUNNELS] += 1
            first = False
            network += header
            found[i]["vlan"] = 0
            # the real program goes by the protocol, not by the version: 41 is IPv6, 94 is IPv4
            four = protocol == 94
        transport = network + header
        if stop < transport:
            counters[Counter.MALFORMED] += 1
        found[i]["network"] = network - begin
        found[i]["transport"] = transport - begin
        found[i]["four"] = four
        if four and protocol == 47:
            counters[Counter.GRE] += 1
            found[i]["kind"] = 47
            continue
        near, far, flags = np.uint64(0), np.uint64(0), np.int64(0)
        if protocol == 6 or protocol == 17:
            counters[Counter.TCP if protocol == 6 else Counter.UDP] += 1
            near, far = number(data, transport, stop, 2), number(data, transport + 2, stop, 2)
            if protocol == 6:
                flags = octet(data, transport + 13, stop)
        elif protocol == (1 if four else 58):
            counters[Counter.ICMP] += 1
        else:
            counters[Counter.OTHER_TRANSPORT] += 1
            protocol = 0
        if four:
            mapped = np.uint64(0xFFFF00000000)
            high, low = np.uint64(0), mapped | number(data, network + 12, stop, 4)
            high2, low2 = np.uint64(0), mapped | number(data, network + 16, stop, 4)
        else:
            high, low = number(data, network + 8, stop, 8), number(data, network + 16, stop, 8)
            high2, low2 = number(data, network + 24, stop, 8), number(data, network + 32, stop, 8)
        forward = high < high2 or (high == high2 and (low < low2 or (low == low2 and near <= far)))
        rest = np.uint64(protocol) << np.uint64(32)
        if not four and high == 0 and high2 == 0:
            rest |= np.uint64(1) << np.uint64(48)
        if forward:
            key[0], key[1], key[2], key[3] = high, low, high2, low2
            key[4] = rest | near | (far << np.uint64(16))
        else:
            key[0], key[1], key[2], key[3] = high2, low2, high, low
            key[4] = rest | far | (near << np.uint64(16))
        slot = insertKey(table, key)
        row = rows[slot]
        seconds = stamps[i] // 1000000000
        side = 0
        role = 0
        if row["number"] == 0:
            counters[Counter.SESSIONS] += 1
            row["number"] = counters[Counter.SESSIONS]
            row["start"] = seconds
            row["swapped"] = not forward
        else:
            same = key[0] == key[2] and key[1] == key[3] and near == far
            side = 0 if same or forward == (row["swapped"] == 0) else 1
            role = side + 1
        row["last"] = seconds
        row["packets"][side] += np.uint64(1)
        row["bytes"][side] += np.uint64(size)
        row["flags"][side] |= np.uint8(flags)
        found[i]["slot"] = slot
        found[i]["kind"] = protocol
        found[i]["role"] = role
        found[i]["flags"] = flags
