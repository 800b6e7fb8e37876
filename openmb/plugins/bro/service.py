"""
The application protocols that conn.log's C{service} can name.
"""

from __future__ import annotations

import enum


class Service(enum.IntEnum):
    """The numbers are those of records; at most 15, as port tables have four bits for one."""

    NONE = 0
    HTTP = 1
    DNS = 2
    SSL = 3
    DTLS = 4
    SSH = 5
    FTP = 6
    FTP_DATA = 7
    SMTP = 8
    POP3 = 9
    IMAP = 10
    DHCP = 11
    NTP = 12
    SNMP = 13
    RDP = 14  # read for the TLS inside, never named

    @property
    def text(self) -> str:
        """As it stands in the log."""
        return self.name.lower().replace("_", "-")


#: Names of one connection at most.
MOST_SERVICES = 8
