"""
A reactor whose time does not jump.

Twisted's reactor counts in the time of day: when that is set forward by an hour, every deadline of the next hour passes
at once; when it is set back, nothing is due for an hour.  Services here count in time that only ever goes on.
"""

from __future__ import annotations

import time
from typing import Any


def steady(reactor: Any) -> None:
    """
    Let C{reactor} count in C{time.monotonic}; call this before anything is scheduled.

    Packets keep stamps of the time of day, and certificates are judged by it.
    """
    reactor.seconds = time.monotonic
