"""
Starts services fast: one process imports everything and loads every kernel once, and each service is a fork of it.

A fork runs what C{python -m twisted} would run with the same arguments; it is a process like any other, with a session
of its own, and nothing but this file's few lines differs from a fresh interpreter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

#: What a service needs, and what must not be imported before the fork, since it holds file descriptors.
NEEDED = (
    "openmb.middlebox.tap",
    "openmb.netctl.embedded.tap",
    "openmb.tap",
    "openmb.testing.survival.launcher",
    "twisted.application.twist._twist",
    "twisted.plugins.openmb_plugin",
)
FORBIDDEN = "twisted.internet.reactor"


class Party:
    """
    One service in a process of its own.

    @ivar log: the file with what it prints.
    """

    def __init__(self, name: str, process: int, log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    @property
    def alive(self) -> bool:
        """Is there such a process still?"""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; none if it has ended."""
        if self.alive:
            os.kill(self.process, number)

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class Nursery:
    """The process that is forked; C{with} ends it and every service that was started from it."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._parties: list[Party] = []
        self._count = 0
        with (logs / "nursery.log").open("wb") as log:
            command = [sys.executable, "-m", __name__]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, name: str, arguments: Sequence[str], main: str = "twisted") -> Party:
        """
        Start a service.

        @param arguments: of C{python -m main}.
        @param main: C{twisted}, or a module with a function C{main} that takes the arguments.
        """
        self._count += 1
        log = self._logs / f"{name}.{self._count}.log"
        order = {"main": main, "arguments": list(arguments), "log": str(log)}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # asked for above
        stdin.write(json.dumps(order).encode() + b"\n")
        stdin.flush()
        party = Party(name, int(stdout.readline()), log)
        self._parties.append(party)
        return party

    def close(self) -> None:
        """Kill what is left of the services, and end."""
        for party in self._parties:
            party.signal(signal.SIGKILL)
        self._process.communicate(timeout=30)


def _become(order: dict[str, Any]) -> None:
    """In the fork: be that service; does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    arguments = order["arguments"]
    if order["main"] == "twisted":
        from twisted.application.twist._twist import Twist

        sys.argv = ["twisted", *arguments]
        Twist.main(sys.argv)
    else:
        __import__(order["main"])
        sys.modules[order["main"]].main(arguments)


def _live(order: dict[str, Any]) -> NoReturn:
    """In the fork: be that service, say what went wrong, and end without the parent's farewells."""
    try:
        _become(order)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(0)


def _serve() -> None:
    """Fork for each line of standard input."""
    import importlib

    from openmb.warmup import warmUp

    for name in NEEDED:
        importlib.import_module(name)
    warmUp(lambda place, total, name, seconds: None)
    if FORBIDDEN in sys.modules:
        raise SystemExit("the reactor was imported before the fork")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while line := sys.stdin.buffer.readline():
        child = os.fork()
        if not child:
            _live(json.loads(line))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
