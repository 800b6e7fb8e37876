"""
What one middlebox that saw every packet would have written, and when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch, joinBatches
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.plugin import BroPlugin
from openmb.plugins.bro.reporting.connections import addressText
from openmb.testing.survival.rows import Flow, LogFolder, Row
from openmb.testing.survival.traffic import Class

#: Packets that the engine gets at a time: how exactly is known when a row was written.
STEP = 32


@dataclass
class Known:
    """
    One flow.

    @ivar places: of its packets among all that were sent.
    @ivar sent: packets of the client and of the server.
    @ivar rows: each with the number of packets after which it is written.
    """

    kind: Class
    places: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=lambda: [0, 0])
    rows: list[tuple[Row, int]] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The place of its first packet."""
        return self.places[0]

    @property
    def texts(self) -> Counter[Row]:
        """Its rows."""
        return Counter(row for row, _ in self.rows)

    def within(self, low: int, high: int) -> bool:
        """Is one of its packets among those from C{low} to C{high}?"""
        return any(low <= place <= high for place in self.places)


@dataclass(frozen=True, slots=True)
class Truth:
    """
    What was found.

    @ivar fastRows: rows of http.log that came from the engine's fast path.
    """

    flows: Mapping[Flow, Known]
    fastRows: int

    @property
    def logs(self) -> Counter[str]:
        """Rows of each log."""
        return Counter(row.log for known in self.flows.values() for row, _ in known.rows)


def truthOf(sent: Sequence[PacketBatch], last: PacketBatch, folder: Path) -> Truth:
    """
    Process C{sent} and then C{last} alone, and look after every few packets what was written to C{folder}.

    @param last: ends everything; rows of its own flows are left out.
    """
    whole = joinBatches(list(sent)).compact()
    decoded = Decoder().decode(whole)
    flows = flowsOf(decoded)
    plugin = BroPlugin()
    options = plugin.makeOptions()
    options.parseOptions(["--logs", str(folder), "--max-flows", "65536"])
    engine, logs = plugin.makeMiddlebox(options), LogFolder(folder)
    for start in range(0, len(decoded), STEP):
        engine.process(decoded.select(slice(start, start + STEP)), None)
        engine.flush()
        _enter(flows, logs.take(), start + STEP)
    engine.process(Decoder().decode(last), None)
    engine.flush()
    _enter(flows, logs.take(), len(decoded) + STEP)
    return Truth(flows, engine.fastRows)


def _enter(flows: dict[Flow, Known], rows: list[Row], place: int) -> None:
    for row in rows:
        if row.flow in flows:
            flows[row.flow].rows.append((row, place))


def flowsOf(decoded: Decoded) -> dict[Flow, Known]:
    """The flows of these packets, without rows."""
    headers = decoded.headers
    source, destination = (headers[name].astype(np.int64) & 0xFFFFFFFF for name in ("source_low", "destination_low"))
    fromClient: NDArray[np.bool_] = source >> 24 == 10
    client, server = np.where(fromClient, source, destination), np.where(fromClient, destination, source)
    port = np.where(fromClient, headers["source_port"], headers["destination_port"])
    flows: dict[Flow, Known] = {}
    for place, key in enumerate(zip(client.tolist(), port.tolist(), server.tolist(), fromClient.tolist(), strict=True)):
        flow = (addressText(0, 0xFFFF00000000 | key[0]), key[1])
        known = flows.setdefault(flow, Known(Class.of(key[2])))
        known.places.append(place)
        known.sent[0 if key[3] else 1] += 1
    return flows
