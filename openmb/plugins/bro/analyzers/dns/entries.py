"""
Rows of dns.log: finished ones, and those that still wait for an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter


@dataclass(frozen=True, slots=True)
class DNSRow:
    """
    One row of dns.log; None is an unset column.  Texts are as they came, escaping is the log writer's work.

    @ivar stamp: when the first of query and reply came, nanoseconds since the epoch.
    @ivar identifier: C{trans_id}.
    @ivar tcp: TCP, else UDP.
    @ivar roundTrip: from the query to the reply, microseconds.
    @ivar query: the name, in lower case; decoded if it is one of NetBIOS.
    @ivar flags: C{Z}, three bits of the query: reserved, AD and CD.
    @ivar answers: one text for each resource record that has one.
    @ivar lifetimes: of each of the answers, seconds.
    """

    stamp: int
    identifier: int
    tcp: bool
    opcode: int
    roundTrip: int | None = None
    query: bytes | None = None
    queryClass: int | None = None
    queryType: int | None = None
    code: int | None = None
    authoritative: bool = False
    truncated: bool = False
    recursionDesired: bool = False
    recursionAvailable: bool = False
    flags: int = 0
    answers: tuple[bytes, ...] | None = None
    lifetimes: tuple[int, ...] | None = None
    rejected: bool = False


_COLUMNS = tuple(DNSRow.__dataclass_fields__)
_columns = attrgetter(*_COLUMNS)


class OpenRow:
    """
    A row that is not written yet; the attributes are those of L{DNSRow}.

    @ivar paired: query and reply came, nothing else will.
    """

    __slots__ = (*_COLUMNS, "paired")

    paired: bool

    stamp: int
    identifier: int
    tcp: bool
    opcode: int
    roundTrip: int | None
    query: bytes | None
    queryClass: int | None
    queryType: int | None
    code: int | None
    authoritative: bool
    truncated: bool
    recursionDesired: bool
    recursionAvailable: bool
    flags: int
    answers: tuple[bytes, ...] | None
    lifetimes: tuple[int, ...] | None
    rejected: bool

    def __init__(self, stamp: int, identifier: int, tcp: bool) -> None:
        self.stamp, self.identifier, self.tcp = stamp, identifier, tcp
        self.paired = False
        self.opcode = self.flags = 0
        self.authoritative = self.truncated = self.recursionDesired = self.recursionAvailable = self.rejected = False
        self.roundTrip = self.query = self.queryClass = self.queryType = self.code = None
        self.answers = self.lifetimes = None

    def row(self) -> DNSRow:
        """The row as it stands."""
        return DNSRow(*_columns(self))
