"""
POP3 (RFC 1939): is it spoken, and does TLS begin (RFC 2595)?

Commands may be pipelined; a reply belongs to the oldest one. Which answers have many lines, and when a mail is read,
must be known, because within them nothing is a reply.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Self

from construct import Array, Const, Flag, GreedyBytes, Int8ul, Prefixed, Struct, Terminated

from openmb.plugins.bro.analyzers.analyzer import Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.lines import READER, LineAnalyzer, nextDot
from openmb.plugins.bro.reading import check, parsed

_MOST_PENDING = 10
_MOST_UNKNOWN = 10
_WHAT = "a POP3 analyser"


class _Word(enum.IntEnum):
    """First words, in the order in which they are tried: each try takes one more sign from the word's beginning."""

    OK, ERR, USER, PASS, APOP, AUTH, STAT, LIST, RETR, DELE = range(10)
    RSET, NOOP, LAST, QUIT, TOP, CAPA, UIDL, STLS, XSENDER = range(10, 19)
    START = 19
    UNKNOWN = 20


class _Stage(enum.IntEnum):
    """RFC 1939, section 3."""

    START, AUTHORIZATION, TRANSACTION, OVER = range(4)


_WORDS = {word.name.encode(): word for word in _Word if word < _Word.START}
_ALONE = 0x80  # a command without an argument
_LOGIN = frozenset((_Word.USER, _Word.PASS, _Word.APOP, _Word.AUTH))
_WORK = frozenset(
    (_Word.STAT, _Word.LIST, _Word.RETR, _Word.DELE, _Word.RSET, _Word.NOOP, _Word.LAST, _Word.TOP, _Word.UIDL)
) | {_Word.XSENDER}
_LONG = frozenset((_Word.RETR, _Word.TOP))
_LONG_ALONE = frozenset((_Word.LIST, _Word.UIDL))
_ENTERING = frozenset((_Word.PASS, _Word.APOP, _Word.STAT, _Word.DELE)) | frozenset(
    (_Word.RSET, _Word.NOOP, _Word.LAST, _Word.XSENDER)
)
_MULTI = frozenset((_Word.AUTH, _Word.TOP, _Word.RETR, _Word.CAPA, _Word.UIDL, _Word.LIST))

_FORMAT = Struct(
    "version" / Const(1, Int8ul),
    "over" / Flag,
    "confirmed" / Flag,
    "readers" / Array(2, READER),
    "stage" / Int8ul,
    "state" / Int8ul * "the command that is being answered",
    "guessed" / Int8ul * "a command that would be allowed if the stage were another",
    "guessing" / Flag,
    "authenticating" / Flag * "client lines are no commands",
    "asked" / Flag * "the answer will have many lines",
    "within" / Flag * "an answer of many lines",
    "unknown" / Int8ul * "unknown commands so far",
    "pending" / Prefixed(Int8ul, GreedyBytes) * "commands without answer",
    Terminated,
)


def _read(line: bytes) -> int:
    """The first word of a line, and whether it stands alone."""
    word, _, rest = line.split(b"\0", 1)[0].lstrip(b" \t").partition(b" ")
    name = word.lstrip(b"+-")
    code = _WORDS.get(name.upper(), _Word.UNKNOWN)
    if len(word) - len(name) > code + 1:
        code = _Word.UNKNOWN
    return code | (0 if rest.strip(b" ") else _ALONE)


