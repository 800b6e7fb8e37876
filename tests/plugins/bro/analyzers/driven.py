"""An HTTP analyser driven by hand: findings as rows and signs, and the rule of violations that conversations know."""

from __future__ import annotations

from openmb.plugins.bro.analyzers.analyzer import Sign, Surroundings
from openmb.plugins.bro.analyzers.http.analyzer import HTTPParser
from openmb.plugins.bro.analyzers.http.rows import HTTPRow, Pairing
from openmb.plugins.bro.reading import Reader, text

VIOLATIONS_UNTIL = 10240


class DrivenHTTP:
    """
    Every method returns the rows that were completed by it.

    @ivar signs: all that were found, in order.
    @ivar violated: the analyser was taken away.
    @ivar confirmed: the service column would have C{http}.
    """

    def __init__(self, requests: Pairing | None = None) -> None:
        self.around = Surroundings(requests=Pairing() if requests is None else requests)
        self.analyzer = HTTPParser(self.around)
        self.violated = self.confirmed = False
        self.signs: list[Sign] = []

    @property
    def pending(self) -> int:
        return len(self.around.requests.pending)

    @property
    def tunnels(self) -> bool:
        return self.analyzer._progress.tunnel

    def _take(self, now: int, size: int = 0) -> list[HTTPRow]:
        found, self.analyzer.findings = self.analyzer.findings, []
        rows = [one for one in found if isinstance(one, HTTPRow)]
        for sign in found:
            if isinstance(sign, Sign):
                self.signs.append(sign)
                self.confirmed = self.confirmed or sign is Sign.CONFIRMED
                if sign is Sign.VIOLATED and size <= VIOLATIONS_UNTIL:
                    self.violated, self.confirmed = True, False
        if self.violated:
            self.analyzer.interrupted(now)
            rows += [one for one in self.analyzer.findings if isinstance(one, HTTPRow)]
            self.analyzer.findings = []
        return rows

    def data(self, originator: bool, data: bytes, now: int, size: int = 0) -> list[HTTPRow]:
        if not self.violated:
            self.analyzer.data(originator, data, now)
        return self._take(now, size)

    def gap(self, originator: bool, length: int, now: int) -> list[HTTPRow]:
        if not self.violated:
            self.analyzer.gap(originator, length, now)
        return self._take(now)

    def finished(self, originator: bool, now: int, size: int = 0) -> list[HTTPRow]:
        if not self.violated:
            self.analyzer.finished(originator, now)
        return self._take(now, size)

    def reset(self, now: int) -> list[HTTPRow]:
        self.analyzer.reset(now)
        return self._take(now)

    def removed(self, now: int) -> list[HTTPRow]:
        self.analyzer.removed(now)
        return self._take(now)

    def skip(self, originator: bool) -> int:
        return -1 if self.violated else self.analyzer.skip(originator)

    def skipped(self, originator: bool, length: int, now: int, size: int = 0) -> list[HTTPRow]:
        if not self.violated:
            self.analyzer.skipped(originator, length, now)
        return self._take(now, size)

    def dump(self) -> bytes:
        signs = bytes((self.violated | self.confirmed << 1,))
        return signs + text(self.around.requests.dump()) + text(self.analyzer.dump())

    @classmethod
    def load(cls, data: bytes) -> DrivenHTTP:
        reader = Reader(data, "a driven analyser")
        signs = reader.octet()
        reader.check(signs <= 2, "signs")
        driven = cls(Pairing.load(reader.text()))
        driven.violated, driven.confirmed = bool(signs & 1), bool(signs & 2)
        driven.analyzer = HTTPParser.load(reader.text(), driven.around)
        reader.end()
        return driven
