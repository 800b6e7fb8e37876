"""
Moves some receivers of a redundancy-eliminating path to another decoder, and back: nothing becomes undecodable.

The steps are those of the original's use case, with the route last: the copy of the decoder's cache follows every
change until it is the other decoder's own, and in that moment the route changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from openmb.apps.relay import Northbound

#: Seconds that a question, and that a clone or merge, may take.
ANSWER, PATIENCE = 15.0, 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What moves where.

    @ivar encoder: its name; C{old}, C{new}: the decoders'.
    @ivar staying: destinations of the packets that stay with the old decoder, as C{CacheFlows} has them; C{moving}: of
        those that go to the new one.
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

    async def migrate(self) -> dict[str, Any]:
        """
        The receivers that move get a cache and a decoder of their own.

        @return: the report of the clone.
        @raise OperationError: something was refused; what was done so far stays, and L{undo} takes it back.
        """
        plan = self.plan
        self._watch("copying the configuration")
        tree = await self._ask("readConfig", middlebox=plan.old, key="*")
        await self._ask("writeConfig", middlebox=plan.new, key="*", tree=tree)
        operation = await self._clone(plan.old, plan.new)
        self._watch("a second cache at the encoder")
        await self._ask("writeConfig", middlebox=plan.encoder, key="NumCaches", values=["2"])
        await self._ask("writeConfig", middlebox=plan.encoder, key="CacheFlows", values=[plan.staying, plan.moving])
        return await self._handOver(operation, "route")

    async def undo(self) -> dict[str, Any]:
        """
        All receivers are with the old decoder again, which has what the new one held and counted.

        A merge alone would leave the new decoder with nothing while packets still come to it; so the caches are cloned
        back, the route is changed, and what is left is merged: the same packets are the same, whichever way they come.

        @return: the report of the merge.
        @raise OperationError: something was refused.
        """
        plan = self.plan
        await self._handOver(await self._clone(plan.new, plan.old), "unroute")
        self._watch("merging what is left")
        ends = {"source": plan.new, "destination": plan.old}
        report: dict[str, Any] = await self._controller.call("mergeInternal", ends, PATIENCE)
        self._watch("one cache at the encoder")
        # at one stroke: no cache may be left without its flows in between
        tree = {"CacheFlows": [f"{plan.staying},{plan.moving}"], "NumCaches": ["1"]}
        await self._ask("writeConfig", middlebox=plan.encoder, key="*", tree=tree)
        return report

    async def _clone(self, source: str, destination: str) -> str:
        """Copy the caches and keep the copy current; the operation."""
        self._watch(f"cloning the caches of {source}")
        ends = {"source": source, "destination": destination, "finish": False}
        report = await self._controller.call("cloneSupport", ends, PATIENCE)
        return str(report["operation"])

    async def _handOver(self, operation: str, verb: str) -> dict[str, Any]:
        """End the clone, and change the route in the moment in which the copy is the destination's own."""
        self._watch("ending the clone")
        changing: list[Deferred[None]] = []

        def noticed(report: Mapping[str, Any]) -> None:
            if report.get("stage") == "merged" and not changing:
                changing.append(Deferred.fromCoroutine(self._change(verb)))

        what = {"operation": operation}
        report: dict[str, Any] = await self._controller.call("finishClone", what, PATIENCE, noticed)
        await (changing[0] if changing else self._change(verb))
        return report

    async def _change(self, verb: str) -> None:
        self._watch("changing the route")
        for route in self.plan.routes:
            await self._ask(verb, route=route)

    async def _ask(self, verb: str, **arguments: Any) -> Any:
        return await self._controller.call(verb, arguments, ANSWER)
