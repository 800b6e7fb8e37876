"""
Checks of what every service needs of the machine.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import openmb
from openmb.northbound.doctor.finding import Finding, Findings, ok, warning, wrong
from openmb.state.advice import restricting

#: Open files that a service should be allowed: sockets, logs, and some to spare.
FILES = 1024
#: 14 November 2023: no certificate of OpenMB is older.
_EARLIEST = 1_700_000_000
_PACKAGE = Path(openmb.__file__).parent


def checkMachine(
    now: float | None = None, environment: Mapping[str, str] = os.environ, package: Path = _PACKAGE
) -> Findings:
    """
    Limits, clock, and where compiled kernels are kept.

    @param now: seconds since 1970, if not the time of day.
    @param package: directory of the sources.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        most = min(hard, 4096) if hard != resource.RLIM_INFINITY else 4096
        yield warning("open files", f"the limit is {soft}: 'ulimit -n {most}' before the service is started")
    else:
        yield ok("open files", f"up to {soft}")
    now = time.time() if now is None else now
    today = time.strftime("%Y-%m-%d %H:%M", time.gmtime(now))
    if now < _EARLIEST:
        yield wrong("clock", f"it is {today} UTC here: set the clock, or no certificate is valid")
    else:
        yield ok("clock", f"{today} UTC")
    yield from _checkKernels(environment, package)


def _checkKernels(environment: Mapping[str, str], package: Path) -> Findings:
    """Numba keeps compiled kernels where C{NUMBA_CACHE_DIR} says, else beside the source, else in the user's cache."""
    given = environment.get("NUMBA_CACHE_DIR")
    if given and not _usable(Path(given)):
        yield warning("kernels", f"cannot be kept in {given}: 'chown' it, or give another NUMBA_CACHE_DIR")
    home = Path(environment.get("HOME", "/"))
    own = Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "numba"
    for place in (*([Path(given)] if given else []), package, own):
        if _usable(place):
            yield _private(place)
            return
    yield wrong("kernels", "cannot be kept anywhere: set NUMBA_CACHE_DIR to a directory that this user can write")


def _usable(place: Path) -> bool:
    """Can somebody write there, or make it?"""
    there = next(each for each in (place.absolute(), *place.absolute().parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK, effective_ids=True)


def _private(place: Path) -> Finding:
    if place.is_dir() and place.stat().st_mode & 0o022:
        return wrong(
            "kernels",
            f"others can write to {place}, and so have this user run their code: {restricting(place, 'go-w')}",
        )
    return ok("kernels", f"kept in {place}")
