"""
Service signatures: lines of C{service,v/application/version/information/,expression}, the first in file order wins.

Hyperscan looks for all expressions of a file in one pass; it only names candidates, and C{re} decides about them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hyperscan

#: What PRADS keeps of a template's application, version and information, and of the text made from it, in bytes.
APPLICATION, VERSION, INFORMATION, TEXT = 100, 25, 100, 511
#: One report a pattern is enough, and too many reports do no harm.
FLAGS = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY | hyperscan.HS_FLAG_PREFILTER
CAPTURE = re.compile(rb"\$(\d)(\d*)")


@dataclass(frozen=True, slots=True)
class ServiceSignature:
    """One line: the service's name, the template of the application text, and the expression to search for."""

    service: bytes
    template: bytes
    expression: re.Pattern[bytes]

    def text(self, found: re.Match[bytes]) -> bytes:
        """The application text: captures end at their first NUL, one that does not exist is empty (PRADS crashes)."""

        def capture(place: re.Match[bytes]) -> bytes:
            # PRADS reads the whole number, and goes on behind its first digit.
            number = int(place[1] + place[2])
            value = found[number] if number <= self.expression.groups else None
            return (value or b"").split(b"\0", 1)[0] + place[2]

        return CAPTURE.sub(capture, self.template)[:TEXT]


def parseService(line: bytes) -> ServiceSignature | None:
    """The signature of a line; None for one that is empty, a comment, or not a signature."""
    parts = line.split(b",", 2)
    if line.startswith(b"#") or len(parts) < 3:
        return None
    try:
        expression = re.compile(parts[2])
    except re.error:
        return None
    fields = [*parts[1].split(b"/"), b"", b"", b""]
    template = fields[1][:APPLICATION]
    template += b" " + fields[2][:VERSION] if fields[2] else b""
    template += b" (" + fields[3][:INFORMATION] + b")" if fields[3] else b""
    return ServiceSignature(parts[0], template, expression)


def parseServices(data: bytes) -> tuple[ServiceSignature, ...]:
    """The signatures of a file, in its order."""
    return tuple(found for line in data.split(b"\n") if (found := parseService(line)) is not None)


class ServiceMatcher:
    """Searches payloads for many signatures at once."""

    def __init__(self, signatures: Sequence[ServiceSignature]) -> None:
        self._signatures = tuple(signatures)
        self._always: list[int] = []
        self._database: hyperscan.Database | None = None
        numbers = range(len(self._signatures))
        try:
            self._database = self._compiled(numbers)
        except hyperscan.error:
            self._database = self._compiled([number for number in numbers if self._taken(number)])

    def _compiled(self, numbers: Sequence[int]) -> hyperscan.Database | None:
        """The database of so many signatures; None for none."""
        if not numbers:
            return None
        database = hyperscan.Database()
        patterns = [self._signatures[number].expression.pattern for number in numbers]
        database.compile(expressions=patterns, ids=list(numbers), flags=[FLAGS] * len(patterns), elements=len(patterns))
        return database

    def _taken(self, number: int) -> bool:
        """Whether Hyperscan takes the expression; one that it refuses is tried with C{re} on every payload."""
        try:
            self._compiled([number])
        except hyperscan.error:
            self._always.append(number)
            return False
        return True

    def match(self, payloads: Sequence[bytes | memoryview]) -> dict[int, tuple[int, bytes]]:
        """
        For each payload (by its place) in which a signature was found the number of the first one, and the application
        text.
        """
        candidates: list[int] = []

        def candidate(number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            candidates.append(number)

        scan: Any = self._database.scan if self._database is not None else None
        answers: dict[int, tuple[int, bytes]] = {}
        for place, payload in enumerate(payloads):
            if scan is not None:
                scan(payload, candidate)
            if candidates or self._always:
                found = self._first(bytes(payload), candidates)
                if found is not None:
                    answers[place] = found
                candidates.clear()
        return answers

    def _first(self, payload: bytes, candidates: list[int]) -> tuple[int, bytes] | None:
        for number in sorted({*candidates, *self._always}):
            signature = self._signatures[number]
            found = signature.expression.search(payload)
            if found is not None:
                return number, signature.text(found)
        return None
