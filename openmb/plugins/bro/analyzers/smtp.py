"""
SMTP (RFC 5321): is it spoken, and does TLS begin (RFC 3207)?

Commands may be pipelined, so they wait in a queue for their replies; the state follows commands as if they would
succeed, and replies where they did not. Within a mail there are no commands, only the line with the dot matters;
chunks (RFC 3030) are passed over by their length.
"""

from __future__ import annotations

import enum
import re
from typing import ClassVar, Self

from construct import Array, Const, Flag, GreedyBytes, Int8ul, Int16sl, Int16ul, Int64ul, Prefixed, Struct, Terminated

from openmb.plugins.bro.analyzers.analyzer import Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.lines import READER, LineAnalyzer, nextDot
from openmb.plugins.bro.reading import check, parsed

_MOST_PENDING = 1000
_LONGEST_CHUNK = 1 << 62
_WHAT = "an SMTP analyser"


class _Stage(enum.IntEnum):
    """What the client's lines are."""

    COMMANDS, MAIL, AUTHENTICATION, LOST, FOUND = range(5)


class _Command(enum.IntEnum):
    """Commands that mean something here; L{OTHER} is recognised as well."""

    NONE, OPENING, HELLO, SENDER, RECIPIENT, DATA, DOT, RESET, QUIT, AUTH, TURN, STARTTLS, BDAT, OTHER = range(14)


_COMMANDS = {
    b"EHLO": _Command.HELLO,
    b"HELO": _Command.HELLO,
    b"MAIL": _Command.SENDER,
    b"SEND": _Command.SENDER,
    b"SOML": _Command.SENDER,
    b"SAML": _Command.SENDER,
    b"RCPT": _Command.RECIPIENT,
    b"DATA": _Command.DATA,
    b"END_OF_DATA": _Command.DOT,
    b"RSET": _Command.RESET,
    b"QUIT": _Command.QUIT,
    b"AUTH": _Command.AUTH,
    b"AUTH_ANSWER": _Command.AUTH,
    b"TURN": _Command.TURN,
    b"STARTTLS": _Command.STARTTLS,
    b"X-ANONYMOUSTLS": _Command.STARTTLS,
    b"X_ANONYMOUSTLS": _Command.STARTTLS,
    b"BDAT": _Command.BDAT,
    b"CONN_ESTABLISHMENT": _Command.OPENING,
} | dict.fromkeys((b"VRFY", b"EXPN", b"HELP", b"NOOP", b"ETRN"), _Command.OTHER)

#: Replies after which the client goes on with commands, though the command alone had said something else.
_BACK = {
    _Command.OPENING: frozenset((421, 554)),
    _Command.HELLO: frozenset((421, 500, 501, 504, 550)),
    _Command.SENDER: frozenset((421, 451, 452, 500, 501, 503, 550, 552, 553)),
}
_ALWAYS = frozenset((_Command.HELLO, _Command.SENDER, _Command.RECIPIENT, _Command.RESET, _Command.QUIT, _Command.DOT))
_ALWAYS |= {_Command.OPENING}
_WORD = re.compile(rb"[^\s\0]*")
_REPLY = re.compile(rb"[1-5][0-9][0-9]")
_CHUNK = re.compile(rb"\s*([0-9]{1,18})(?:\s+(?i:LAST))?\s*\Z")
_ANNOUNCING = 5  # bytes at a line's beginning that may announce a chunk, a NUL among them
_END = re.compile(rb"\r\n?|\n")
_CHUNKS = re.compile(rb"(?i:bdat)")

_FORMAT = Struct(
    "version" / Const(1, Int8ul),
    "over" / Flag,
    "confirmed" / Flag,
    "turned" / Flag * "the responder sends the mails",
    "readers" / Array(2, READER),
    "stage" / Int8ul,
    "first" / Int8ul * "the command that the next reply answers",
    "pending" / Prefixed(Int16ul, GreedyBytes) * "the commands after it",
    "continued" / Int16sl * "the code of a reply that goes on, else 0",
    "chunk" / Array(2, Int64ul) * "bytes of a chunk still to come",
    Terminated,
)


