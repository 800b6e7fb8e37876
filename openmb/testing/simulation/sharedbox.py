"""
A middlebox of a history of clones and merges, its line to the controller, and its twin, which no operation touches.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.settings import HostSettings
from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind
from openmb.state.flowkey import FLOW_KEY, flowText
from openmb.state.keyring import Keyring
from openmb.testing.counter import Counter, CounterMiddlebox
from openmb.testing.totals import Tally
from openmb.wire import messages as m
from openmb.wire.codec import decodeAll, encode

KEYRING = Keyring("counter", {1: bytes(32)}, 1)
COUNTED = (Kind.TCP, Kind.UDP, Kind.ICMP, Kind.OTHER)


class Witness:
    """
    One engine of the counting kind, and what it has put out.

    @ivar rows: one for each flow that was over.
    @ivar written: what it has reported of all rows together.
    """

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.packets = 0
        self.written: list[Tally] = []
        self.engine = CounterMiddlebox(self._row, 0.5, self.written.append)

    def _row(self, key: bytes, counter: Counter) -> None:
        flow = flowText(np.frombuffer(key, FLOW_KEY)[0])
        self.rows.append(f"{flow} {counter.start} {counter.last} {counter.packets} {counter.order:08x}")
        self.packets += counter.packets


@dataclass(frozen=True, slots=True)
class Bounds:
    """What limits the hosts of a history."""

    sliceSlots: int
    eventBuffer: int


class SharedBox:
    """
    One middlebox; a new process of the same name takes the place of one that died.

    @param taken: told of each message that the host has taken.
    @ivar seen: how many packets this process has counted.
    @ivar past: what dead processes of this name have left: their twins, and how many packets they had counted.
    """

    def __init__(
        self,
        name: str,
        bounds: Bounds,
        now: Callable[[], float],
        taken: Callable[[SharedBox, m.Message], None],
    ) -> None:
        self.name, self._bounds, self._now, self._taken = name, bounds, now, taken
        self.incarnations = 0
        self.past: list[Witness] = []
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.connected = False
        self._decoder = Decoder()
        self.start()

    def start(self) -> None:
        """A new process."""
        self.incarnations += 1
        self.witness, self.twin, self.seen = Witness(), Witness(), 0
        self.host = MiddleboxHost(
            self.name,
            "counter",
            self.peer.incarnation,
            self.witness.engine,
            KEYRING,
            self._send,
            self._now,
            HostSettings(sliceSlots=self._bounds.sliceSlots, eventBuffer=self._bounds.eventBuffer),
        )
        self.host.connectionLost()

    def die(self) -> None:
        """The process ends at once, and another one starts."""
        self.past.append(self.twin)
        self.start()

    @property
    def peer(self) -> m.Peer:
        """Name and incarnation."""
        return m.Peer(self.name, bytes([self.incarnations, *self.name.encode() * 15]))

    # -- packets and time

    def feed(self, packets: PacketBatch) -> None:
        """Packets arrive."""
        self.host.packetsReceived(packets)
        decoded = self._decoder.decode(packets)
        self.twin.engine.process(decoded, None)
        self.seen += int(np.isin(decoded.headers["kind"], COUNTED).sum())

    def advance(self, now: int) -> None:
        """No packet arrives for a while."""
        self.host.advance(now)
        self.twin.engine.advance(now)

    # -- the line

    def _send(self, message: m.Message) -> None:
        if self.connected:
            self.up.append(encode(message))

    def deliver(self, rng: random.Random) -> None:
        """Some of what is on the line arrives."""
        for _ in range(min(len(self.down), rng.randint(1, 3))):
            (message,) = decodeAll(self.down.popleft())
            self.host.messageReceived(message)
            self._taken(self, message)

    def lose(self) -> None:
        """The connection breaks, and with it what was on it."""
        self.connected = False
        self.up.clear()
        self.down.clear()
        self.host.connectionLost()
