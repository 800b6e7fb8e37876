"""
FTP's control connection (RFC 959, 2428): is it spoken, which data connections will come, does TLS begin (RFC 4217)?
"""

from __future__ import annotations

import re
import socket
from typing import ClassVar, Self

from construct import Array, Const, Flag, Int8ul, Int16ul, Struct, Terminated

from openmb.plugins.bro.analyzers.analyzer import Expectation, Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.lines import READER, LineAnalyzer
from openmb.plugins.bro.reading import check, parsed
from openmb.plugins.bro.tracking.urgency import Urgency

_LONGEST_COMMAND = 100
_COMMAND = re.compile(rb"[ \t]*([^\s\0]*)[ \t]*")
_PRINTABLE = re.compile(rb"[!-~]{3,}\Z")
_CODE = re.compile(rb"[0-9]{3}")
_SIX = re.compile(rb"\s*([+-]?\d+)" + rb",\s*([+-]?\d+)" * 5)
_NUMBER = re.compile(rb"\s*[+-]?\d{1,9}|")
_BEFORE_COMMA = re.compile(rb"[0-9]*\Z")
_WHAT = "an FTP analyser"

_FORMAT = Struct(
    "version" / Const(1, Int8ul),
    "over" / Flag,
    "confirmed" / Flag,
    "readers" / Array(2, READER),
    "continued" / Int16ul * "the code of a reply that goes on, else 0",
    "passive" / Flag * "PASV or EPSV was asked for",
    "answered" / Flag * "there was a reply since",
    "secure" / Flag * "TLS was asked for",
    Terminated,
)


def hostPort(text: bytes) -> tuple[bytes, int] | None:
    """Address and port of C{h1,h2,h3,h4,p1,p2} (RFC 959, section 4.1.2)."""
    found = _SIX.match(text) if len(text) >= 11 else None
    numbers = [int(one) for one in found.groups() if len(one) <= 9] if found else []
    if len(numbers) < 6 or min(numbers) < 0 or max(numbers) > 255:
        return None
    return bytes(numbers[:4]), numbers[4] << 8 | numbers[5]


def passiveHostPort(text: bytes) -> tuple[bytes, int] | None:
    """The same from the text of a reply 227: after a parenthesis, after C{PORT}, or where the commas are."""
    if (place := text.find(b"(")) >= 0:
        return hostPort(text[place + 1 :])
    if (place := text.find(b"PORT")) >= 0:
        return hostPort(text[place + 5 :])
    if (place := text.find(b",")) >= 0:
        digits = _BEFORE_COMMA.search(text[:place])
        return hostPort(text[digits.start() if digits else place :])
    return None


def _address(text: bytes) -> bytes | None:
    """Address of a text, C{None} if it is none."""
    try:
        family = socket.AF_INET6 if b":" in text else socket.AF_INET
        return socket.inet_pton(family, text.decode("ascii"))
    except (OSError, ValueError):
        return None


def extendedHostPort(text: bytes) -> tuple[bytes | None, int] | None:
    """Address, which may be missing, and port of C{|protocol|address|port|} (RFC 2428, section 2)."""
    text = text.lstrip(b" \t\n\v\f\r").split(b"\0", 1)[0]
    delimiter, text = text[:1], text[1:]
    number = _NUMBER.match(text)
    text = text[number.end() :] if number else text
    if not delimiter or text[:1] != delimiter:
        return None
    name, _, rest = text[1:].partition(delimiter)
    address = _address(name) if name else None
    number = _NUMBER.match(rest)
    port = int(number[0] or b"0") if number else 0
    if (name and address is None) or not 0 <= port <= 65535:
        return None
    if not number or rest[number.end() : number.end() + 1] != delimiter:
        return None
    return address, port


class FTPAnalyzer(LineAnalyzer):
    """FTP of one connection."""

    __slots__ = ("_answered", "_continued", "_passive", "_secure")

    service: ClassVar[Service] = Service.FTP
    readsPartial: ClassVar[bool] = True

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around, telnet=True, nulls=True)
        self._passive = self._answered = self._secure = False
        self._continued = 0

    @property
    def urgency(self) -> Urgency:
        """See L{Analyzer.urgency}: within a line the rest of it may agree on a connection, whatever it is."""
        return Urgency.ANY if any(reader.buffer or reader.option for reader in self.readers) else Urgency.LINES

    def lines(self, originator: bool, lines: list[bytes]) -> None:
        """Commands, or replies."""
        for line in lines:
            if line and not self.over:
                if originator:
                    self._command(line)
                else:
                    self._reply(line)

    def _command(self, line: bytes) -> None:
        found = _COMMAND.match(line)
        word, rest = (found[1], line[found.end() :]) if found else (b"", b"")
        if not _PRINTABLE.match(word):
            return
        if len(word) > _LONGEST_COMMAND:
            if self.confirmed:
                self.findings.append(Sign.EXCEEDED)
            return
        self.confirm()
        self._ask(word.upper(), rest)

    def _ask(self, command: bytes, rest: bytes) -> None:
        if command in (b"PASV", b"EPSV"):
            self._passive, self._answered = True, False
        elif self._answered:
            self._passive = False
        if command in (b"AUTH", b"AUT"):
            self._secure = rest == b"TLS"
        target = None
        if command == b"PORT":
            target = hostPort(rest)
        elif command == b"EPRT" and (extended := extendedHostPort(rest)):
            target = extended[0] or bytes(16), extended[1]
        if target:
            self.findings.append(Expectation(False, target[0], target[1]))

    def _reply(self, line: bytes) -> None:
        code = int(line[:3]) if _CODE.match(line) else 0
        if self._continued:
            if code != self._continued or line[3:4] != b" ":
                return
            self._continued = 0
        elif code < 100 or line[3:4] not in (b"", b" ", b"-"):
            self.findings.append(Sign.VIOLATED)
            return
        elif line[3:4] == b"-":
            self._continued = code
        if code == 234 and self._secure:
            self.findings.append(Sign.ENCRYPTED)
            self.over = True
        elif not self._continued:
            self._answer(code, line[3:].lstrip(b" \t"))

    def _answer(self, code: int, text: bytes) -> None:
        self._answered = True
        if not self._passive:
            return
        target: tuple[bytes | None, int] | None = None
        if code == 227:
            target = passiveHostPort(text)
        elif code == 229 and (place := text.find(b"(")) >= 0:
            target = extendedHostPort(text[place + 1 :])
        if target:
            self.findings.append(Expectation(True, target[0], target[1]))

    def dump(self) -> bytes:
        """Everything known."""
        return bytes(
            _FORMAT.build(
                {
                    **self.common(),
                    "continued": self._continued,
                    "passive": self._passive,
                    "answered": self._answered,
                    "secure": self._secure,
                }
            )
        )

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """The inverse of L{dump}."""
        state = parsed(_FORMAT, data, _WHAT)
        check(state["continued"] < 1000, _WHAT)
        again = cls(around)
        again.resume(state, _WHAT)
        again._continued = int(state["continued"])
        again._passive, again._answered, again._secure = state["passive"], state["answered"], state["secure"]
        return again
