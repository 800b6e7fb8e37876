"""
What the kernels leave to Python: one task for each new connection, payload to search, fact that may be new, ARP reply.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.prads.connections import addressText
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


class Due(NamedTuple):
    """A task that is to be done, as numbers of Python; C{place}: among the tasks, C{now}: seconds, packet time."""

    place: int
    what: int
    packet: int
    host: int
    slot: int
    role: int
    port: int
    line: int
    check: int
    now: int
    high: int
    low: int
    near: int
    vlan: int
    ttl: int
    four: int

    @property
    def address(self) -> str:
        """The packet's sender, as the real program writes it."""
        return addressText(self.high, self.low, bool(self.four))

    @property
    def hostKey(self) -> bytes:
        """The native key of the packet's sender."""
        return self.high.to_bytes(8, "little") + self.low.to_bytes(8, "little")


#: Nanoseconds.
SECOND = 1_000_000_000
_OF_TASK = ("what", "packet", "host", "slot", "role", "port", "line", "check")
_OF_PACKET = ("high", "low", "near", "vlan", "ttl", "four")


def dueTasks(
    tasks: NDArray[Any], places: NDArray[np.intp], found: NDArray[Any], stamps: NDArray[np.int64]
) -> Iterator[Due]:
    """Those of the tasks that are to be done, in order."""
    some = tasks[places]
    packets = some["packet"]
    of = found[packets]
    columns = [some[name].tolist() for name in _OF_TASK]
    columns += [(stamps[packets] // SECOND).tolist(), *(of[name].tolist() for name in _OF_PACKET)]
    return map(Due._make, zip(places.tolist(), *columns, strict=True))


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
