"""
Ports that say which end of a connection is the server, and which analyser reads it.

Source: the analysers of Zeek 8.2's default scripts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.service import Service

_LIKELY_TCP = (
    21, 22, 25, 53, 79, 80, 81, 88, 135, 139, 143, 443, 445, 465, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993,
    995, 1080, 1883, 2811, 3128, 3306, 3389, 5222, 5223, 5269, 6666, 6667, 6668, 6669, 8000, 8080, 8888, 20000,
)  # fmt: skip
_LIKELY_UDP = (
    53, 67, 88, 123, 137, 161, 162, 443, 514, 1434, 1812, 2123, 2152, 3389, 3544, 4011, 4754, 4789, 5060, 5072, 5353,
    5355, 6081, 20000,
)  # fmt: skip

#: Which service a responder's port stands for.
_SERVICES_TCP = {
    Service.HTTP: (80, 81, 631, 1080, 3128, 8000, 8080, 8888),
    Service.DNS: (53,),
    Service.SSL: (443, 465, 563, 585, 614, 636, 989, 990, 992, 993, 995, 5223),
    Service.SSH: (22,),
    Service.FTP: (21, 2811),
    Service.SMTP: (25, 587),
    Service.IMAP: (143,),
    Service.RDP: (3389,),
}
_SERVICES_UDP = {
    Service.DNS: (53, 137, 5353, 5355),
    Service.DTLS: (443,),
    Service.DHCP: (67, 68, 4011),
    Service.NTP: (123,),
    Service.SNMP: (161, 162),
}

#: Bits of L{portTable}: likely server ports; connections to it were agreed on; the services of TCP and UDP.
LIKELY_TCP, LIKELY_UDP, EXPECTED = 1, 2, 4
SERVICE_TCP, SERVICE_UDP, SERVICE_MASK = 4, 8, 15


def portTable() -> NDArray[np.uint16]:
    """What each port stands for: C{uint16[65536]}; the TCP service from bit 4 on, UDP's from bit 8 on."""
    table = np.zeros(65536, np.uint16)
    table[list(_LIKELY_TCP)] |= np.uint16(LIKELY_TCP)
    table[list(_LIKELY_UDP)] |= np.uint16(LIKELY_UDP)
    for shift, services in ((SERVICE_TCP, _SERVICES_TCP), (SERVICE_UDP, _SERVICES_UDP)):
        for service, ports in services.items():
            table[list(ports)] |= np.uint16(service << shift)
    return table
