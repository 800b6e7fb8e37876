"""
Log lines that a peer or a packet can cause: the first ones are written, the rest is counted and summarised.

Whoever can have a line written can have a million written; a disk that fills stops more than the line is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.logger import Logger, LogLevel

#: Seconds after which what was not written is summarised, and lines are written again.
INTERVAL = 10.0
#: Lines of one sort that one peer may cause in an interval, and all peers together.
LIMIT, TOTAL = 20, 50
#: Peers that are told apart in an interval: the first line of each is written, whatever the others do.
PEERS = 64

_SUMMARY = "… and {unwritten} more in the last {span:.0f} s, the last: "


@dataclass(slots=True)
class _Window:
    """
    Lines of one sort within one interval.

    @ivar began: seconds on the clock.
    @ivar counts: lines written, by peer.
    @ivar unwritten: lines that were not written; C{level} and C{fields} are those of the last.
    """

    began: float
    counts: dict[str, int] = field(default_factory=dict)
    written: int = 0
    unwritten: int = 0
    level: Any = None
    fields: dict[str, object] = field(default_factory=dict)

    def admit(self, peer: str) -> bool:
        """May one more line that C{peer} has caused be written?"""
        count = self.counts.get(peer, 0)
        first = not count and len(self.counts) < PEERS
        if not first and not (0 < count < LIMIT and self.written < TOTAL):
            return False
        self.counts[peer] = count + 1
        self.written += 1
        return True


class RateLimitedLog:
    """
    Writes to C{log} what peers cause, but not without end.

    A sort of line is its format.  Within L{INTERVAL} seconds L{LIMIT} lines of one sort are written for each peer, and
    L{TOTAL} for all, but always the first of each of L{PEERS} peers.  What was not written is told in one line when
    the interval is over: how much it was, and the last one.

    @param seconds: the time, on a clock that does not step back.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log, self._seconds = log, seconds
        self._windows: dict[str, _Window] = {}

    def info(self, format: str, by: str = "", **fields: object) -> None:
        """As C{Logger.info}; C{by} is the peer that has caused it."""
        self._emit(LogLevel.info, format, by, fields)

    def warn(self, format: str, by: str = "", **fields: object) -> None:
        """As C{Logger.warn}; C{by} is the peer that has caused it."""
        self._emit(LogLevel.warn, format, by, fields)

    def error(self, format: str, by: str = "", **fields: object) -> None:
        """As C{Logger.error}; C{by} is the peer that has caused it."""
        self._emit(LogLevel.error, format, by, fields)

    @property
    def unwritten(self) -> int:
        """How many lines were counted that no summary has told yet."""
        return sum(window.unwritten for window in self._windows.values())

    def timePassed(self) -> None:
        """Summarise what is due; call it every few seconds, so that it is told also when nothing more comes."""
        if self._windows:
            self._summarise(self._seconds() - INTERVAL)

    def flush(self) -> None:
        """Summarise everything now: nothing more will come."""
        self._summarise(self._seconds())

    def _emit(self, level: Any, format: str, by: str, fields: dict[str, object]) -> None:
        self.timePassed()
        window = self._windows.get(format)
        if window is None:
            window = self._windows[format] = _Window(self._seconds())
        if window.admit(by):
            self._log.emit(level, format, **fields)
        else:
            window.unwritten += 1
            window.level, window.fields = level, fields

    def _summarise(self, before: float) -> None:
        for format, window in tuple(self._windows.items()):
            if window.began <= before:
                del self._windows[format]
                if window.unwritten:
                    span = self._seconds() - window.began
                    fields = {**window.fields, "unwritten": window.unwritten, "span": span}
                    self._log.emit(window.level, _SUMMARY + format, **fields)
