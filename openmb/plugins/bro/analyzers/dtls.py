"""
DTLS: a ClientHello of a known version confirms.

Records of an unknown version are passed over together with what follows them in their datagram; the eleventh in a row
ends the reading. Handshake messages in one piece are read at once, others put together as L{Fragments} does.

Source: RFC 6347, RFC 9147; Zeek's analyser for what it tolerates.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Self

from construct import Array, Byte, Const, ConstructError, Flag, GreedyBytes, Int16ul, Prefixed, Struct, Terminated

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.analyzer import Analyzer, Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.datagrams import Malformed
from openmb.plugins.bro.analyzers.dtlshello import DTLS_THREE, chosenVersion, clientVersion
from openmb.plugins.bro.analyzers.fragments import FRAGMENTS, Fragments
from openmb.plugins.bro.analyzers.hello import known

_RECORD = struct.Struct(">BHH6sH")
_HANDSHAKE = struct.Struct(">B3sH3s3s")
_VERSIONS = frozenset((0xFEFF, 0xFEFD))
_MOST_INVALID = 10  # Zeek's SSL::dtls_max_version_errors
_MOST_REPORTED = 1  # Zeek's SSL::dtls_max_reported_version_errors
_ALERT, _HANDSHAKES, _HEARTBEAT = 21, 22, 24
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_MOST_WAITING = 1 << 16

_FORMAT = Struct(
    "version" / Const(1, Byte),
    "confirmed" / Flag,
    "stopped" / Flag * "nothing is read any more",
    "unified" / Flag * "DTLS 1.3 was chosen: records may have its short header",
    "invalid" / Byte * "records of an unknown version since the last of a known one",
    "reported" / Byte * "of them, those that violated",
    "waiting" / Array(2, Prefixed(Int16ul, GreedyBytes)) * "of each direction: the beginning of a message",
    "fragments" / Array(2, FRAGMENTS),
    Terminated,
)


class DTLSAnalyzer(Analyzer):
    """Reads the handshake up to the hellos, and the headers of all records."""

    __slots__ = ("_confirmed", "_fragments", "_invalid", "_reported", "_stopped", "_unified", "_waiting")

    service: ClassVar[Service] = Service.DTLS

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._confirmed = self._stopped = self._unified = False
        self._invalid = self._reported = 0
        self._waiting = [b"", b""]
        self._fragments = [Fragments(), Fragments()]

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """See L{Analyzer.data}."""
        place, side = 0, 0 if originator else 1
        try:
            while place < len(data) and not self._stopped:
                place = self._record(side, data, place)
        except Malformed:
            self.findings.append(Sign.VIOLATED)

    def skip(self, originator: bool) -> int:
        """See L{Analyzer.skip}."""
        return -1 if self._stopped else 0

    def _record(self, side: int, data: bytes, place: int) -> int:
        """Read the record that begins at C{place}; where the next one begins."""
        if self._unified and data[place] & 0xE0 == 0x20:
            return _passUnified(data, place)
        begin = place + _RECORD.size
        if begin > len(data):
            raise Malformed
        kind, version, epoch, sequence, length = _RECORD.unpack_from(data, place)
        if not self._accepts(version):
            return len(data)
        end = begin + int(length)
        if end > len(data):
            raise Malformed
        if epoch == 0 and length:
            self._plaintext(side, kind, int.from_bytes(sequence, "big"), data[begin:end])
        return end

    def _accepts(self, version: int) -> bool:
        if version in _VERSIONS:
            if self._confirmed:
                self._invalid = 0
            return True
        self._invalid += 1
        if self._confirmed and self._reported < _MOST_REPORTED:
            self._reported += 1
            self.findings.append(Sign.VIOLATED)
        self._stopped = self._invalid > _MOST_INVALID
        return False

    def _plaintext(self, side: int, kind: int, sequence: int, body: bytes) -> None:
        if (kind == _ALERT and len(body) % 2) or (kind == _HEARTBEAT and len(body) < 3):
            raise Malformed
        if kind != _HANDSHAKES:
            return
        if len(body) < _HANDSHAKE.size:
            raise Malformed
        message, *numbers = _HANDSHAKE.unpack_from(body)
        length, number, offset, size = (
            each if isinstance(each, int) else int.from_bytes(each, "big") for each in numbers
        )
        data: bytes | None = body[_HANDSHAKE.size :]
        try:
            if offset or length != size:
                data = self._fragments[side].add(sequence, number, length, offset, size, body[_HANDSHAKE.size :])
            if data is not None:
                self._messages(side, bytes((message,)) + length.to_bytes(3, "big") + data)
        except Malformed:
            self.findings.append(Sign.VIOLATED)  # what follows in the datagram is read all the same

    def _messages(self, side: int, data: bytes) -> None:
        """Handshake messages as TLS has them, one after the other; the last one may go on later."""
        data, place = self._waiting[side] + data, 0
        self._waiting[side] = b""
        while place + 4 <= len(data):
            end = place + 4 + int.from_bytes(data[place + 1 : place + 4], "big")
            if end > len(data):
                break
            self._message(data[place], data[place + 4 : end])
            place = end
        rest = data[place:]
        self._waiting[side] = rest if len(rest) < _MOST_WAITING else b""

    def _message(self, kind: int, body: bytes) -> None:
        if kind == _CLIENT_HELLO:
            if not known(clientVersion(body)):
                self._stopped = True
                self.findings.append(Sign.VIOLATED)
            elif not self._confirmed:
                self._confirmed = True
                self.findings.append(Sign.CONFIRMED)
        elif kind == _SERVER_HELLO:
            self._unified = chosenVersion(body) == DTLS_THREE

    def dump(self) -> bytes:
        """See L{Analyzer.dump}."""
        values = {
            "confirmed": self._confirmed,
            "stopped": self._stopped,
            "unified": self._unified,
            "invalid": self._invalid,
            "reported": self._reported,
            "waiting": self._waiting,
            "fragments": [each.values() for each in self._fragments],
        }
        return bytes(_FORMAT.build(values))

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """See L{Analyzer.load}."""
        analyzer = cls(around)
        try:
            parsed = _FORMAT.parse(data)
        except ConstructError as error:
            raise OperationError(Refusal.BAD_REQUEST, f"not the state of an analyser of dtls: {error}") from error
        invalid, reported = int(parsed["invalid"]), int(parsed["reported"])
        if invalid > _MOST_INVALID + 1 or reported > _MOST_REPORTED:
            raise OperationError(Refusal.BAD_REQUEST, "not the state of an analyser of dtls: counts")
        analyzer._confirmed, analyzer._stopped = bool(parsed["confirmed"]), bool(parsed["stopped"])
        analyzer._unified, analyzer._invalid, analyzer._reported = bool(parsed["unified"]), invalid, reported
        analyzer._waiting = [bytes(each) for each in parsed["waiting"]]
        analyzer._fragments = [Fragments.of(each) for each in parsed["fragments"]]
        return analyzer


def _passUnified(data: bytes, place: int) -> int:
    """The short header of DTLS 1.3 (RFC 9147, section 4) must be whole; everything after it is passed over."""
    first = data[place]
    size = 0 if first & 0x10 else (2 if first & 8 else 1) + (2 if first & 4 else 0)
    if place + 1 + size > len(data):
        raise Malformed
    return len(data)
