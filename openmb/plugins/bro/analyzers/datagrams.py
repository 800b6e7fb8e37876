"""
What analysers of single datagrams have in common: each datagram parses, or it does not.
"""

from __future__ import annotations

from typing import ClassVar, Self

from construct import Byte, Const, ConstructError, Struct, Terminated

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.analyzer import Analyzer, Service, Sign, Surroundings

_FORMAT = Struct(
    "version" / Const(1, Byte),
    "flags" / Byte * "what was said already: 1 confirmed; 2, 4 turned, because of the originator, the responder",
    Terminated,
)


class Malformed(Exception):
    """A datagram that is none of its protocol."""


class DatagramAnalyzer(Analyzer):
    """
    Confirms its protocol at most once, and violates it with every datagram that does not parse.

    It never says that it has seen enough: as long as a connection is small, a violation takes the name away.

    @cvar flags: the bits that its dump may have: 1 confirmed, 2 and 4 as L{turnOnce} sets them.
    """

    __slots__ = ("_flags",)

    flags: ClassVar[int] = 1

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._flags = 0

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """See L{Analyzer.data}."""
        try:
            self.parse(originator, data)
        except Malformed:
            self.findings.append(Sign.VIOLATED)

    def parse(self, originator: bool, data: bytes) -> None:
        """
        Read one datagram.

        @raise Malformed: it is none of this protocol.
        """

    def confirm(self) -> None:
        """The protocol is spoken here."""
        if not self._flags & 1:
            self._flags |= 1
            self.findings.append(Sign.CONFIRMED)

    def turnOnce(self, originator: bool) -> None:
        """The roles turn because of a datagram of this direction, which can happen once for each."""
        bit = 2 if originator else 4
        if not self._flags & bit:
            self._flags |= bit
            self.findings.append(Sign.TURNED)

    def dump(self) -> bytes:
        """See L{Analyzer.dump}."""
        return bytes(_FORMAT.build({"flags": self._flags}))

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """See L{Analyzer.load}."""
        try:
            flags = int(_FORMAT.parse(data)["flags"])
        except ConstructError as error:
            raise _refused(cls.service, str(error)) from error
        if flags & ~cls.flags:
            raise _refused(cls.service, "flags out of range")
        analyzer = cls(around)
        analyzer._flags = flags
        return analyzer


def _refused(service: Service, why: str) -> OperationError:
    return OperationError(Refusal.BAD_REQUEST, f"not the state of an analyser of {service.text}: {why}")
