"""
The northbound verbs on the controller's local socket: what the command line, and any program on the machine, may ask.

One JSON line a request (see C{openmb.rpc}); C{docs/northbound.md} lists the verbs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from openmb.controller.controller import Controller
from openmb.controller.operation import OperationPerformer
from openmb.controller.performer import MovePerformer
from openmb.controller.planning import Plan, Wishes
from openmb.controller.registry import Session
from openmb.controller.routechange import UNREACHABLE
from openmb.controller.sharing import SharedPerformer
from openmb.errors import OperationError, Refusal
from openmb.northbound.inquiries import InquiryVerbs
from openmb.northbound.streams import StreamVerbs
from openmb.operations.outcome import Outcome
from openmb.operations.values import MoveReport
from openmb.rpc.arguments import badRequest, number, text
from openmb.rpc.routes import placeFromPlain, routeFromPlain, routeToPlain
from openmb.rpc.server import Notify, Verb
from openmb.wire.messages import Sort


def reportToPlain(report: MoveReport) -> dict[str, Any]:
    """An operation's report as JSON carries it; its id in hexadecimal."""
    refusal = None if report.refusal is None else report.refusal.name
    plain = asdict(report)
    plain.update(
        operation=f"{report.operation:016x}", stage=report.stage.value, refusal=refusal, sort=report.sort.name.lower()
    )
    return plain


def outcomeToPlain(outcome: Outcome) -> dict[str, Any]:
    """An operation that is over; the times in seconds since 1970, 0 where they are not known."""
    ends = {"source": outcome.source, "destination": outcome.destination, "flows": outcome.flows}
    return {**ends, "began": outcome.began, "ended": outcome.ended, **reportToPlain(outcome.report)}


def wishesIn(arguments: Mapping[str, Any]) -> Wishes:
    """What is said of a new route."""
    return Wishes(
        text(arguments, "table") if arguments.get("table") is not None else None,
        number(arguments, "priority") if arguments.get("priority") is not None else None,
        text(arguments, "egress") if arguments.get("egress") is not None else None,
    )


def planToPlain(plan: Plan) -> dict[str, Any]:
    """What a move would do."""
    now = None if plan.carrying is None else routeToPlain(plan.carrying)
    return {"records": plan.records, "route": routeToPlain(plan.route), "carrying": now, "doubts": list(plan.doubts)}


def refuseDoubts(plan: Plan) -> None:
    """@raise OperationError: C{WRONG_STATE}, the move may not be what is wanted."""
    if plan.doubts:
        raise OperationError(Refusal.WRONG_STATE, f"{'; '.join(plan.doubts)} (force goes on all the same)")


def operationToPlain(move: OperationPerformer) -> dict[str, Any]:
    """An operation under way."""
    request = move.request
    ends = {"source": request.source.name, "destination": request.destination.name, "flows": request.flows}
    return {**ends, **reportToPlain(move.report)}


def sessionToPlain(session: Session) -> dict[str, Any]:
    """A connected middlebox."""
    return {"name": session.name, "kind": session.hello.kind, "incarnation": session.hello.incarnation.hex()}


