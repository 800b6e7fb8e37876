"""
The kinds that can be simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddlebox
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.state.flowkey import FLOW_KEY, flowKeys, flowText
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


def kindNamed(name: str) -> SimulatedKind:
    """
    The kind called C{name}.

    @raise ConfigurationError: there is none.
    """
    if name not in KINDS:
        raise ConfigurationError(f"no kind {name!r} to simulate; there are {', '.join(sorted(KINDS))}")
    return KINDS[name]()


KINDS: dict[str, Callable[[], SimulatedKind]] = {"counter": CounterKind}
