"""
The kinds that can be simulated.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from openmb.errors import ConfigurationError
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.reporting.connections import CONNECTION_COLUMNS
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Value
from openmb.plugins.bro.settings import BroSettings
from openmb.state.flowkey import FLOW_KEY, flowKey, flowKeys, flowText
from openmb.testing.counter import Counter, CounterMiddlebox
from openmb.testing.simulation.kind import SimulatedKind, SimulatedMiddlebox
from openmb.testing.simulation.oracle import Row
from openmb.testing.totals import TRAFFIC, SharedState, Tally


def flowTexts(packets: Sequence[bytes]) -> list[str]:
    """The canonical flow of each packet, as text."""
    keys, _ = flowKeys(Decoder().decode(packetBatch(packets, [0] * len(packets))).headers)
    return [flowText(key) for key in keys]


def leftoversOf(marked: int, frozen: Collection[int], provisional: Collection[int]) -> list[str]:
    """What operations have left behind in an engine, in words."""
    found = [f"{marked} records are still marked"] if marked else []
    found += ["flows are still frozen"] if frozen else []
    return found + (["provisional records are still there"] if provisional else [])


class Passive:
    """A kind that is not in line."""

    fragments = True

    def passed(self, packets: PacketBatch) -> list[Row]:
        """See C{SimulatedKind}: nothing is sent on."""
        return []


class CounterKind(Passive):
    """The counting example kind: what is wrong with host or controller shows quickly."""

    name = "counter"

    def engine(self, emit: Callable[[Row], None]) -> SimulatedMiddlebox:
        """A counter whose flows end after half a second."""

        def report(key: bytes, counter: Counter) -> None:
            line = f"{counter.start} {counter.last} {counter.packets} {counter.order:08x}"
            emit(Row("flows", flowText(np.frombuffer(key, FLOW_KEY)[0]), line, counter.packets))

        return CounterMiddlebox(report, timeout=0.5)

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """See C{SimulatedKind}."""
        return flowTexts(packets)

    def leftovers(self, engine: SimulatedMiddlebox) -> list[str]:
        """See C{SimulatedKind}."""
        counter = cast(CounterMiddlebox, engine)
        marked = sum(1 for record in counter._table.values() if record.mark)
        totals = counter.totals
        shared = ["shared state is watched, taken or provisional"]
        anything = totals.watches or totals.taken or totals.provisional
        return leftoversOf(marked, counter._frozen, counter._provisional) + (shared if anything else [])

    def provisional(self, engine: SimulatedMiddlebox, operation: int) -> NDArray[Any]:
        """See C{SimulatedKind}."""
        table = cast(CounterMiddlebox, engine)._provisional.get(operation, {})
        return np.frombuffer(b"".join(table), FLOW_KEY)

    def shared(self, single: SimulatedMiddlebox, instances: Sequence[SimulatedMiddlebox], whole: bool) -> list[str]:
        """Every packet is counted by one instance, and every row is in what one of them reports in the end."""
        expected, state, reported = cast(CounterMiddlebox, single), SharedState(), Tally()
        for each in instances:
            counter = cast(CounterMiddlebox, each)
            state.fold(counter.totals.own)
            reported = reported.plus(counter.concluded.total, counter.concluded.count)
        packets, counted = expected.totals.own.sum(TRAFFIC), state.sum(TRAFFIC)
        found = [f"{counted} packets, not {packets}"] if counted.count > packets.count else []
        if whole and counted != packets:
            found = [f"{counted} packets, not {packets}"]
        if whole and reported != expected.concluded:
            found.append(f"reported {reported}, not {expected.concluded}")
        return found


class RowLog:
    """
    A log of the Bro kind that hands its rows to the oracle in place of a file.

    @param protocol: the column that names the protocol; None: TCP.
    @param counts: the columns that count packets.
    """

    takesText = False

    def __init__(
        self, name: str, protocol: int | None, emit: Callable[[Row], None], counts: tuple[int, ...] = ()
    ) -> None:
        self._name, self._protocol, self._emit, self._counts = name, protocol, emit, counts

    def writeAll(self, rows: list[list[Value]], times: Sequence[int] | None = None) -> None:
        """Some rows; no file is rotated."""
        for values in rows:
            protocol = "tcp" if self._protocol is None else str(values[self._protocol])
            flow = flowOf(*(str(value) for value in values[2:6]), protocol)
            packets = sum(cast(int, values[place]) for place in self._counts)
            self._emit(Row(self._name, flow, "\t".join(map(str, values)), packets))

    def flush(self) -> None:
        """Rows are handed over as they are made."""

    def close(self) -> None:
        """There is no file."""


@lru_cache(maxsize=4096)
def flowOf(source: str, sourcePort: str, destination: str, destinationPort: str, protocol: str) -> str:
    """The canonical flow of a row."""
    number = {"tcp": 6, "udp": 17, "icmp": 58 if ":" in source else 1}[protocol]
    return flowText(flowKey(source, int(sourcePort), destination, int(destinationPort), number))


#: The columns of conn.log that count packets.
PACKET_COUNTS = tuple(
    place for place, column in enumerate(CONNECTION_COLUMNS) if column.name in ("orig_pkts", "resp_pkts")
)


class InlineKind(CounterKind):
    """The counting kind in line: every packet that it has processed goes on, and that is output too."""

    name = "inline"
    # which of a datagram's fragments go on when, an engine that sees whole datagrams cannot say
    fragments = False

    def engine(self, emit: Callable[[Row], None]) -> SimulatedMiddlebox:
        """A counter that forwards."""
        middlebox = super().engine(emit)
        assert isinstance(middlebox, CounterMiddlebox)
        middlebox.inline = True
        return middlebox

    def passed(self, packets: PacketBatch) -> list[Row]:
        """See C{SimulatedKind}."""
        octets = [packets.packet(index) for index in range(len(packets))]
        lines = (f"{stamp} {zlib.crc32(packet):08x}" for stamp, packet in zip(packets.stamps, octets, strict=True))
        return [Row("forwarded", flow, line) for flow, line in zip(flowTexts(octets), lines, strict=True)]


class BroKind(Passive):
    """The Bro plugin as it is shipped, with rows in memory; it sweeps often, so that timers meet hand-overs."""

    name = "bro"

    def engine(self, emit: Callable[[Row], None]) -> SimulatedMiddlebox:
        """A Bro middlebox."""
        middlebox = BroMiddlebox(BroSettings(grace=0.5, sweep=0.2, capacity=64))
        middlebox.logs.conn = cast(LogFile, RowLog("conn", 6, emit, PACKET_COUNTS))
        middlebox.logs.http = cast(LogFile, RowLog("http", None, emit))
        middlebox.logs.dns = cast(LogFile, RowLog("dns", 6, emit))
        return middlebox

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """See C{SimulatedKind}."""
        return flowTexts(packets)

    def leftovers(self, engine: SimulatedMiddlebox) -> list[str]:
        """See C{SimulatedKind}."""
        core = cast(BroMiddlebox, engine)
        table = core._own.table
        return leftoversOf(int(np.count_nonzero(table.marks[table.used != 0])), core._frozen, core._provisional)

    def provisional(self, engine: SimulatedMiddlebox, operation: int) -> NDArray[Any]:
        """See C{SimulatedKind}."""
        tracker = cast(BroMiddlebox, engine)._provisional.get(operation)
        return np.empty(0, FLOW_KEY) if tracker is None else tracker.table.keys[tracker.table.slots()]

    def shared(self, single: SimulatedMiddlebox, instances: Sequence[SimulatedMiddlebox], whole: bool) -> list[str]:
        """See C{SimulatedKind}: what it shares is compared elsewhere."""
        return []


def kindNamed(name: str) -> SimulatedKind:
    """
    The kind called C{name}.

    @raise ConfigurationError: there is none.
    """
    if name not in KINDS:
        raise ConfigurationError(f"no kind {name!r} to simulate; there are {', '.join(sorted(KINDS))}")
    return KINDS[name]()


KINDS: dict[str, Callable[[], SimulatedKind]] = {"bro": BroKind, "counter": CounterKind, "inline": InlineKind}
