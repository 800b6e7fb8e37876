"""
TLS and SSL: records, and the hello messages within them (RFC 8446, section 5.1; RFC 5246, section 6.2).

A complete client's hello of a known version confirms. Every record must have a known version, and as long as a side
has not begun to encrypt, a known type; in its handshake messages too. The lengths of records and messages are enough
for that: nearly all bytes are passed over.
"""

from __future__ import annotations

from typing import ClassVar, Self

from construct import Array, Const, Flag, GreedyBytes, Int8ul, Int16ul, Int32ul, Prefixed, Struct, Terminated

from openmb.plugins.bro.analyzers.analyzer import Analyzer, Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.hello import OLD_VERSIONS, clientVersion, known, serverVersion
from openmb.plugins.bro.reading import check, parsed

_VERSIONS = (0x0300, 0x0301, 0x0302, 0x0303)
_SECOND = 0x0002  # the version of SSL that has other records
_FIRST_TYPE, _LAST_TYPE = 20, 30
_CIPHER, _ALERT, _HANDSHAKE, _DATA, _HEARTBEAT = 20, 21, 22, 23, 24
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_MESSAGES = frozenset((0, 1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 20, 21, 22))
_LONGEST_HELLO = 65536  # longer ones are not looked into
_LONGEST_MESSAGE = (1 << 24) + 3
_LONGEST_RECORD = 65540
#: Of both directions; violations later than that have no effect (and the analyser has no more to confirm).
_HARMLESS = 10240
_WHAT = "an SSL analyser"
_OLD_ERROR, _OLD_CLIENT, _OLD_KEY, _OLD_SERVER = 0, 1, 2, 4
_OLD_TYPES = (_OLD_ERROR, _OLD_CLIENT, _OLD_KEY, _OLD_SERVER)

_FORMAT = Struct(
    "version" / Const(1, Int8ul),
    "over" / Flag,
    "confirmed" / Flag,
    "layer" / Int16ul * "version of the first record, 0 before it",
    "chosen" / Int16ul * "version of the server's hello, 0 before it",
    "seen" / Int16ul * "bytes of both directions, as far as they matter",
    "sides"
    / Array(
        2,
        Struct(
            "encrypted" / Flag,
            "odd" / Flag * "the record passed over violates once it is complete",
            "strange" / Flag * "so does the handshake message",
            "pass" / Int32ul * "bytes of the record still to pass over",
            "body" / Int32ul * "bytes of a handshake record still to come",
            "message" / Int32ul * "bytes of a handshake message still to pass over",
            "header" / Prefixed(Int32ul, GreedyBytes) * "bytes of an unfinished record that is read whole",
            "hello" / Prefixed(Int32ul, GreedyBytes) * "bytes of an unfinished handshake message",
        ),
    ),
    Terminated,
)


class _Side:
    """One direction."""

    __slots__ = ("body", "encrypted", "header", "hello", "message", "odd", "passing", "strange")

    def __init__(self) -> None:
        self.encrypted = self.odd = self.strange = False
        self.passing = self.body = self.message = 0
        self.header = self.hello = b""

    def dump(self) -> dict[str, object]:
        """For the format."""
        names = ("encrypted", "odd", "strange", "body", "message", "header", "hello")
        return {"pass": self.passing} | {name: getattr(self, name) for name in names}


