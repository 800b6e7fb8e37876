"""
The controller as a service: southbound over TLS, northbound on a local socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from openmb.controller.controller import Controller
from openmb.controller.southbound import ControllerReceiver
from openmb.northbound.local import NorthboundVerbs
from openmb.northbound.streams import ENDLESS
from openmb.rpc.server import ServerFactory
from openmb.rpc.unix import ILocalReactor, listenPrivately
from openmb.southbound.connection import Terms
from openmb.southbound.link import Transport
from openmb.southbound.live import LiveCredentials
from openmb.southbound.server import ControllerFactory, listenSouthbound
from openmb.southbound.tls import admitByCertificate
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
    @ivar announce: a file that gets the port number once the controller listens, or None.
    @ivar keepAlive: seconds of a middlebox's silence before a PING; four such times without a byte end its connection.
    """

    interface: str
    port: int
    socket: Path
    announce: Path | None = None
    keepAlive: float = 5.0


class ControllerService(Service):
    """Runs one controller."""

    log = Logger()

    def __init__(
        self, controller: Controller, credentials: LiveCredentials, places: ControllerPlaces, reactor: IServiceReactor
    ) -> None:
        self.controller = controller
        self._credentials, self._places, self._reactor = credentials, places, reactor
        self._ports: list[IListeningPort] = []
        self._opening: Deferred[None] | None = None
        self._examining: LoopingCall | None = None
        self._factory: ControllerFactory | None = None

    def startService(self) -> None:
        """Listen."""
        super().startService()
        self.controller.recover()
        verbs = NorthboundVerbs(self.controller).verbs
        callers = ServerFactory(verbs, self._reactor, endless=ENDLESS)
        self._ports.append(listenPrivately(self._reactor, self._places.socket, callers))
        self._opening = Deferred.fromCoroutine(self._listen())
        self._opening.addErrback(lambda failure: self.log.failure("cannot listen for middleboxes", failure))

    def _admit(self, hello: Hello, transport: Transport) -> None:
        admitByCertificate(hello, transport)
        self.controller.checkNewcomer(hello)

    async def _listen(self) -> None:
        terms = Terms(epoch=self.controller.epoch, keepAlive=self._places.keepAlive)
        self._factory = factory = ControllerFactory(
            terms, lambda link: ControllerReceiver(self.controller, link), self._reactor, self._admit
        )
        endpoint = TCP4ServerEndpoint(self._reactor, self._places.port, interface=self._places.interface)
        port = await listenSouthbound(endpoint, factory, self._credentials, self._reactor)
        self._ports.append(port)
        self._examining = LoopingCall(self.examine)
        self._examining.clock = self._reactor
        self._examining.start(EXAMINE)
        number = port.getHost().port  # type: ignore[attr-defined]
        self.log.info("listening for middleboxes at {host}:{port}", host=self._places.interface, port=number)
        if self._places.announce is not None:
            _writeWhole(self._places.announce, f"{number}\n")

    def examine(self) -> None:
        """Read files that have changed, and close the sessions of whoever must not be trusted any more."""
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
        if self._opening is not None:
            self._opening.cancel()
        if self._examining is not None:
            self._examining.stop()
        stopped = [Deferred.fromCoroutine(_stop(port)) for port in self._ports]
        self._ports = []
        result = await gatherResults(stopped)
        self.controller.close()
        return result


def _writeWhole(path: Path, text: str) -> None:
    """Write a file so that whoever waits for it never finds half of it."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


async def _stop(port: IListeningPort) -> None:
    stopping = port.stopListening()
    if stopping is not None:
        await stopping
