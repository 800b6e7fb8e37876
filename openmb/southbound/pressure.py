"""
What waits in memory for a peer that does not take what it is sent: how much, and for how long.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from openmb.errors import ProtocolError

#: Seconds for which a peer may take nothing, and bytes that may come to wait for it meanwhile.
STALL_LIMIT, PILE_LIMIT = 30.0, 64 << 20
#: Where the kernel's C{struct tcp_info} (linux/tcp.h) has C{tcpi_bytes_acked}, a u64 of the machine's byte order.
_ACKNOWLEDGED = struct.Struct("=120xQ")


class Pressure:
    """
    Watches a connection from when its buffer is full until it is empty again.

    A slow peer may take hours to empty the buffer: as long as it takes anything, it is not stalled.

    @param taken: how many bytes the peer has taken so far, as L{bytesTaken} says.
    """

    def __init__(self, taken: Callable[[], int]) -> None:
        self._taken = taken
        self._piled = self._seen = 0
        self._since: float | None = None  # when the peer took something last, or when the buffer became full

    @property
    def piled(self) -> int:
        """Bytes that were written since the buffer became full; 0 while it is not."""
        return self._piled

    def full(self, now: float) -> None:
        """The buffer is full from C{now} on."""
        self._since, self._seen = now, self._taken()

    def empty(self) -> None:
        """The buffer is empty."""
        self._since, self._piled = None, 0

    def wrote(self, size: int) -> None:
        """
        C{size} bytes more were written; they wait if the buffer is full.

        @raise ProtocolError: too many wait.
        """
        if self._since is None:
            return
        self._piled += size
        if self._piled > PILE_LIMIT:
            raise ProtocolError(f"it does not take what is sent: {self._piled >> 20} MiB wait")

    def timePassed(self, now: float) -> None:
        """@raise ProtocolError: the peer has taken nothing for too long."""
        if self._since is None:
            return
        if (taken := self._taken()) > self._seen:
            self._since, self._seen = now, taken
        elif now - self._since >= STALL_LIMIT:
            raise ProtocolError(f"it has taken nothing of what is sent for {STALL_LIMIT:g} s")


def bytesTaken(transport: object) -> int:
    """
    How many bytes the machine at the other end of C{transport}, a TLS or TCP one, has acknowledged.

    It acknowledges what it has room for, and so nothing more when its program does not read.

    @return: 0 for a transport without a TCP connection, or if the kernel does not say.
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if not isinstance(handle, socket.socket):
        return 0
    try:
        found = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.size)
    except OSError:  # no TCP, or closed
        return 0
    return int(_ACKNOWLEDGED.unpack(found)[0]) if len(found) == _ACKNOWLEDGED.size else 0
