"""
The controller as a service: southbound over TLS, northbound on a local socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from openmb.controller.controller import Controller
from openmb.controller.southbound import ControllerReceiver
from openmb.errors import ConfigurationError
from openmb.northbound.local import NorthboundVerbs
from openmb.northbound.streams import ENDLESS
from openmb.rpc.server import ServerFactory
from openmb.rpc.unix import ILocalReactor, listenPrivately
from openmb.southbound.connection import Terms
from openmb.southbound.link import Transport
from openmb.southbound.live import LiveCredentials
from openmb.southbound.server import ControllerFactory, overTLS
from openmb.southbound.tls import admitByCertificate
from openmb.starting import Readiness, mustStart
from openmb.wire.messages import Hello

#: Seconds that a stopping controller gives its operations, and between two looks at them.
SETTLE, LOOK = 20.0, 0.02
#: Seconds between two looks at files that may have changed, and at certificates that may not be valid any more.
EXAMINE = 2.0


class IServiceReactor(ILocalReactor, IReactorTCP):
    """What the service needs of a reactor: time, UNIX sockets and TCP."""


@dataclass(frozen=True, slots=True)
class ControllerPlaces:
    """
    Where a controller can be reached.

    @ivar interface: address that middleboxes connect to; only this machine unless told otherwise.
    @ivar port: TCP port, 0 for any free one.
    @ivar socket: path of the local socket for the command line, readable for this user only.
    @ivar keepAlive: seconds of a middlebox's silence before a PING; four such times without a byte end its connection.
    """

    interface: str
    port: int
    socket: Path
    keepAlive: float = 5.0


class ControllerService(Service):
    """
    Runs one controller.

    @param readiness: is told the number of the TCP port.
    """

    log = Logger()

    def __init__(
        self,
        controller: Controller,
        credentials: LiveCredentials,
        places: ControllerPlaces,
        reactor: IServiceReactor,
        readiness: Readiness | None = None,
    ) -> None:
        self.controller = controller
        self._readiness = readiness or Readiness()
        self._credentials, self._places, self._reactor = credentials, places, reactor
        self._ports: list[IListeningPort] = []
        self._examining: LoopingCall | None = None
        self._factory: ControllerFactory | None = None

    def open(self) -> None:
        """
        Listen.  Nobody is answered before the reactor runs; so this can be done before the process puts itself into the
        background, while whoever starts it still waits to be told if it cannot be done.

        @raise ConfigurationError: the port or the local socket cannot be listened on.
        """
        terms = Terms(self.controller.epoch, self._places.keepAlive, self.controller.secretOf)
        self._factory = ControllerFactory(
            terms, lambda link: ControllerReceiver(self.controller, link), self._reactor, self._admit
        )
        callers = ServerFactory(NorthboundVerbs(self.controller).verbs, self._reactor, endless=ENDLESS)
        self._ports.append(self._listen(self._factory))
        try:
            self._ports.append(listenPrivately(self._reactor, self._places.socket, callers))
        except ConfigurationError:
            self._ports.pop().stopListening()
            raise

    def _listen(self, factory: ControllerFactory) -> IListeningPort:
        interface, port = self._places.interface, self._places.port
        secured: Any = overTLS(factory, self._credentials, self._reactor)
        try:
            return self._reactor.listenTCP(port, secured, interface=interface)
        except CannotListenError as error:
            raise ConfigurationError(
                f"cannot listen on {interface}:{port}: {error.socketError} ('openmb doctor --listen "
                f"{interface}:{port}' says more); give another --port or --interface"
            ) from error

    def startService(self) -> None:
        """Listen, take up what the journal says is not over, and say that the controller is ready."""
        super().startService()
        with mustStart("openmb"):
            if not self._ports:
                self.open()
            self.controller.recover()
            number = self._ports[0].getHost().port  # type: ignore[attr-defined]
            self._readiness.say(str(number))
        self.controller.keeper.start()
        self._examining = LoopingCall(self.examine)
        self._examining.clock = self._reactor
        self._examining.start(EXAMINE)
        self.log.info("listening for middleboxes at {host}:{port}", host=self._places.interface, port=number)

    def _admit(self, hello: Hello, transport: Transport) -> None:
        admitByCertificate(hello, transport)
        self.controller.checkNewcomer(hello)

    def examine(self) -> None:
        """Read files that have changed, close the sessions of whoever must not be trusted any more, sum up the log."""
        self.controller.peers.timePassed()
        if self._factory is not None:
            self._factory.examine(self._credentials)

    def stopService(self) -> Deferred[object]:
        """Abort what can be aborted, let the rest come to its end for a while, and listen no more."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> object:
        self.controller.shutDown()
        deadline = self._reactor.seconds() + SETTLE
        while any(each.exclusive for each in self.controller.operations) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, LOOK)
        if self._examining is not None:
            self._examining.stop()
        self.controller.keeper.stop()
        stopped = [Deferred.fromCoroutine(_stop(port)) for port in self._ports]
        self._ports = []
        result = await gatherResults(stopped)
        if self._factory is not None:
            self._factory.log.flush()
        self.controller.close()
        return result


async def _stop(port: IListeningPort) -> None:
    stopping = port.stopListening()
    if stopping is not None:
        await stopping
