"""
IMAP (RFC 9051) up to the login: is it spoken, and does TLS begin?

As in Zeek every delivery is read for itself: each must consist of whole lines, of two words at least. Only what is
delivered together belongs together, so this one analyser depends on how the stream was cut.
"""

from __future__ import annotations

import re
from typing import ClassVar, Self

from construct import Const, Flag, GreedyBytes, Int8ul, Int16ul, Prefixed, Struct, Terminated

from openmb.plugins.bro.analyzers.analyzer import Analyzer, Service, Sign, Surroundings
from openmb.plugins.bro.reading import check, parsed

_LONGEST_TAG = 1024
_WORDS = re.compile(rb"([!-~]+) +([!-~]+) *")
_REST = re.compile(rb"[^\r\n]*[\r\n]+")
_CAPABILITIES = re.compile(rb"[!-~]+(?: +[!-~]+)* *[\r\n]+")
_LATE = frozenset((b"authenticate", b"login", b"examine", b"create", b"list", b"fetch"))
_WHAT = "an IMAP analyser"

_FORMAT = Struct(
    "version" / Const(1, Int8ul),
    "over" / Flag,
    "confirmed" / Flag,
    "tag" / Prefixed(Int16ul, GreedyBytes) * "of the client's STARTTLS",
    Terminated,
)


class IMAPAnalyzer(Analyzer):
    """IMAP of one connection."""

    __slots__ = ("_confirmed", "_over", "_tag")

    service: ClassVar[Service] = Service.IMAP

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._over = self._confirmed = False
        self._tag = b""

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """One delivery."""
        place = 0
        while place < len(data) and (not self._over or place):
            words = _WORDS.match(data, place)
            listing = words is not None and not originator and words[1] == b"*" and words[2].lower() == b"capability"
            end = (_CAPABILITIES if listing else _REST).match(data, words.end()) if words else None
            if words is None or end is None:
                self.findings.append(Sign.VIOLATED)
                return
            self._token(originator, words[1], words[2])
            place = end.end()

    def _token(self, originator: bool, tag: bytes, word: bytes) -> None:
        command = word.lower()
        if originator:
            confirmed = word == b"capability" or command == b"starttls"
        else:
            confirmed = tag == b"*" and command == b"ok"
        if (confirmed or word in _LATE) and not self._confirmed:
            self._confirmed = True
            self.findings.append(Sign.CONFIRMED)
        if word in _LATE:
            self._over = True
        elif originator and command == b"starttls":
            self._tag = tag[: _LONGEST_TAG + 1]
        elif not originator and tag == self._tag and len(tag) <= _LONGEST_TAG and command == b"ok" and not self._over:
            self.findings.append(Sign.ENCRYPTED)
            self._over = True

    def gap(self, originator: bool, length: int, now: int) -> None:
        """Nothing more is read."""
        self._over = True

    def skip(self, originator: bool) -> int:
        """All, after the last effect."""
        return -1 if self._over else 0

    def skipped(self, originator: bool, length: int, now: int) -> None:
        """Nothing is ever passed over but gaps."""
        self._over = True

    def dump(self) -> bytes:
        """Everything known."""
        return bytes(_FORMAT.build({"over": self._over, "confirmed": self._confirmed, "tag": self._tag}))

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """The inverse of L{dump}."""
        state = parsed(_FORMAT, data, _WHAT)
        check(len(state["tag"]) <= _LONGEST_TAG + 1, _WHAT)
        again = cls(around)
        again._over, again._confirmed, again._tag = bool(state["over"]), bool(state["confirmed"]), bytes(state["tag"])
        return again
