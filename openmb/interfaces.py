"""
The contracts of OpenMB: what a plugin provides to the host, and a network to the controller.

Time stamps are nanoseconds since the epoch (packet time), durations seconds, unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.state.announcements import Announced, Announcement
from openmb.state.configuration import Configuration, Tree
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell


@dataclass(frozen=True, slots=True)
class Failed:
    """
    What the engine threw on one packet.

    @ivar index: its place in the batch; -1: no packet was at fault, but a row is missing, say.
    @ivar reason: what was thrown, for the log.
    """

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Processed:
    """
    What came of a batch.

    @ivar marks: C{uint64[n]}, for each packet the operation id that the record it updated is marked with, 0 for none.
    @ivar forward: for an in-line kind, the packets to send on; None for a passive one.
    @ivar failed: packets that an error of the engine's own kept from being processed in full; the host sets them aside.
    @ivar shared: C{bool[n]}, while L{IStateAdapter.getShared} watches: which packets changed shared supporting state in
        a way that depends on the packet and on that state alone; None: no packet did.
    """

    marks: NDArray[np.uint64]
    forward: PacketBatch | None = None
    failed: tuple[Failed, ...] = ()
    shared: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class CellUsage:
    """
    How much state one cell holds for some flows.

    @ivar bytes: of the records, their tails included.
    @ivar marked: how many of the records operations have marked.
    @ivar estimated: there are many tails, and C{bytes} was reckoned from some of them.
    """

    cell: Cell
    records: int
    bytes: int
    marked: int
    estimated: bool = False


#: Takes introspection events.
Announce = Callable[[Sequence[Announced]], None]


class IEngine(Interface):
    """
    The part of a middlebox that processes packets and holds the internal tables.

    The host calls it from one thread, never re-entrantly.  Results depend on packet time alone: a packet that meets a
    record whose time-out has passed finds it expired, whenever timers last ran.
    """

    def identify(name: str, incarnation: bytes) -> None:
        """
        Which instance this is: what it counts is kept apart from what others count (see L{IStateAdapter.commitShared}).

        The host calls it once, before the first packet.  Who is never told is C{"offline"}, of an incarnation of zeros.
        """

    def process(packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """
        Process packets in full, output included, in order, against the engine's own records.

        @param births: C{uint64[n]}; a record that packet C{i} creates is born marked with C{births[i]} (0: free).
            None: all 0.
        @return: an engine catches what goes wrong with one packet, goes on with the others, and lists it as
            L{Processed.failed}.  What is raised instead costs the whole batch: all of it is set aside, since nobody
            knows how much of it was processed.
        @raise OperationError: C{BUFFER_FULL}, there is no room for the records that these packets need.
        """

    def reprocess(operation: int, packets: Decoded) -> None:
        """
        Update state only, all output suppressed, and only the provisional records of C{operation}.

        After L{IStateAdapter.prepare} these are per-flow records, never shared state.  After
        L{IStateAdapter.prepareShared} they are provisional shared supporting state: nothing per-flow, nothing that is
        reported, and counted as what the source counted, not as this instance's own.

        @raise Exception: anything; the operation is then refused, and the source goes on as if never asked.
        """

    def advance(now: int) -> None:
        """Packet time has reached C{now} without a packet: run what is due.  Never goes back."""

    def finish() -> None:
        """
        The input ends: report everything unreported, except records that are marked or provisional.

        @raise OutputFailed: as L{flush}; may be called again.
        @raise Exception: something could not be reported; everything else was.
        """

    def flush() -> None:
        """
        Hand everything that was output so far to the operating system.

        @raise OutputFailed: it could not be taken; nothing of it is lost or written twice when this is called again.
        """


class IStateAdapter(Interface):
    """
    Translates one middlebox's internal tables to and from record batches.

    Source of an operation: L{getPerflow} until exhausted, then L{freeze}, then L{delPerflow} or L{unmark}.
    Destination: L{prepare}, L{putPerflow} and C{IEngine.reprocess} mixed, then L{conflicts} and L{commit}, or
    L{discard}; L{thaw} when the merge is over.

    State that several flows share goes by other calls, and packets never wait for it.  Source of a clone:
    L{getShared}, then L{sharedChanges} again and again, then L{delShared}, or L{unmark} if it is aborted.  Source of a
    merge: L{takeShared}, then L{delShared} or L{unmark}.  Destination of both: L{prepareShared}, L{putShared} and
    C{IEngine.reprocess} mixed, then L{commitShared} or L{discard}.  C{openmb.state.plain.Unshared} answers for kinds
    without such state.
    """

    layouts: Sequence[tuple[Cell, int, int]] = Attribute("(cell, layout, version) of every record layout of this kind")
    nativeKey: str = Attribute("the native key in words, for error texts")
    governing: bytes = Attribute("SHA-256 of the configuration that governs records; must agree at both ends of a move")

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

    def unmark(operation: int) -> None:
        """
        Free every record marked with C{operation}, stop watching for it, and fold back what L{takeShared} took for it;
        the engine goes on as if never asked.
        """

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

    def discard(operation: int) -> None:
        """Drop the provisional records, shared ones too, in silence."""

    def owns(packets: Decoded) -> NDArray[np.bool_]:
        """C{bool[n]}: does a record of the engine's own (not provisional) exist for packet C{i}?"""

    def usage(flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """How much state matches, per cell; shared state as a whole, marked while it is watched or was taken."""

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

        @raise OperationError: as L{putPerflow}.
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
    Optional, beside L{IStateAdapter}: which packets and records belong to flows, for a kind of which headers and native
    keys do not show it, say since it rewrites headers, reads packets by rules of its own, or sends more than one record
    for a flow.

    Without it packets belong whose headers match in either direction, and records whose key, a flow's or a host's,
    does; records with keys of any other size then belong to no flow.  Both ends of an operation ask: the source for the
    packets that it takes away from the engine, the destination for everything that the source has sent.  What does not
    belong there is refused, so the answers must include whatever L{IStateAdapter.getPerflow} exports and every packet
    that updates a marked record.
    """

    def selects(operation: int, flows: HeaderFieldList, packets: Decoded) -> NDArray[np.bool_]:
        """C{bool[n]}: which packets belong; at the destination the provisional records of C{operation} count, too."""

    def selectsRecords(operation: int, flows: HeaderFieldList, batch: RecordBatch) -> NDArray[np.bool_]:
        """C{bool[n]}: which per-flow records that came for C{operation} belong to C{flows}; none is stored yet."""


class IConfigurable(Interface):
    """What can be set while a middlebox runs.  C{openmb.state.plain.Unconfigurable} is for kinds without settings."""

    configuration: Configuration = Attribute("the kind's schema, and what is configured now")

    def configure(tree: Tree) -> None:
        """
        Go by C{tree} from now on: every key, each checked against the schema, those that cannot change unchanged.

        The host calls it between two batches, and never with another governing configuration while there are
        operations.  C{configuration.tree} and C{IStateAdapter.governing} follow.

        @raise OperationError: it cannot be done, and nothing has changed.
        """


class IAnnouncer(Interface):
    """What a middlebox tells of itself, unasked.  C{openmb.state.plain.Silent} is for kinds with nothing to tell."""

    announcements: Sequence[Announcement] = Attribute("the introspection events of this kind")

    def listen(wanted: frozenset[str], announce: Announce) -> None:
        """
        From now on hand the events named in C{wanted} to C{announce}, in order, and nothing else.

        What nobody wants must cost nothing.  Events come of packets that are processed in full, and of time; never of
        L{IEngine.reprocess}, since the source has announced those.  C{announce} may be called within any call of
        L{IEngine}, of L{IStateAdapter.commit} and of L{IStateAdapter.commitShared}; it does not raise.
        """

    def learn(events: Sequence[Announced]) -> int:
        """
        Another instance has announced these and has put out what there is to put out: from now on take them as known.

        Nothing is put out, counted or announced for them, now or when they are seen here.  Their keys are empty, values
        say what they are about.  Learning the same again changes nothing.  C{openmb.state.plain.Unlearning} is for
        kinds that learn nothing: they refuse no events too, so that who asks learns it.

        @return: how many were news.
        @raise OperationError: C{BAD_REQUEST}, there is nothing to be learned from one of them; then nothing is learned.
        """


class IMiddlebox(IEngine, IStateAdapter, IConfigurable, IAnnouncer):
    """One running instance of a kind: engine and adapter together."""

    kind: str = Attribute("the kind's name")


class IMiddleboxPlugin(Interface):
    """Makes middleboxes of one kind."""

    kind: str = Attribute("the kind's name, as in certificates and on the command line")
    summary: str = Attribute("one line for help texts")
    readsDatagrams: bool = Attribute(
        "packets are put together from fragments and their checksums verified; else each comes as it is"
    )

    def warmUp() -> None:
        """
        Compile, or load from the cache, whatever a middlebox of this kind would otherwise compile at its first packet.

        Called once, before a middlebox connects to anything.
        """

    def makeOptions() -> Any:
        """A fresh C{twisted.python.usage.Options} with the kind's own options."""

    def makeMiddlebox(options: Any) -> IMiddlebox:
        """
        A middlebox after C{options}.

        @raise ConfigurationError: an option or a file it names cannot be used.
        """


@dataclass(frozen=True, slots=True)
class Route:
    """
    Where matching packets go.

    @ivar flows: which packets.
    @ivar path: names of the ports (middleboxes) they visit, in order; empty: dropped, unless
        there is an egress.
    @ivar table: rules of one table are alternatives (highest priority wins); every table gets its own copy of a
        packet.
    @ivar priority: higher wins; at equal priority the rule added last.
    @ivar egress: for an in-line path, the port where packets leave after the last middlebox; None: copies that end
        there.
    @ivar oneWay: only packets whose own source and destination are those of C{flows} match, not the answers to them.
        For chains between hosts that both send, with a rule for each direction.
    """

    flows: HeaderFieldList
    path: tuple[str, ...]
    table: str = "monitor"
    priority: int = 100
    egress: str | None = None
    oneWay: bool = False

    @property
    def drops(self) -> bool:
        """Do its packets go nowhere?"""
        return not self.path and self.egress is None

    def replaces(self, other: Route) -> bool:
        """Would this rule take the place of C{other}?"""
        return self.place == other.place

    @property
    def place(self) -> tuple[Any, ...]:
        """What names a rule: there is one at most for each."""
        return self.table, self.priority, self.flows, self.oneWay


@dataclass(frozen=True, slots=True)
class PortState:
    """
    One port of a network.

    @ivar connected: somebody is there.
    @ivar unrouted: packets from there that no rule matched, so far.
    @ivar dropped: packets for it that were dropped, since nobody was there, so far.
    """

    name: str
    connected: bool
    unrouted: int
    dropped: int


@dataclass(frozen=True, slots=True)
class NetworkState:
    """
    What can be seen of a network at little cost.

    @ivar generation: another one than before whenever the network may have other rules or ports than before: it was
        started again, or somebody has changed them.
    """

    generation: str
    ports: tuple[PortState, ...]


class INetwork(Interface):
    """Whatever steers packets to middleboxes."""

    settle: float = Attribute("seconds after a route's answer that a packet may still take the old path")

    def route(route: Route) -> Deferred[Route | None]:
        """
        Install C{route}, replacing the rule with the same table, priority, flows and direction.  Fires with the
        replaced rule (or None) when the change is in effect at the switch.

        @raise OperationError: C{ROUTE_FAILED}; nothing changed.
        """

    def current(route: Route) -> Deferred[Route | None]:
        """The rule in effect with the table, priority and flows of C{route}: what C{route} would replace."""

    def unroute(route: Route) -> Deferred[Route | None]:
        """
        Remove the rule with the same table, priority, flows and direction.  Fires with the removed rule (None: there
        was none) when in effect.
        """

    def state() -> Deferred[NetworkState]:
        """What the network is like now.  @raise OperationError: C{DISCONNECTED}, C{DEADLINE}: it does not answer."""

    def routes() -> Deferred[list[Route]]:
        """All rules in effect, each table in the order in which they are tried."""

    def mark(operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        """
        Send a drain marker down the path to each of C{ports}, behind every packet already sent there.

        @param token: 16 bytes known to the two middleboxes, so that no packet from outside passes for a marker.
        @param final: sent at least L{settle} after the route's answer.
        """
