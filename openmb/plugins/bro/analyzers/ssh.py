"""
The first packets of an SSH connection: is a key exchange completed, and does a packet claim an impossible length?

After both version lines each side sends binary packets, length first (RFC 4253, section 6). Zeek notes a length of
more than 8 MiB with an C{X} in the history, once. From the first NEWKEYS of a side on, its packets cannot be read.
Version 1 sends one readable packet a side. Packets before the other side's version line are not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar, Self

from construct import (
    Array,
    Const,
    Flag,
    GreedyBytes,
    Int8ul,
    Int16ul,
    Int32ul,
    PascalString,
    Prefixed,
    Struct,
    Terminated,
)

from openmb.plugins.bro.analyzers.analyzer import Analyzer, Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.login import MOST_SEGMENTS, Login, LoginWatch
from openmb.plugins.bro.reading import check, parsed
from openmb.plugins.bro.tracking.urgency import Urgency

_LIMIT = 8 * 1024 * 1024
_LONGEST_LINE = 4096
_LONGEST_READ = 35000  # no packet need be longer (RFC 4253, section 6.1); longer ones are not looked into
_NEWKEYS = 21
_SESSION_KEY = 3
_FIRST_OF_ONE = (2, _SESSION_KEY)
_VERSION, _OPENING, _PACKETS, _DONE = range(4)
_UNKNOWN, _ONE, _BOTH, _TWO = range(4)
_END = re.compile(rb"[\r\n]")
_LISTS = 10
_COMPRESSION = 6  # lists before the one of compression towards the server
_LONGEST_OFFER = 256
_WHAT = "an SSH analyser"

_FORMAT = Struct(
    "version" / Const(3, Int8ul),
    "exceeded" / Flag * "a length was too large",
    "confirmed" / Flag,
    "protocol" / Array(2, Int8ul) * "of the version lines: 0 unknown, 1, 2 for both (1.99), 3 for version 2",
    "sides"
    / Array(
        2,
        Struct(
            "stage" / Int8ul * "0 version line, 1 first packet, 2 later packets, 3 done",
            "swallow" / Flag * "an LF that comes next belongs to the version line",
            "pass" / Int32ul * "bytes of the current packet still to pass over",
            "buffer" / Prefixed(Int16ul, GreedyBytes) * "bytes of an unfinished line or packet",
            "compression" / PascalString(Int16ul, "latin-1") * "what this side offered, in its order",
        ),
    ),
    "login"
    / Struct(
        "accepted" / Int32ul * "length of the server's first segment that could not be read",
        "refused" / Int32ul * "of its first refusal",
        "attempts" / Int8ul,
        "outcome" / Int8ul * "0 unknown, 1 failed, 2 succeeded",
        "left" / Int8ul * "segments still to be looked at",
    ),
    Terminated,
)


def readable(payload: bytes) -> bool:
    """Is this, after the type, a complete KEXINIT (RFC 4253, section 7.1)?"""
    place = 16
    for _ in range(_LISTS):
        if place + 4 > len(payload):
            return False
        place += 4 + int.from_bytes(payload[place : place + 4], "big")
    return place + 5 <= len(payload)


def offeredCompression(payload: bytes) -> str:
    """What a complete KEXINIT says of compression towards the server, the seventh of its lists."""
    place = 16
    for _ in range(_COMPRESSION):
        place += 4 + int.from_bytes(payload[place : place + 4], "big")
    length = int.from_bytes(payload[place : place + 4], "big")
    return payload[place + 4 : place + 4 + min(length, _LONGEST_OFFER)].decode("latin-1")


class SSHAnalyzer(Analyzer):
    """
    SSH of one connection.

    @ivar exceeded: a packet length was too large.
    @ivar login: what becomes of attempts to log in.
    """

    __slots__ = (
        "_buffers",
        "_compressions",
        "_confirmed",
        "_passing",
        "_protocols",
        "_stages",
        "_swallows",
        "exceeded",
        "login",
    )

    service: ClassVar[Service] = Service.SSH

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.exceeded = self._confirmed = False
        self._protocols = [_UNKNOWN, _UNKNOWN]
        self._stages = [_VERSION, _VERSION]
        self._swallows = [False, False]
        self._passing = [0, 0]
        self._buffers = [b"", b""]
        self._compressions = ["", ""]
        self.login = LoginWatch()

    @property
    def urgency(self) -> Urgency:
        """See L{Analyzer.urgency}; the lines of versions are the first packets.  Version 1 has none to go by."""
        if self._stages == [_DONE, _DONE]:
            return Urgency.NONE
        isWhole = not (any(self._buffers) or any(self._passing) or any(self._swallows))
        speaks = _ONE not in self._protocols and (_VERSION in self._stages or self._agreed() == _TWO)
        return Urgency.PACKETS if isWhole and speaks else Urgency.OWN

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """In-order bytes of one direction."""
        side = 0 if originator else 1
        if side and self.login.left:
            self.login.segment(len(data))
            return
        if self._stages[side] == _VERSION:
            data = self._readVersion(side, data)
        if data and self._swallows[side]:
            self._swallows[side] = False
            data = data[1:] if data[:1] == b"\n" else data
        if data and self._stages[1 - side] != _VERSION and self._stages[side] in (_OPENING, _PACKETS):
            self._readPackets(side, data)

    def silence(self) -> None:
        """Nothing more is read."""
        self._stages = [_DONE, _DONE]
        self._buffers = [b"", b""]
        self.login.left = 0

    def _readVersion(self, side: int, data: bytes) -> bytes:
        """Look for the end of the version line; what comes after it."""
        line = self._buffers[side] + data
        end = _END.search(line, len(self._buffers[side]))
        if end is None:
            self._buffers[side] = line
            if len(line) > _LONGEST_LINE:
                self.silence()
            return b""
        self._buffers[side], self._stages[side] = b"", _OPENING
        self._swallows[side] = end[0] == b"\r"
        self._protocols[side] = _protocol(line[: end.start()])
        if self._stages[1 - side] != _VERSION and not self._agreed():
            self.silence()
        return line[end.end() :]

    def _agreed(self) -> int:
        """The version that both speak."""
        both = set(self._protocols)
        if _UNKNOWN in both or both == {_ONE, _TWO}:
            return _UNKNOWN
        return _ONE if _ONE in both else _TWO

    def _readPackets(self, side: int, data: bytes) -> None:
        data = self._buffers[side] + data
        one = self._agreed() == _ONE
        while data and self._stages[side] != _DONE:
            step = min(self._passing[side], len(data))
            data, self._passing[side] = data[step:], self._passing[side] - step
            if len(data) < 4:
                break
            length = int.from_bytes(data[:4], "big")
            if length > _LIMIT:
                self.exceeded = True
                self.findings.append(Sign.EXCEEDED)
                self.silence()
                return
            whole = length + 4 + (8 - length % 8 if one else 0)
            if whole > _LONGEST_READ:
                self._passing[side], self._stages[side] = whole, _PACKETS
            elif len(data) < whole:
                break
            else:
                self._readPacket(side, data[:whole], one)
                data = data[whole:]
        if data and side and self.login.left:
            self.login.segment(len(data))
        self._buffers[side] = b"" if self._stages[side] == _DONE else data

    def _readPacket(self, side: int, packet: bytes, one: bool) -> None:
        if one:
            place = 12 - int.from_bytes(packet[:4], "big") % 8
            kind = packet[place] if place < len(packet) else 0
            if kind not in _FIRST_OF_ONE:
                self._violate()
                return
            self._stages[side] = _DONE
            if kind == _SESSION_KEY:
                self._confirm()
        elif len(packet) < 6 or packet[4] + 6 > len(packet):
            self._violate()
        elif packet[5] == _NEWKEYS:
            self._stages[side] = _DONE
            self._confirm()
            if side and not self._isCompressed:
                self.login.begin()
        elif self._stages[side] == _OPENING:
            self._stages[side] = _PACKETS
            payload = packet[6 : len(packet) - packet[4]]
            if readable(payload):
                self._compressions[side] = offeredCompression(payload)
            else:
                self._violate()

    @property
    def _isCompressed(self) -> bool:
        """Was compression agreed on (RFC 4253, section 7.1: the client's first that the server knows)?"""
        known = self._compressions[1].split(",")
        return next((one for one in self._compressions[0].split(",") if one in known), "none").startswith("zlib")

    def _confirm(self) -> None:
        if not self._confirmed:
            self._confirmed = True
            self.findings.append(Sign.CONFIRMED)

    def _violate(self) -> None:
        self.findings.append(Sign.VIOLATED)
        self.silence()

    def gap(self, originator: bool, length: int, now: int) -> None:
        """Bytes were lost: neither direction can be read any more."""
        self.silence()

    def finished(self, originator: bool, now: int) -> None:
        """The direction has ended."""
        side = 0 if originator else 1
        if side:
            self.login.left = 0
        if self._stages[side] == _VERSION:
            self.silence()
        self._stages[side] = _DONE

    def skip(self, originator: bool) -> int:
        """-1 when no more bytes of this direction are wanted; else the rest of a packet that is not read."""
        side = 0 if originator else 1
        if side and self.login.left:
            return 0
        return -1 if self._stages[side] == _DONE else self._passing[side]

    def skipped(self, originator: bool, length: int, now: int) -> None:
        """Bytes were passed over."""
        side = 0 if originator else 1
        if length > self._passing[side]:
            self.silence()
        else:
            self._passing[side] -= length

    def dump(self) -> bytes:
        """Everything known."""
        sides = [
            {"stage": stage, "swallow": swallow, "pass": passing, "buffer": buffer, "compression": compression}
            for stage, swallow, passing, buffer, compression in zip(
                self._stages, self._swallows, self._passing, self._buffers, self._compressions, strict=True
            )
        ]
        return bytes(
            _FORMAT.build(
                {
                    "exceeded": self.exceeded,
                    "confirmed": self._confirmed,
                    "protocol": self._protocols,
                    "sides": sides,
                    "login": asdict(self.login),
                }
            )
        )

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """The inverse of L{dump}."""
        state = parsed(_FORMAT, data, _WHAT)
        sides = state["sides"]
        check(max(side["stage"] for side in sides) <= _DONE and max(state["protocol"]) <= _TWO, _WHAT)
        check(max(side["pass"] for side in sides) <= _LIMIT + 12, _WHAT)
        check(max(len(side["buffer"]) for side in sides) <= _LONGEST_READ, _WHAT)
        login = state["login"]
        check(login.outcome in tuple(Login) and login.left <= MOST_SEGMENTS, _WHAT)
        check(max(len(side["compression"]) for side in sides) <= _LONGEST_OFFER, _WHAT)
        again = cls(around)
        again.login = LoginWatch(login.accepted, login.refused, login.attempts, Login(login.outcome), login.left)
        again._compressions = [str(side["compression"]) for side in sides]
        again.exceeded, again._confirmed = bool(state["exceeded"]), bool(state["confirmed"])
        again._protocols = [int(one) for one in state["protocol"]]
        again._stages = [int(side["stage"]) for side in sides]
        again._swallows = [bool(side["swallow"]) for side in sides]
        again._passing = [int(side["pass"]) for side in sides]
        again._buffers = [bytes(side["buffer"]) for side in sides]
        return again


def _protocol(line: bytes) -> int:
    """What a version line offers."""
    if line[4:5] == b"2":
        return _TWO
    if line[4:5] == b"1":
        return _BOTH if line[6:8] == b"99" else _ONE
    return _UNKNOWN


def loginOf(analyzers: Sequence[Analyzer]) -> Login:
    """What the SSH analyser among these, if there is one, says of logging in."""
    return next((one.login.outcome for one in analyzers if isinstance(one, SSHAnalyzer)), Login.UNKNOWN)
