"""
The smallest kind of middlebox: it counts the packets of each flow and remembers their order.

It is an example for authors of plugins, and a quick stand-in for tests that are about the host and the controller:
plain Python, one record a flow, one row a flow.  The row holds a running checksum over the packets in order, so that a
packet lost, repeated or out of order shows.  What its flows share stands in C{openmb.testing.totals}.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from construct import Int32ul, Int64ul, Struct
from numpy.typing import NDArray
from zope.interface import implementer

from openmb.errors import FinerThanNative, OperationError, Refusal
from openmb.interfaces import (
    Announce,
    CellUsage,
    Failed,
    IAnnouncer,
    IConfigurable,
    IMiddlebox,
    IPerflowState,
    ISharedState,
    Processed,
)
from openmb.packets.headers import Decoded, Kind
from openmb.state.announcements import Announced, Announcement, Field, FieldType, Subject
from openmb.state.configuration import Configuration, Schema, Tree
from openmb.state.flowkey import FLOW_KEY, flowKeys
from openmb.state.headers import HeaderFieldList
from openmb.state.layout import RecordLayout
from openmb.state.records import RecordBatch
from openmb.state.settings import Choice, Plain, Real, Setting
from openmb.state.taxonomy import Cell
from openmb.testing.totals import SHARED, Tally, Totals

COUNTER = RecordLayout(
    Cell.SUPPORTING_PER_FLOW,
    1,
    1,
    "counter",
    Struct(
        "start" / Int64ul * "stamp of the first packet, ns",
        "last" / Int64ul * "stamp of the newest packet, ns",
        "packets" / Int32ul * "packets seen",
        "order" / Int32ul * "running CRC-32 of the packets, in order",
    ),
)
COUNTED = (Kind.TCP, Kind.UDP, Kind.ICMP, Kind.OTHER)
FINER = frozenset({"dl_vlan"})


@dataclass(frozen=True, slots=True)
class Counter:
    """One flow's record."""

    start: int
    last: int
    packets: int
    order: int
    mark: int = 0


Table = dict[bytes, Counter]
#: Takes a row: the flow's key and its counter.
Report = Callable[[bytes, Counter], None]
#: Takes what is reported of all flows together, at the end.
Conclude = Callable[[Tally], None]


#: What can be set: the time-out governs records, the greeting is there to be changed at any time.
SETTINGS = Schema(
    Setting("flows/timeout", Real(0.001, 86400), ("1",), "seconds after which an idle flow is over", governs=True),
    Setting("flows/greeting", Plain(), (), "texts without any effect", least=0, most=8),
    Setting("flows/order", Choice(("crc32",)), ("crc32",), "the checksum", fixed="rows are compared by it"),
)
#: What it can announce.
FLOW_OVER = Announcement(
    "flow-over",
    Subject.FLOW,
    "A flow was idle for too long, and its row is written.",
    (
        Field("packets", FieldType.WHOLE, "packets of the flow"),
        Field("order", FieldType.TEXT, "running CRC-32 of its packets"),
    ),
)


