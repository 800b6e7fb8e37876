"""
The controller: sessions, operations, the relay between two middleboxes, and the northbound verbs.

It knows southbound messages and the network's interface; no kind, and no packet or record contents.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from openmb.controller.exclusion import checkAlone, checkFree
from openmb.controller.inquirer import Inquirer
from openmb.controller.operation import OperationPerformer, Surroundings
from openmb.controller.performer import MovePerformer
from openmb.controller.planning import Plan, Wishes, plan, recordsIn
from openmb.controller.questions import Questions
from openmb.controller.registry import Registry, Session, checkPair, sharedCells
from openmb.controller.returning import SessionSecrets, reminders, takesPart
from openmb.controller.routechange import RouteChange
from openmb.controller.routekeeper import RouteKeeper
from openmb.controller.sharing import SharedPerformer
from openmb.controller.subscriptions import Subscriptions
from openmb.errors import InvalidHeaderFields, OperationError, Refusal
from openmb.interfaces import INetwork, Route
from openmb.operations.journal import IJournal
from openmb.operations.outcome import Outcome, readReport
from openmb.operations.values import MoveReport, MoveRequest, MoveSettings, Stage
from openmb.ratelimitedlog import RateLimitedLog
from openmb.state.configuration import EVERYTHING, Tree
from openmb.state.headers import HeaderFieldList
from openmb.wire import messages as m

#: Operations whose outcome is remembered, for middleboxes that come back.
OUTCOMES = 10_000
#: How many of them are told to whoever asks: an answer on the local socket is one line of at most 1 MiB.
SHOWN = 1000


def randomIdentifier() -> int:
    """A 64-bit operation id that is not 0; random, so that restarted controllers do not repeat one."""
    return secrets.randbits(63) + 1


class Controller:
    """
    One controller.

    @param network: steers the packets.
    @param journal: decisions are written there before they are acted on.
    @param identify: makes operation ids.
    @param token: makes the drain markers' tokens, 16 bytes.
    @ivar subscriptions: introspection events for applications.
    @ivar keeper: the routes that are wanted, and whether the network has them.
    @ivar peers: the log of what middleboxes cause.
    """

    log = Logger()

    def __init__(
        self,
        network: INetwork,
        journal: IJournal,
        clock: IReactorTime,
        settings: MoveSettings | None = None,
        identify: Callable[[], int] = randomIdentifier,
        token: Callable[[], bytes] = lambda: secrets.token_bytes(16),
    ) -> None:
        self.network, self.clock = network, clock
        self.peers = RateLimitedLog(self.log, clock.seconds)
        self.settings = settings or MoveSettings()
        self.registry = Registry()
        self._around = Surroundings(self.registry, network, journal, clock)
        self._identify, self._token = identify, token
        self._secrets = SessionSecrets(journal.key)
        self._operations: dict[int, MovePerformer | SharedPerformer] = {}
        self._questions = Questions(clock)
        self._inquirer = Inquirer(self.registry, self._questions, identify, self._governed)
        self.subscriptions = Subscriptions(self.registry, self._questions, identify)
        self._outcomes: dict[int, Outcome] = {}
        self.keeper = RouteKeeper(network, journal, clock, self._changing, lambda: self.registry.names)

    # -- sessions

    def sessionOpened(self, session: Session) -> None:
        """A middlebox has registered: what is under way goes on, what is over it may forget."""
        earlier = self.registry.add(session)
        if earlier is not None:
            self._questions.closed(earlier)
            earlier.close("another connection has taken its place")
        line = "middlebox {name} ({kind}) registered"
        self.peers.info(line, session.name, name=session.name, kind=session.hello.kind)
        for move in self._operationsOf(session.name):
            if session.peer in (move.request.source, move.request.destination):
                move.returned(session.name)
            else:
                move.died(session.name)  # a new process, which knows nothing of what the old one held
        self._remind(session)
        self.subscriptions.sessionOpened(session)

    def _operationsOf(self, name: str) -> list[OperationPerformer]:
        every = self._operations.values()
        return [each for each in every if name in (each.request.source.name, each.request.destination.name)]

    def checkNewcomer(self, hello: m.Hello) -> None:
        """
        May C{hello} register?

        Only who shows the secret of its session, see L{secretOf}, takes up what that session has left: its place while
        it is connected, and its operations.

        @raise OperationError: another incarnation of that name is connected; it has to go first (a dead one does, when
            its keep-alive ends).  Or the secret is not shown where it has to be.
        """
        taking = [each for each in self._operationsOf(hello.name) if takesPart(hello, each.request)]
        self._secrets.check(hello, self.registry.get(hello.name), taking[0].request if taking else None)

    def secretOf(self, hello: m.Hello) -> bytes:
        """What WELCOME has to tell who says C{hello}: with it the same incarnation comes back."""
        return self._secrets.of(hello)

    def _remind(self, session: Session) -> None:
        """Tell a middlebox that comes back how operations ended; if nobody remembers, it decides by what it saw."""
        over = [status for status in session.hello.operations if status.operation not in self._operations]
        unknown = [status.operation for status in over if status.operation not in self._outcomes]
        for status in over:
            for message in reminders(status, self._reportOf(status.operation)):
                session.send(message)
            if status.operation not in self._around.unclosed:
                session.send(m.Close(status.operation))
        if unknown:
            line = "{name} knows {count} operations that nobody here does, among them {op:016x}"
            self.peers.warn(line, session.name, name=session.name, count=len(unknown), op=unknown[0])

    def sessionClosed(self, session: Session) -> None:
        """The connection of a middlebox is gone: its operations wait for it, within their deadlines."""
        if not self.registry.remove(session):
            return
        self._questions.closed(session)
        self.subscriptions.sessionClosed(session)
        self.peers.info("middlebox {name} disconnected", session.name, name=session.name)
        for move in self._operationsOf(session.name):
            if session.peer in (move.request.source, move.request.destination):
                move.away(session.name)

    def sessionWritable(self, session: Session) -> None:
        """A middlebox that did not take what it was sent has taken everything."""
        if self.registry.get(session.name) is session:
            for move in self._operationsOf(session.name):
                move.writable(session.name)

    def messageReceived(self, session: Session, message: m.Message) -> None:
        """A message of a registered middlebox."""
        self._inquirer.changed(session, message)
        if self._questions.answered(session, message):
            return
        if isinstance(message, m.Events):
            self.subscriptions.received(session, message)
            return
        if isinstance(message, m.Warnings):
            session.warnings = message.texts
            return
        identifier = int(getattr(message, "operation", 0))
        move = self._operations.get(identifier)
        if move is None:
            self._strayed(session, message, identifier)
        elif session.peer not in (move.request.source, move.request.destination):
            line = "{name} takes no part in operation {op:016x}"
            self.peers.warn(line, session.name, name=session.name, op=identifier)
        elif isinstance(message, m.StreamFrame | m.Credit):
            self._relay(move, session, message)
        else:
            move.answered(message, session.peer == move.request.source)

    def _strayed(self, session: Session, message: m.Message, identifier: int) -> None:
        if not isinstance(message, m.StreamFrame | m.Credit):
            self.log.debug(
                "{name}: {type} of operation {op}, which is over",
                name=session.name,
                type=type(message).__name__,
                op=identifier,
            )

    def _relay(self, move: OperationPerformer, session: Session, message: m.StreamFrame | m.Credit) -> None:
        """One message of an operation's streams, from one of its ends to the other."""
        move.relayed(message, session.peer == move.request.source)

    # -- northbound

    async def moveInternal(
        self, source: str, destination: str, flows: str, route: Route | None = None
    ) -> MovePerformer:
        """
        Move the per-flow state of C{flows} and keep it moving until the route changes.

        Returns when every record is installed at the destination.  With C{route} the switch-over follows at once;
        without it, the application calls C{switchOver} on what this returns.

        @raise OperationError: refused at once, or failed on the way; the source goes on as if never asked.
        """
        move = self.startMove(source, destination, flows, route)
        await move.installed.wait()
        return move

    def startMove(self, source: str, destination: str, flows: str, route: Route | None = None) -> MovePerformer:
        """As L{moveInternal}, but returns at once, so that the application can watch or abort the transfer."""
        move = self._performer(self._request(source, destination, flows), RouteChange(self.network, self.clock, route))
        if route is not None:
            move.checkRoute(route)
        checkFree(move.flows, self.moves)
        checkAlone(move.request, self.operations)
        self._operations[move.request.operation] = move
        move.machine.begin()
        return move

    async def cloneSupport(self, source: str, destination: str) -> SharedPerformer:
        """
        Copy the shared supporting state, and keep the copy current until C{finish} is called on what this returns.

        Returns when the copy is at the destination; the source stays the owner of its own.

        @raise OperationError: refused at once, or failed on the way; nobody notices anything then.
        """
        clone = self.startShared(m.Sort.CLONE, source, destination)
        await clone.installed.wait()
        return clone

    async def mergeInternal(self, source: str, destination: str) -> MoveReport:
        """
        Fold the shared state of one middlebox, supporting and reporting, into another's, and clear it at the source.

        @raise OperationError: refused at once, or failed on the way; then the source has everything, as if never asked.
        """
        return await self.startShared(m.Sort.MERGE, source, destination).finished.wait()

    def startShared(self, sort: m.Sort, source: str, destination: str) -> SharedPerformer:
        """As L{cloneSupport} or L{mergeInternal}, but returns at once."""
        ends = self.registry.find(source), self.registry.find(destination)
        checkPair(*ends)
        settings = replace(self.settings, cells=sharedCells(ends[0], sort))
        flows = str(HeaderFieldList())
        request = MoveRequest(self._identify(), ends[0].peer, ends[1].peer, flows, self._token(), settings, sort)
        checkAlone(request, self.operations)
        performer = self._operations[request.operation] = SharedPerformer(request, self._around, self._ended)
        performer.machine.begin()
        return performer

    def _performer(self, request: MoveRequest, change: RouteChange) -> MovePerformer:
        return MovePerformer(request, self._around, change, self._ended)

    def recover(self) -> None:
        """
        Take up every operation that the journal says is not over; call it once, before any middlebox registers.

        Middleboxes that return within their leases find their operations where they broke.
        """
        for entry in self._around.journal.outcomes(OUTCOMES):
            report = readReport(entry.report, entry.operation, Stage(entry.reason), entry.sort)
            names = entry.source.name, entry.destination.name
            self._outcomes[entry.operation] = Outcome(*names, entry.flows, entry.began, entry.ended, report)
        for entry in self._around.journal.unfinished():
            request = MoveRequest(
                entry.operation, entry.source, entry.destination, entry.flows, entry.token, self.settings, entry.sort
            )
            self.log.warn("operation {op:016x} is taken up after {step}", op=entry.operation, step=entry.step.name)
            if entry.sort is m.Sort.MOVE:
                change = RouteChange(self.network, self.clock, entry.route, entry.previous, entry.route is not None)
                move = self._operations[entry.operation] = self._performer(request, change)
                move.began = entry.began or move.began
                move.recover(entry)
            else:
                shared = self._operations[entry.operation] = SharedPerformer(request, self._around, self._ended)
                shared.began = entry.began or shared.began
                shared.recover(entry)

    def _request(self, source: str, destination: str, flows: str) -> MoveRequest:
        ends = self.registry.find(source), self.registry.find(destination)
        checkPair(*ends)
        try:
            text = str(HeaderFieldList.parse(flows))
        except InvalidHeaderFields as error:
            raise OperationError(Refusal.BAD_REQUEST, str(error)) from error
        return MoveRequest(self._identify(), ends[0].peer, ends[1].peer, text, self._token(), self.settings)

    def _changing(self) -> list[Route]:
        return [move.changing for move in self.moves if move.changing is not None]

    def _ended(self, move: OperationPerformer) -> None:
        self.keeper.changed()
        self._operations.pop(move.request.operation, None)
        self._outcomes[move.request.operation] = move.outcome
        while len(self._outcomes) > OUTCOMES:
            del self._outcomes[next(iter(self._outcomes))]

    @property
    def history(self) -> tuple[Outcome, ...]:
        """The last operations that are over, the newest last."""
        return tuple(self._outcomes.values())[-SHOWN:]

    def _reportOf(self, operation: int) -> MoveReport | None:
        found = self._outcomes.get(operation)
        return None if found is None else found.report

    def move(self, identifier: int) -> MovePerformer:
        """
        The move with that id, while it is under way.

        @raise OperationError: it is over or never was.
        """
        found = self.operation(identifier)
        if not isinstance(found, MovePerformer):
            raise OperationError(
                Refusal.WRONG_STATE, f"operation {identifier:016x} is a {found.request.sort.name.lower()}"
            )
        return found

    def clone(self, identifier: int) -> SharedPerformer:
        """
        The clone (or merge) with that id, while it is under way.

        @raise OperationError: as L{move}.
        """
        found = self.operation(identifier)
        if not isinstance(found, SharedPerformer):
            raise OperationError(Refusal.WRONG_STATE, f"operation {identifier:016x} is a move")
        return found

    def operation(self, identifier: int) -> MovePerformer | SharedPerformer:
        """
        The operation with that id, while it is under way.

        @raise OperationError: it is over or never was.
        """
        if identifier not in self._operations:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"no operation {identifier:016x} is under way")
        return self._operations[identifier]

    @property
    def moves(self) -> tuple[MovePerformer, ...]:
        """The moves under way."""
        return tuple(each for each in self._operations.values() if isinstance(each, MovePerformer))

    @property
    def operations(self) -> tuple[MovePerformer | SharedPerformer, ...]:
        """All operations under way."""
        return tuple(self._operations.values())

    async def stats(self, middlebox: str, flows: str) -> tuple[m.CellStats, ...]:
        """How much state of C{flows} a middlebox holds, for each of the five cells."""
        return await self._inquirer.stats(middlebox, flows)

    async def plan(self, source: str, destination: str, flows: str, wishes: Wishes) -> Plan:
        """
        What a move would do; nothing is changed.

        @raise OperationError: the move would be refused, or source or network do not answer.
        """
        request = self._request(source, destination, flows)
        records = recordsIn(await self.stats(source, request.flows))
        routes = await self.network.routes()
        return plan(source, destination, HeaderFieldList.parse(request.flows), wishes, routes, records)

    async def planSwitchOver(self, identifier: int, wishes: Wishes) -> Route:
        """
        The route that the flows of a move are to get.  Its ends may be disconnected for a moment: they are not asked.

        @raise OperationError: it is over or never was, or the network does not answer.
        """
        move = self.move(identifier)
        ends = move.request.source.name, move.request.destination.name
        return plan(*ends, move.flows, wishes, await self.network.routes(), 0).route

    async def readConfig(self, middlebox: str, key: str = EVERYTHING) -> Tree:
        """
        What is configured at C{key} (C{a/b/c}) and below; C{*}: the whole tree.

        @raise OperationError: C{BAD_REQUEST}, there is no such key.
        """
        return await self._inquirer.readConfig(middlebox, key)

    async def writeConfig(self, middlebox: str, key: str, content: Tree | Sequence[str]) -> None:
        """
        Set the values of C{key}, or what a tree with whole keys at and below it says; nothing else changes.

        @raise OperationError: C{BAD_REQUEST}, a bad key or value; C{WRONG_STATE}, one that cannot change while the
            middlebox runs, or not while it takes part in operations.  Nothing has changed.
        """
        await self._inquirer.writeConfig(middlebox, key, content)

    async def delConfig(self, middlebox: str, key: str) -> None:
        """
        Put C{key} and what is below back to what the middlebox was started with.

        @raise OperationError: as L{writeConfig}.
        """
        await self._inquirer.delConfig(middlebox, key)

    async def tell(self, middlebox: str, events: Sequence[m.Event]) -> int:
        """
        Tell a middlebox what others of its kind have announced: it takes that as known, and puts nothing out for it.

        @return: how many of C{events} were news to it.
        @raise OperationError: C{BAD_REQUEST}, its kind learns nothing from one of them; then it has learned none.
        """
        return await self._inquirer.tell(middlebox, events)

    def _governed(self, session: Session) -> None:
        """What governs the records of a middlebox has changed; no operation had begun there."""
        for move in self._operationsOf(session.name):
            if session.peer in (move.request.source, move.request.destination):
                reason = f"the configuration of {session.name} that governs records was changed"
                move.machine.abort(Refusal.INCOMPATIBLE_RECORDS, reason)

    @property
    def epoch(self) -> int:
        """Greater than that of every earlier controller with the same journal."""
        return self._around.journal.epoch

    def close(self) -> None:
        """Nothing more is decided: sum up the log, let go of the journal."""
        self.peers.flush()
        self._around.journal.close()

    def shutDown(self, reason: str = "the controller shuts down") -> None:
        """Abort what can still be aborted."""
        self.subscriptions.closeAll()
        for each in self.operations:
            each.machine.abort(Refusal.SHUTTING_DOWN, reason)
