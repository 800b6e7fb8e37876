"""
Runs a module as C{python -m} does and notes where its CPU time goes: C{python -m openmb.bench.sampled OUT MODULE ...}.

Every few milliseconds of CPU time a signal asks which function is running; it counts for as much CPU time as has passed
since the last one, so that a long call into compiled code, during which no signal is answered, counts in full.  Time in
libraries counts for the function of this project that called them, or else for the library.
"""

from __future__ import annotations

import json
import runpy
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

#: Seconds of CPU time between two samples.
INTERVAL = 0.002
#: Seconds of CPU time between two writings of the result: services may end by a signal, without another chance.
WRITTEN = 0.1
IMPORTS = "imports"


class Sampler:
    """
    Takes samples of this process's main thread.

    @param place: where they are written.
    @ivar spent: seconds of CPU time, by what they went to.
    """

    def __init__(self, place: Path) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._place = place
        self._last = self._due = 0.0

    def start(self) -> None:
        """Begin; the time until now counts for starting the interpreter."""
        self._last = time.process_time()
        self.spent["interpreter"] += self._last
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        """End."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._write()

    def _write(self) -> None:
        self._place.write_text(json.dumps(self.spent), encoding="utf-8")

    def _sample(self, number: int, frame: FrameType | None) -> None:
        now = time.process_time()
        self.spent[whereabouts(frame)] += now - self._last
        self._last = now
        if now >= self._due:
            self._due = now + WRITTEN
            self._write()


def whereabouts(frame: FrameType | None) -> str:
    """What C{frame} is busy with."""
    own = library = ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("importlib._bootstrap"):
            return IMPORTS
        if module.startswith("openmb.") and not module.startswith("openmb.bench.sampled"):
            own = own or f"{module.removeprefix('openmb.')}.{frame.f_code.co_qualname}"
        library = library or module.partition(".")[0]
        frame = frame.f_back
    return own or library


def main(arguments: list[str]) -> None:
    """Run C{arguments[1]} with the rest as its arguments, then write C{arguments[0]}."""
    place, module, *rest = arguments
    sampler = Sampler(Path(place))
    sampler.start()
    sys.argv = [module, *rest]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sampler.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
