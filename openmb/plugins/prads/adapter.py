"""
The half of a PRADS middlebox that hands its records out and takes others' in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from openmb.errors import FinerThanNative, OperationError, Refusal
from openmb.interfaces import CellUsage
from openmb.packets.headers import Decoded
from openmb.plugins.prads.core import PradsCore
from openmb.plugins.prads.records import REPORTING, SUPPORTING
from openmb.plugins.prads.shares import Share, exportShare, parseShare
from openmb.plugins.prads.tracker import Tracker
from openmb.plugins.prads.transfer import adopt, exportFlows, exportHosts, hostsOf, importBatch
from openmb.state.flowkey import FLOW_KEY, HOST_KEY, HOST_WORDS
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell

#: Header fields that are no part of a connection's key.
_FINER = frozenset({"dl_vlan"})
#: Those that alone select hosts too, whatever connections they have.
_OF_HOSTS = frozenset({"dl_type", "nw_src", "nw_dst"})


class PradsAdapter(PradsCore):
    """Provides C{IPerflowState}, and C{IMiddlebox.usage}."""

    def check(self, flows: HeaderFieldList) -> None:
        """See C{IPerflowState}."""
        for field in sorted(flows.constrained & _FINER):
            raise FinerThanNative(field, self.nativeKey)

    def getPerflow(self, flows: HeaderFieldList, operation: int, limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """
        See C{IPerflowState}.

        With connections go copies of what is known of the hosts at their ends; what was learned of those meanwhile goes
        once more at the end of each pass.
        """
        self.check(flows)
        table, sent = self._own.table, dict[bytes, int]()
        found, isFirst = True, True
        while found:
            found, start = False, 0
            while start < table.capacity:
                slots = table.select(flows, start, start + limit)
                start += limit
                slots = slots[table.marks[slots] == 0]
                if len(slots):
                    found = True
                    table.mark(slots, operation)
                    yield (*exportFlows(self._own, slots), *self._hosts(hostsOf(self._own, slots), sent))
                else:
                    yield ()
            if isFirst and flows.constrained <= _OF_HOSTS:
                hosts = self._own.hosts.table
                keys = hosts.keys[hosts.select(flows)]
                for place in range(0, len(keys), limit):
                    yield self._hosts(hosts.find(keys[place : place + limit]), sent)
            isFirst = False
            yield self._hosts(self._sentBefore(sent), sent)

    def _sentBefore(self, sent: dict[bytes, int]) -> NDArray[np.int64]:
        """The slots of the hosts that were sent, -1 for those that were forgotten since."""
        keys = np.frombuffer(b"".join(sorted(sent)), np.uint64).reshape(len(sent), HOST_WORDS)
        return self._own.hosts.table.find(keys)

    def _hosts(self, slots: NDArray[np.int64], sent: dict[bytes, int]) -> tuple[RecordBatch, ...]:
        """
        Those of these hosts of which more is known than was sent before.

        @param sent: by native key, since a host that was forgotten leaves its slot to another.
        """
        slots = slots[slots >= 0]
        known, fresh = self._own.hosts.known, []
        for slot, key in zip(slots.tolist(), self._own.hosts.table.keyBytes(slots), strict=True):
            host, name = known.get(slot), key.tobytes()
            revision = 0 if host is None else host.revision
            if sent.get(name) != revision:
                sent[name] = revision
                fresh.append(slot)
        return (exportHosts(self._own, np.array(fresh, np.int64)),) if fresh else ()

    def freeze(self, flows: HeaderFieldList, operation: int) -> None:
        """See C{IPerflowState}: no timer removes a connection."""

    def thaw(self, operation: int) -> None:
        """See C{IPerflowState}."""

    def unmark(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self._own.table.mark(self._own.table.marked(operation), 0)
        self.shares.giveBack(operation)

    def delPerflow(self, operation: int, flows: HeaderFieldList) -> int:
        """See C{IPerflowState}: what is known of hosts stays, others of their connections may be here."""
        return self._own.table.remove(self._own.table.marked(operation))

    def prepare(self, operation: int, flows: HeaderFieldList) -> None:
        """See C{IPerflowState}."""
        settings = self.settings
        tracker = Tracker(self.rules, settings.maximumFlows, settings.maximumHosts, None)
        self._provisional.setdefault(operation, tracker)
        self._ends.setdefault(operation, set())

    # -- ISelector

    def selects(self, operation: int, flows: HeaderFieldList, packets: Decoded) -> NDArray[np.bool_]:
        """
        See C{ISelector}: PRADS reads fragments and tunnels by rules of its own, so its own keys count.

        What has none belongs by its headers; it updates no connection.
        """
        keys = self._own.keysOf(packets.packets)
        return np.where(keys.any(axis=1), flows.matchKeys(keys), flows.matchHeaders(packets.headers))

    def selectsRecords(self, operation: int, flows: HeaderFieldList, batch: RecordBatch) -> NDArray[np.bool_]:
        """See C{ISelector}: with connections go the hosts at their ends, and with hosts that are asked for these."""
        if batch.keys.shape[1] == FLOW_KEY.itemsize:
            return flows.matchKeys(batch.keys)
        ends = self._ends.get(operation, set())
        belong = np.fromiter((key.tobytes() in ends for key in batch.keys), np.bool_, len(batch))
        if flows.constrained <= _OF_HOSTS and batch.keys.shape[1] == HOST_KEY.itemsize:
            belong |= flows.matchHosts(batch.keys)
        return belong

    # -- records that come

    def putPerflow(self, operation: int, batch: RecordBatch) -> None:
        """See C{IPerflowState}."""
        importBatch(self._provisionalOf(operation), batch)
        if batch.keys.shape[1] == FLOW_KEY.itemsize:
            addresses = np.ascontiguousarray(batch.keys[:, : 2 * HOST_KEY.itemsize]).reshape(-1, HOST_KEY.itemsize)
            self._ends[operation].update(map(bytes, addresses))

    def conflicts(self, operation: int) -> int:
        """See C{IPerflowState}."""
        provisional = self._provisionalOf(operation).table
        return int(np.count_nonzero(self._own.table.find(provisional.keys[provisional.slots()]) >= 0))

    def commit(self, operation: int) -> int:
        """See C{IPerflowState}."""
        provisional = self._provisionalOf(operation)
        if inTheWay := self.conflicts(operation):
            raise OperationError(Refusal.CONFLICTING_RECORD, f"{inTheWay} live records are in the way")
        self._own.table.reserve(len(provisional.table))
        del self._provisional[operation]
        self._ends.pop(operation, None)
        return adopt(self._own, provisional)

    def discard(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self._provisional.pop(operation, None)
        self._ends.pop(operation, None)
        self._coming.pop(operation, None)

    def owns(self, packets: Decoded) -> NDArray[np.bool_]:
        """See C{IPerflowState}."""
        owned: NDArray[np.bool_] = self._own.table.find(self._own.keysOf(packets.packets)) >= 0
        return owned

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """See C{IMiddlebox}: copies of hosts that would go along are not counted, they stay as well."""
        self.check(flows)
        slots = self._own.table.select(flows)
        marked, count = int(np.count_nonzero(self._own.table.marks[slots])), len(slots)
        return (
            CellUsage(SUPPORTING.cell, count, count * SUPPORTING.size, marked),
            CellUsage(REPORTING.cell, count, count * REPORTING.size, marked),
            *self.shares.usage(),
        )

    # -- what connections share

    def getShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}: the connection id alone is supporting."""
        yield exportShare(self.shares.watch(operation))

    def sharedChanges(self, operation: int) -> tuple[RecordBatch, ...]:
        """See C{ISharedState}."""
        return exportShare(self.shares.changes(operation))

    def takeShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        yield exportShare(self.shares.take(operation, cells))

    def delShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        return self.shares.end(operation)

    def prepareShared(self, operation: int, cells: Sequence[Cell]) -> None:
        """See C{ISharedState}."""
        self._coming.setdefault(operation, Share())

    def putShared(self, operation: int, batch: RecordBatch) -> None:
        """See C{ISharedState}."""
        share = parseShare(batch)
        self.shares.check(share)
        self._comingOf(operation).fold(share)

    def commitShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        share = self._comingOf(operation)
        del self._coming[operation]
        return self.shares.fold(share)