@implementer(IMiddlebox, IPerflowState, ISharedState, IConfigurable, IAnnouncer)
class CounterMiddlebox:
    """
    @param report: takes each row.
    @param timeout: seconds of packet time after which an idle flow is over.
    @param conclude: takes the rows and packets of all rows, at the end, or when they have been merged elsewhere: none.
    @ivar totals: what the flows share.
    @ivar concluded: what was handed to C{conclude}.
    @ivar inline: it forwards what it has processed, as an in-line kind does.
    @ivar poison: a packet that holds these bytes makes it throw; None: nothing does.
    """

    kind = "counter"
    layouts = tuple(layout.names for layout in (COUNTER, *SHARED))
    nativeKey = "5-tuple"
    announcements = (FLOW_OVER,)

    def __init__(self, report: Report, timeout: float = 1.0, conclude: Conclude = lambda written: None) -> None:
        self._write, self._conclude = report, conclude
        self.totals, self.concluded = Totals(), Tally()
        self._wanted: frozenset[str] = frozenset()
        self._announce: Announce = lambda events: None
        self.configuration = Configuration(SETTINGS, {"flows/timeout": (Real(0, 1e9).write(timeout),)})
        self.configure(self.configuration.tree)
        self._table: Table = {}
        self._provisional: dict[int, Table] = {}
        self._frozen: dict[int, HeaderFieldList] = {}
        self._clock = 0
        self.poison: bytes | None = None
        self.inline = False

    # -- IConfigurable

    def configure(self, tree: Tree) -> None:
        self.configuration.tree = tree
        self._timeout = int(SETTINGS.find("flows/timeout").value(tree["flows/timeout"]) * 1e9)
        self.governing = hashlib.sha256(str(self._timeout).encode()).digest()

    # -- IAnnouncer

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        self._wanted, self._announce = wanted, announce

    def _report(self, key: bytes, counter: Counter) -> None:
        self._write(key, counter)
        self.totals.wrote(counter.packets)
        if FLOW_OVER.name in self._wanted:
            values = (counter.packets, f"{counter.order:08x}")
            self._announce((Announced(FLOW_OVER.name, counter.last, key, values),))

    def _over(self, key: bytes, counter: Counter) -> None:
        """A flow was over."""
        self.totals.ended(counter.packets)
        self._report(key, counter)

    # -- IEngine

    def identify(self, name: str, incarnation: bytes) -> None:
        self.totals.identify(name, incarnation)

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        marks = np.zeros(len(packets), dtype=np.uint64)
        counted = np.zeros(len(packets), dtype=np.bool_)
        failed: list[Failed] = []
        for index, key in self._keys(packets):
            born = 0 if births is None else int(births[index])
            try:
                marks[index] = self._count(self._table, key, packets, index, born, self._over)
                self.totals.packet(packets.packets.packet(index))
                counted[index] = True
            except Exception as error:  # noqa: BLE001 - whatever it is: the other packets must not suffer for it
                failed.append(Failed(index, repr(error)))
        if len(packets):
            self.advance(int(packets.packets.stamps.max()))
        passed = packets.packets if self.inline else None
        return Processed(marks, passed, tuple(failed), shared=counted if self.totals.watches else None)

    def reprocess(self, operation: int, packets: Decoded) -> None:
        if operation in self.totals.provisional:
            self.totals.reprocess(operation, packets, [index for index, _ in self._keys(packets)])
            return
        for index, key in self._keys(packets):
            self._count(self._provisional[operation], key, packets, index, 0, lambda key, counter: None)

    def advance(self, now: int) -> None:
        self._clock = max(self._clock, now)
        for key, counter in tuple(self._table.items()):
            if counter.last + 2 * self._timeout < self._clock and not counter.mark and not self._isFrozen(key):
                self._over(key, self._table.pop(key))

    def finish(self) -> None:
        for key, counter in tuple(self._table.items()):
            if not counter.mark:
                self._report(key, self._table.pop(key))
        written = self.totals.conclude()
        self.concluded = self.concluded.plus(written.total, written.count)
        self._conclude(written)

    def flush(self) -> None:
        """Rows are handed over as they are made."""

    def _keys(self, packets: Decoded) -> Iterator[tuple[int, bytes]]:
        keys, _ = flowKeys(packets.headers)
        for index in np.flatnonzero(np.isin(packets.headers["kind"], COUNTED)):
            yield int(index), keys[index].tobytes()

    def _count(self, table: Table, key: bytes, packets: Decoded, index: int, born: int, report: Report) -> int:
        stamp = int(packets.packets.stamps[index])
        if self.poison is not None and self.poison in packets.packets.packet(index):
            raise ValueError("poison")
        counter = table.get(key)
        if counter is not None and stamp > counter.last + self._timeout:
            report(key, counter)
            counter = None
        if counter is None:
            counter = Counter(stamp, stamp, 0, 0, born)
        order = zlib.crc32(packets.packets.packet(index), counter.order)
        table[key] = replace(counter, last=stamp, packets=counter.packets + 1, order=order)
        return table[key].mark

    def _isFrozen(self, key: bytes) -> bool:
        array = np.frombuffer(key, FLOW_KEY)
        return any(bool(flows.matchKeys(array)[0]) for flows in self._frozen.values())

    # -- IPerflowState

    def check(self, flows: HeaderFieldList) -> None:
        for field in sorted(flows.constrained & FINER):
            raise FinerThanNative(field, self.nativeKey)

    def getPerflow(self, flows: HeaderFieldList, operation: int, limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        while chosen := [key for key in self._matching(flows) if not self._table[key].mark][:limit]:
            for key in chosen:
                self._table[key] = replace(self._table[key], mark=operation)
            rows = np.array([_row(self._table[key]) for key in chosen], dtype=COUNTER.dtype)
            keys = np.frombuffer(b"".join(chosen), np.uint8).reshape(len(chosen), FLOW_KEY.itemsize)
            yield (RecordBatch(COUNTER.cell, 1, 1, keys, rows.view(np.uint8).reshape(len(rows), -1)),)

    def freeze(self, flows: HeaderFieldList, operation: int) -> None:
        self._frozen[operation] = flows

    def thaw(self, operation: int) -> None:
        self._frozen.pop(operation, None)

    def unmark(self, operation: int) -> None:
        self._frozen.pop(operation, None)
        for key, counter in self._table.items():
            if counter.mark == operation:
                self._table[key] = replace(counter, mark=0)
        self.totals.unmark(operation)

    def delPerflow(self, operation: int, flows: HeaderFieldList) -> int:
        doomed = [key for key, counter in self._table.items() if counter.mark == operation]
        for key in doomed:
            del self._table[key]
        return len(doomed)

    def prepare(self, operation: int, flows: HeaderFieldList) -> None:
        self._provisional[operation] = {}

    def putPerflow(self, operation: int, batch: RecordBatch) -> None:
        if (batch.cell, batch.layout, batch.version) != COUNTER.names:
            raise OperationError(Refusal.INCOMPATIBLE_RECORDS, f"no layout {batch.layout}.{batch.version}")
        if batch.keys.shape != (len(batch), FLOW_KEY.itemsize) or batch.records.shape[1] != COUNTER.size:
            raise OperationError(Refusal.BAD_REQUEST, "keys or records of the wrong size")
        rows = COUNTER.rows(batch.records)
        for key, row in zip(batch.keys, rows, strict=True):
            self._provisional[operation][key.tobytes()] = Counter(*(int(value) for value in row))

    def conflicts(self, operation: int) -> int:
        return sum(self._isLive(key, counter) for key, counter in self._provisional[operation].items())

    def commit(self, operation: int) -> int:
        live = self.conflicts(operation)
        if live:
            raise OperationError(Refusal.CONFLICTING_RECORD, f"{live} live records are in the way")
        provisional = self._provisional.pop(operation)
        for key, counter in provisional.items():
            if key in self._table:
                self._over(key, self._table[key])
            self._table[key] = counter
        return len(provisional)

    def discard(self, operation: int) -> None:
        self._provisional.pop(operation, None)
        self.totals.discard(operation)

    def owns(self, packets: Decoded) -> NDArray[np.bool_]:
        owned = np.zeros(len(packets), dtype=np.bool_)
        for index, key in self._keys(packets):
            owned[index] = key in self._table
        return owned

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        keys = self._matching(flows)
        marked = sum(1 for key in keys if self._table[key].mark)
        return (CellUsage(COUNTER.cell, len(keys), len(keys) * COUNTER.size, marked), *self.totals.usage())

    def getShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        return self.totals.getShared(operation, cells, limit)

    def sharedChanges(self, operation: int) -> tuple[RecordBatch, ...]:
        return self.totals.sharedChanges(operation)

    def takeShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        return self.totals.takeShared(operation, cells, limit)

    def delShared(self, operation: int) -> int:
        return self.totals.delShared(operation)

    def prepareShared(self, operation: int, cells: Sequence[Cell]) -> None:
        self.totals.prepareShared(operation, cells)

    def putShared(self, operation: int, batch: RecordBatch) -> None:
        self.totals.putShared(operation, batch)

    def commitShared(self, operation: int) -> int:
        return self.totals.commitShared(operation)

    def _matching(self, flows: HeaderFieldList) -> list[bytes]:
        if not self._table:
            return []
        keys = list(self._table)
        chosen = flows.matchKeys(np.frombuffer(b"".join(keys), FLOW_KEY))
        return [key for key, match in zip(keys, chosen, strict=True) if match]

    def _isLive(self, key: bytes, counter: Counter) -> bool:
        own = self._table.get(key)
        return own is not None and own.last + self._timeout >= counter.start


def _row(counter: Counter) -> tuple[int, int, int, int]:
    return counter.start, counter.last, counter.packets, counter.order
