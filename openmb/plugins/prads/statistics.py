"""
The counters of PRADS, in the order in which the real program keeps them, and their text.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray


class Counter(enum.IntEnum):
    """Places in the array of counters (C{uint32} in the real program)."""

    PACKETS = 0
    ETHERNET = 1
    ARP = 2
    OTHER_LINK = 3
    VLAN = 4
    IP4 = 5
    IP6 = 6
    IP4_TUNNELS = 7
    IP6_TUNNELS = 8
    GRE = 9
    TCP = 10
    UDP = 11
    ICMP = 12
    OTHER_TRANSPORT = 13
    ASSETS = 14
    TCP_OS = 15
    UDP_OS = 16
    ICMP_OS = 17
    DHCP_OS = 18
    TCP_SERVICES = 19
    TCP_CLIENTS = 20
    UDP_SERVICES = 21
    UDP_CLIENTS = 22
    SESSIONS = 23
    MALFORMED = 24
    NUMBER = 25  # the connection id that was given last; not shown


#: How many of them are counts.
SHOWN = int(Counter.NUMBER)

_TRAFFIC = (
    ("Total packets received from libpcap", Counter.PACKETS),
    ("Total Ethernet packets received", Counter.ETHERNET),
    ("Total VLAN packets received", Counter.VLAN),
    ("Total ARP packets received", Counter.ARP),
    ("Total IPv4 packets received", Counter.IP4),
    ("Total IPv6 packets received", Counter.IP6),
    ("Total Other link packets received", Counter.OTHER_LINK),
    ("Total IPinIPv4 packets received", Counter.IP4_TUNNELS),
    ("Total IPinIPv6 packets received", Counter.IP6_TUNNELS),
    ("Total GRE packets received", Counter.GRE),
    ("Total TCP packets received", Counter.TCP),
    ("Total UDP packets received", Counter.UDP),
    ("Total ICMP packets received", Counter.ICMP),
    ("Total Other transport packets received", Counter.OTHER_TRANSPORT),
)
_FINDINGS = (
    ("Total sessions tracked", Counter.SESSIONS),
    ("Total assets detected", Counter.ASSETS),
    ("Total TCP OS fingerprints detected", Counter.TCP_OS),
    ("Total UDP OS fingerprints detected", Counter.UDP_OS),
    ("Total ICMP OS fingerprints detected", Counter.ICMP_OS),
    ("Total DHCP OS fingerprints detected", Counter.DHCP_OS),
    ("Total TCP service assets detected", Counter.TCP_SERVICES),
    ("Total TCP client assets detected", Counter.TCP_CLIENTS),
    ("Total UDP service assets detected", Counter.UDP_SERVICES),
    ("Total UDP client assets detected", Counter.UDP_CLIENTS),
)


def statisticsText(counters: NDArray[np.int64]) -> str:
    """What the real program says at its end, as it says it."""
    lines = ["-- prads:", *(_line(counters, *row) for row in _TRAFFIC), "--"]
    return "\n".join([*lines, *(_line(counters, *row) for row in _FINDINGS)]) + "\n"


def _line(counters: NDArray[np.int64], label: str, counter: Counter) -> str:
    return f"-- {label:39}:{int(counters[counter]) & 0xFFFFFFFF:12}"
