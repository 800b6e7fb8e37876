"""
Histories of clones and merges: two or three middleboxes, a controller, lines that break, processes that die.

One seed decides everything.  Steps take no time of their own; leases end when somebody stays away.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass

from openmb.packets.batch import packetBatch
from openmb.state.taxonomy import Cell
from openmb.testing.simulation.scenario import SERVERS
from openmb.testing.simulation.sharedbox import Bounds, SharedBox
from openmb.testing.simulation.sharedcontroller import Entry, SharedController, SharedRequest
from openmb.testing.simulation.sharedtruth import SharedTruth
from openmb.testing.simulation.traffic import EPOCH, makeTraffic
from openmb.testing.simulation.world import Outcome
from openmb.wire import messages as m
from openmb.wire.codec import decodeAll, encode

CELLS = {m.Sort.CLONE: (Cell.SUPPORTING_SHARED,), m.Sort.MERGE: (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)}
#: Milliseconds, of the source and of the destination; seconds for which nobody is there: none ends, one, or both.
LEASES, AWAY = (90_000, 60_000), (1.0, 1.0, 1.0, 70.0, 200.0)
STEPS = 40_000


@dataclass(frozen=True, slots=True)
class Chances:
    """How often something goes wrong in one step."""

    breaks: float
    crashes: float
    deaths: float
    aborts: float


class SharedHistory:
    """
    One history.

    @ivar counts: how often each thing happened.
    """

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(f"shared {seed}")
        self.counts: Counter[str] = Counter()
        self.truth = SharedTruth()
        self._now = 0.0
        calm = rng.random() < 0.3
        self.chances = Chances(
            0.0 if calm else rng.choice((0.0, 0.003, 0.01)),
            0.0 if calm else rng.choice((0.0, 0.001, 0.005)),
            0.0 if calm else rng.choice((0.0, 0.0, 0.0, 0.002)),
            rng.choice((0.0, 0.01)),
        )
        bounds = Bounds(rng.choice((1, 2, 64)), rng.choice((3000, 1 << 20, 1 << 20)))
        names = "abc" if rng.random() < 0.6 else "ab"
        self.boxes = {name: SharedBox(name, bounds, lambda: self._now, self._taken) for name in names}
        self._window = rng.choice((300, 4000, 1 << 20))
        self._journal: dict[int, tuple[Entry, SharedRequest]] = {}
        self._sorts: dict[int, m.Sort] = {}
        self._left = rng.choice((2, 4, 8, 12))
        self._paths = self._traffic()
        self.controller: SharedController | None = None
        self._start()

    def _traffic(self) -> dict[str, deque[tuple[bytes, int]]]:
        """Each flow's packets go to one middlebox."""
        traffic = makeTraffic(self.rng, self.rng.choice((2.0, 10.0)), 20, SERVERS)
        paths: dict[str, deque[tuple[bytes, int]]] = {name: deque() for name in self.boxes}
        homes = [self.rng.choice([*self.boxes]) for _ in range(traffic.flowCount)]
        for time, flow, packet in zip(traffic.times, traffic.flows, traffic.packets, strict=True):
            paths[homes[flow]].append((packet, EPOCH * 1_000_000_000 + int(time * 1e9)))
        self.counts["packets"], self.counts["flows"] = len(traffic.times), traffic.flowCount
        return paths

    # -- the controller's life

    def _start(self) -> None:
        self.controller = SharedController(self._send, self._journal, LEASES, self._ended)
        for box in self.boxes.values():
            self._connect(box)

    def _crash(self) -> None:
        """It dies between two messages, and comes back after a while."""
        self.counts["controller deaths"] += 1
        for entry, _ in self._journal.values():
            self.counts[f"controller death after {entry.value}"] += 1
        self.controller = None
        for box in self.boxes.values():
            box.lose()
        self._wait(self.rng.choice(AWAY))
        self._start()

    def _wait(self, seconds: float) -> None:
        self._now += seconds
        for box in self.boxes.values():
            for operation in tuple(box.host._operations.values()) if not box.connected and seconds > 60 else ():
                self.counts[f"lease over: {operation.side.name.lower()} {operation.state.value}"] += 1
            for _ in range(2):
                box.host.timePassed(self._now)

    def _send(self, name: str, message: m.Message) -> None:
        if self.boxes[name].connected:
            self.boxes[name].down.append(encode(message))

    def _ended(self, request: SharedRequest, done: bool) -> None:
        self.counts[f"{request.sort.name.lower()} {'done' if done else 'undone'}"] += 1

    def _taken(self, box: SharedBox, message: m.Message) -> None:
        self.truth.taken(box.name, box.host, message, self._sorts)

    # -- lines and deaths

    def _connect(self, box: SharedBox) -> None:
        if not box.connected and self.controller is not None:
            box.connected = True
            hello = box.host.hello()
            box.host.connectionMade()
            self.controller.connected(hello)

    def _lose(self, box: SharedBox) -> None:
        for operation in box.host._operations.values():
            self.counts[f"break of {operation.side.name.lower()} {operation.state.value}"] += 1
        box.lose()
        if self.controller is not None:
            self.controller.lost(box.name)

    def _die(self, box: SharedBox) -> None:
        self.truth.deaths = True
        for operation in box.host._operations.values():
            self.counts[f"death of {operation.side.name.lower()} {operation.state.value}"] += 1
        self.counts["deaths"] += 1
        self._lose(box)
        box.die()

    # -- what happens

    def _begin(self) -> None:
        """The application asks for one more, of two middleboxes that have none between them."""
        controller, ends = self.controller, [self.boxes[name] for name in self.rng.sample([*self.boxes], 2)]
        if controller is None or not self._left or not all(box.connected for box in ends):
            return
        busy = [{peer.name for peer in task.request.ends} for task in controller.tasks.values()]
        if {box.name for box in ends} in busy:
            return
        self._left -= 1
        sort = self.rng.choice((m.Sort.CLONE, m.Sort.MERGE))
        operation = self.rng.getrandbits(60) + 1
        self._sorts[operation] = sort
        self.counts[sort.name.lower()] += 1
        peers = (ends[0].peer, ends[1].peer)
        controller.begin(SharedRequest(operation, sort, CELLS[sort], peers, self._window))

    def _decide(self) -> None:
        """The application finishes a clone, or changes its mind."""
        tasks = [*self.controller.tasks] if self.controller is not None else []
        if tasks and self.controller is not None:
            operation = self.rng.choice(tasks)
            if self.rng.random() < self.chances.aborts * 20:
                self.controller.abort(operation)
            elif self.rng.random() < 0.3:
                self.controller.finish(operation)

    def _hear(self, box: SharedBox) -> None:
        for _ in range(min(len(box.up), self.rng.randint(1, 3))):
            (message,) = decodeAll(box.up.popleft())
            if isinstance(message, m.StreamFrame):
                self.counts[f"frames {message.type.name.lower()}"] += 1
            if isinstance(message, m.Refused):
                self.counts[f"refused {message.refusal.name}"] += 1
            if self.controller is not None:
                self.controller.receive(box.name, message)

    def _arrive(self, box: SharedBox) -> None:
        path = self._paths[box.name]
        frames = [path.popleft() for _ in range(min(len(path), self.rng.randint(1, 4)))]
        if frames:
            box.feed(packetBatch([packet for packet, _ in frames], [stamp for _, stamp in frames]))
            if self.rng.random() < 0.1:
                box.advance(frames[-1][1] + self.rng.randrange(2_000_000_000))

    def _mishap(self, box: SharedBox) -> None:
        chance = self.rng.random()
        if chance < self.chances.breaks:
            self._lose(box)
            if self.rng.random() < 0.1:
                self._wait(self.rng.choice(AWAY))
        elif chance < self.chances.breaks + self.chances.crashes:
            self._crash()
        elif chance < self.chances.breaks + self.chances.crashes + self.chances.deaths:
            self._die(box)

    def step(self, calm: bool = False) -> None:
        """Something happens."""
        box = self.boxes[self.rng.choice([*self.boxes])]
        if not calm:
            self._mishap(box)
        act = self.rng.random()
        if act < 0.3:
            box.deliver(self.rng)
        elif act < 0.6:
            self._hear(box)
        elif act < 0.75:
            self._arrive(box)
        elif act < 0.87:
            box.host.work()
        elif act < 0.92:
            self._wait(0.004)
        elif act < 0.95:
            self._connect(box)
        elif act < 0.97:
            self._begin()
        else:
            self._decide()

    @property
    def _over(self) -> bool:
        controller = self.controller
        lines = any(box.up or box.down or not box.connected for box in self.boxes.values())
        return not (self._left or any(self._paths.values()) or lines or controller is None or controller.tasks)

    def run(self) -> tuple[str, ...]:
        """Let it happen; what is wrong, in words."""
        for number in range(STEPS):
            if self._over:
                break
            self.step(calm=number > STEPS // 2)
        else:
            self.truth.wrong.append(f"not over after {STEPS} steps")
        self.truth.judge([*self.boxes.values()])
        return tuple(self.truth.wrong)


def simulateShared(seed: int) -> Outcome:
    """The history of clones and merges of C{seed}."""
    history = SharedHistory(seed)
    return Outcome(seed, history.run(), history.counts)