class SMTPAnalyzer(LineAnalyzer):
    """SMTP of one connection."""

    __slots__ = ("_chunk", "_continued", "_first", "_pending", "_stage", "_turned")

    service: ClassVar[Service] = Service.SMTP

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around, nulls=True)
        self._stage = _Stage.COMMANDS
        self._first = _Command.OPENING
        self._pending = bytearray()
        self._continued = 0
        self._chunk = [0, 0]
        self._turned = False

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """In-order bytes."""
        side = not originator
        if not (self._chunk[side] or _CHUNKS.search(self.readers[side].buffer[:_ANNOUNCING] + data)):
            super().data(originator, data, now)
            return
        while data and not self.over:
            if self._chunk[side]:
                data = self._pass(side, data)
            else:
                end = self._untilChunk(side, data)
                super().data(originator, data[:end], now)
                data = data[end:]

    def _untilChunk(self, side: bool, data: bytes) -> int:
        """How far there is surely no chunk: up to the end of the first line that may announce one."""
        begun = self.readers[side].buffer[:_ANNOUNCING]
        found = _CHUNKS.search(begun + data)
        end = _END.search(begun + data, found.end()) if found else None
        return end.end() - len(begun) if end else len(data)

    def _pass(self, side: bool, data: bytes) -> bytes:
        """Pass over a chunk; what follows it."""
        reader = self.readers[side]
        if reader.swallow and data[:1] == b"\n":
            data = data[1:]
        reader.swallow = reader.swallow and not data
        passed = min(len(data), self._chunk[side])
        self._chunk[side] -= passed
        return data[passed:]

    def lines(self, originator: bool, lines: list[bytes]) -> None:
        """Commands and mails, or replies."""
        place = 0
        while place < len(lines) and not self.over:
            if originator is self._turned:
                self._replied(lines[place])
            elif self._stage is _Stage.LOST:
                return
            elif self._stage is _Stage.MAIL:
                place = nextDot(lines, place)
                if place < len(lines):
                    self._commanded(_Command.DOT)
            elif self._stage is _Stage.AUTHENTICATION:
                self._commanded(_Command.AUTH)
            else:
                self._read(originator, lines[place])
            place += 1

    def _read(self, originator: bool, line: bytes) -> None:
        word = _WORD.match(line)
        command = _COMMANDS.get(word[0].upper()) if word else None
        if word is None or command is None:
            return
        if command is _Command.BDAT:
            chunk = _CHUNK.match(line, word.end())
            self._chunk[not originator] = int(chunk[1]) if chunk else 0
        self._commanded(command)

    def _commanded(self, command: _Command) -> None:
        self.confirm()
        if self._first is _Command.NONE:
            self._first = command
        else:
            if len(self._pending) == _MOST_PENDING:
                self._pending.clear()
            self._pending.append(command)
        if command is _Command.DATA:
            self._stage = _Stage.MAIL
        elif command in _ALWAYS:
            self._stage = _Stage.COMMANDS

    def _replied(self, line: bytes) -> None:
        if not _REPLY.match(line):
            self.findings.append(Sign.VIOLATED)
            return
        code = int(line[:3])
        if self._continued != code:
            self._answered(code)
        self._continued = code if line[3:4] == b"-" else 0

    def _answered(self, code: int) -> None:
        if self._stage is _Stage.LOST:
            self._stage = _Stage.FOUND
            self.confirm()
        command, self._first = self._first, _Command.NONE
        if self._pending:
            self._first = _Command(self._pending.pop(0))
        if command is _Command.STARTTLS and code == 220:
            self.findings.append(Sign.ENCRYPTED)
            self.over = True
        elif command is _Command.TURN and code == 250:
            self._turned, self._stage = not self._turned, _Stage.COMMANDS
        else:
            self._follow(command, code)

    def _follow(self, command: _Command, code: int) -> None:
        """How a reply changes what the client's lines are."""
        if command is _Command.AUTH:
            self._stage = _Stage.AUTHENTICATION if code == 334 else _Stage.COMMANDS
        elif command is _Command.DOT or (command is _Command.DATA and code != 354):
            self._stage = _Stage.COMMANDS
        elif code in _BACK.get(command, ()):
            if command is not _Command.SENDER or self._stage is not _Stage.MAIL:
                self._stage = _Stage.COMMANDS
        elif command in (_Command.NONE, _Command.OTHER) and code == 354 and self._stage is _Stage.FOUND:
            self._stage = _Stage.MAIL

    def gap(self, originator: bool, length: int, now: int) -> None:
        """Commands and replies cannot be paired any more, until the next reply."""
        self._stage, self._first = _Stage.LOST, _Command.NONE
        self._pending.clear()

    def skip(self, originator: bool) -> int:
        """The rest of a chunk, or everything after STARTTLS."""
        if self.over:
            return -1
        side = not originator
        return 0 if self.readers[side].swallow else self._chunk[side]

    def skipped(self, originator: bool, length: int, now: int) -> None:
        """A part of a chunk."""
        side = not originator
        passed = min(length, self._chunk[side])
        self._chunk[side] -= passed
        if length > passed and not self.over:
            self.gap(originator, length - passed, now)

    def dump(self) -> bytes:
        """Everything known."""
        return bytes(
            _FORMAT.build(
                {
                    **self.common(),
                    "turned": self._turned,
                    "stage": self._stage,
                    "first": self._first,
                    "pending": bytes(self._pending),
                    "continued": self._continued,
                    "chunk": self._chunk,
                }
            )
        )

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """The inverse of L{dump}."""
        state = parsed(_FORMAT, data, _WHAT)
        pending = bytearray(state["pending"])
        check(state["stage"] <= _Stage.FOUND and max(pending, default=0) <= _Command.OTHER, _WHAT)
        check(state["first"] <= _Command.OTHER and len(pending) <= _MOST_PENDING and 0 not in pending, _WHAT)
        check(max(state["chunk"]) <= _LONGEST_CHUNK and 0 <= state["continued"] <= 599, _WHAT)
        again = cls(around)
        again.resume(state, _WHAT)
        again._turned, again._pending = bool(state["turned"]), pending
        again._stage, again._first = _Stage(state["stage"]), _Command(state["first"])
        again._continued, again._chunk = int(state["continued"]), [int(one) for one in state["chunk"]]
        return again