class POP3Analyzer(LineAnalyzer):
    """POP3 of one connection."""

    __slots__ = (
        "_asked",
        "_authenticating",
        "_guessed",
        "_guessing",
        "_pending",
        "_stage",
        "_state",
        "_unknown",
        "_within",
    )

    service: ClassVar[Service] = Service.POP3

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._stage, self._state, self._guessed = _Stage.START, _Word.START, _Word.START
        self._guessing = self._authenticating = self._asked = self._within = False
        self._unknown = 0
        self._pending = bytearray()

    def lines(self, originator: bool, lines: list[bytes]) -> None:
        """Commands, or answers."""
        if originator:
            for line in lines:
                if line and not self._authenticating:
                    self._command(_read(line))
            return
        place = 0
        while place < len(lines) and not self.over:
            if self._within:
                place = nextDot(lines, place)
                if place < len(lines):
                    self._asked = self._within = False
                    self._next()
            else:
                self._reply(_Word(_read(lines[place]) & ~_ALONE))
            place += 1

    def _command(self, command: int) -> None:
        self._pending.append(command)
        if len(self._pending) == 1:
            self._begin()
        elif len(self._pending) > _MOST_PENDING:
            self._next()

    def _next(self) -> None:
        """The oldest command is done."""
        del self._pending[:1]
        if self._pending:
            self._begin()

    def _begin(self) -> None:
        """What the oldest command without answer means."""
        alone, word = self._pending[0] & _ALONE, _Word(self._pending[0] & ~_ALONE)
        if word is _Word.UNKNOWN:
            if not self._authenticating:
                self._unknown = min(self._unknown + 1, _MOST_UNKNOWN + 1)
                if self._unknown > _MOST_UNKNOWN:
                    self.findings.append(Sign.VIOLATED)
        elif word in _LOGIN:
            self._login(word, bool(alone))
        elif word in _WORK:
            self._work(word, bool(alone))
        elif word is _Word.CAPA:
            self._state, self._asked = word, True
        elif word is _Word.STLS or (word is _Word.QUIT and self._stage is not _Stage.OVER):
            self._state = word
        elif word is _Word.QUIT:
            self._guessing, self._guessed = True, _Word.LAST

    def _login(self, word: _Word, alone: bool) -> None:
        if self._stage is not _Stage.AUTHORIZATION or (word is _Word.PASS and self._state is not _Word.USER):
            return
        self._state = word
        if word is _Word.AUTH:
            self._asked = self._asked or alone
            self._authenticating = not alone

    def _work(self, word: _Word, alone: bool) -> None:
        if word in _LONG or (alone and word in _LONG_ALONE):
            self._asked = True
        if self._stage is _Stage.TRANSACTION:
            self._state = _Word.LAST if word is _Word.XSENDER else word
        elif word is not _Word.STAT:
            self._guessing, self._guessed = True, word

    def _reply(self, word: _Word) -> None:
        if word is _Word.UNKNOWN:
            if not self._authenticating:
                self.findings.append(Sign.VIOLATED)
        elif word is _Word.OK:
            self._accepted()
        elif word is _Word.ERR:
            self._refused()

    def _accepted(self) -> None:
        if self._guessing:
            self._stage, self._guessing, self._state = _Stage.TRANSACTION, False, self._guessed
        state = self._state
        if state in (_Word.USER, _Word.CAPA, _Word.STLS):
            self.confirm()
        if state is _Word.STLS:
            self.findings.append(Sign.ENCRYPTED)
            self.over = True
            return
        if state in (_Word.START, _Word.USER):
            self._stage = _Stage.AUTHORIZATION
        elif state in _ENTERING or (state is _Word.AUTH and self._authenticating):
            self._stage = _Stage.TRANSACTION
        elif state is _Word.QUIT:
            self._stage = _Stage.OVER
        self._authenticating = self._authenticating and state is not _Word.AUTH
        if state in _MULTI and self._asked:
            self._within = True
        else:
            self._next()

    def _refused(self) -> None:
        self._within = self._asked = self._guessing = self._authenticating = False
        if self._state in _LOGIN:
            self._stage, self._state = _Stage.AUTHORIZATION, _Word.START
        elif self._state in _WORK:
            self._stage = _Stage.TRANSACTION
        elif self._state is _Word.QUIT:
            self._stage = _Stage.OVER
        self._next()

    def dump(self) -> bytes:
        """Everything known."""
        return bytes(
            _FORMAT.build(
                {
                    **self.common(),
                    "stage": self._stage,
                    "state": self._state,
                    "guessed": self._guessed,
                    "guessing": self._guessing,
                    "authenticating": self._authenticating,
                    "asked": self._asked,
                    "within": self._within,
                    "unknown": self._unknown,
                    "pending": bytes(self._pending),
                }
            )
        )

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """The inverse of L{dump}."""
        state = parsed(_FORMAT, data, _WHAT)
        check(state["stage"] <= _Stage.OVER and max(state["state"], state["guessed"]) <= _Word.START, _WHAT)
        pending = bytearray(state["pending"])
        check(len(pending) <= _MOST_PENDING and all(one & ~_ALONE in _READABLE for one in pending), _WHAT)
        check(state["unknown"] <= _MOST_UNKNOWN + 1, _WHAT)
        again = cls(around)
        again.resume(state, _WHAT)
        again._pending, again._unknown = pending, int(state["unknown"])
        again._stage, again._state = _Stage(state["stage"]), _Word(state["state"])
        again._guessed, again._guessing = _Word(state["guessed"]), bool(state["guessing"])
        again._authenticating, again._asked = bool(state["authenticating"]), bool(state["asked"])
        again._within = bool(state["within"])
        return again


_READABLE = frozenset(word for word in _Word if word is not _Word.START)
