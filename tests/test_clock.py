"""Services do not notice when the time of day is set."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

#: The time of day is set forward by an hour, then back by two; prints what came due meanwhile.
JUMPS = textwrap.dedent(
    """
    import sys, time
    real, offset = time.time, [0.0]
    time.time = lambda: real() + offset[0]
    from twisted.internet import reactor
    from openmb.clock import steady
    if sys.argv[1] == "steady":
        steady(reactor)
    began = time.monotonic()
    def jump(seconds):
        offset[0] += seconds
    reactor.callLater(0.05, jump, 3600)
    reactor.callLater(0.15, jump, -7200)
    reactor.callLater(60, lambda: (print("a minute"), reactor.stop()))
    reactor.callLater(0.3, lambda: (print("soon"), reactor.stop()))
    def guard():
        if time.monotonic() - began > 5:
            print("never")
            import os
            sys.stdout.flush()
            os._exit(0)
    import threading
    threading.Timer(6, guard).start()
    reactor.run()
    import os
    sys.stdout.flush()
    os._exit(0)
    """
)


class SteadyTests(SynchronousTestCase):
    """With a real reactor in a process of its own."""

    def run_(self, how: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", JUMPS, how],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            timeout=60,
            check=True,
        )
        return done.stdout.decode().strip()

    def test_jumps(self) -> None:
        """Calls come due when their time has passed, whatever the time of day does."""
        self.assertEqual("soon", self.run_("steady"))

    def test_withoutIt(self) -> None:
        """What this is about: Twisted's own reactor takes a jump for time that has passed."""
        self.assertNotEqual("soon", self.run_("as it is"))
