"""
A middlebox of the simulation: a host with its connection to the controller and its path from the switch.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from openmb.controller.registry import Session
from openmb.errors import OperationError
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.settings import HostSettings
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.state.keyring import Keyring
from openmb.testing.simulation.accounts import Accounts
from openmb.testing.simulation.clock import SimulatedClock
from openmb.testing.simulation.control import Control, Life
from openmb.testing.simulation.faults import Bounds
from openmb.testing.simulation.kind import SimulatedKind
from openmb.testing.simulation.link import Line
from openmb.testing.simulation.network import SimulatedNetwork
from openmb.testing.simulation.oracle import Row
from openmb.testing.simulation.scenario import Scenario
from openmb.wire.formats import HIGHEST_VERSION
from openmb.wire.messages import Hello, Message, Side, StreamFrame, Welcome
from openmb.wire.session import NO_SECRET

#: Simulated seconds between two looks of a host at its timers.
TICK = 0.02
#: Seconds until an end notices that its connection is broken, at most; and between two attempts to connect.
NOTICE, RETRY = 0.4, (0.02, 0.4)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every middlebox of a history lives in."""

    clock: SimulatedClock
    rng: random.Random
    luck: random.Random
    network: SimulatedNetwork
    control: Control
    kind: SimulatedKind
    keyring: Keyring
    scenario: Scenario
    accounts: Accounts
    counts: Counter[str]
    emit: Callable[[Row], None]
    bounds: Bounds | None
    taken: Callable[[str, MiddleboxHost, Message], None]


class Connection:
    """
    One connection of a middlebox with one life of the controller.

    @param up: takes what arrives at the controller; @param down: what arrives at the middlebox.
    """

    def __init__(
        self,
        around: Surroundings,
        life: Life,
        up: Callable[[Connection, Message], None],
        down: Callable[[Connection, Message], None],
    ) -> None:
        self.life = life
        self.session: Session | None = None
        self.up = Line(around.clock, around.rng, around.scenario.line, partial(up, self))
        self.down = Line(around.clock, around.rng, around.scenario.line, partial(down, self))

    def close(self, reason: str = "") -> None:
        """The controller has closed it: it hears nothing more from there."""
        self.up.alive = False


