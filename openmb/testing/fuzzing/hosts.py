"""
A target: two middlebox hosts under a controller that follows no protocol.

An input is a programme, three bytes a step: commands in any order for operations that may not exist, frames lost,
repeated, altered or forged with the true keys, packets, markers, time, lost connections.  Whatever comes is taken;
no engine throws; and once nobody commands any more and the leases are over, nothing of an operation is left (but what
a merge took, if its source has voted: that waits for the end of the process).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.internet.task import Clock

from openmb.errors import Refusal
from openmb.middlebox.destination import DestinationOperation
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.settings import HostSettings
from openmb.middlebox.sharedsource import SharedSource
from openmb.middlebox.stream import StreamSender, contextOf
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import buildMarker
from openmb.state.keyring import Keyring
from openmb.testing.fuzzing.target import Target
from openmb.testing.fuzzing.wiretargets import exported, sharedOf
from openmb.testing.simulation.kinds import KINDS
from openmb.testing.simulation.traffic import makeTraffic
from openmb.wire import messages as m
from openmb.wire.stream import Drained, Finished, GetDone, Marked, ReturnDone, packEvents, packPart

OPERATIONS = (7, 8)
TOKEN = b"the markers' own"
FLOWS = ("tcp", "*", "udp", "tcp,tp_dst=80", "nw_src=10.1.0.1", "nonsense")
WINDOWS = (1 << 20, 1, 4096, 0)
SORTS = (m.Sort.MOVE, m.Sort.MOVE, m.Sort.CLONE, m.Sort.MERGE)
#: Bytes of a programme beyond this are passed over.
LONGEST = 600
TIMES = (0.004, 0.1, 2.0, 10.0, 65.0, 95.0)
#: Milliseconds: of the destination, of the source.
LEASES = (60_000, 90_000)
#: So little that bounds are met.
SETTINGS = HostSettings(
    sliceSlots=16, eventBuffer=20_000, keptBytes=20_000, holdBytes=20_000, redirectBytes=20_000, mergeQuiet=0.5
)


def peer(name: str) -> m.Peer:
    """Who a host of that name is."""
    return m.Peer(name, name.encode() * 16)


class FuzzedHost:
    """One host, what it has sent and nobody took, and packets that it has not seen yet."""

    def __init__(self, name: str, kind: str, packets: PacketBatch, clock: Clock) -> None:
        self.name, self.packets = name, packets
        self.frames: deque[m.StreamFrame] = deque(maxlen=1000)
        self.credits: deque[m.Credit] = deque(maxlen=1000)
        self.nonces: dict[int, bytes] = {}
        self.faults: list[str] = []
        self._kind = KINDS[kind]()
        self.keyring = Keyring(kind, {1: bytes(range(32))}, 1)
        self.engine = self._kind.engine(lambda row: None)
        self.host = MiddleboxHost(
            name, kind, peer(name).incarnation, self.engine, self.keyring, self._send, clock.seconds, SETTINGS
        )

    def _send(self, message: m.Message) -> None:
        match message:
            case m.StreamFrame():
                self.frames.append(message)
            case m.Credit():
                self.credits.append(message)
            case m.Prepared(operation, nonce):
                self.nonces[operation] = nonce
            case m.Refused(refusal=Refusal.ENGINE_FAILED):
                self.faults.append(message.reason)

    def check(self) -> None:
        """Has anything failed inside?"""
        if self.faults or self.host.counts.failedPackets:
            raise AssertionError(f"{self.name}: {self.faults or 'the engine threw on a packet'}")
        for operation in self.host._operations.values():
            if isinstance(operation, DestinationOperation):
                self._checkAsked(operation)

    def _checkAsked(self, operation: DestinationOperation) -> None:
        """Is everything that came for an operation of its flows, whoever made it?"""
        keys = self._kind.provisional(self.engine, operation.identifier)
        if len(keys) and not operation.flows.matchKeys(keys).all():
            raise AssertionError(f"{self.name}: it holds records that nobody asked for ({operation.flows})")

    def end(self) -> None:
        """The leases are over, and then the input: is anything left over?"""
        known = self.host._operations.values()
        inDoubt = any(isinstance(each, SharedSource) and each.inDoubt for each in known)
        if not inDoubt:
            if not self.host.settled:
                raise AssertionError(f"{self.name}: the leases are over, operations are not")
            self._checkLeftovers("after the leases")
        self.host.finish()
        self.check()
        self._checkLeftovers("in the end")

    def _checkLeftovers(self, when: str) -> None:
        left = self._kind.leftovers(self.engine)
        if left:
            raise AssertionError(f"{self.name} {when}: {', '.join(left)}")


class Programme:
    """Carries steps out."""

    def __init__(self, kind: str, packets: PacketBatch, packs: Sequence[tuple[bytes, bytes]]) -> None:
        self.clock = Clock()
        self.kind, self._packs = kind, packs
        self.ends = [FuzzedHost(name, kind, packets, self.clock) for name in "ab"]
        self._forged: dict[tuple[str, int], StreamSender] = {}
        self._acts: tuple[Callable[[FuzzedHost, int, int], None], ...] = (
            *(self._prepare, self._get, self._relay, self._relay, self._relay, self._packets, self._packets),
            *(self._command, self._command, self._command, self._command, self._work, self._time, self._mark),
            *(self._connection, self._altered, self._forge, self._resume),
        )

    def step(self, act: int, who: int, how: int) -> None:
        """One step: what, for which host and operation, and how."""
        self._acts[act % len(self._acts)](self.ends[who & 1], OPERATIONS[who >> 1 & 1], how)
        for end in self.ends:
            end.check()

    def end(self) -> None:
        """Nobody is there any more, until every lease is over."""
        for end in self.ends:
            end.host.connectionLost()
        for _ in range(40):
            self.clock.advance(5.0)
            for end in self.ends:
                end.host.timePassed(self.clock.seconds())
                end.check()
        for end in self.ends:
            end.end()

    def _other(self, end: FuzzedHost) -> FuzzedHost:
        return self.ends[self.ends[0] is end]

    def _request(self, source: FuzzedHost, operation: int, how: int) -> m.Prepare:
        ends = peer(source.name), peer(self._other(source).name)
        flows, window, sort = FLOWS[how % len(FLOWS)], WINDOWS[how >> 4 & 3], SORTS[how >> 6 & 3]
        if sort is not m.Sort.MOVE and how & 15 < 14:
            flows = "*"
        cells = sort.cells if how & 15 != 13 else m.Sort.MERGE.cells
        return m.Prepare(operation, flows, cells, *ends, window, LEASES[0], sort)

    def _prepare(self, end: FuzzedHost, operation: int, how: int) -> None:
        end.host.messageReceived(self._request(self._other(end), operation, how))

    def _get(self, end: FuzzedHost, operation: int, how: int) -> None:
        asked = self._request(end, operation, how)
        nonce = self._other(end).nonces.get(operation, bytes(16))
        ends = asked.source, asked.destination
        request = (operation, asked.flows, asked.cells, *ends, asked.window, LEASES[1], nonce, asked.sort)
        end.host.messageReceived(m.Get(*request))

    def _relay(self, end: FuzzedHost, operation: int, how: int) -> None:
        other = self._other(end)
        for _ in range(how):
            if not end.frames and not other.credits:
                return
            if end.frames:
                other.host.messageReceived(end.frames.popleft())
            if other.credits:
                end.host.messageReceived(other.credits.popleft())

    def _command(self, end: FuzzedHost, operation: int, how: int) -> None:
        commands = (
            *(m.Hold(operation, TOKEN), m.Divert(operation, TOKEN), m.Commit(operation), m.SourceGone(operation)),
            *(m.Delete(operation, 100 * how), m.Close(operation), m.Stats(operation, FLOWS[how % len(FLOWS)])),
            *(m.Unmark(operation, how > 127), m.Discard(operation, how > 127)),
            *(m.EnableEvents(operation, (), FLOWS[how % len(FLOWS)]), m.DisableEvents(operation)),
            *(m.GetConfiguration(operation, "*"), m.DeleteConfiguration(operation, "*")),
            m.SetConfiguration(operation, (m.ConfigurationEntry("flows/timeout", (str(how),)),)),
            m.Finish(operation),
        )
        end.host.messageReceived(commands[how % len(commands)])

    def _packets(self, end: FuzzedHost, operation: int, how: int) -> None:
        if end.host.wantsPackets:
            end.host.packetsReceived(end.packets.select(slice(0, how)))
            end.packets = end.packets.select(slice(how, len(end.packets)))

    def _work(self, end: FuzzedHost, operation: int, how: int) -> None:
        for _ in range(how):
            if not end.host.work():
                return

    def _time(self, end: FuzzedHost, operation: int, how: int) -> None:
        self.clock.advance(TIMES[how % len(TIMES)])
        for each in self.ends:
            each.host.timePassed(self.clock.seconds())

    def _mark(self, end: FuzzedHost, operation: int, how: int) -> None:
        token = TOKEN if how & 7 else bytes(16)
        stamp = int(end.packets.stamps[0]) if len(end.packets) else 1 << 60
        frame = buildMarker(operation, token, how >> 4, bool(how & 8))
        end.host.packetsReceived(packetBatch([frame], [stamp]))

    def _connection(self, end: FuzzedHost, operation: int, how: int) -> None:
        end.host.connectionLost()
        if how & 3:
            end.frames.clear()
            end.credits.clear()
            end.host.hello()
            end.host.connectionMade()

    def _resume(self, end: FuzzedHost, operation: int, how: int) -> None:
        end.host.messageReceived(m.Resume(operation, m.Side(how & 1), (how >> 1) - 1))

    def _altered(self, end: FuzzedHost, operation: int, how: int) -> None:
        """The next frame is lost, given twice, or not what it was."""
        if not end.frames:
            return
        frame = end.frames.popleft() if how & 1 else end.frames[0]
        changed = (
            *(frame, replace(frame, number=frame.number + how), replace(frame, sealed=frame.sealed[:-1] + b"x")),
            *(replace(frame, clear=frame.clear + b"x"), replace(frame, operation=operation), None),
            *(
                replace(frame, type=list(m.StreamType)[how % len(m.StreamType)]),
                replace(frame, side=m.Side(how >> 1 & 1)),
            ),
        )[how >> 1 & 7]
        if changed is not None:
            self._other(end).host.messageReceived(changed)

    def _forge(self, end: FuzzedHost, operation: int, how: int) -> None:
        """A frame that the other end's keys fit, with whatever content."""
        key = end.name, operation
        if key not in self._forged or how == 255:
            known = end.host._operations.get(operation)
            request = known.request if known is not None else self._request(self._other(end), operation, how)
            if request.flows == "nonsense":  # nobody seals for such flows
                request = replace(request, flows="tcp")
            nonce = end.nonces.get(operation, bytes(16))
            context = contextOf(self.kind, request, m.Side.SOURCE, nonce)
            sender = StreamSender(
                operation, m.Side.SOURCE, end.keyring, context, 1 << 30, lambda frame: end.host.messageReceived(frame)
            )
            self._forged[key] = sender
        type_ = list(m.StreamType)[how % len(m.StreamType)]
        dice = random.Random(how)
        for clear, plain in contents(type_, end.packets, self._packs, dice):
            self._forged[key].append(type_, clear, plain)


