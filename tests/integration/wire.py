"""A controller and middleboxes in one process, real TLS on real sockets between them, and somebody who interferes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from openmb.controller.controller import Controller
from openmb.controller.operation import OperationPerformer
from openmb.controller.southbound import ControllerReceiver
from openmb.errors import OperationError
from openmb.interfaces import INetwork, NetworkState, Route
from openmb.middlebox.host import MiddleboxHost
from openmb.operations.journal import MemoryJournal
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import buildMarker
from openmb.southbound.certificates import loadCredentials, makeAuthority, makeCertificate
from openmb.southbound.client import MiddleboxFactory, SouthboundClient
from openmb.southbound.connection import Terms
from openmb.southbound.link import Link
from openmb.southbound.server import ControllerFactory, listenSouthbound
from openmb.state.headers import HeaderFieldList
from openmb.state.keyring import Keyring
from openmb.testing.adapters import START, manyFlows
from openmb.testing.simulation.kinds import CounterKind
from openmb.testing.simulation.oracle import Row
from openmb.wire import messages as m
from openmb.wire.formats import End

LOOP = cast(Any, installed)
KEYS = {1: bytes(range(32))}


class Middlebox:
    """A host of the counting kind with a real connection; C{refused} is what it has refused."""

    def __init__(self, case: WireCase, name: str, keys: dict[int, bytes]) -> None:
        self.rows: list[Row] = []
        self.refused: list[m.Refused] = []
        self.link: Link | None = None
        self.host = MiddleboxHost(
            name,
            "counter",
            name.encode().ljust(16, b"-"),
            CounterKind().engine(self.rows.append),
            Keyring("counter", keys, 1),
            self._send,
            LOOP.seconds,
        )
        factory = MiddleboxFactory(Terms(), lambda link: _Hand(self, link), self.host.hello, LOOP)
        endpoint = TCP4ClientEndpoint(LOOP, "127.0.0.1", case.port)
        self.client = SouthboundClient(endpoint, factory, loadCredentials(case.folder, name), "controller", LOOP)
        self.client.startService()
        case.addCleanup(self.client.stopService)
        self._working = LoopingCall(self._work)
        self._working.start(0.005)
        case.addCleanup(self._working.stop)

    def _send(self, message: m.Message) -> None:
        if isinstance(message, m.Refused):
            self.refused.append(message)
        if self.link is not None:
            self.link.send(message)

    def _work(self) -> None:
        self.host.timePassed(LOOP.seconds())
        self.host.work()


class _Hand:
    """Hands a connection's messages to a host."""

    def __init__(self, middlebox: Middlebox, link: Link) -> None:
        self._middlebox, self._link = middlebox, link

    def connected(self, peer: object) -> None:
        self._middlebox.link = self._link
        self._middlebox.host.connectionMade()

    def messageReceived(self, message: m.Message) -> None:
        self._middlebox.host.messageReceived(message)

    def disconnected(self, reason: str) -> None:
        if self._middlebox.link is self._link:
            self._middlebox.link = None
            self._middlebox.host.connectionLost()


@implementer(INetwork)
class DirectNetwork:
    """Every route is in effect at once; markers go straight to the hosts."""

    settle = 0.0

    def __init__(self) -> None:
        self.boxes: dict[str, Middlebox] = {}
        self.stamp = START + 10**12

    def route(self, route: Route) -> Deferred[Route | None]:
        return succeed(None)

    def current(self, route: Route) -> Deferred[Route | None]:
        return succeed(None)

    def unroute(self, route: Route) -> Deferred[Route | None]:
        return succeed(None)

    def state(self) -> Deferred[NetworkState]:
        return succeed(NetworkState("", ()))

    def routes(self) -> Deferred[list[Route]]:
        return succeed([])

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        self.stamp += 1
        for name in ports:
            frame = buildMarker(operation, token, number, final)
            self.boxes[name].host.packetsReceived(packetBatch([frame], [self.stamp]))
        return succeed(None)


class InterferingController(Controller):
    """
    A controller that somebody has taken over: it has a good certificate, and does with frames what it likes.

    @ivar interfere: makes of each frame of a source those that are passed on.
    """

    interfere: Callable[[m.StreamFrame], Sequence[m.StreamFrame]] = staticmethod(lambda frame: (frame,))

    def _relay(self, move: OperationPerformer, session: Any, message: Any) -> None:
        if isinstance(message, m.StreamFrame) and message.side is m.Side.SOURCE:
            for frame in self.interfere(message):
                super()._relay(move, session, frame)
        else:
            super()._relay(move, session, message)


class WireCase(TestCase):
    """A controller that listens, and as many middleboxes as a test wants."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp())
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.CONTROLLER, "controller")
        for name in ("a", "b", "c", "d"):
            makeCertificate(self.folder, End.MIDDLEBOX, name, "counter")
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)  # type: ignore[arg-type]
        self.network = DirectNetwork()
        self.controller = InterferingController(self.network, MemoryJournal(), LOOP)
        self.factory = ControllerFactory(Terms(epoch=1), lambda link: ControllerReceiver(self.controller, link), LOOP)
        endpoint = TCP4ServerEndpoint(LOOP, 0, interface="127.0.0.1")
        listening = await listenSouthbound(endpoint, self.factory, loadCredentials(self.folder, "controller"), LOOP)
        self.addCleanup(self.factory.closeAll, "the test is over")
        self.addCleanup(listening.stopListening)
        self.port: int = cast(Any, listening.getHost()).port

    async def join(self, name: str, keys: dict[int, bytes] | None = None) -> Middlebox:
        """A middlebox that has registered."""
        box = self.network.boxes[name] = Middlebox(self, name, keys or KEYS)
        await self.until(lambda: self.controller.registry.get(name))
        return box

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for C{condition}; the test's own time-out ends what never comes."""
        while not condition():
            await deferLater(LOOP, 0.01)

    async def move(self, source: str, destination: str, flows: str = "udp") -> OperationError | None:
        """Move to the end; the error if there is one."""
        route = Route(HeaderFieldList.parse(flows), (destination,))
        move = self.controller.startMove(source, destination, flows, route)
        move.finished.wait().addErrback(lambda failure: None)
        try:
            await move.moved.wait()
        except OperationError as error:
            return error
        finally:
            await self.until(lambda: move not in self.controller.moves or move.report.stage.value == "moved")
        return None

    def rows(self) -> list[str]:
        """What all have put out, once their input has ended."""
        for box in self.network.boxes.values():
            box.host.finish()
        return sorted(f"{row.flow} {row.line}" for box in self.network.boxes.values() for row in box.rows)

    def alone(self, *sent: PacketBatch) -> list[str]:
        """What one puts out that has seen everything; by default the packets of C{manyFlows}."""
        rows: list[Row] = []
        box = MiddleboxHost(
            "one",
            "counter",
            bytes(16),
            CounterKind().engine(rows.append),
            Keyring("counter", KEYS, 1),
            lambda message: None,
            LOOP.seconds,
        )
        for packets in sent or (manyFlows(),):
            box.packetsReceived(packets)
        box.finish()
        return sorted(f"{row.flow} {row.line}" for row in rows)

    def said(self, words: str) -> list[str]:
        """Lines of the log that hold C{words}."""
        lines = [str(event.get("log_format") or "").format(**event) for event in self.events if "log_format" in event]
        return [line for line in lines if words in line]

    def counted(self, words: str) -> int:
        """How often something was said or counted: C{words}, and what the log has not written."""
        lines = [event for event in self.events if words in str(event.get("reason", ""))]
        return sum(int(event.get("unwritten", 1)) for event in lines) + self.factory.log.unwritten
