"""The migration application: in which order it asks for what, and what it does when something is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from openmb.apps.migration import Migration, Plan
from openmb.errors import OperationError, Refusal

OnNotice = Callable[[Mapping[str, Any]], None]
ROUTES = ({"flows": "there"}, {"flows": "back"})
PLAN = Plan("encoder", "old", "new", "10.0.1.0/24", "10.0.2.0/24", ROUTES)


class Northbound:
    """
    The northbound interface: everything is done at once, but C{finishClone}, which the test tells what to say.

    @ivar asked: verbs with what they are about.
    """

    def __init__(self, refused: str = "") -> None:
        self.asked: list[tuple[str, Any]] = []
        self.finishing: Deferred[Any] | None = None
        self.onNotice: OnNotice | None = None
        self._refused = refused

    async def call(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        timeout: float | None,  # noqa: ASYNC109 - as the real one has it
        onNotice: OnNotice | None = None,
    ) -> Any:
        assert timeout is not None
        about = arguments.get("route", arguments.get("key", arguments.get("destination", arguments.get("operation"))))
        self.asked.append((verb, about))
        if verb == self._refused:
            raise OperationError(Refusal.WRONG_STATE, "no")
        if verb == "finishClone":
            self.finishing, self.onNotice = Deferred(), onNotice
            return await self.finishing
        return {"readConfig": {"Keeps": []}, "cloneSupport": {"operation": "17"}}.get(verb, {"records": 1})

    def stage(self, name: str) -> None:
        """C{finishClone} has come so far."""
        assert self.onNotice is not None
        self.onNotice({"stage": name})


class MigrationTests(SynchronousTestCase):
    """There and back."""

    def begin(self, verb: str, refused: str = "") -> tuple[Northbound, Deferred[Any]]:
        """Begin one of the two."""
        northbound = Northbound(refused)
        migration = Migration(northbound, PLAN, lambda what: None)
        return northbound, Deferred.fromCoroutine(getattr(migration, verb)())

    def test_there(self) -> None:
        """The route changes when the copy is the destination's own, not before, and not only when all is over."""
        northbound, running = self.begin("migrate")
        before = ["*", "*", "new", "NumCaches", "CacheFlows", "17"]
        self.assertEqual(before, [about for _, about in northbound.asked])
        northbound.stage("finishing")
        self.assertEqual(6, len(northbound.asked))
        northbound.stage("merged")
        self.assertEqual([("route", ROUTES[0]), ("route", ROUTES[1])], northbound.asked[6:])
        self.assertNoResult(running)
        assert northbound.finishing is not None
        northbound.finishing.callback({"stage": "finished"})
        self.assertEqual({"stage": "finished"}, self.successResultOf(running))

    def test_back(self) -> None:
        """The copy goes back first; what is left is merged behind the route."""
        northbound, running = self.begin("undo")
        northbound.stage("merged")
        assert northbound.finishing is not None
        northbound.finishing.callback({"stage": "finished"})
        self.successResultOf(running)
        verbs = ["cloneSupport", "finishClone", "unroute", "unroute", "mergeInternal", "writeConfig"]
        self.assertEqual(verbs, [verb for verb, _ in northbound.asked])

    def test_withoutNotices(self) -> None:
        """Whoever hears of no stages changes the route in the end."""
        northbound, running = self.begin("migrate")
        assert northbound.finishing is not None
        northbound.finishing.callback({"stage": "finished"})
        self.successResultOf(running)
        self.assertEqual(["route", "route"], [verb for verb, _ in northbound.asked[6:]])

    def test_aborted(self) -> None:
        """If the copy does not become the destination's own the route stays."""
        northbound, running = self.begin("migrate")
        assert northbound.finishing is not None
        northbound.finishing.errback(OperationError(Refusal.ABORTED, "too late"))
        self.assertEqual("too late", str(self.failureResultOf(running, OperationError).value))
        self.assertEqual(6, len(northbound.asked))

    def test_refused(self) -> None:
        """What is refused ends it there."""
        for verb, asked in (("readConfig", 1), ("writeConfig", 2), ("cloneSupport", 3), ("finishClone", 6)):
            northbound, running = self.begin("migrate", verb)
            self.failureResultOf(running, OperationError)
            self.assertEqual(asked, len(northbound.asked), verb)
