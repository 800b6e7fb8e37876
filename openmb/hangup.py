"""
What a service does when it is sent SIGHUP: read its files again, now instead of at the next look.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


def onHangup(reactor: Any, act: Callable[[], object]) -> None:
    """
    Let C{reactor} call C{act} after each SIGHUP; before the reactor runs, or while it does.

    Twisted leaves SIGHUP alone, which would end the process.
    """

    def caught(number: int, frame: object) -> None:
        reactor.callFromThread(act)

    signal.signal(signal.SIGHUP, caught)
