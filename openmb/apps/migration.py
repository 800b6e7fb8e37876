"""
Moves some receivers of a redundancy-eliminating path to another decoder, and back: nothing becomes undecodable.

The steps are those of the original's use case: the copy of the decoder's cache follows every change until it is the
other decoder's own, and in that moment the route changes and the encoder uses a second cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.python.failure import Failure

from openmb.apps.relay import Northbound
from openmb.errors import OperationError, Refusal

#: Seconds that a question, and that a clone or merge, may take.
ANSWER, PATIENCE = 15.0, 120.0
_CACHES, _FLOWS = "NumCaches", "CacheFlows"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What moves where.

    @ivar encoder: its name; C{old}, C{new}: the decoders'.
    @ivar staying: destinations of the packets that stay with the old decoder, as C{CacheFlows} has them
        (C{0.0.0.0/0,::/0}: all others); C{moving}: of those that go to the new one.
    @ivar routes: rules that take the latter past the new decoder, one for each direction; without them they take the
        way of all others.
    """

    encoder: str
    old: str
    new: str
    staying: str
    moving: str
    routes: Sequence[Mapping[str, Any]]


class Migration:
    """
    One migration.

    @param controller: the northbound interface.
    @param watch: is told what is being done.
    """

    def __init__(self, controller: Northbound, plan: Plan, watch: Callable[[str], None]) -> None:
        self._controller, self.plan, self._watch = controller, plan, watch
        self._before: dict[str, Any] = {}
        self._clone: str | None = None
        self._routed = False

    async def migrate(self) -> dict[str, Any]:
        """
        The receivers that move get a cache and a decoder of their own.

        @return: the report of the clone.
        @raise OperationError: something was refused; what was done is taken back.
        """
        try:
            return await self._migrate()
        except OperationError:
            await self._takeBack()
            raise

    async def _migrate(self) -> dict[str, Any]:
        plan = self.plan
        self._watch("copying the configuration")
        found = await self._ask("readConfig", middlebox=plan.encoder, key="*")
        if found[_CACHES] != ["1"]:
            raise OperationError(Refusal.WRONG_STATE, f"{plan.encoder} has several caches: {_CACHES} must be 1")
        tree = await self._ask("readConfig", middlebox=plan.old, key="*")
        await self._ask("writeConfig", middlebox=plan.new, key="*", tree=tree)
        await self._begin(plan.old, plan.new)
        self._before = {name: found[name] for name in (_CACHES, _FLOWS)}
        self._watch("a second cache at the encoder")
        await self._configure({_CACHES: ["2"]})
        return await self._handOver("route", {_FLOWS: [plan.staying, plan.moving]})

    async def undo(self) -> dict[str, Any]:
        """
        All receivers are with the old decoder again, which has what the new one held and counted.

        A merge alone would leave the new decoder with nothing while packets still come to it; so the caches are cloned
        back, the route is changed, and what is left is merged: the same packets are the same, whichever way they come.

        @return: the report of the merge.
        @raise OperationError: something was refused; it may be tried again.
        """
        plan = self.plan
        try:
            await self._begin(plan.new, plan.old)
            await self._handOver("unroute", {})
        finally:
            await self._abort()
        self._watch("merging what is left")
        ends = {"source": plan.new, "destination": plan.old}
        report: dict[str, Any] = await self._controller.call("mergeInternal", ends, PATIENCE)
        self._watch("the encoder as it was")
        await self._configure(self._before)
        return report

    async def _begin(self, source: str, destination: str) -> None:
        """Copy the caches and keep the copy current."""
        self._watch(f"cloning the caches of {source}")
        ends = {"source": source, "destination": destination, "finish": False}
        report = await self._controller.call("cloneSupport", ends, PATIENCE)
        self._clone = str(report["operation"])

    async def _handOver(self, verb: str, entries: Mapping[str, Any]) -> dict[str, Any]:
        """End the clone; in the moment in which the copy is the destination's own everything else changes, at once."""
        self._watch("ending the clone")
        changing: list[Deferred[Any]] = []

        def noticed(report: Mapping[str, Any]) -> None:
            if report.get("stage") == "merged" and not changing:
                changing.append(self._change(verb, entries))

        what = {"operation": self._clone}
        try:
            report: dict[str, Any] = await self._controller.call("finishClone", what, PATIENCE, noticed)
            self._clone = None
        finally:
            if changing:
                await changing[0]
        if not changing:
            await self._change(verb, entries)
        return report

    def _change(self, verb: str, entries: Mapping[str, Any]) -> Deferred[Any]:
        self._watch("changing the route")
        self._routed = True
        calls = [self._ask(verb, route=route) for route in self.plan.routes]
        if entries:
            calls.append(self._configure(entries))
        asked = gatherResults([Deferred.fromCoroutine(call) for call in calls], consumeErrors=True)
        return asked.addErrback(_firstOf)

    async def _takeBack(self) -> None:
        """After a failure: no clone goes on, the old route is in effect, and the encoder is as it was."""
        self._watch("taking back what was done")
        await self._abort()
        if self._routed:
            for route in self.plan.routes:
                await self._ask("unroute", route=route)
        if self._before:
            await self._configure(self._before)

    async def _abort(self) -> None:
        operation, self._clone = self._clone, None
        if operation is not None:
            await self._ask("abort", operation=operation)

    async def _configure(self, entries: Mapping[str, Any]) -> None:
        await self._ask("writeConfig", middlebox=self.plan.encoder, key="*", tree=dict(entries))

    async def _ask(self, verb: str, **arguments: Any) -> Any:
        return await self._controller.call(verb, arguments, ANSWER)


def _firstOf(failure: Failure) -> Failure:
    """What failed first of several requests."""
    return failure.value.subFailure if isinstance(failure.value, FirstError) else failure
