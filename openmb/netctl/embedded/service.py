"""
The switch with its sockets, as a Twisted service.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from openmb.clock import SteadyDay
from openmb.errors import ConfigurationError
from openmb.interfaces import Route
from openmb.netctl.embedded.backpressure import BackPressure
from openmb.netctl.embedded.control import CONTROL
from openmb.netctl.embedded.heap import trimHeap
from openmb.netctl.embedded.socketport import SocketPort
from openmb.netctl.embedded.stamps import StampMode
from openmb.netctl.embedded.switch import Switch, Switched
from openmb.netctl.embedded.verbs import PortReport, SwitchVerbs
from openmb.netctl.embedded.warming import warmUp
from openmb.packets.batch import PacketBatch
from openmb.rpc.server import ServerFactory
from openmb.rpc.unix import ILocalReactor, listenPrivately
from openmb.state.advice import restricting

#: Seconds between two looks at what has waited too long, and such looks between two at the heap.
SWEEP, TRIM = 1.0, 60

#: Seconds that what is queued may take to be written when the switch stops.
FAREWELL = 5.0


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """
    How a switch runs.

    @ivar directory: where its sockets are.
    @ivar stamps: where its time stamps come from.
    @ivar queue: bytes that may wait for one port before reading stops.
    @ivar grace: seconds that packets wait for a port to which nobody is connected.
    @ivar ports: ports that are there from the start.
    """

    directory: Path
    stamps: StampMode = StampMode.ARRIVAL
    queue: int = 4 << 20
    grace: float = 10.0
    ports: tuple[str, ...] = ()


class SwitchService(Service):
    """
    One switch: C{directory/control.sock} and a C{directory/<port>.sock} for each port.

    @param wall: nanoseconds since the epoch, the clock of the stamps; by default one that setting the time of day does
        not move.
    @param ready: is told when everything is started.
    """

    log = Logger()

    def __init__(
        self,
        settings: SwitchSettings,
        clock: ILocalReactor,
        wall: Callable[[], int] | None = None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._ready = ready
        self._instance = secrets.token_hex(8)
        self._changes = 0
        self._settings, self._clock, self._wall = settings, clock, wall or SteadyDay()
        self._switch = Switch(settings.stamps)
        self._ports: dict[str, SocketPort] = {}
        self._listening: dict[str, IListeningPort] = {}
        self._pressure = BackPressure(self._ports)
        self._sweeping = LoopingCall(self._sweep)
        self._sweeps = 0
        self._sweeping.clock = clock
        self._ending: dict[str, Deferred[None]] = {}

    def open(self) -> None:
        """
        Make the directory, and listen on the control socket and on those of the first ports.  Nobody is answered before
        the reactor runs; so this can be done while whoever starts the process still waits to be told if it cannot.

        @raise ConfigurationError: a directory or a socket cannot be used.
        """
        _makePrivate(self._settings.directory)
        control = ServerFactory(SwitchVerbs(self).verbs, self._clock)
        self._listening[CONTROL] = listenPrivately(self._clock, self.socketPath(CONTROL), control)
        try:
            for name in self._settings.ports:
                self.addPort(name)
        except ConfigurationError:
            for name, listening in self._listening.items():
                self.socketPath(name).unlink(missing_ok=True)
                listening.stopListening()
            self._listening.clear()
            raise

    def startService(self) -> None:
        """
        Listen, if that has not been done, and make the kernels ready.

        @raise ConfigurationError: a directory or a socket cannot be used.
        """
        if not self._listening:
            self.open()
        warmUp()
        self._sweeping.start(SWEEP, now=False).addErrback(self._sweepFailed)
        super().startService()
        self._ready()
        self.log.info("the switch is ready in {directory}", directory=self._settings.directory)

    def stopService(self) -> Deferred[None]:
        """Close every socket, after what is queued was written (for at most L{FAREWELL} seconds)."""
        super().stopService()
        if self._sweeping.running:
            self._sweeping.stop()
        closing: list[Deferred[Any]] = [maybeDeferred(each.stopListening) for each in self._listening.values()]
        closing.extend(self._closed(port) for port in list(self._ports.values()) if port.isConnected)
        self._listening.clear()
        return gatherResults(closing, consumeErrors=True).addCallback(lambda _: None)

    def socketPath(self, name: str) -> Path:
        """Where the socket of a port (or of L{CONTROL}) is."""
        return self._settings.directory / f"{name}.sock"

    def addPort(self, name: str) -> None:
        """
        Add a port and listen on its socket.

        @raise OperationError: there is one of that name.
        @raise ConfigurationError: its socket cannot be used.
        """
        self._switch.addPort(name)
        port = SocketPort(name, self, self._settings.queue, self._settings.grace)
        try:
            self._listening[name] = listenPrivately(self._clock, self.socketPath(name), port)
        except ConfigurationError:
            self._switch.removePort(name)
            raise
        self._ports[name] = port
        self._changes += 1

    async def removePort(self, name: str) -> None:
        """
        Remove a port: its connection is closed, its queue dropped.

        @raise OperationError: there is no such port, or a route leads to it.
        """
        self._switch.removePort(name)
        self._ports.pop(name).abort()
        self._changes += 1
        self._pressure.relieve()
        await maybeDeferred(self._listening.pop(name).stopListening)

    def route(self, route: Route) -> Route | None:
        """Install a route, in effect for everything not read yet; the route that it replaces."""
        replaced = self._switch.route(route)
        self._changes += 1
        self._pressure.relieveAll()
        return replaced

    def unroute(self, route: Route) -> Route | None:
        """Remove a route; the route that was removed."""
        removed = self._switch.unroute(route)
        self._changes += 1
        self._pressure.relieveAll()
        return removed

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: tuple[str, ...]) -> None:
        """Queue a drain marker for each port, whether its queue is full or not."""
        self._deliver(self._switch.mark(operation, token, number, final, ports, self._wall()))

    @property
    def generation(self) -> str:
        """Changes with the routes and ports, and with every start."""
        return f"{self._instance}-{self._changes}"

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes in effect."""
        return self._switch.routes

    def report(self) -> list[PortReport]:
        """All ports, with what they have seen."""
        stalled = self._pressure.stalled
        return [
            PortReport(name, self._ports[name].isConnected, name in stalled, counts, self._ports[name].queue)
            for name, counts in self._switch.ports.items()
        ]

    def packetsReceived(self, port: SocketPort, batch: PacketBatch) -> None:
        """Packets have come in at a port."""
        if self._ports.get(port.name) is port:
            switched = self._switch.ingress(port.name, batch, self._wall())
            self._deliver(switched)
            self._pressure.check(port, switched)

    def inputEnded(self, port: SocketPort) -> None:
        """A port's peer sends no more: fragments are not waited for any longer."""
        if self._ports.get(port.name) is port:
            self._deliver(self._switch.ended(port.name, self._wall()))
            self._pressure.relieve()
            if port.isConnected and not self._switch.sendsTo(port.name):
                port.close()
        if port.name in self._ending and not port.isConnected:
            self._ending.pop(port.name).callback(None)

    def roomMade(self, port: SocketPort) -> None:
        """A port's queue has become shorter."""
        self._pressure.relieve()

    def now(self) -> float:
        """Seconds on the reactor's clock."""
        return self._clock.seconds()

    def _deliver(self, switched: Switched) -> None:
        for outgoing in switched.outgoing:
            self._ports[outgoing.port].send(outgoing.batch)

    def _sweep(self) -> None:
        now = self._wall()
        for name, port in self._ports.items():
            port.checkPeer()
            port.queue.timePassed(self.now())
            self._deliver(self._switch.timePassed(name, now))
        self._pressure.relieve()
        self._sweeps += 1
        if self._sweeps % TRIM == 0:
            trimHeap()

    def _sweepFailed(self, failure: Failure) -> None:
        self.log.failure("the switch's sweep has ended", failure=failure)

    def _closed(self, port: SocketPort) -> Deferred[None]:
        ended: Deferred[None] = Deferred()
        self._ending[port.name] = ended
        farewell = self._clock.callLater(FAREWELL, port.abort)
        ended.addCallback(lambda _: farewell.cancel() if farewell.active() else None)
        port.close()
        return ended


def _makePrivate(directory: Path) -> None:
    """
    Make sure of a directory that only this user can enter.

    @raise ConfigurationError: it cannot be made, or others can enter it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise ConfigurationError(f"cannot use {directory}: {error}") from error
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigurationError(f"others can enter {directory}: {restricting(directory, '700')}")
