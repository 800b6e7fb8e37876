"""
What the kernels leave to Python: one task for each new connection, payload to search, fact that may be new, ARP reply.
"""

from __future__ import annotations

import enum

import numpy as np

from openmb.plugins.prads.signatures.fingerprint import FINGERPRINT


class What(enum.IntEnum):
    """The sorts of tasks."""

    NEW = 0  # a connection has begun
    SYSTEM = 1  # a fingerprint that its host has not shown before
    PAYLOAD = 2  # bytes of a TCP connection to search
    HIT = 3  # a datagram in which a signature was found
    PORT = 4  # a datagram whose port alone tells of a service
    ARP = 5


#: C{packet}: its place in the batch; C{role}: 1 client, 2 server, 0 not known; C{port}: of the service, with an ARP
#: reply the VLAN of its host; C{known}: the port has a name, and it was not logged for this connection; C{host},
#: C{slot}: in the tables, C{slot} -1 for none; C{begin}, C{length}: bytes to search, of what lies in the batch;
#: C{number}: of the connection; C{line}: of a signature; C{check}: which table; C{print}: the fingerprint.
TASK = np.dtype(
    [
        ("host", "<i8"),
        ("slot", "<i8"),
        ("begin", "<i8"),
        ("length", "<i8"),
        ("number", "<u8"),
        ("packet", "<i4"),
        ("line", "<i4"),
        ("port", "<u2"),
        ("what", "u1"),
        ("role", "u1"),
        ("known", "u1"),
        ("check", "u1"),
        ("print", FINGERPRINT),
    ]
)

#: Tasks that one packet causes at most.
TASKS_PER_PACKET = 4


class Does(enum.IntFlag):
    """What PRADS looks at; by default all but L{STRAY_ACK} and L{MAC}."""

    SYN = 1
    SYNACK = 2
    FIN = 4
    RST = 8
    STRAY_ACK = 16
    SERVERS = 32
    CLIENTS = 64
    DATAGRAMS = 128
    MAC = 256


DEFAULT = Does.SYN | Does.SYNACK | Does.FIN | Does.RST | Does.SERVERS | Does.CLIENTS | Does.DATAGRAMS
