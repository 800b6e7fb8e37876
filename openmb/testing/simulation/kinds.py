"""
The kinds that can be simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

import numpy as np

from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddlebox
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.core import BroSettings
from openmb.plugins.bro.logfile import LogFile
from openmb.plugins.bro.logs import Value
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.state.flowkey import FLOW_KEY, flowKey, flowKeys, flowText
from openmb.testing.counter import Counter, CounterMiddlebox
from openmb.testing.simulation.oracle import Row
from openmb.testing.simulation.world import SimulatedKind


def flowTexts(packets: Sequence[bytes]) -> list[str]:
    """The canonical flow of each packet, as text."""
    keys, _ = flowKeys(Decoder().decode(packetBatch(packets, [0] * len(packets))).headers)
    return [flowText(key) for key in keys]


class CounterKind:
    """The counting example kind: what is wrong with host or controller shows quickly."""

    name = "counter"

    def engine(self, emit: Callable[[Row], None]) -> IMiddlebox:
        """A counter whose flows end after half a second."""

        def report(key: bytes, counter: Counter) -> None:
            line = f"{counter.start} {counter.last} {counter.packets} {counter.order:08x}"
            emit(Row("flows", flowText(np.frombuffer(key, FLOW_KEY)[0]), line))

        return CounterMiddlebox(report, timeout=0.5)

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """See C{SimulatedKind}."""
        return flowTexts(packets)


class RowLog:
    """
    A log of the Bro kind that hands its rows to the oracle in place of a file.

    @param protocol: the column that names the protocol; None: TCP.
    """

    def __init__(self, name: str, protocol: int | None, emit: Callable[[Row], None]) -> None:
        self._name, self._protocol, self._emit = name, protocol, emit

    def writeAll(self, rows: list[list[Value]]) -> None:
        """Some rows."""
        for values in rows:
            protocol = "tcp" if self._protocol is None else str(values[self._protocol])
            flow = flowOf(*(str(value) for value in values[2:6]), protocol)
            self._emit(Row(self._name, flow, "\t".join(map(str, values))))

    def flush(self) -> None:
        """Rows are handed over as they are made."""

    def close(self) -> None:
        """There is no file."""


@lru_cache(maxsize=4096)
def flowOf(source: str, sourcePort: str, destination: str, destinationPort: str, protocol: str) -> str:
    """The canonical flow of a row."""
    number = {"tcp": 6, "udp": 17, "icmp": 1}[protocol]
    return flowText(flowKey(source, int(sourcePort), destination, int(destinationPort), number))


class BroKind:
    """The Bro plugin as it is shipped, with rows in memory; it sweeps often, so that timers meet hand-overs."""

    name = "bro"

    def engine(self, emit: Callable[[Row], None]) -> IMiddlebox:
        """A Bro middlebox."""
        middlebox = BroMiddlebox(BroSettings(grace=0.5, sweep=0.2, capacity=64))
        middlebox.logs.conn = cast(LogFile, RowLog("conn", 6, emit))
        middlebox.logs.http = cast(LogFile, RowLog("http", None, emit))
        return middlebox

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """See C{SimulatedKind}."""
        return flowTexts(packets)


def kindNamed(name: str) -> SimulatedKind:
    """
    The kind called C{name}.

    @raise ConfigurationError: there is none.
    """
    if name not in KINDS:
        raise ConfigurationError(f"no kind {name!r} to simulate; there are {', '.join(sorted(KINDS))}")
    return KINDS[name]()


KINDS: dict[str, Callable[[], SimulatedKind]] = {"bro": BroKind, "counter": CounterKind}
