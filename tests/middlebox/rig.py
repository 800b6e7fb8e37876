"""Hosts of the counting kind, with what they send kept, and two of them with a controller's relay between."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.task import Clock

from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.settings import HostSettings
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import buildMarker
from openmb.state.headers import EVERYTHING
from openmb.state.keyring import Keyring
from openmb.state.taxonomy import PER_FLOW_CELLS
from openmb.testing.adapters import START, manyFlows
from openmb.testing.counter import CounterMiddlebox
from openmb.testing.simulation.kinds import CounterKind
from openmb.testing.simulation.oracle import Row
from openmb.wire import messages as m

OP, TOKEN = 77, b"the markers' own"
#: Milliseconds without a controller, at the destination and at the source.
LEASES = (60_000, 90_000)
KEYRING = Keyring("counter", {1: bytes(range(32))}, 1)
MessageT = TypeVar("MessageT")


def peer(name: str) -> m.Peer:
    return m.Peer(name, name.encode() * 16)


class End:
    """One host; C{sent} is what it sent, C{rows} what it put out."""

    reassemble = True

    def __init__(self, name: str, clock: Clock | None = None, **settings: Any) -> None:
        self.name, self.clock = name, clock or Clock()
        self.sent: list[Any] = []
        self.rows: list[Row] = []
        self.nonce = bytes(16)
        engine = CounterKind().engine(self.rows.append)
        assert isinstance(engine, CounterMiddlebox)
        self.engine = engine
        self.host = MiddleboxHost(
            name,
            "counter",
            peer(name).incarnation,
            engine,
            KEYRING,
            self._send,
            self.clock.seconds,
            HostSettings(**settings),
            reassemble=self.reassemble,
        )

    def _send(self, message: m.Message) -> None:
        if isinstance(message, m.Prepared):
            self.nonce = message.nonce
        self.sent.append(message)

    def tell(self, *messages: m.Message) -> None:
        for message in messages:
            self.host.messageReceived(message)

    def take(self, type_: type[MessageT]) -> list[MessageT]:
        """What was sent of one type, which is forgotten."""
        found: list[MessageT] = [message for message in self.sent if isinstance(message, type_)]
        self.sent[:] = [message for message in self.sent if not isinstance(message, type_)]
        return found

    def refusal(self) -> Any:
        """The one refusal that was sent."""
        (refused,) = self.take(m.Refused)
        return refused.refusal

    def feed(self, packets: PacketBatch) -> None:
        self.host.packetsReceived(packets)

    def mark(self, stamp: int, final: bool = False, token: bytes = TOKEN, operation: int = OP, number: int = 1) -> None:
        """A drain marker arrives."""
        self.feed(packetBatch([buildMarker(operation, token, number, final)], [stamp]))


class Pair:
    """A source C{a}, a destination C{b}, and the relay between them."""

    def __init__(self, window: int = 1 << 20, flows: str = "udp", **settings: Any) -> None:
        self.clock = Clock()
        self.a, self.b = End("a", self.clock, **settings), End("b", self.clock, **settings)
        self.prepare = m.Prepare(OP, flows, PER_FLOW_CELLS, peer("a"), peer("b"), window, LEASES[0])

    @property
    def get(self) -> m.Get:
        """The GET that follows from what the destination has answered last."""
        p = self.prepare
        return m.Get(OP, p.flows, p.cells, p.source, p.destination, p.window, LEASES[1], self.b.nonce, p.sort)

    def relay(self) -> None:
        """Let frames and credit pass until there are none."""
        moved = True
        while moved:
            moved = False
            for maker, other in ((self.a, self.b), (self.b, self.a)):
                for frame in maker.take(m.StreamFrame):
                    other.tell(frame)
                    moved = True
                for credit in maker.take(m.Credit):
                    other.tell(credit)
                    moved = True

    def tick(self, seconds: float = 0.004) -> None:
        """Time passes at both ends, and what it brings is relayed."""
        self.clock.advance(seconds)
        for end in (self.a, self.b):
            end.host.timePassed(self.clock.seconds())
        self.relay()

    def installed(self, packets: PacketBatch | None = None) -> Pair:
        """Up to INSTALLED: six flows at the source, exported."""
        self.a.feed(manyFlows() if packets is None else packets)
        self.b.tell(self.prepare)
        self.a.tell(self.get)
        while self.a.host.work():
            self.relay()
        self.relay()
        return self

    def confirmed(self) -> Pair:
        """Up to DIVERT_CONFIRMED."""
        self.installed()
        self.b.tell(m.Hold(OP, TOKEN))
        self.a.tell(m.Divert(OP, TOKEN))
        self.relay()
        return self

    def merged(self) -> Pair:
        """Up to MERGED, with no packet on the way."""
        self.confirmed()
        self.b.tell(m.Commit(OP))
        self.a.mark(START + 10**9, True)
        self.b.mark(START + 10**9 + 1, True)
        self.relay()
        self.tick(2.0)
        return self

    def finish(self) -> list[str]:
        """The rows of both, once their input has ended."""
        for end in (self.a, self.b):
            end.host.finish()
        return sorted(f"{row.flow} {row.line}" for row in (*self.a.rows, *self.b.rows))


def records(end: End) -> int:
    return end.engine.usage(EVERYTHING)[0].records


def operation(end: End) -> Any:
    return end.host._operations[OP]


def again(end: End, command: m.Message) -> list[m.Message]:
    """The connection was lost with every answer on it; the command comes again: what is answered, credit aside."""
    end.host.connectionLost()
    end.host.connectionMade()
    end.sent.clear()
    end.tell(command)
    return [message for message in end.sent if not isinstance(message, m.StreamFrame | m.Credit)]


def alone(end: End, seconds: float) -> None:
    """So many seconds pass for one host."""
    end.clock.advance(seconds)
    for _ in range(2):
        end.host.timePassed(end.clock.seconds())


def single(*batches: PacketBatch) -> list[str]:
    """The rows of one middlebox that saw everything."""
    end = End("one")
    for batch in batches:
        end.feed(batch)
    end.host.finish()
    return sorted(f"{row.flow} {row.line}" for row in end.rows)