def contents(
    type_: m.StreamType, packets: PacketBatch, packs: Sequence[tuple[bytes, bytes]], dice: random.Random
) -> list[tuple[bytes, bytes]]:
    """Good content of a frame of that type, or what is none."""
    number = dice.choice((0, 1, 5, (1 << 64) - 1))
    parts: dict[m.StreamType, list[tuple[bytes, bytes]]] = {
        m.StreamType.RECORDS: [dice.choice(packs)],
        m.StreamType.CHANGES: [dice.choice(packs)],
        m.StreamType.FINISHED: [(b"", packPart(Finished(number, number)))],
        m.StreamType.GET_DONE: [(packPart(GetDone(number, number, number)), b"")],
        m.StreamType.MARKED: [(packPart(Marked(number >> 1)), b"")],
        m.StreamType.DRAINED: [(packPart(Drained(number >> 1, number)), b"")],
        m.StreamType.RETURN_DONE: [(packPart(ReturnDone(number)), b"")],
    }
    events = packEvents(packets.select(slice(0, dice.randrange(4))))
    return [*parts.get(type_, [events]), *([(dice.randbytes(6), dice.randbytes(40))] if dice.random() < 0.2 else [])]


def hosts() -> Target:
    """Programmes; the good ones move flows as a controller would."""
    packets = makeTraffic(random.Random(3), 4.0, 12, ["10.1.0.1"]).batch()
    packs = {kind: [*exported(kind), *sharedOf(kind)] for kind in KINDS}

    def run(data: bytes) -> None:
        kind = "bro" if data and data[0] % 4 == 3 else "counter"
        programme = Programme(kind, packets, packs[kind])
        for place in range(1, min(len(data) - 2, LONGEST), 3):
            programme.step(*data[place : place + 3])
        programme.end()

    return Target("hosts", run, (), GOOD)


