"""
The seams of a southbound protocol: what is above it, what it offers, and what it needs below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from OpenSSL.crypto import X509
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IPushProducer

from openmb.wire.messages import Hello, Message, Welcome


class Receiver(Protocol):
    """Who is behind one connection.  Must not raise."""

    def connected(self, peer: Hello | Welcome) -> None:
        """The session is open; from here on messages may be sent."""

    def messageReceived(self, message: Message) -> None:
        """A message of the open session (never PING, PONG, GOODBYE, HELLO or WELCOME)."""

    def disconnected(self, reason: str) -> None:
        """The session has ended; called once, and only after L{connected}."""


class Link(Protocol):
    """
    What a receiver may do with its connection.

    @ivar writable: whether the peer takes what is sent; while it is False, what is sent piles up in memory.
    @ivar whenWritable: called each time C{writable} becomes True again; the receiver may set it.
    @ivar peer: the peer's name (once known) and address, for log lines.
    """

    writable: bool
    whenWritable: Callable[[], None]
    peer: str

    @property
    def piled(self) -> int:
        """How many bytes wait in memory since the peer does not take them; 0 while it is C{writable}."""

    def send(self, message: Message) -> None:
        """
        Send C{message}; silently nothing when the connection is closing, since C{disconnected} will tell.

        @raise ProtocolError: it cannot be encoded or may not be sent by this end.
        """

    def close(self, reason: str) -> None:
        """Say goodbye and close; no message will be delivered any more."""


class Transport(Protocol):
    """What Twisted's TCP and TLS transports have in common as far as it is used here."""

    def write(self, data: bytes) -> None:
        """Send C{data}, buffering what the peer does not take yet."""

    def loseConnection(self) -> None:
        """Close when everything is sent."""

    def abortConnection(self) -> None:
        """Close at once."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Tell C{producer} when the buffer is full and when it has room."""

    def unregisterProducer(self) -> None:
        """Tell it no more."""

    def getPeer(self) -> IAddress:
        """The other end's address."""

    def getPeerCertificate(self) -> X509 | None:
        """(TLS) the other end's certificate."""


def printable(text: str) -> str:
    """C{text} of somebody else in one line of a log: no control characters, and no more than 300 characters."""
    return "".join(each if each.isprintable() else "?" for each in text[:300])


def addressOf(transport: Transport) -> str:
    """Where the other end of C{transport} is, for log lines."""
    peer = transport.getPeer()
    return f"{peer.host}:{peer.port}" if isinstance(peer, IPv4Address | IPv6Address) else str(peer)


def hostOf(transport: Transport) -> str:
    """The host of the other end of C{transport}: who is told apart in the log before it has a name."""
    return str(getattr(transport.getPeer(), "host", "here"))
