"""
A reactor whose time does not jump.

Twisted's reactor counts in the time of day: when that is set forward by an hour, every deadline of the next hour passes
at once; when it is set back, nothing is due for an hour.  Services here count in time that only ever goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: How much faster or slower than real time a L{SteadyDay} may go to come closer to the time of day: NTP's own bound.
SLEW = 500e-6


def steady(reactor: Any) -> None:
    """
    Let C{reactor} count in C{time.monotonic}; call this before anything is scheduled.

    Certificates are judged by the time of day; packets are stamped by a L{SteadyDay}.
    """
    reactor.seconds = time.monotonic


def sinceBoot() -> int:
    """Nanoseconds since the machine was started, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class SteadyDay:
    """
    The time of day when this began, and from then on real time.

    When the time of day is set, this goes on as if nothing had happened, and comes closer by half a millisecond a
    second: no packet gets a stamp from yesterday or tomorrow, no connection expires, none lives on for a day.

    @param wall: the time of day, nanoseconds since 1970.
    @param monotonic: real time, nanoseconds, sleep included: all stamps after it would be too early.
    """

    def __init__(self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = sinceBoot) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._now, self._last = wall(), monotonic()

    def __call__(self) -> int:
        """Nanoseconds since 1970; never less than before."""
        now = self._monotonic()
        elapsed = max(now - self._last, 0)
        self._last = now
        self._now += elapsed
        most = int(elapsed * SLEW)
        self._now += min(max(self._wall() - self._now, -most), most)
        return self._now
