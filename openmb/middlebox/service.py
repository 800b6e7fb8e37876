"""
A middlebox as a service: packets from a port of the switch, orders from the controller.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from openmb.errors import ConfigurationError, OpenMBError, OutputFailed
from openmb.middlebox.agent import Agent
from openmb.netctl.embedded.port import PortClient, connectPort
from openmb.packets.batch import PacketBatch
from openmb.rpc.unix import ILocalReactor
from openmb.southbound.client import MiddleboxFactory, SouthboundClient
from openmb.southbound.connection import Terms
from openmb.southbound.link import Link
from openmb.southbound.live import Live, LiveCredentials
from openmb.starting import Readiness
from openmb.state.keyring import Keyring
from openmb.wire.messages import Hello, Message, Welcome

#: Seconds between two attempts to reach the switch.
RETRY = 0.2
#: Seconds that a port lasts at least unless somebody else has it; who is turned away tries again so much later.
BRIEF = 2.0
#: Seconds that a stopping service gives its operations, and between two looks at them.
SETTLE, LOOK = 20.0, 0.02
#: Seconds between two looks at files that may have changed, and at certificates that may not be valid any more.
EXAMINE = 2.0


class IServiceReactor(ILocalReactor, IReactorTCP):
    """What the service needs of a reactor: time, UNIX sockets and TCP."""


@dataclass(frozen=True, slots=True)
class MiddleboxPlaces:
    """
    What a middlebox connects to.

    @ivar host: @ivar port: where the controller listens.
    @ivar controller: the controller's name, as in its certificate.
    @ivar switch: directory of the switch's sockets; the port has the middlebox's name.
    """

    host: str
    port: int
    controller: str
    switch: Path


class AgentReceiver:
    """Hands one connection's messages to the agent."""

    def __init__(self, service: MiddleboxService, link: Link) -> None:
        self._service, self._link = service, link

    def connected(self, peer: Hello | Welcome) -> None:
        """The controller has welcomed this middlebox."""
        self._service.link = self._link
        self._service.agent.host.connectionMade(peer.epoch if isinstance(peer, Welcome) else 0)
        self._service.checkReady()

    def messageReceived(self, message: Message) -> None:
        """A message of the controller."""
        self._service.agent.messageReceived(message)

    def disconnected(self, reason: str) -> None:
        """The session is over."""
        if self._service.link is self._link:
            self._service.link = None
            self._service.agent.host.connectionLost()


