"""
The services as child processes: each a twistd plugin of its own, every one ended when the demonstration ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from openmb.errors import OperationError, Refusal
from openmb.rpc.unix import ILocalReactor

#: Seconds that a child may take to end by itself once it was asked to.
PATIENCE = 20.0

#: Seconds between two looks at something that is waited for.
INTERVAL = 0.02


class IDemoReactor(ILocalReactor, IReactorProcess):
    """What the demonstration needs of a reactor: time, UNIX sockets and processes."""


class Child(ProcessProtocol):
    """
    One service in a process of its own; what it prints goes to a file.

    @ivar name: what it is called in messages.
    @ivar ended: it has exited.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name, self.log, self.ended = name, log, False
        self._file = log.open("wb")
        self._waiting: list[Deferred[None]] = []

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Keep what the child prints."""
        self._file.write(data)
        self._file.flush()

    def processEnded(self, reason: Failure) -> None:
        """The child has exited and everything that it printed was read."""
        self.ended = True
        self._file.close()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def said(self, text: str) -> bool:
        """Has the child printed C{text}?"""
        return text in self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, name: str) -> None:
        """Send a signal; none if the child has exited."""
        process: Any = self.transport
        try:
            process.signalProcess(name)
        except ProcessExitedAlready:
            self.ended = True

    async def stop(self, clock: ILocalReactor) -> None:
        """Ask the child to end, make it end if it does not, and wait until it has."""
        if self.ended:
            return
        gone: Deferred[None] = Deferred()
        self._waiting.append(gone)
        self.signal("TERM")
        killing = clock.callLater(PATIENCE, self.signal, "KILL")
        await gone
        if killing.active():
            killing.cancel()

    def lastWords(self) -> str:
        """The last lines that it printed, for an error's text."""
        return " | ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])


class Children:
    """All child processes of one demonstration."""

    def __init__(self, reactor: IDemoReactor, logs: Path) -> None:
        self._reactor, self._logs = reactor, logs
        self._children: list[Child] = []

    def start(self, name: str, arguments: Sequence[str], runner: Sequence[str] = ("-m", "twisted")) -> Child:
        """
        Start the twistd plugin that C{arguments} name, with its options.

        @param runner: arguments of the interpreter before these.
        """
        child = Child(name, self._logs / f"{name}.log")
        command = [sys.executable, *runner, *arguments]
        self._reactor.spawnProcess(child, sys.executable, [part.encode() for part in command], env=None)
        self._children.append(child)
        return child

    @property
    def running(self) -> tuple[Child, ...]:
        """Those that were started and not stopped."""
        return tuple(self._children)

    async def until(self, what: str, holds: Callable[[], Any], patience: float = 60.0) -> None:
        """
        Wait until C{holds()} (or what it fires with) is true.

        @raise OperationError: C{DEADLINE}: not within C{patience} seconds; C{DISCONNECTED}: a child has ended.
        """
        deadline = self._reactor.seconds() + patience
        while not await _settled(holds()):
            self._checkAlive()
            if self._reactor.seconds() > deadline:
                raise OperationError(Refusal.DEADLINE, f"{what}: not within {patience:g} s")
            await pause(self._reactor, INTERVAL)

    def _checkAlive(self) -> None:
        for child in self._children:
            if child.ended:
                raise OperationError(Refusal.DISCONNECTED, f"{child.name} has ended: {child.lastWords()}")

    async def stop(self, child: Child) -> None:
        """End one child, which is then no longer expected to run."""
        if child in self._children:
            self._children.remove(child)
        await child.stop(self._reactor)

    async def stopAll(self) -> None:
        """End every child, the last one first."""
        for child in reversed(tuple(self._children)):
            await self.stop(child)


async def pause(clock: ILocalReactor, seconds: float) -> None:
    """Let C{seconds} pass."""
    await deferLater(cast(Any, clock), seconds, lambda: None)


async def _settled(value: Any) -> Any:
    """What C{value} comes to, whether a Deferred or not; no connection yet counts as false."""
    if not isinstance(value, Deferred):
        return value
    try:
        return await value
    except OperationError as error:
        if error.refusal is Refusal.DISCONNECTED:
            return False
        raise
