"""
Which packets and records belong to the flows of an operation: the one place where both ends of it ask.

The source takes packets by it, and the destination holds everything that the source sends against it, so that nobody is
sent state or packets of flows that nobody has asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import IMiddlebox, ISelector
from openmb.packets.headers import Decoded
from openmb.state.flowkey import FLOW_KEY, HOST_KEY, flowKeys, flowText
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch


class Selection:
    """
    The flows of one operation, as the kind of middlebox understands them.

    A kind that provides L{ISelector} answers itself.  Of all others, packets belong whose headers match in either
    direction, and records whose native key does, a flow's or a host's.

    @param peer: name of the other end, for error texts.
    """

    def __init__(self, engine: IMiddlebox, operation: int, flows: HeaderFieldList, peer: str) -> None:
        self._operation, self._flows, self._peer = operation, flows, peer
        self._selector: ISelector | None = ISelector(engine, None)

    def packets(self, packets: Decoded) -> NDArray[np.bool_]:
        """C{bool[n]}: which packets belong."""
        if self._selector is not None:
            return self._selector.selects(self._operation, self._flows, packets)
        return self._flows.matchHeaders(packets.headers)

    def _records(self, batch: RecordBatch) -> NDArray[np.bool_]:
        if self._selector is not None:
            return self._selector.selectsRecords(self._operation, self._flows, batch)
        if batch.keys.shape[1] == FLOW_KEY.itemsize:
            return self._flows.matchKeys(batch.keys)
        if batch.keys.shape[1] == HOST_KEY.itemsize:
            return self._flows.matchHosts(batch.keys)
        return np.zeros(len(batch), np.bool_)

    def checkRecords(self, batch: RecordBatch) -> None:
        """
        Per-flow records of the other end: do all of them belong?

        @raise OperationError: C{BAD_REQUEST}, nobody asked for one of them.
        """
        strange = ~self._records(batch)
        if strange.any():
            raise self._unasked(int(strange.sum()), "records", _keyText(batch.keys[strange][0]))

    def checkPackets(self, packets: Decoded) -> None:
        """
        Packets of the other end: do all of them belong?

        @raise OperationError: as L{checkRecords}.
        """
        if (error := self.complaint(packets)) is not None:
            raise error

    def complaint(self, packets: Decoded) -> OperationError | None:
        """What there is to say about packets of the other end that do not belong; None: all do."""
        strange = packets.select(~self.packets(packets))
        if not len(strange):
            return None
        keys, _ = flowKeys(strange.headers[:1])
        return self._unasked(len(strange), "packets", flowText(keys))

    def _unasked(self, count: int, what: str, first: str) -> OperationError:
        asked = f"of flows that nobody asked for ({self._flows})"
        return OperationError(Refusal.BAD_REQUEST, f"{self._peer} sent {count} {what} {asked}, the first of {first}")


def checkSharedKeys(batch: RecordBatch, peer: str) -> None:
    """
    Records of shared state have no key.

    @raise OperationError: C{BAD_REQUEST}, these are of single flows.
    """
    if batch.keys.any():
        raise OperationError(Refusal.BAD_REQUEST, f"{peer} sent records of single flows for shared state")


def _keyText(key: NDArray[np.uint8]) -> str:
    return flowText(key.view(FLOW_KEY)) if len(key) == FLOW_KEY.itemsize else f"key {key.tobytes().hex()}"