class NorthboundVerbs:
    """
    Turns requests into calls of the controller.

    @ivar verbs: for L{openmb.rpc.server.ServerFactory}.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.verbs: dict[str, Verb] = {
            "middleboxes": self.middleboxes,
            "operations": self.operations,
            "planMove": self.planMove,
            "moveInternal": self.moveInternal,
            "switchOver": self.switchOver,
            "cloneSupport": self.cloneSupport,
            "finishClone": self.finishClone,
            "mergeInternal": self.mergeInternal,
            "abort": self.abort,
            "route": self.route,
            "unroute": self.unroute,
            "routes": self.routes,
            **InquiryVerbs(controller).verbs,
            **StreamVerbs(controller).verbs,
        }

    async def middleboxes(self, arguments: Mapping[str, Any], notify: Notify) -> list[dict[str, Any]]:
        """The connected middleboxes."""
        return [sessionToPlain(session) for session in self._controller.registry]

    async def operations(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """
        The connected middleboxes, what is wrong with the network, the moves under way, and the reports of those that
        are over (the newest last).
        """
        return {
            "middleboxes": await self.middleboxes(arguments, notify),
            "underWay": [operationToPlain(each) for each in self._controller.operations],
            "problems": [*self._controller.keeper.watch.problems, *self._warnings()],
            "over": [outcomeToPlain(outcome) for outcome in self._controller.history],
        }

    def _warnings(self) -> Iterator[str]:
        """What middleboxes say that an operator must know."""
        for session in self._controller.registry:
            yield from (f"{session.name}: {warning}" for warning in session.warnings)

    async def moveInternal(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """
        C{source}, C{destination}, C{flows}; C{route} (or null: the caller switches over itself, later); C{force}.

        A notice at each stage.  Replies when the source has deleted; without a route when the records are installed.
        With a route it is refused, without C{force}, when there is nothing to move or the source is not on these flows'
        route.
        """
        ends = text(arguments, "source"), text(arguments, "destination"), text(arguments, "flows")
        route = None if arguments.get("route") is None else routeFromPlain(arguments.get("route"))
        if route is not None and arguments.get("force") is not True:
            refuseDoubts(await self._controller.plan(*ends, Wishes(route.table, route.priority, route.egress)))
        move = self._controller.startMove(*ends, route)
        notify(reportToPlain(move.report))
        move.watcher = lambda report: notify(reportToPlain(report))
        return reportToPlain(await (move.installed if route is None else move.moved).wait())

    async def planMove(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """
        C{source}, C{destination}, C{flows}, and C{table}, C{priority}, C{egress}, which may be missing: what a move
        would do.  Nothing is changed.
        """
        ends = text(arguments, "source"), text(arguments, "destination"), text(arguments, "flows")
        return planToPlain(await self._controller.plan(*ends, wishesIn(arguments)))

    async def switchOver(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """
        C{operation}, and C{table}, C{priority}, C{egress}, which may be missing: route the flows of an installed move
        to its destination and hand over.  What is missing is as in the route that takes the flows to the source now.

        Replies when the source has deleted.
        """
        move = self._find(arguments)
        route = await self._controller.planSwitchOver(move.request.operation, wishesIn(arguments))
        move.watcher = lambda report: notify(reportToPlain(report))
        move.switchOver(route)
        return reportToPlain(await move.moved.wait())

    async def cloneSupport(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """
        C{source}, C{destination}: copy the shared supporting state, and keep the copy current until C{finishClone}.

        A notice at each stage.  Replies when the copy is at the destination; with C{finish} (optional) it is finished
        then, and the reply comes when it is over.
        """
        clone = self._startShared(Sort.CLONE, arguments, notify)
        report = await clone.installed.wait()
        if arguments.get("finish") is True:
            clone.finish()
            report = await clone.finished.wait()
        return reportToPlain(report)

    async def finishClone(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """C{operation}: the copy becomes the destination's own.  Replies when it is over."""
        clone = self._controller.clone(self._identifier(arguments))
        clone.watcher = lambda report: notify(reportToPlain(report))
        clone.finish()
        return reportToPlain(await clone.finished.wait())

    async def mergeInternal(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """
        C{source}, C{destination}: fold the shared state of one into that of the other, and clear it at the source.

        A notice at each stage.  Replies when it is over.
        """
        merge = self._startShared(Sort.MERGE, arguments, notify)
        return reportToPlain(await merge.finished.wait())

    def _startShared(self, sort: Sort, arguments: Mapping[str, Any], notify: Notify) -> SharedPerformer:
        started = self._controller.startShared(sort, text(arguments, "source"), text(arguments, "destination"))
        notify(reportToPlain(started.report))
        started.watcher = lambda report: notify(reportToPlain(report))
        return started

    async def abort(self, arguments: Mapping[str, Any], notify: Notify) -> None:
        """C{operation}: undo it, if the destination has not taken over."""
        self._controller.operation(self._identifier(arguments)).abort("aborted by request")

    async def route(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any] | None:
        """C{route}: install it in the network; the route that it replaces, or null."""
        replaced = await self._controller.keeper.route(routeFromPlain(arguments.get("route")))
        return None if replaced is None else routeToPlain(replaced)

    async def unroute(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any] | None:
        """C{route}: remove it from the network; the route that was removed, or null."""
        removed = await self._controller.keeper.unroute(placeFromPlain(arguments.get("route")))
        return None if removed is None else routeToPlain(removed)

    async def routes(self, arguments: Mapping[str, Any], notify: Notify) -> list[dict[str, Any]]:
        """
        The routes, each table in the order in which they are tried, whether they are C{wanted} and C{inEffect}.

        What the network has is asked of it; if it cannot be, nothing is known to be in effect.
        """
        wanted = self._controller.keeper.wanted
        try:
            present = await self._controller.network.routes()
        except OperationError as error:
            if error.refusal not in UNREACHABLE:
                raise
            present = []
        absent = [route for route in wanted if route not in present]
        found = [*present, *sorted(absent, key=lambda route: (route.table, -route.priority))]
        return [{**routeToPlain(each), "wanted": each in wanted, "inEffect": each in present} for each in found]

    def _find(self, arguments: Mapping[str, Any]) -> MovePerformer:
        return self._controller.move(self._identifier(arguments))

    def _identifier(self, arguments: Mapping[str, Any]) -> int:
        try:
            return int(text(arguments, "operation"), 16)
        except ValueError as error:
            raise badRequest("operation must be a hexadecimal number") from error
