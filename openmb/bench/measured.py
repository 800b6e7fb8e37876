"""
A middlebox that notes how long each packet took: C{python -m openmb.bench.measured OUT openmb-middlebox [options]}.

The middlebox is the shipped one; its engine is wrapped.  The feed stamps each packet with the time of day at which it
is written into the switch, the switch passes that on (C{--stamps capture}), and here it is held against the time of day
at which the packet's output has been handed to the operating system: one machine, one clock.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from twisted.logger import globalLogBeginner, textFileLogObserver

from openmb.bench.loop import theReactor
from openmb.interfaces import IMiddlebox, Processed
from openmb.middlebox import tap
from openmb.middlebox.service import MiddleboxService
from openmb.packets.headers import Decoded


class MeasuredEngine:
    """
    An engine, and the latencies of its packets.

    @param engine: does all the work.
    @param place: where stamps and latencies (nanoseconds, C{int64[2, n]}) are written when it finishes.
    """

    def __init__(self, engine: IMiddlebox, place: Path) -> None:
        self._engine: Any = engine
        self._place = place
        self._fresh: list[NDArray[np.int64]] = []
        self._noted: list[NDArray[np.int64]] = [np.zeros((2, 0), np.int64)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """Have packets processed; they are done with the next L{flush}."""
        self._fresh.append(packets.packets.stamps)
        return cast(Processed, self._engine.process(packets, births))

    def flush(self) -> None:
        """The output of every packet so far is with the operating system after this."""
        self._engine.flush()
        if self._fresh:
            now = time.time_ns()
            stamps = np.concatenate(self._fresh)
            self._fresh.clear()
            self._noted.append(np.stack([stamps, now - stamps]))

    def finish(self) -> None:
        """The service ends."""
        self._engine.finish()
        np.save(self._place, np.concatenate(self._noted, axis=1))


def main(arguments: list[str]) -> None:
    """Run the service on the reactor until a signal ends it."""
    place, _, *rest = arguments
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    options = tap.Options()
    options.parseOptions(rest)
    service = cast(MiddleboxService, tap.makeService(options))
    host = service.agent.host
    host.engine = cast(IMiddlebox, MeasuredEngine(host.engine, Path(place)))
    loop: Any = theReactor()
    loop.addSystemEventTrigger("before", "shutdown", service.stopService)
    loop.callWhenRunning(service.startService)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1:])
