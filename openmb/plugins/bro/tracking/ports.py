"""
Ports that say which end of a connection is the server, and which analyser reads it.

Source: the analysers of Zeek 8.2's default scripts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LIKELY_TCP = (
    21, 22, 25, 53, 79, 80, 81, 88, 135, 139, 143, 443, 445, 465, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993,
    995, 1080, 1883, 2811, 3128, 3306, 3389, 5222, 5223, 5269, 6666, 6667, 6668, 6669, 8000, 8080, 8888, 20000,
)  # fmt: skip
_LIKELY_UDP = (
    53, 67, 88, 123, 137, 161, 162, 443, 514, 1434, 1812, 2123, 2152, 3389, 3544, 4011, 4754, 4789, 5060, 5072, 5353,
    5355, 6081, 20000,
)  # fmt: skip
_HTTP = (80, 81, 631, 1080, 3128, 8000, 8080, 8888)
_SSH = (22,)
_DNS = (53, 137, 5353, 5355)
_NTP = (123,)

#: Bits of L{portTable}.
LIKELY_TCP, LIKELY_UDP, PORT_HTTP, PORT_SSH, PORT_DNS, PORT_NTP = 1, 2, 4, 8, 16, 32


def portTable() -> NDArray[np.uint8]:
    """What each port stands for: C{uint8[65536]} of bits."""
    table = np.zeros(65536, np.uint8)
    for bit, ports in (
        (LIKELY_TCP, _LIKELY_TCP),
        (LIKELY_UDP, _LIKELY_UDP),
        (PORT_HTTP, _HTTP),
        (PORT_SSH, _SSH),
        (PORT_DNS, _DNS),
        (PORT_NTP, _NTP),
    ):
        table[list(ports)] |= np.uint8(bit)
    return table