class SSLAnalyzer(Analyzer):
    """TLS or SSL of one connection."""

    __slots__ = ("_chosen", "_confirmed", "_layer", "_over", "_seen", "_sides")

    service: ClassVar[Service] = Service.SSL

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._over = self._confirmed = False
        self._layer = self._chosen = self._seen = 0
        self._sides = _Side(), _Side()

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """In-order bytes."""
        side = self._sides[not originator]
        if self._seen <= _HARMLESS:
            self._seen = min(self._seen + len(data), _HARMLESS + 1)
        if side.header:
            data, side.header = side.header + data, b""
        place, end = 0, len(data)
        while place < end and not self._over:
            if side.passing:
                step = min(side.passing, end - place)
                side.passing -= step
                place += step
                self._settle(side)
            elif side.body:
                step = min(side.body, end - place)
                side.body -= step
                self._handshake(side, data[place : place + step])
                place += step
            elif end - place < 5:
                side.header = data[place:]
                return
            else:
                place = self._record(originator, side, data, place)

    def _stop(self) -> None:
        """A violation after which nothing is read."""
        self.findings.append(Sign.VIOLATED)
        self._end()

    def _end(self) -> None:
        self._over = True
        self._sides = _Side(), _Side()

    def _record(self, originator: bool, side: _Side, data: bytes, place: int) -> int:
        """A record begins; where to go on, or the end of the data if not enough is there."""
        kind, version = data[place], data[place + 1] << 8 | data[place + 2]
        if self._layer == _SECOND or (not self._layer and kind & 0x80):
            return self._oldRecord(originator, side, data, place)
        if version not in _VERSIONS or not (self._layer or _FIRST_TYPE <= kind <= _LAST_TYPE):
            self._stop()
            return place
        self._layer = version
        length = data[place + 3] << 8 | data[place + 4]
        place += 5
        if kind == _HANDSHAKE and not side.encrypted:
            side.body = length
        elif length:
            side.passing = length
            if not side.encrypted:
                self._readable(side, kind, length)
        return place

    def _readable(self, side: _Side, kind: int, length: int) -> None:
        """A record that is not encrypted, and no handshake: its length tells all."""
        if kind == _CIPHER:
            side.encrypted = True
        elif kind == _DATA:
            side.encrypted = self._chosen not in OLD_VERSIONS
        elif kind == _ALERT:
            side.odd = bool(length % 2)
        else:
            side.odd = kind != _HEARTBEAT or length < 3

    def _settle(self, side: _Side) -> None:
        """A record or a message may be complete."""
        if side.odd and not side.passing:
            side.odd = False
            self.findings.append(Sign.VIOLATED)
        if side.strange and not side.message:
            side.strange = False
            self.findings.append(Sign.VIOLATED)

    def _handshake(self, side: _Side, data: bytes) -> None:
        """A part of the stream of handshake messages."""
        if side.hello:
            data, side.hello = side.hello + data, b""
        place, end = 0, len(data)
        while place < end and not self._over:
            if side.message:
                step = min(side.message, end - place)
                side.message -= step
                place += step
                self._settle(side)
                continue
            if end - place < 4:
                side.hello = data[place:]
                return
            kind, length = data[place], int.from_bytes(data[place + 1 : place + 4], "big")
            if kind not in (_CLIENT_HELLO, _SERVER_HELLO) or length > _LONGEST_HELLO:
                side.strange = kind not in _MESSAGES
                side.message = length + 4
            elif end - place < length + 4:
                side.hello = data[place:]
                return
            else:
                body = data[place + 4 : place + 4 + length]
                place += length + 4
                if not (self._clientHello(body) if kind == _CLIENT_HELLO else self._serverHello(body)):
                    side.passing, side.body = side.body, 0
                    return

    def _clientHello(self, body: bytes) -> bool:
        """Is the rest of its record still readable?"""
        version = clientVersion(body)
        if version is None:
            self.findings.append(Sign.VIOLATED)
            return False
        self._hello(version)
        return True

    def _hello(self, version: int) -> None:
        if not known(version):
            self._stop()
        elif not self._confirmed:
            self._confirmed = True
            self.findings.append(Sign.CONFIRMED)

    def _serverHello(self, body: bytes) -> bool:
        versions = serverVersion(body)
        if versions is None:
            self.findings.append(Sign.VIOLATED)
            return False
        self._chosen = self._chosen or versions[1]
        if not known(versions[0]):
            self._stop()
        return True

    def _oldRecord(self, originator: bool, side: _Side, data: bytes, place: int) -> int:
        """A record of SSL version 2: two bytes of length, then a type."""
        length = ((data[place] & 0x7F) << 8 | data[place + 1]) + 2
        kind, version = data[place + 2], data[place + 3] << 8 | data[place + 4]
        if not self._layer and not self._begins(originator, kind, version):
            self._stop()
            return place
        if length < 5:
            self._stop()
            return place
        if side.encrypted or (kind not in (_OLD_CLIENT, _OLD_SERVER) and kind in _OLD_TYPES):
            if kind == _OLD_KEY and not side.encrypted:
                self._sides[0].encrypted = self._sides[1].encrypted = True
        elif kind not in _OLD_TYPES:
            side.odd = True
        elif len(data) - place < length:
            side.header = data[place:]
            return len(data)
        else:
            self._oldHello(kind, data[place + 5 : place + length])
            if kind == _OLD_SERVER:
                self._layer = _SECOND
            return place + length
        side.passing = length
        return place

    def _begins(self, originator: bool, kind: int, version: int) -> bool:
        """May a connection begin with such a record of SSL version 2?"""
        if originator:
            return kind == _OLD_CLIENT and (version == _SECOND or version in _VERSIONS)
        return kind == _OLD_SERVER and version & 0xFF < 2

    def _oldHello(self, kind: int, body: bytes) -> None:
        """A hello of SSL version 2, without its first three bytes; a server's begins with its version."""
        skipped = 2 if kind == _OLD_SERVER else 0
        lengths = [int.from_bytes(body[place : place + 2], "big") for place in range(skipped, skipped + 6, 2)]
        if kind == _OLD_SERVER and body[:2] != b"\0\2":
            self._stop()
        elif len(body) != skipped + 6 + sum(lengths):
            self.findings.append(Sign.VIOLATED)
        elif kind == _OLD_CLIENT:
            self._hello(_SECOND)

    def gap(self, originator: bool, length: int, now: int) -> None:
        """Nothing more is read."""
        self._end()

    def skip(self, originator: bool) -> int:
        """The rest of a record; everything, once nothing that may come has an effect."""
        if self._over or (self._confirmed and self._seen > _HARMLESS):
            return -1
        side = self._sides[not originator]
        return side.passing or min(side.body, side.message)

    def skipped(self, originator: bool, length: int, now: int) -> None:
        """Parts of records."""
        side = self._sides[not originator]
        self._seen = min(self._seen + length, _HARMLESS + 1)
        if side.passing >= length:
            side.passing -= length
        elif min(side.body, side.message) >= length:
            side.body -= length
            side.message -= length
        else:
            self._end()
        self._settle(side)

    def dump(self) -> bytes:
        """Everything known."""
        return bytes(
            _FORMAT.build(
                {
                    "over": self._over,
                    "confirmed": self._confirmed,
                    "layer": self._layer,
                    "chosen": self._chosen,
                    "seen": self._seen,
                    "sides": [side.dump() for side in self._sides],
                }
            )
        )

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """The inverse of L{dump}."""
        state = parsed(_FORMAT, data, _WHAT)
        check(state["layer"] in (0, _SECOND, *_VERSIONS) and state["seen"] <= _HARMLESS + 1, _WHAT)
        again = cls(around)
        again._over, again._confirmed = bool(state["over"]), bool(state["confirmed"])
        again._layer, again._chosen, again._seen = int(state["layer"]), int(state["chosen"]), int(state["seen"])
        for side, old in zip(again._sides, state["sides"], strict=True):
            check(max(old["pass"], old["body"], len(old["header"])) <= _LONGEST_RECORD, _WHAT)
            check(old["message"] <= _LONGEST_MESSAGE and len(old["hello"]) <= _LONGEST_HELLO + 4, _WHAT)
            side.encrypted, side.passing, side.body = bool(old["encrypted"]), int(old["pass"]), int(old["body"])
            side.odd, side.strange = bool(old["odd"]), bool(old["strange"])
            side.message, side.header, side.hello = int(old["message"]), bytes(old["header"]), bytes(old["hello"])
        return again
