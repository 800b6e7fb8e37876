"""
What every analyser of an application protocol is: bytes of both directions in, findings out.

Sans-I/O. An analyser belongs to one connection, and its whole state can be dumped and loaded elsewhere, between any two
calls. It never decides about itself: it says what it found, and L{openmb.plugins.bro.analyzers.conversation} acts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Self

from openmb.plugins.bro.analyzers.dns.rows import DNSRow, Queries
from openmb.plugins.bro.analyzers.http.rows import HTTPRow, Pairing
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tracking.urgency import Urgency

__all__ = ["Analyzer", "Expectation", "Finding", "Service", "Sign", "Surroundings"]


class Sign(enum.Enum):
    """Findings that need no more words."""

    CONFIRMED = "the protocol is spoken here: its name goes into the service column"
    VIOLATED = "the protocol is not spoken here: early in a connection, this ends the analyser"
    EXCEEDED = "a limit was passed: C{X} in the history, once"
    TURNED = "the originator is the responder: roles turn"
    ENCRYPTED = "what follows on both sides is TLS (after STARTTLS): another analyser takes over"


@dataclass(frozen=True, slots=True)
class Expectation:
    """
    A connection that was agreed on (FTP's data connections).

    @ivar fromOriginator: this connection's originator will open it, else its responder.
    @ivar address: where it will go, four or sixteen bytes; None: to the other end of this connection.
    @ivar port: to which port.
    """

    fromOriginator: bool
    address: bytes | None
    port: int


#: What an analyser says, in the order in which it found it.
Finding = Sign | Expectation | HTTPRow | DNSRow


@dataclass(slots=True)
class Surroundings:
    """
    What an analyser knows of its connection from elsewhere; the same object for all analysers of a connection.

    @ivar tcp: TCP, else UDP.
    @ivar ports: originator's and responder's.
    @ivar toGroup: the responder is a multicast address.
    @ivar requests: the open rows of http.log: they outlive an analyser, the next one goes on with them.
    @ivar queries: the open rows of dns.log.
    """

    tcp: bool = True
    ports: tuple[int, int] = (0, 0)
    toGroup: bool = False
    requests: Pairing = field(default_factory=Pairing)
    queries: Queries = field(default_factory=Queries)


class Analyzer:
    """
    The contract; the methods do nothing. C{now} is packet time in nanoseconds, C{originator} the direction.

    A TCP analyser gets each direction's bytes in order, in any segmentation; a UDP analyser each datagram's payload by
    itself. It must survive any bytes, and what it keeps is bounded.

    @cvar service: its name.
    @cvar readsPartial: works also on connections whose handshake was not seen.
    @ivar findings: what it has to say; whoever reads them empties the list.
    """

    __slots__ = ("around", "findings")

    service: ClassVar[Service] = Service.NONE
    readsPartial: ClassVar[bool] = False

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.findings: list[Finding] = []

    @property
    def urgency(self) -> Urgency:
        """May what is read next change how a packet that comes soon is counted?"""
        return Urgency.NONE

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """In-order bytes, or one datagram."""

    def gap(self, originator: bool, length: int, now: int) -> None:
        """C{length} bytes were never seen."""

    def finished(self, originator: bool, now: int) -> None:
        """This direction has ended, and everything before was delivered."""

    def reset(self, now: int) -> None:
        """A RST came, from whichever side."""

    def interrupted(self, now: int) -> None:
        """The analyser is taken away because it found a violation; no other call follows."""

    def removed(self, now: int) -> None:
        """The connection is removed; no other call follows."""

    def skip(self, originator: bool) -> int:
        """
        How many further bytes of this direction it can do without; L{skipped} tells it of them.

        @return: 0 for none; -1 for all that may ever come, of which it is told nothing.
        """
        return 0

    def skipped(self, originator: bool, length: int, now: int) -> None:
        """C{length} bytes were passed over, not more than L{skip} said; or, beyond that, a gap."""

    def dump(self) -> bytes:
        """Everything known, but not the surroundings; construct-defined, beginning with a version byte."""
        return b""

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """
        An analyser that goes on where the one that was dumped stopped.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump. Whatever is accepted cannot make the analyser
            fail later.
        """
        return cls(around)