class MiddleboxService(Service):
    """
    Runs one middlebox.

    It is ready when it has been connected to its port and to the controller at the same time.

    @param readiness: is told the name.
    @ivar link: the connection to the controller, while there is one.
    """

    log = Logger()

    def __init__(
        self,
        credentials: LiveCredentials,
        keys: Live[Keyring],
        places: MiddleboxPlaces,
        reactor: IServiceReactor,
        readiness: Readiness | None = None,
    ) -> None:
        self._readiness = readiness or Readiness()
        self._isMissed = self._isTurnedAway = False
        self._attached = 0.0  # when the port was connected last
        self._credentials, self._keys = credentials, keys
        self._places, self._reactor = places, reactor
        self._examining: LoopingCall | None = None
        self._factory: MiddleboxFactory | None = None
        self.link: Link | None = None
        self.agent: Agent
        self._client: ClientService | None = None
        self._port: PortClient | None = None
        self._connecting: Deferred[None] | None = None

    def send(self, message: Message) -> None:
        """A message of the host for the controller; without a connection it is lost, and the lease takes its course."""
        if self.link is not None:
            self.link.send(message)

    def startService(self) -> None:
        """Connect to the switch and to the controller."""
        super().startService()
        self.agent.host.introspection.ready = lambda: self.link is not None and self.link.writable
        self._factory = factory = MiddleboxFactory(
            Terms(), lambda link: AgentReceiver(self, link), self.agent.host.hello, self._reactor
        )
        endpoint = TCP4ClientEndpoint(self._reactor, self._places.host, self._places.port)
        self._client = SouthboundClient(endpoint, factory, self._credentials, self._places.controller, self._reactor)
        self._client.startService()
        self._examining = LoopingCall(self.examine)
        self._examining.clock = self._reactor
        self._examining.start(EXAMINE)
        self._connectPort()

    def examine(self) -> None:
        """Is the controller still to be trusted?  Have the keys changed?  Operations keep those they began with."""
        if self._factory is not None:
            self._factory.examine(self._credentials)
        if self._keys.refresh():
            self._changeKeys(self._keys.value)

    def _changeKeys(self, keyring: Keyring) -> None:
        if keyring.kind == self.agent.host.kind:
            self.agent.host.keyring = keyring
        else:
            self.log.error("the new keyring is for {kind} and not used", kind=keyring.kind)

    def _connectPort(self) -> None:
        self._connecting = Deferred.fromCoroutine(self._toPort())
        self._connecting.addErrback(lambda failure: self.log.failure("the switch's port", failure))

    async def _toPort(self) -> None:
        try:
            client = PortClient(self._packets, self._portLost, self._writableChanged)
            self._port = await connectPort(self._reactor, self._places.switch, self.agent.host.name, client)
        except OpenMBError as error:
            if not self._isMissed:
                self._isMissed = True
                self.log.warn("no packets come until the switch is there: {error}", error=error)
            self._reactor.callLater(RETRY, self._again)
            return
        self._isMissed, self._attached = False, self._reactor.seconds()
        self.agent.start(self._port)
        self.checkReady()

    def checkReady(self) -> None:
        """Say that it is ready, once it is."""
        if self._port is not None and self.link is not None:
            try:
                self._readiness.say(self.agent.host.name)
            except ConfigurationError as error:  # it runs all the same
                self.log.error("cannot say that it is ready: {error}", error=error)

    def _again(self) -> None:
        if self.running:
            self._connectPort()

    def _packets(self, batch: PacketBatch) -> None:
        self.agent.packetsReceived(batch)

    def _writableChanged(self, writable: bool) -> None:
        if self._port is not None:
            self.agent.writableChanged(writable)

    def _portLost(self, reason: str) -> None:
        self._port = None
        self.agent.portLost()
        if not self.running:
            return
        brief = self._reactor.seconds() - self._attached < BRIEF
        if not brief:
            self._isTurnedAway = False
        if not self._isTurnedAway:
            hint = f" (at once: does another {self.agent.host.name} run?)" if brief else ""
            self.log.warn("the switch closed the port: {reason}{hint}", reason=reason, hint=hint)
        self._isTurnedAway = brief
        self._reactor.callLater(BRIEF if brief else RETRY, self._again)

    async def _settle(self) -> None:
        """Let operations come to their end, for a while: packets and messages still come."""
        host = self.agent.host
        host.shutDown()
        deadline = self._reactor.seconds() + SETTLE
        while self.link is not None and not host.settled and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, LOOK)
        if not host.settled:
            self.log.warn("ending in the middle of {count} operations", count=host.operations)

    async def _writeLast(self) -> None:
        """Report everything; what a full disk does not take within a while is lost, and that is said."""
        deadline = self._reactor.seconds() + SETTLE
        while True:
            try:
                self.agent.stop()
            except OutputFailed as error:
                if self._reactor.seconds() >= deadline:
                    self.log.critical("output is lost: {reason}", reason=error)
                    return
                await deferLater(self._reactor, RETRY)
            else:
                return

    async def _stop(self) -> None:
        if self._examining is not None:
            self._examining.stop()
        await self._settle()
        if self._port is not None:
            self._port.close()
        await self._writeLast()
        if self._client is not None:
            await self._client.stopService()

    def stopService(self) -> Deferred[None]:
        """Bring operations to their end, report everything, then disconnect."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())
