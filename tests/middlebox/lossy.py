"""
A move between two hosts over lines that break, ordered by a controller in miniature that only repeats itself.

One seed decides everything: which line delivers next, when packets come, when a connection breaks and for how long.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import BACK_MARKERS, buildMarker
from openmb.testing.adapters import START, flowPacket
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, End, Pair, single

FLOWS = 6
Frame = tuple[bytes, int]


@dataclass
class Line:
    """What is on the way to and from one middlebox, and what its controller remembers of it."""

    end: End
    connected: bool = True
    down: deque[m.Message] = field(default_factory=deque)
    up: deque[m.Message] = field(default_factory=deque)
    path: deque[Frame] = field(default_factory=deque)
    commands: list[m.Message] = field(default_factory=list)
    status: m.OperationStatus | None = None


class LossyMove:
    """
    One move.

    @ivar losses: in which states connections were lost.
    @ivar reached: what the controller was told first, by type.
    @ivar looks: how often an end was seen having its last look.
    """

    def __init__(self, seed: int, room: int = 1 << 20) -> None:
        self.rng = random.Random(seed)
        bounds = {"eventBuffer": room, "holdBytes": room, "redirectBytes": room}
        self.pair = Pair(self.rng.choice((700, 2000, 1 << 20)), "udp", sliceSlots=2, mergeQuiet=0.05, **bounds)
        self.a, self.b = Line(self.pair.a), Line(self.pair.b)
        self.losses: Counter[str] = Counter()
        self.reached: dict[type[m.Message], m.Message] = {}
        self.aborts = self.rng.random() < 0.4
        self.breaks = self.rng.choice((0.0, 0.01, 0.05))
        self.stops = False  # no connection will ever be made again
        self.closed = False
        self.looks = 0
        self._burst = 5 if room > 10_000 else 40  # packets at once: enough to fill small queues
        self._route = self.a
        self._sent: list[Frame] = []
        self._number = 0
        self._marking: tuple[Line, ...] = ()

    # -- the network

    def packets(self, count: int = 1) -> None:
        """Packets come and take the route."""
        for _ in range(count):
            turn = len(self._sent)
            packet = flowPacket(self.rng.randrange(FLOWS), turn % 50, turn % 2 == 1), START + turn * 1_000_000
            self._sent.append(packet)
            self._route.path.append(packet)

    def mark(self) -> None:
        """Drain markers for whoever is to get them."""
        if self._marking:
            self._number += 1
            marker = buildMarker(OP, TOKEN, self._number, True)
            for line in self._marking:
                line.path.append((marker, START + len(self._sent) * 1_000_000 - 500_000))

    def arrive(self, line: Line) -> None:
        """Some of what waits on a path arrives, if the middlebox reads."""
        if line.path and line.end.host.wantsPackets:
            frames = [line.path.popleft() for _ in range(min(len(line.path), self.rng.randint(1, 4)))]
            line.end.feed(batchOf(frames))

    # -- the lines

    def lose(self, line: Line) -> None:
        """The connection breaks; what was on it is lost."""
        if line.connected:
            line.connected = False
            line.down.clear()
            line.up.clear()
            (status,) = line.end.host.hello().operations or (None,)
            self.losses[f"{line.end.name} {status.state if status is not None else 'nothing'}"] += 1
            line.end.host.connectionLost()

    def connect(self, line: Line) -> None:
        """It is back: the last commands again, and both streams where they broke."""
        if line.connected or self.stops:
            return
        line.connected = True
        line.end.sent.clear()
        line.status = next(iter(line.end.host.hello().operations), None)
        line.end.host.connectionMade()
        line.down.extend(line.commands)
        if self.a.connected and self.b.connected:
            for maker, receiver in ((self.a, self.b), (self.b, self.a)):
                side = m.Side.SOURCE if maker is self.a else m.Side.DESTINATION
                number = -1 if receiver.status is None else receiver.status.received
                maker.down.append(m.Resume(OP, side, number))

    def collect(self, line: Line) -> None:
        """What a middlebox has sent is on its line, or lost."""
        if line.connected:
            line.up.extend(line.end.sent)
        line.end.sent.clear()

    def deliver(self, line: Line) -> None:
        """One message each way."""
        if line.down:
            line.end.tell(line.down.popleft())
        if line.up:
            self._receive(line, line.up.popleft())

    # -- the controller

    def order(self, line: Line, *commands: m.Message) -> None:
        """Send, and remember for the case that the connection is lost."""
        line.commands[:] = commands
        if line.connected:
            line.down.extend(commands)

    def _receive(self, line: Line, message: m.Message) -> None:
        if isinstance(message, m.StreamFrame | m.Credit):
            other = self.b if line is self.a else self.a
            if other.connected:
                other.down.append(message)
        elif type(message) not in self.reached and not self.closed:
            self.reached[type(message)] = message
            self._follow(message)

    def _follow(self, message: m.Message) -> None:
        told = self.reached
        match message:
            case m.Prepared():
                self.order(self.a, self.pair.get)
            case m.Installed():
                self._unlessAborted(lambda: self.order(self.b, m.Hold(OP, TOKEN)), False)
            case m.Holding():
                self._unlessAborted(lambda: self.order(self.a, m.Divert(OP, TOKEN)), False)
                self.packets(self.rng.randrange(self._burst))
            case m.DivertConfirmed():
                self._route = self.b
                self.packets(self.rng.randrange(self._burst))
                self._unlessAborted(self._commit, True)
            case m.Merged():
                self._marking = ()
                self.order(self.a, m.Delete(OP, 20))
            case m.Refused():
                self._abort(m.DivertConfirmed in told)
        if m.WindowClosed in told or (m.Unmarked in told and m.Discarded in told):
            self._close()

    def _commit(self) -> None:
        self._marking = (self.a, self.b)
        self.order(self.b, m.Commit(OP))

    def _unlessAborted(self, goOn: Callable[[], None], routed: bool) -> None:
        if not self.aborts or self.rng.random() < 0.6:
            goOn()
        else:
            self._abort(routed)

    def _abort(self, routed: bool) -> None:
        self._route = self.a
        self.order(self.a, m.Unmark(OP, routed))
        self.order(self.b, m.Discard(OP, routed))
        if routed:
            self._number, self._marking = BACK_MARKERS, (self.b,)

    def _close(self) -> None:
        self.closed, self._marking = True, ()
        for line in (self.a, self.b):
            self.order(line, m.Close(OP))

    # -- the run

    def begin(self) -> None:
        """Some records, then PREPARE."""
        self.packets(2 * FLOWS)
        while self.a.path:
            self.arrive(self.a)
        self.order(self.b, self.pair.prepare)

    def step(self) -> None:
        """Something happens."""
        line = self.rng.choice((self.a, self.b))
        act = self.rng.random()
        if self.rng.random() < self.breaks:
            self.lose(line)
        elif act < 0.5:
            self.deliver(line)
        elif act < 0.65:
            self.arrive(line)
        elif act < 0.75:
            line.end.host.work()
        elif act < 0.80 and len(self._sent) < 150:
            self.packets()
        elif act < 0.83:
            self.mark()
        elif act < 0.9:
            self.pair.clock.advance(0.004)
            line.end.host.timePassed(self.pair.clock.seconds())
        elif act < 0.95:
            self.connect(line)
        self.collect(line)

    @property
    def packetsSent(self) -> int:
        """How many packets came, on either way."""
        return len(self._sent)

    @property
    def settled(self) -> bool:
        """Has everything come to its end?"""
        lines = (self.a, self.b)
        return self.closed and not any(line.end.host.hello().operations or line.path for line in lines)

    def run(self, steps: int = 20_000) -> bool:
        """Until everything is settled; false if it never is."""
        self.begin()
        while not self.settled and steps:
            self.step()
            steps -= 1
        return self.settled

    def desert(self) -> None:
        """Some time after some answer the controller goes for good; the network goes on until the leases are over."""
        last = self.rng.choice(
            (m.Prepared, m.Installed, m.Holding, m.DivertConfirmed, m.Committed, m.Merged, m.Deleted)
        )
        self.begin()
        for _ in range(3000):
            if last in self.reached or m.Discarded in self.reached:
                break
            self.step()
        for _ in range(self.rng.randrange(100)):
            self.step()
        self.stops, self._marking = True, ()
        for line in (self.a, self.b):
            self.lose(line)
        for _ in range(200):
            self.step()
        while self.pair.clock.seconds() < 250.0:
            self.pair.clock.advance(1.0)
            for line in self.rng.sample((self.a, self.b), 2):
                for _ in range(100):
                    self.arrive(line)
                line.end.host.timePassed(self.pair.clock.seconds())
                self.looks += any(move._look is not None for move in line.end.host._moves)

    def firsts(self) -> Counter[tuple[str, str]]:
        """Flow and first stamp of every record that there was before the move."""
        rows = (text.rsplit(" ", 4) for text in single(batchOf(self._sent[: 2 * FLOWS])))
        return Counter((row[0], row[1]) for row in rows)

    def expected(self) -> list[str]:
        """The rows of one middlebox that saw everything."""
        return single(batchOf(self._sent))


def batchOf(frames: list[Frame]) -> PacketBatch:
    """Frames as they would arrive together."""
    return packetBatch([frame for frame, _ in frames], [stamp for _, stamp in frames])
