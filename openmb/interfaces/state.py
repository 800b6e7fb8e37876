"""
State adapters: they translate the internal tables of one middlebox to and from record batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from zope.interface import Attribute, Interface

from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell


class IStateAdapter(Interface):
    """What the adapters of per-flow and of shared state have in common: how an operation is given up."""

    def unmark(operation: int) -> None:
        """
        At the source: free every record marked with C{operation}, stop watching for it, and fold back what
        L{ISharedState.takeShared} took for it; the engine goes on as if never asked.
        """

    def discard(operation: int) -> None:
        """At the destination: drop the provisional records of C{operation}, shared ones too, in silence."""


class IPerflowState(IStateAdapter):
    """
    State that belongs to single flows.

    Source of an operation: L{getPerflow} until exhausted, then L{freeze}, then L{delPerflow} or L{unmark}.
    Destination: L{prepare}, L{putPerflow} and C{IEngine.reprocess} mixed, then L{conflicts} and L{commit}, or
    L{discard}; L{thaw} when the merge is over.
    """

    nativeKey: str = Attribute("the native key in words, for error texts")

    def check(flows: HeaderFieldList) -> None:
        """@raise FinerThanNative: C{flows} constrains a field that is not part of the native key."""

    def getPerflow(flows: HeaderFieldList, operation: int, limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """
        Export the per-flow records that C{flows} selects, marking each with C{operation} as it is exported.

        Each step looks at about C{limit} table slots and yields the cells of the same records together (perhaps no
        batch at all); between two steps the engine may process packets.  Exhausted when a full pass found no unmarked
        match.
        """

    def freeze(flows: HeaderFieldList, operation: int) -> None:
        """From now on no record that C{flows} selects is removed by a timer, until L{thaw} or L{unmark}."""

    def thaw(operation: int) -> None:
        """End L{freeze}."""

    def delPerflow(operation: int, flows: HeaderFieldList) -> int:
        """
        Delete every record marked with C{operation} in silence: no log line, no end of data, timers cancelled.

        @return: how many records.
        """

    def prepare(operation: int, flows: HeaderFieldList) -> None:
        """Make room for provisional records of C{operation}, in a table of their own."""

    def putPerflow(operation: int, batch: RecordBatch) -> None:
        """
        Store provisional records; one that is there already under the same key (built by an earlier event) is replaced.

        @raise OperationError: the layout, version, size or content of the batch cannot be accepted; nothing is stored.
        """

    def conflicts(operation: int) -> int:
        """How many provisional records meet a live record of the engine's own under the same key."""

    def commit(operation: int) -> int:
        """
        Make the provisional records the engine's own.  An own record that has finished or expired under the same key is
        reported first.

        @return: how many records were committed.
        @raise OperationError: a live record is in the way (C{CONFLICTING_RECORD}); nothing is changed.
        """

    def owns(packets: Decoded) -> NDArray[np.bool_]:
        """C{bool[n]}: does a record of the engine's own (not provisional) exist for packet C{i}?"""


class ISharedState(IStateAdapter):
    """
    State that several flows share.  Packets never wait for it.

    Source of a clone: L{getShared}, then L{sharedChanges} again and again, then L{delShared}, or L{unmark} if it is
    aborted.  Source of a merge: L{takeShared}, then L{delShared} or L{unmark}.  Destination of both: L{prepareShared},
    L{putShared} and C{IEngine.reprocess} mixed, then L{commitShared} or L{discard}.
    """

    def identify(name: str, incarnation: bytes) -> None:
        """
        Which instance this is: what it counts is kept apart from what others count (see L{commitShared}).

        The host calls it once, before the first packet.  Who is never told is C{"offline"}, of an incarnation of zeros.
        """

    def getShared(operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """
        Export a copy of the shared supporting state, and watch what becomes of it.

        The copy is one cut, taken by the first step; each step yields about C{limit} records of it, and between two
        steps the engine may process packets.  From the cut on, until L{delShared} or L{unmark}, every change is told in
        one of two ways: by the packet that made it (L{Processed.shared}), or, where a packet alone does not explain it,
        as records (L{sharedChanges}).  A kind uses the same way for the same record always.

        @param cells: of them, C{SUPPORTING_SHARED}; reporting state is never cloned, it would be reported twice.
        """

    def sharedChanges(operation: int) -> tuple[RecordBatch, ...]:
        """
        The records of the watched state that changed since the cut, or since they were last asked for, and whose change
        no packet in L{Processed.shared} explains: a timer's doing, or that of one flow's history.

        The host asks after every batch and whenever time has passed.  They are put like those of the cut.
        """

    def takeShared(operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """
        Exchange the shared state of C{cells}, supporting and reporting, for an empty one, and export it.

        The exchange is done whole by the first step, which opens a new epoch of this instance; what was there is kept
        for C{operation} until L{delShared} or L{unmark}.  Steps as in L{getShared}.
        """

    def delShared(operation: int) -> int:
        """
        The destination has it now: drop in silence what L{takeShared} keeps, or stop what L{getShared} watches.

        @return: how many records were dropped.
        """

    def prepareShared(operation: int, cells: Sequence[Cell]) -> None:
        """Make room for provisional shared state of C{operation}; repeated, it changes nothing."""

    def putShared(operation: int, batch: RecordBatch) -> None:
        """
        Fold records into the provisional shared state; an older state of the same record gives way, and records that
        come twice count once.

        @raise OperationError: as L{IPerflowState.putPerflow}.
        """

    def commitShared(operation: int) -> int:
        """
        Fold the provisional shared state into the engine's own, by the kind's rule.

        The rule is commutative, associative and idempotent: an additive field is kept for each origin (an instance and
        its epoch), the maximum within an origin and the sum over them.  So state that was cloned before, or comes back,
        is not counted again.  Output that the fold itself makes due, say a threshold that is passed now, is written
        here.

        @return: how many records were folded in.
        """


class ISelector(Interface):
    """
    Optional, beside L{IPerflowState}: which packets and records belong to flows, for a kind of which headers and native
    keys do not show it, say since it rewrites headers, reads packets by rules of its own, or sends more than one record
    for a flow.

    Without it packets belong whose headers match in either direction, and records whose key, a flow's or a host's,
    does; records with keys of any other size then belong to no flow.  Both ends of an operation ask: the source for the
    packets that it takes away from the engine, the destination for everything that the source has sent.  What does not
    belong there is refused, so the answers must include whatever L{IPerflowState.getPerflow} exports and every packet
    that updates a marked record.
    """

    def selects(operation: int, flows: HeaderFieldList, packets: Decoded) -> NDArray[np.bool_]:
        """C{bool[n]}: which packets belong; at the destination the provisional records of C{operation} count, too."""

    def selectsRecords(operation: int, flows: HeaderFieldList, batch: RecordBatch) -> NDArray[np.bool_]:
        """C{bool[n]}: which per-flow records that came for C{operation} belong to C{flows}; none is stored yet."""
