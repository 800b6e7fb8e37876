"""
Server, encoder, link, two decoders, receivers: what is sent must arrive, whatever moves meanwhile.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from openmb.apps.migration import ANSWER, Migration, Plan
from openmb.demo.deployment import Deployment
from openmb.demo.processes import Children, IDemoReactor, pause
from openmb.demo.smartre.traffic import MOVING, SERVERS, STAYING
from openmb.errors import OperationError, Refusal
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.embedded.port import PortClient, connectPort
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.rpc.client import RPCClient

ENCODER, FIRST, SECOND = NAMES = ("encoder", "decoder1", "decoder2")
#: Ports of the two networks, and of the link between encoder and decoders, which this process watches.
LEFT, RIGHT, LINK = "server", "receivers", "link"
#: Packets in a burst, and seconds for what is still under way to arrive.
BURST, PATIENCE = 32, 60.0
#: Seconds after which decoders tell what they dropped.
INTERVAL = "0.25"
_UNDECODABLE, _MISSED = "saving-measured", "cache-missed"


@dataclass
class Outcome:
    """
    What came of it.

    @ivar sent: packets; C{arrived}: of those, unchanged; C{missing}, C{surplus}: that did not, or that nobody sent or
        that came twice; C{disordered}: that came behind a later one of the same receiver.
    @ivar payload: bytes of IP packets that were sent; C{carried}: on the link, in both directions.
    @ivar undecodable: packets that decoders dropped; C{missed}: that they had to ask for.
    @ivar second: packets that the second decoder got.
    @ivar steps: what was done, and how many packets had been sent by then.
    @ivar reports: of the clone and of the merge.
    """

    sent: int = 0
    arrived: int = 0
    missing: int = 0
    surplus: int = 0
    disordered: int = 0
    payload: int = 0
    carried: int = 0
    undecodable: int = 0
    missed: int = 0
    second: int = 0
    steps: list[tuple[str, int]] = field(default_factory=list)
    reports: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Everything arrived once, as it was, in fewer bytes, and some of it by the second decoder."""
        lost = self.missing or self.surplus or self.undecodable
        return not lost and self.carried < self.payload and self.second > 0


def route(flows: str, path: Sequence[str], egress: str, priority: int) -> dict[str, Any]:
    """A one-way rule."""
    rule = {"table": "path", "priority": priority, "egress": egress, "oneWay": True}
    return {"flows": flows, "path": list(path), **rule}


def routesBy(decoder: str, receivers: str, priority: int) -> list[dict[str, Any]]:
    """Both directions between the server and some receivers."""
    there = [ENCODER, LINK, decoder]
    onward = route(f"nw_dst={receivers}", there, RIGHT, priority)
    return [onward, route(f"nw_src={receivers},nw_dst={SERVERS}", there[::-1], LEFT, priority)]


