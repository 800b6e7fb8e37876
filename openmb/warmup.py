"""
Compiles every kernel once, so that no packet and no test ever waits for a compiler.

A module with kernels registers by defining C{warmUp() -> None} at its top level: a function that calls each of its
kernels with arguments of the types used in earnest.  Compiled code is cached beside the source, so a second run takes
a moment only.  Run as C{python -m openmb.warmup}.
"""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_DEFINITION = re.compile(r"^def warmUp\(", re.MULTILINE)


def kernelModules(package: Path = Path(__file__).parent) -> Iterator[str]:
    """The names of the modules below C{package} that define C{warmUp}, found in their text to import nothing else."""
    for source in sorted(package.rglob("*.py")):
        if _DEFINITION.search(source.read_text(encoding="utf-8")):
            yield ".".join((package.name, *source.relative_to(package).with_suffix("").parts))


def warmUp(progress: Callable[[int, int, str, float], None]) -> float:
    """
    Compile, or load from the cache, the kernels of every module that registers.

    @param progress: called after each module with its place (from 1), how many there are, its name and the seconds it
        took.
    @return: seconds in all.
    """
    begun = time.perf_counter()
    names = [name for name in kernelModules() if name != "openmb.warmup"]
    for place, name in enumerate(names, 1):
        started = time.perf_counter()
        importlib.import_module(name).warmUp()
        progress(place, len(names), name, time.perf_counter() - started)
    return time.perf_counter() - begun


def _printProgress(place: int, total: int, name: str, seconds: float) -> None:
    print(f"  [{place}/{total}] {name}  {seconds:.1f} s", flush=True)


def main() -> int:
    """Warm up with a line of progress for each module."""
    print("compiling kernels (once; later runs load them from the cache)", flush=True)
    print(f"kernels ready after {warmUp(_printProgress):.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
