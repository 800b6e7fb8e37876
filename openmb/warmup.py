"""
Compiles every kernel once, so that no packet and no test ever waits for a compiler.

A module with kernels registers by defining C{warmUp() -> None} at its top level: a function that calls each of its
kernels with arguments of the types used in earnest.  Compiled code is cached beside the source, so a second run takes
a moment only.  Run as C{python -m openmb.warmup}.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
_DEFINITION = re.compile(r"^def warmUp\(", re.MULTILINE)
_KERNEL = re.compile(r"^@(?:njit|intrinsic)\b", re.MULTILINE)


def _matching(package: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """The source files below C{package} in which C{pattern} occurs; reading them imports nothing."""
    for source in sorted(package.rglob("*.py")):
        if pattern.search(source.read_text(encoding="utf-8")):
            yield source


def kernelModules(package: Path = PACKAGE) -> Iterator[str]:
    """The names of the modules below C{package} that define C{warmUp}, other than this one."""
    for source in _matching(package, _DEFINITION):
        if source != Path(__file__):
            yield ".".join((package.name, *source.relative_to(package).with_suffix("").parts))


def dropStaleKernels(package: Path = PACKAGE) -> bool:
    """
    Remove all compiled kernels below C{package} if any source with kernels has changed since the last call.

    numba looks only at the file that a kernel stands in, and would go on using a kernel that has an old version of
    another file's kernel inside.

    @return: whether they were removed.
    """
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in _matching(package, _KERNEL))).hexdigest()
    known = package / "__pycache__" / "kernels.sha256"
    if known.exists() and known.read_text(encoding="ascii") == digest:
        return False
    for compiled in (*package.rglob("*.nbi"), *package.rglob("*.nbc")):
        compiled.unlink(missing_ok=True)
    known.parent.mkdir(exist_ok=True)
    known.write_text(digest, encoding="ascii")
    return True


def warmUp(progress: Callable[[int, int, str, float], None]) -> float:
    """
    Compile, or load from the cache, the kernels of every module that registers.

    @param progress: called after each module with its place (from 1), how many there are, its name and the seconds it
        took.
    @return: seconds in all.
    """
    begun = time.perf_counter()
    names = list(kernelModules())
    for place, name in enumerate(names, 1):
        started = time.perf_counter()
        importlib.import_module(name).warmUp()
        progress(place, len(names), name, time.perf_counter() - started)
    return time.perf_counter() - begun


def _printProgress(place: int, total: int, name: str, seconds: float) -> None:
    print(f"  [{place}/{total}] {name}  {seconds:.1f} s", flush=True)


def main() -> int:
    """Warm up with a line of progress for each module."""
    stale = dropStaleKernels()
    print("compiling kernels (once; later runs load them)" if stale else "loading kernels", flush=True)
    print(f"kernels ready after {warmUp(_printProgress):.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
