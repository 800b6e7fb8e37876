"""
What a clone of a decoder's full cache costs the packets that it decodes: real processes, TLS, turn by turn in one run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from openmb.bench.feed import Feed
from openmb.bench.field import PATIENCE, Field
from openmb.bench.latency import SETTLING, WITHOUT, Latencies, Spans, within
from openmb.bench.loop import runOnReactor, theReactor
from openmb.bench.smartre.sets import SIZE, synthetic
from openmb.bench.traffic import EPOCH
from openmb.demo.deployment import temporaryDeployment
from openmb.demo.processes import pause
from openmb.netctl.embedded.port import PortClient, connectPort
from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.plugins.smartre.format import PROTOCOL, Kind
from openmb.plugins.smartre.plugin import SmartreEncoder
from openmb.plugins.smartre.settings import Role, SmartreSettings

FIRST, SECOND = NAMES = ("decoder1", "decoder2")
OUT = "out"
#: Where the kind of an encoded packet stands: behind Ethernet, IPv4 and the magic number.
_KIND = 14 + 20 + 2
#: Packets that are encoded again and again, and packets a second.
CYCLE, RATE = 20_000, 4000.0
#: Seconds for the last packets to come out.
LATE = 10.0


@dataclass(frozen=True, slots=True)
class CloneResult:
    """
    One run.

    @ivar records: of the last clone, 16 packets each; C{bytes}: of these, as they went to the destination.
    @ivar clones: seconds from the request until the copy was at the destination, of each.
    @ivar missing: packets that were sent and did not come out.
    """

    rate: float
    slots: int
    records: int
    bytes: int
    clones: tuple[float, ...]
    without: Latencies
    during: Latencies
    missing: int


class CloneField(Field):
    """Two decoders."""

    names = NAMES
    ends = (OUT,)
    egress = OUT
    slots = 1 << 16

    def own(self, name: str) -> tuple[str, ...]:
        """See L{Field}."""
        return "--role", "decoder", "--slots", str(self.slots)


class Expected:
    """
    What is sent.

    @ivar count: packets that must come out again: all but announcements.
    """

    def __init__(self) -> None:
        self.count = 0

    def sent(self, batch: PacketBatch) -> None:
        """Some packets were sent."""
        protocols, kinds = batch.data[batch.offsets + 23], batch.data[batch.offsets + _KIND]
        self.count += len(batch) - int(((protocols == PROTOCOL) & (kinds == Kind.ANNOUNCE)).sum())


class Sink:
    """
    What comes out behind the first decoder, with how long it took.

    @ivar came: packets.
    """

    def __init__(self) -> None:
        self.port = PortClient(self._take)
        self.came = 0
        self._noted: list[NDArray[np.int64]] = [np.zeros((2, 0), np.int64)]

    def _take(self, batch: PacketBatch) -> None:
        now = time.time_ns()
        # messages for the encoder are not packets of anybody's: nobody waits for them
        plain = batch.lengths > SIZE  # all payloads are of one size
        self.came += int(plain.sum())
        stamps = batch.stamps[plain]
        self._noted.append(np.stack([stamps, now - stamps]))

    @property
    def noted(self) -> NDArray[np.int64]:
        """Stamps and latencies, nanoseconds, C{int64[2, n]}."""
        return np.concatenate(self._noted, axis=1)


def measureClone(rate: float, turns: int, slots: int) -> CloneResult:
    """
    Fill a decoder's cache, then send C{rate} packets a second and clone it C{turns} times, with pauses as a comparison.

    Each copy is discarded once it is at the destination.

    @raise OpenMBError: it could not be run to its end.
    """
    quiet: Spans = []
    busy: Spans = []
    reports: list[dict[str, int]] = []
    feed, sink, expected = Feed(theReactor(), live=True), Sink(), Expected()
    feed.recorder = expected.sent
    with temporaryDeployment("smartre", NAMES) as deployment:
        field = CloneField(theReactor(), deployment, {}, feed, {})
        field.slots = slots

        async def play() -> None:
            await field.start()
            await connectPort(theReactor(), deployment.switch, OUT, sink.port)
            batches = _encoded(slots)
            await feed.send(_some(batches, slots))
            await field.quiet()
            load = feed.send(batches, rate)
            await pause(theReactor(), 1.0)
            for _ in range(turns):
                await pause(theReactor(), SETTLING)
                began = time.time_ns()
                await pause(theReactor(), WITHOUT)
                quiet.append((began, time.time_ns()))
                busy.append(await _clone(field, reports))
                await field.idle()
            feed.stop()
            await load
            await _settle(sink, expected)
            await field.finish()

        runOnReactor(play(), field.stop)
    stamps, taken = sink.noted
    clones = tuple((end - begin) / 1e9 for begin, end in busy)
    last = reports[-1]
    spans = within(stamps, taken, quiet), within(stamps, taken, busy)
    return CloneResult(rate, slots, last["records"], last["bytes"], clones, *spans, expected.count - sink.came)


async def _settle(sink: Sink, expected: Expected) -> None:
    """What is under way comes out, unless it is lost."""
    deadline = time.monotonic() + LATE
    while sink.came < expected.count and time.monotonic() < deadline:
        await pause(theReactor(), 0.05)


async def _clone(field: Field, reports: list[dict[str, int]]) -> tuple[int, int]:
    began = time.time_ns()
    ends = {"source": FIRST, "destination": SECOND, "finish": False}
    report = await field.controller.call("cloneSupport", ends, PATIENCE)
    ended = time.time_ns()
    reports.append(report)
    await field.ask("abort", operation=report["operation"])
    return began, ended


def _encoded(slots: int) -> Iterator[PacketBatch]:
    """Packets of the synthetic set, over and over, as an encoder with such a cache sends them."""
    encoder = SmartreEncoder(SmartreSettings(Role.ENCODER, gated=False, slots=slots))
    parser, batches = Decoder(checksums=False, reassemble=False), synthetic(CYCLE).batches
    for number in count():
        batch = batches[number % len(batches)]
        stamps = np.full(len(batch), EPOCH + number * 10_000_000, np.int64)
        forward = encoder.process(parser.decode(replace(batch, stamps=stamps)), None).forward
        assert forward is not None  # an in-line kind forwards
        yield forward


def _some(batches: Iterator[PacketBatch], packets: int) -> Iterator[PacketBatch]:
    """Batches, until there were so many packets."""
    sent = 0
    while sent < packets:
        batch = next(batches)
        sent += len(batch)
        yield batch