class SimulatedMiddlebox:
    """
    @ivar alive: is there a process?
    @ivar connection: to the controller, as the host believes.
    """

    def __init__(self, around: Surroundings, name: str) -> None:
        self.around, self.name = around, name
        self.incarnations = 0
        self.connection: Connection | None = None
        self._unreachable = 0.0
        self._begin()
        self._welcome()

    def _begin(self) -> None:
        """A new process."""
        around = self.around
        self.incarnations += 1
        self._secret = NO_SECRET
        self.alive, self._ticking, self._working = True, False, False
        self._aloneSince: float | None = None
        self.host = MiddleboxHost(
            self.name,
            around.kind.name,
            bytes([self.incarnations, *self.name.encode() * 15]),
            around.kind.engine(around.emit),
            around.keyring,
            self._send,
            around.clock.seconds,
            settingsOf(around.scenario, around.bounds),
        )
        self.host.forward = self._passed
        around.network.attach(self.name, partial(self._packets, self.host), partial(self._wants, self.host))

    def _welcome(self) -> None:
        """In the beginning everybody is connected."""
        life = self.around.control.life
        if life is not None:
            self._hello(self._open(life), self._firstMessage())

    def _firstMessage(self) -> Hello:
        """HELLO, with the secret of the sessions before."""
        return replace(self.host.hello(), secret=self._secret)

    # -- packets, messages, time

    def _packets(self, host: MiddleboxHost, frames: Sequence[bytes], stamps: Sequence[int]) -> None:
        host.packetsReceived(packetBatch(frames, stamps))

    def _passed(self, packets: PacketBatch) -> None:
        for row in self.around.kind.passed(packets):
            self.around.emit(row)

    def _wants(self, host: MiddleboxHost) -> bool:
        return host is not self.host or host.wantsPackets

    def _send(self, message: Message) -> None:
        if isinstance(message, StreamFrame):
            self.around.counts[f"frames {message.type.name.lower()}"] += 1
        self.around.accounts.told(message)
        if self.connection is not None:
            self.connection.up.send(message)

    def _wake(self) -> None:
        if not self._ticking and self.host.operations:
            self._ticking = True
            self.around.clock.callLater(TICK, self._tick, self.host)
        if not self._working and self.host.hasWork:
            self._working = True
            self.around.clock.callLater(self.around.rng.uniform(0.0001, 0.003), self._work, self.host)

    def _work(self, host: MiddleboxHost) -> None:
        if self.alive and host is self.host:
            self._working = False
            host.work()
            self._wake()

    def _tick(self, host: MiddleboxHost) -> None:
        if self.alive and host is self.host:
            self._ticking = False
            self._countLeases()
            host.timePassed(self.around.clock.seconds())
            self._wake()

    def _countLeases(self) -> None:
        """An end whose lease is over decides by itself; that is for the accounts."""
        if self._aloneSince is not None:
            alone = self.around.clock.seconds() - self._aloneSince
            for operation in self.host._operations.values():
                if alone >= operation.request.lease / 1000:
                    role = "source" if operation.side is Side.SOURCE else "destination"
                    self.around.accounts.leaseEnded(operation.identifier, role, operation.state.value)

    # -- the connection

    def _open(self, life: Life) -> Connection:
        self.connection = Connection(self.around, life, self._toController, self._fromController)
        return self.connection

    def connect(self) -> None:
        """Try to reach the controller, until that works."""
        life = self.around.control.life
        if not self.alive or self.connection is not None or self.around.control.gone:
            return
        if life is None or self.around.clock.seconds() < self._unreachable:
            self._later()
            return
        self._open(life).up.send(self._firstMessage())

    def _later(self) -> None:
        self.around.clock.callLater(self.around.luck.uniform(*RETRY), self.connect)

    def _hello(self, connection: Connection, hello: Hello) -> None:
        """At the controller: the first message of a connection."""
        controller = connection.life.controller
        try:
            controller.checkNewcomer(hello)
        except OperationError:
            self.around.counts["newcomer refused"] += 1
            self._break(connection)
            return
        send = connection.life.sending(connection.down.send)
        connection.session = Session(hello, send, connection.close)
        connection.down.send(Welcome(HIGHEST_VERSION, controller.epoch, 5000, controller.secretOf(hello)))
        controller.sessionOpened(connection.session)

    def _toController(self, connection: Connection, message: Message) -> None:
        if not connection.life.alive:
            return
        if isinstance(message, Hello):
            self._hello(connection, message)
        elif connection.session is not None:
            connection.life.controller.messageReceived(connection.session, message)

    def _fromController(self, connection: Connection, message: Message) -> None:
        if not self.alive or connection is not self.connection:
            return
        if isinstance(message, Welcome):
            self._aloneSince, self._secret = None, message.secret
            self.host.connectionMade()
        else:
            self.host.messageReceived(message)
            self.around.taken(self.name, self.host, message)
        self._wake()

    def lose(self, away: float) -> None:
        """The connection breaks, and there is none for C{away} seconds."""
        self._unreachable = max(self._unreachable, self.around.clock.seconds() + away)
        if self.connection is not None:
            self._break(self.connection)

    def _break(self, connection: Connection) -> None:
        """Only some first part of what is on the lines arrives; each end notices at its own time."""
        luck, clock = self.around.luck, self.around.clock
        down, up = connection.down.cut(luck), connection.up.cut(luck)
        clock.callLater(down + luck.random() ** 3 * NOTICE + 1e-6, self._lost, connection)
        clock.callLater(up + luck.random() ** 3 * NOTICE * 2 + 1e-6, self._closed, connection)

    def _lost(self, connection: Connection) -> None:
        """The host notices."""
        if self.alive and self.connection is connection:
            self.connection = None
            self._aloneSince = self._aloneSince if self._aloneSince is not None else self.around.clock.seconds()
            self.host.connectionLost()
            self._wake()
            self._later()

    @staticmethod
    def _closed(connection: Connection) -> None:
        """The controller notices."""
        if connection.session is not None and connection.life.alive:
            connection.up.alive = False
            connection.life.controller.sessionClosed(connection.session)

    def controllerDied(self) -> None:
        """What the controller had sent may have left, or not; the host notices a little later."""
        if self.connection is not None:
            self._break(self.connection)

    # -- life and death

    def die(self) -> None:
        """Stop at once; what was on its lines is lost, what was written stays."""
        self.alive = False
        self.around.network.detach(self.name)
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.up.alive = connection.down.alive = False
            self.around.clock.callLater(0.01, self._closed, connection)

    def comeBack(self) -> None:
        """A new process of the same name."""
        self._begin()
        self.connect()


def settingsOf(scenario: Scenario, bounds: Bounds | None) -> HostSettings:
    """The bounds of a history's hosts."""
    settings = HostSettings(sliceSlots=scenario.sliceSlots, eventBuffer=scenario.eventBuffer, mergeQuiet=0.3)
    if bounds is None:
        return settings
    return replace(
        settings,
        keptBytes=bounds.keptBytes,
        holdBytes=bounds.holdBytes,
        redirectBytes=bounds.redirectBytes,
        eventBuffer=bounds.eventBuffer,
    )