def _steps(*steps: tuple[int, int, int]) -> bytes:
    return bytes(each for step in steps for each in step)


#: Numbers of acts, as in L{Programme}.
PREPARE, GET, RELAY, PACKETS, COMMAND, WORK, TIME, MARK, CONNECTION, ALTERED, FORGE, RESUME = (
    *(0, 1, 2, 5, 7, 11, 12, 13, 14, 15, 16, 17),
)
A, B = 0, 1
_EXPORTED = (
    (PACKETS, A, 60),
    (PREPARE, B, 1),
    (GET, A, 1),
    (WORK, A, 99),
    (RELAY, A, 99),
    (WORK, A, 99),
    (RELAY, A, 99),
)
_DIVERTED = (*_EXPORTED, (PACKETS, A, 20), (COMMAND, B, 0), (COMMAND, A, 1), (RELAY, A, 99), (PACKETS, B, 90))
_COMMITTED = (*_DIVERTED, (PACKETS, A, 10), (COMMAND, B, 2), (MARK, A, 9), (MARK, B, 9), (RELAY, A, 99), (RELAY, B, 99))
_MERGED = (*_COMMITTED, (TIME, A, 2), (RELAY, A, 99), (COMMAND, A, 4), (TIME, A, 3), (COMMAND, A, 5), (COMMAND, B, 5))
_ABORTED = (*_DIVERTED, (COMMAND, B, 8), (COMMAND, A, 7), (TIME, A, 1), (COMMAND, A, 5))
_BROKEN = (*_DIVERTED, (CONNECTION, A, 0), (CONNECTION, B, 0), (TIME, A, 4), (TIME, A, 4), (CONNECTION, A, 1))
_FORGED = ((PREPARE, B, 1), *((FORGE, B, how) for how in range(20)), (COMMAND, B, 0), (COMMAND, B, 2))
#: Packets, and records, that are forged for a move of other flows.
_UNASKED = ((PREPARE, B, 2), (FORGE, B, 2), (PREPARE, B | 2, 3), (FORGE, B | 2, 49), (COMMAND, B, 0), (COMMAND, B, 2))
_CLONE, _MERGE, _FINISH = 128, 192, 14


def _shared(sort: int) -> tuple[tuple[int, int, int], ...]:
    """A clone or merge from one host to the other."""
    copied = ((PACKETS, A, 30), (PREPARE, B, sort), (GET, A, sort), (WORK, A, 1), (PACKETS, A, 30), (WORK, A, 99))
    told = ((RELAY, A, 99), (PACKETS, A, 30), (COMMAND, A, _FINISH), (RELAY, A, 99), (COMMAND, B, 2))
    return (*copied, *told, (COMMAND, A, 4), (COMMAND, A, 5), (COMMAND, B, 5))


_FORGED_CLONE = ((PREPARE, B, _CLONE), *((FORGE, B, how) for how in range(24)), (COMMAND, B, 2))
GOOD = [
    bytes([kind]) + _steps(*steps)
    for kind in (0, 3)
    for steps in (_MERGED, _ABORTED, _BROKEN, _FORGED, _UNASKED, _COMMITTED)
]
GOOD += [bytes([0]) + _steps(*steps) for steps in (_shared(_CLONE), _shared(_MERGE), _FORGED_CLONE)]
