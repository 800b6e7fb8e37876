"""
The HTTP parser as C{sessions} calls it, until conversations take its place.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.analyzer import Sign, Surroundings
from openmb.plugins.bro.analyzers.http.analyzer import HTTPParser as Analyzer
from openmb.plugins.bro.analyzers.http.rows import HTTPRow, Pairing
from openmb.plugins.bro.reading import Reader, text

__all__ = ["HTTPParser", "HTTPRow", "LegacyHTTP"]

#: A violation counts only while both sides together have sent at most so many bytes (DPD::ignore_violations_after).
VIOLATIONS_UNTIL = 10240


class LegacyHTTP:
    """
    An analyser, and the rule of violations that conversations know; every method returns the rows it completed.

    @ivar violated: the analyser was taken away because of a violation.
    @ivar confirmed: C{http} belongs into the connection's service column.
    """

    __slots__ = ("_analyzer", "_around", "confirmed", "violated")

    def __init__(self) -> None:
        self._around = Surroundings()
        self._analyzer = Analyzer(self._around)
        self.violated = self.confirmed = False

    @property
    def pending(self) -> int:
        """How many rows are open."""
        return len(self._around.requests.pending)

    def _take(self, now: int, size: int) -> list[HTTPRow]:
        rows: list[HTTPRow] = []
        findings = self._analyzer.findings
        for finding in findings:
            if isinstance(finding, HTTPRow):
                rows.append(finding)
            elif finding is Sign.CONFIRMED:
                self.confirmed = True
            elif size <= VIOLATIONS_UNTIL:
                self.violated = True
        findings.clear()
        if self.violated:
            self.confirmed = False
            self._analyzer.interrupted(now)
            rows += [one for one in findings if isinstance(one, HTTPRow)]
            findings.clear()
        return rows

    def data(self, originator: bool, data: bytes, now: int, size: int = 0) -> list[HTTPRow]:
        """In-order bytes of one direction."""
        if not self.violated:
            self._analyzer.data(originator, data, now)
        return self._take(now, size)

    def gap(self, originator: bool, length: int, now: int) -> list[HTTPRow]:
        """C{length} bytes of this direction were never seen."""
        if not self.violated:
            self._analyzer.gap(originator, length, now)
        return self._take(now, 0)

    def finished(self, originator: bool, now: int, size: int = 0) -> list[HTTPRow]:
        """This direction has ended."""
        if not self.violated:
            self._analyzer.finished(originator, now)
        return self._take(now, size)

    def reset(self, now: int) -> list[HTTPRow]:
        """A RST came, from whichever side."""
        self._analyzer.reset(now)
        return self._take(now, 0)

    def removed(self, now: int) -> list[HTTPRow]:
        """The connection is removed."""
        self._analyzer.removed(now)
        return self._take(now, 0)

    def skip(self, originator: bool) -> int:
        """How many further bytes of this direction need not be delivered."""
        return -1 if self.violated else self._analyzer.skip(originator)

    def skipped(self, originator: bool, length: int, now: int, size: int = 0) -> list[HTTPRow]:
        """C{length} bytes were passed over after L{skip}."""
        if not self.violated:
            self._analyzer.skipped(originator, length, now)
        return self._take(now, size)

    def dump(self) -> bytes:
        """Everything known."""
        signs = bytes((2, self.violated | self.confirmed << 1))
        return signs + text(self._around.requests.dump()) + text(self._analyzer.dump())

    @classmethod
    def load(cls, data: bytes) -> LegacyHTTP:
        """
        A parser that goes on where the one that was dumped stopped.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        reader, parser = Reader(data, "an HTTP parser"), cls()
        version, signs = reader.octet(), reader.octet()
        if version != 2 or signs > 2:
            raise OperationError(Refusal.BAD_REQUEST, "not an HTTP parser: format out of range")
        parser.violated, parser.confirmed = bool(signs & 1), bool(signs & 2)
        parser._around.requests = Pairing.load(reader.text())
        parser._analyzer = Analyzer.load(reader.text(), parser._around)
        reader.end()
        return parser

    @classmethod
    def silent(cls) -> LegacyHTTP:
        """A parser that has given up on both sides."""
        parser = cls()
        parser.violated = True
        return parser


HTTPParser = LegacyHTTP
