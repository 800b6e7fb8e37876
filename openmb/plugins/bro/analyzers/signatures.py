"""
Signatures: which protocol the first bytes of a connection look like, whatever its port.

Zeek calls this dynamic protocol detection. Each direction of a TCP connection is matched from its first byte on, until
both together have sent L{MOST_BYTES}; what was sent so far is kept, because an analyser that comes late must see it.

Few patterns can match after a given first byte: a table of first bytes leaves one or none to try.

Source: the signatures of Zeek 8.2.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from construct import (
    Const,
    GreedyBytes,
    IfThenElse,
    Int8ul,
    Int16ul,
    Int32ul,
    Int64ul,
    Prefixed,
    PrefixedArray,
    Struct,
    Terminated,
    this,
)

from openmb.plugins.bro.analyzers.analyzer import Service
from openmb.plugins.bro.reading import Reader, text
from openmb.plugins.bro.tracking.urgency import AGREEING

#: Matching stops with the chunk that makes the sum of both directions larger, or after so many chunks.
MOST_BYTES, MOST_CHUNKS = 1024, 100

#: One chunk may be as large as everything that waited behind a hole: of it, so much is kept.
LARGEST_CHUNK = 64 << 10

_METHODS = (
    rb"OPTIONS|GET|HEAD|POST|PUT|DELETE|ACL|BASELINE\-CONTROL|BIND|CHECKIN|CHECKOUT|CONNECT|COPY|LABEL|LINK|"
    rb"LOCK|MERGE|MKACTIVITY|MKCALENDAR|MKCOL|MKREDIRECTREF|MOVE|ORDERPATCH|PATCH|PROPFIND|PROPPATCH|REBIND|"
    rb"REPORT|SEARCH|TRACE|UNBIND|UNCHECKOUT|UNLINK|UNLOCK|UPDATE|VERSION\-CONTROL|BCOPY|BDELETE|BMOVE|"
    rb"BPROPFIND|BPROPPATCH|NOTIFY|POLL|SUBSCRIBE|UNSUBSCRIBE|X\-MS\-ENUMATTS|MKWORKSPACE|RPC_IN_DATA|"
    rb"RPC_OUT_DATA"
)


@dataclass(frozen=True, slots=True)
class Signature:
    """
    One pattern of one direction.

    @ivar bit: its place among those that have fired.
    @ivar service: what it speaks for.
    @ivar first: bytes with one of which the direction must begin.
    """

    bit: int
    service: Service
    fromOriginator: bool
    pattern: re.Pattern[bytes]
    first: bytes


_SPACE = b" \t\n\v\f\r"
_ALL = bytes(range(256))


def _signatures() -> tuple[Signature, ...]:
    initials = bytes({method[0] for method in _METHODS.split(b"|")})
    hello = rb"\x16\x03[\x00-\x03]..\x01...\x03[\x00-\x03]"
    answer = rb"(?:\x15\x03[\x00-\x03]....)?\x16\x03[\x00-\x03]..\x02...(?:\x03[\x00-\x04]|\x7f[\x00-\x50])"
    # a word that begins a line: only the last line end before it is looked at, so that time is linear
    line = rb"(?:\A|[\n\r])"
    rows: list[tuple[Service, bool, bytes, bytes]] = [
        (Service.HTTP, True, rb"\A\s*(?:" + _METHODS + rb")", _SPACE + initials),
        (Service.HTTP, False, rb"\A(?i:HTTP)/[0-9]", b"hH"),
        (Service.SSL, True, rb"\A" + hello, b"\x16"),
        (Service.SSL, False, rb"\A" + answer, b"\x15\x16"),
        (Service.SSH, True, rb"\A(?i:ssh)-[12]\.", b"sS"),
        (Service.SSH, False, rb"\A(?i:ssh)-[12]\.", b"sS"),
        (Service.FTP, True, line + rb" *(?i:USER) ", _ALL),
        (Service.FTP, False, rb"\A[\n\r ]*(?:120|220)[^0-9].*[\n\r] *(?:230|331)[^0-9]", b"\n\r 12"),
        (Service.SMTP, True, line + rb"[^\S\n\r]*(?i:HELO|EHLO)", _ALL),
        (Service.SMTP, False, rb"\A\s*220[\s-]", _SPACE + b"2"),
        (Service.POP3, True, line + rb"[^\S\n\r]*(?i:USER\s|APOP\s|CAPA|AUTH|STLS)", _ALL),
        (Service.POP3, False, rb"\A\+OK", b"+"),
    ]
    return tuple(
        Signature(1 << place, service, side, re.compile(pattern, re.DOTALL), first)
        for place, (service, side, pattern, first) in enumerate(rows)
    )


SIGNATURES = _signatures()


def _bits(*services: Service) -> int:
    return sum(one.bit for one in SIGNATURES if one.service in services)


#: Signatures of these services need the other direction's as well.
_PAIRS = tuple((service, _bits(service)) for service in (Service.SSH, Service.FTP, Service.SMTP, Service.POP3))
_PAIRED = dict(_PAIRS)
_FTP = _bits(Service.FTP)
_ALONE = _bits(Service.HTTP, Service.SSL)

#: Signatures that can match, and their bits, by direction (1: originator) and first byte.
_BY_FIRST = tuple(
    tuple(tuple(one for one in SIGNATURES if one.fromOriginator == side and byte in one.first) for byte in range(256))
    for side in (False, True)
)
_BITS = tuple(tuple(sum(one.bit for one in found) for found in side) for side in _BY_FIRST)

#: First bytes with which a signature that counts alone can begin (the originator's, the responder's), and those of a
#: responder with which one can that counts with whatever the originator sends.
ALONE_FIRST = tuple(bytes(byte for byte in range(256) if _BITS[side][byte] & _ALONE) for side in (True, False))
PAIRED_FIRST = bytes(byte for byte in range(256) if _BITS[False][byte] & _bits(Service.FTP, Service.SMTP, Service.POP3))

#: A piece of a direction, in order of arrival: from whom, and its bytes, or how many are missing.
Chunk = tuple[bool, bytes | int]

_HEAD = struct.Struct("<BHIH")
_GAP = struct.Struct("<Q")
_VERSION, _MOST_LENGTH = 1, 1 << 62

#: A matcher on its way to another middlebox.
MATCHER = Struct(
    "version" / Const(_VERSION, Int8ul),
    "fired" / Int16ul * "bits of the signatures that have fired",
    "total" / Int32ul * "bytes of both directions so far, gaps included",
    "chunks"
    / PrefixedArray(
        Int16ul,
        Struct(
            "kind" / Int8ul * "bit 0: from the originator; bit 1: a gap",
            "content" / IfThenElse(this.kind & 2, Int64ul, Prefixed(Int32ul, GreedyBytes)),
        ),
    ),
    Terminated,
)


class Matcher:
    """
    The first bytes of one TCP connection, both directions.

    @ivar chunks: what came so far, in order.
    @ivar isOver: nothing will match any more.
    """

    __slots__ = ("_fired", "_seen", "_total", "chunks", "isOver")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.isOver = False
        self._seen = [b"", b""]  # what the responder, the originator sent
        self._fired = self._total = 0

    def _look(self) -> None:
        """Is it over?"""
        responder, originator = self._seen
        if self._total > MOST_BYTES or len(self.chunks) > MOST_CHUNKS:
            self.isOver = True
        elif responder and originator:
            possible = _BITS[0][responder[0]] | _BITS[1][originator[0]]
            alone = possible & _ALONE & ~self._fired
            self.isOver = not alone and not any(possible & both == both != self._fired & both for _, both in _PAIRS)

    @property
    def mayBeFTP(self) -> bool:
        """Can it turn out to be FTP?"""
        responder = self._seen[0]
        if not responder:
            return any(not originator for originator, _ in self.chunks)  # its first bytes were lost
        return bool(_BITS[0][responder[0]] & _FTP)

    @property
    def mayAgree(self) -> bool:
        """If this turns out to be FTP: may it have agreed on connections, or be inside of a line that does?"""
        return any(seen and (seen[-1:] not in b"\r\n" or AGREEING.search(seen)) for seen in self._seen)

    def take(self, originator: bool, data: bytes) -> list[Service]:
        """
        In-order bytes of one direction.

        @return: the services whose signatures they complete.
        """
        data = data[:LARGEST_CHUNK]
        self.chunks.append((originator, data))
        self._total += len(data)
        before = self._seen[originator]
        seen = self._seen[originator] = before + data if before else data
        found = []
        for one in _BY_FIRST[originator][seen[0]] if seen else ():
            if not self._fired & one.bit and one.pattern.search(seen):
                self._fired |= one.bit
                both = _PAIRED.get(one.service, 0)
                if self._fired & both == both:
                    found.append(one.service)
        self._look()
        return found

    def gap(self, originator: bool, length: int) -> None:
        """C{length} bytes were never seen."""
        self.chunks.append((originator, min(length, _MOST_LENGTH)))
        self._total += length
        self._look()

    def turn(self) -> None:
        """Originator and responder change places."""
        self.chunks = [(not originator, data) for originator, data in self.chunks]
        self._seen.reverse()

    def dump(self) -> bytes:
        """Everything known; L{MATCHER} declares it."""
        parts = [_HEAD.pack(_VERSION, self._fired, min(self._total, 0xFFFFFFFF), len(self.chunks))]
        for originator, data in self.chunks:
            if isinstance(data, int):
                parts.append(bytes((originator | 2,)) + _GAP.pack(data))
            else:
                parts.append(bytes((originator,)) + text(data))
        return b"".join(parts)

    @classmethod
    def load(cls, data: bytes) -> Matcher:
        """
        A matcher that goes on where the one that was dumped stopped.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        reader, matcher = Reader(data, "the first bytes of a connection"), cls()
        version, matcher._fired, matcher._total, count = reader.numbers(_HEAD)
        reader.check(version == _VERSION, "version")
        reader.check(matcher._fired < 1 << len(SIGNATURES), "signatures")
        reader.check(count <= MOST_CHUNKS, "number of chunks")
        for _ in range(count):
            kind = reader.octet()
            reader.check(kind < 4, "kind of a chunk")
            originator = bool(kind & 1)
            if kind & 2:
                (length,) = reader.numbers(_GAP)
                reader.check(length <= _MOST_LENGTH, "length of a gap")
                matcher.chunks.append((originator, length))
            else:
                chunk = reader.text()
                reader.check(len(chunk) <= MOST_BYTES, "length of a chunk")
                matcher.chunks.append((originator, chunk))
                matcher._seen[originator] += chunk
        reader.end()
        reader.check(matcher._total <= MOST_BYTES, "number of bytes")
        return matcher