class SmartreScenario:
    """
    Runs the demonstration.

    @param frames: what the server may send.
    @param phase: packets before receivers move, while they are away, and after they are back, at least; more are sent
        meanwhile.
    @param rate: packets a second.
    @ivar stage: what is going on, in words.
    """

    def __init__(
        self, reactor: IDemoReactor, deployment: Deployment, frames: Sequence[bytes], phase: int, rate: float
    ) -> None:
        self._reactor, self._deployment, self._frames, self._rate = reactor, deployment, frames, rate
        self._phase, self._isOver = phase, False
        self.children = Children(reactor, deployment.root)
        self._controller = RPCClient(deployment.socket, reactor)
        self._network = EmbeddedNetwork(deployment.switch / "control.sock", reactor)
        self.outcome, self.stage = Outcome(), "starting"
        self._left, self._link = PortClient(lambda batch: None), PortClient(self._passOn)
        self._right = PortClient(self._arrived)
        self._came: list[bytes] = []

    async def run(self) -> Outcome:
        """All of it; whatever happens, every child has ended afterwards."""
        try:
            await self._deploy()
            await self._play()
            await self._conclude()
        finally:
            self.stage = "stopping"
            await self.stop()
        return self.outcome

    async def stop(self) -> None:
        """End every child."""
        self._controller.close()
        self._network.close()
        await self.children.stopAll()

    # -- before

    async def _deploy(self) -> None:
        self.children.start("switch", self._deployment.switchArguments([LEFT, RIGHT, LINK, *NAMES]))
        self.children.start("controller", self._deployment.controllerArguments())
        await self.children.until("the controller is ready", self._deployment.announce.exists)
        for name in NAMES:
            # what comes back is for the server, where nobody decodes
            own = ("--cache-flows", f"{STAYING},{MOVING}") if name == ENCODER else ()
            role = "encoder" if name == ENCODER else "decoder"
            self.children.start(name, self._deployment.middleboxArguments(name, "--role", role, *own))
        await self.children.until("all are ready", lambda: Deferred.fromCoroutine(self._ready()), 120.0)
        for rule in routesBy(FIRST, "10.2.0.0/24", 10):
            await self._ask("route", route=rule)
        for name in (FIRST, SECOND):
            await self._ask("writeConfig", middlebox=name, key="SavingInterval", values=[INTERVAL])
        for name, port in ((LEFT, self._left), (RIGHT, self._right), (LINK, self._link)):
            await connectPort(self._reactor, self._deployment.switch, name, port)
        self._follow()

    async def _ready(self) -> bool:
        registered = {each["name"] for each in await self._ask("middleboxes")}
        ports = {port["name"] for port in await self._network.ports() if port["connected"]}
        return set(NAMES) <= registered & ports

    def _follow(self) -> None:
        """Hear of what decoders drop or ask for."""
        what = {"middlebox": "*", "events": [_UNDECODABLE, _MISSED], "flows": "*"}
        following = Deferred.fromCoroutine(self._controller.call("subscribe", what, None, self._noticed))
        following.addErrback(lambda failure: None)  # it ends with the controller, when all is over

    def _noticed(self, notice: Mapping[str, Any]) -> None:
        if notice.get("event") == _MISSED:
            self.outcome.missed += 1
        elif notice.get("event") == _UNDECODABLE:
            self.outcome.undecodable += int(notice["fields"]["undecodable"])
            self.outcome.second += int(notice["fields"]["packets"]) if notice["middlebox"] == SECOND else 0

    async def _ask(self, verb: str, **arguments: Any) -> Any:
        return await self._controller.call(verb, arguments, ANSWER)

    # -- while packets come

    async def _play(self) -> None:
        moved = routesBy(SECOND, MOVING, 20)
        plan = Plan(ENCODER, FIRST, SECOND, STAYING, MOVING, moved)
        migration = Migration(self._controller, plan, self._step)
        sending = Deferred.fromCoroutine(self._send())
        await self._more()
        self.outcome.reports.append(await migration.migrate())
        self._step("two decoders")
        await self._more()
        self.outcome.reports.append(await migration.undo())
        self._step("one decoder again")
        await self._more()
        self._isOver = True
        await sending

    def _step(self, what: str) -> None:
        self.stage = what
        self.outcome.steps.append((what, self.outcome.sent))

    async def _more(self) -> None:
        """Wait until another phase's packets are sent."""
        enough = self.outcome.sent + self._phase
        await self.children.until("packets are sent", lambda: self.outcome.sent >= enough, 600.0)

    async def _send(self) -> None:
        self._step("one decoder")
        began = self._reactor.seconds()
        while not self._isOver:
            if self.outcome.sent >= len(self._frames):
                raise OperationError(Refusal.DEADLINE, f"not over after {len(self._frames):,} packets")
            due = int((self._reactor.seconds() - began) * self._rate)
            if self._left.writable and self.outcome.sent < due:
                some = self._frames[self.outcome.sent : self.outcome.sent + min(BURST, due - self.outcome.sent)]
                self._left.send(packetBatch(some, [time.time_ns()] * len(some)))
                self.outcome.sent += len(some)
                self.outcome.payload += sum(len(frame) - 14 for frame in some)
            await pause(self._reactor, 0.002)

    def _passOn(self, batch: PacketBatch) -> None:
        self.outcome.carried += int(batch.lengths.sum()) - 14 * len(batch)
        self._link.send(batch)

    def _arrived(self, batch: PacketBatch) -> None:
        self._came += [batch.packet(place) for place in range(len(batch))]

    # -- afterwards

    async def _conclude(self) -> None:
        """Wait for the last packets, then hold what came against what was sent."""
        self._step("waiting for the last packets")
        deadline = self._reactor.seconds() + PATIENCE
        while len(self._came) < self.outcome.sent and self._reactor.seconds() < deadline:
            await pause(self._reactor, 0.05)
        frames = self._frames[: self.outcome.sent]
        sent, came = Counter(frames), Counter(self._came)
        self.outcome.missing, self.outcome.surplus = (sent - came).total(), (came - sent).total()
        self.outcome.arrived = (sent & came).total()
        self.outcome.disordered = disordered(frames, self._came)


def disordered(sent: Sequence[bytes], came: Sequence[bytes]) -> int:
    """Packets that came behind one that was sent later to the same receiver."""
    places = {frame: place for place, frame in enumerate(sent)}
    last: dict[bytes, int] = {}
    found = 0
    for frame in came:
        place, receiver = places.get(frame, -1), frame[30:34]
        found += place < last.get(receiver, -1)
        last[receiver] = max(place, last.get(receiver, -1))
    return found
