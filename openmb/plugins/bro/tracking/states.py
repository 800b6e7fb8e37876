"""
The numbers that the kernels of this kind share: endpoint states, letters, services, time-outs.

Times are microseconds of packet time.  Source of every default: Zeek 8.2's C{init-bare}.
"""

from __future__ import annotations

import enum

import numpy as np

from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tracking.numbers import constants


class EndpointState(enum.IntEnum):
    """What one end of a TCP connection was last seen to do; the order is Zeek's."""

    INACTIVE = 0
    SYN_SENT = 1
    SYN_ACK_SENT = 2
    PARTIAL = 3
    ESTABLISHED = 4
    CLOSED = 5
    RESET = 6


INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = constants(EndpointState)


#: What kernels must know of services: some are read here, the first messages of others turn roles.
SERVICE_DNS, SERVICE_SSH, SERVICE_FTP, SERVICE_NTP = constants((Service.DNS, Service.SSH, Service.FTP, Service.NTP))

#: Bits of a TCP header's flags.
FIN, SYN, RST, ACK = constants((1, 2, 4, 16))

#: Once-bits of history letters (shifted by 16 for the responder).
LETTER_SYN, LETTER_FIN, LETTER_RST, LETTER_DATA, LETTER_ACK = constants(range(5))
LETTER_MULTIPLE, LETTER_FIN_RST, LETTER_LIMIT = constants(range(5, 8))

#: Counters behind the letters that are written at 1, 10, 100, ... (index: counter * 2 + side).
SCALED_CHECKSUM, SCALED_RETRANSMISSION, SCALED_WINDOW, SCALED_GAP = constants(range(4))

#: Letters that a record holds at most; later ones are not recorded.
HISTORY_LIMIT = 128

NEVER = np.int64(1 << 62)

SECOND = np.int64(1_000_000)
ATTEMPT_DELAY = 5 * SECOND
FIRST_CHECK = 5 * SECOND
CHECK_INTERVAL = 6 * SECOND
LINGER = 5 * SECOND
CLOSE_DELAY = 5 * SECOND
DNS_CHECK = 10 * SECOND
DNS_IDLE = 9 * SECOND
TIMEOUT_HANDSHAKE = 60 * SECOND
TIMEOUT_TCP = 300 * SECOND
TIMEOUT_DATAGRAM = 60 * SECOND
TIMEOUT_INTERACTIVE = 3600 * SECOND

TOO_LARGE_DELTA = 1048576
INITIAL_WINDOW = 16384
ABOVE_HOLE = 16384
UNACKNOWLEDGED = 10 * 1024 * 1024

#: Out-of-order ranges that one direction holds at most; then its reassembly stops for good.
BLOCK_LIMIT = 512
