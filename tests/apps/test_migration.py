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

    @param refused: the verb that is refused, and which request of it, from 1.
    @ivar asked: verbs with what they are about.
    """

    def __init__(self, refused: tuple[str, int] = ("", 1), caches: str = "1") -> None:
        self.asked: list[tuple[str, Any]] = []
        self.finishing: Deferred[Any] | None = None
        self.onNotice: OnNotice | None = None
        self._refused, self._caches = refused, caches

    async def call(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        timeout: float | None,  # noqa: ASYNC109 - as the real one has it
        onNotice: OnNotice | None = None,
    ) -> Any:
        assert timeout is not None
        tree = arguments.get("tree")
        about = arguments.get("route", arguments.get("destination", arguments.get("operation", tree)))
        self.asked.append((verb, about))
        if (verb, sum(each == verb for each, _ in self.asked)) == self._refused:
            raise OperationError(Refusal.WRONG_STATE, "no")
        if verb == "finishClone":
            self.finishing, self.onNotice = Deferred(), onNotice
            return await self.finishing
        tree = {"NumCaches": [self._caches], "CacheFlows": ["10.0.0.0/16"]}
        return {"readConfig": tree, "cloneSupport": {"operation": "17"}}.get(verb, {"records": 1})

    def stage(self, name: str) -> None:
        """C{finishClone} has come so far."""
        assert self.onNotice is not None
        self.onNotice({"stage": name})

    def finish(self, result: Any) -> None:
        """C{finishClone} is answered."""
        assert self.finishing is not None
        self.finishing.callback(result) if isinstance(result, dict) else self.finishing.errback(result)


BEFORE = {"NumCaches": ["1"], "CacheFlows": ["10.0.0.0/16"]}
SECOND = ("writeConfig", {"CacheFlows": ["10.0.1.0/24", "10.0.2.0/24"]})
THERE = [("route", ROUTES[0]), ("route", ROUTES[1]), SECOND]
TAKEN_BACK = [("unroute", ROUTES[0]), ("unroute", ROUTES[1]), ("writeConfig", BEFORE)]


class MigrationTests(SynchronousTestCase):
    """There and back."""

    def begin(self, refused: tuple[str, int] = ("", 1)) -> tuple[Northbound, Deferred[Any], Migration]:
        """Begin the way there."""
        northbound = Northbound(refused)
        migration = Migration(northbound, PLAN, lambda what: None)
        return northbound, Deferred.fromCoroutine(migration.migrate()), migration

    def test_there(self) -> None:
        """Route and caches change when the copy is the destination's own, not before, and not only when all is over."""
        northbound, running, _ = self.begin()
        verbs = ["readConfig", "readConfig", "writeConfig", "cloneSupport", "writeConfig", "finishClone"]
        self.assertEqual(verbs, [verb for verb, _ in northbound.asked])
        northbound.stage("finishing")
        self.assertEqual(6, len(northbound.asked))
        northbound.stage("merged")
        self.assertEqual(THERE, northbound.asked[6:])
        self.assertNoResult(running)
        northbound.finish({"stage": "finished"})
        self.assertEqual({"stage": "finished"}, self.successResultOf(running))

    def test_back(self) -> None:
        """The copy goes back first; what is left is merged behind the route; the encoder is as it was."""
        northbound, running, migration = self.begin()
        northbound.finish({"stage": "finished"})
        self.successResultOf(running)
        northbound.asked.clear()
        running = Deferred.fromCoroutine(migration.undo())
        northbound.stage("merged")
        northbound.finish({"stage": "finished"})
        self.successResultOf(running)
        verbs = ["cloneSupport", "finishClone", "unroute", "unroute", "mergeInternal", "writeConfig"]
        self.assertEqual(verbs, [verb for verb, _ in northbound.asked])
        self.assertEqual(BEFORE, northbound.asked[-1][1])

    def test_withoutNotices(self) -> None:
        """Whoever hears of no stages changes the route in the end."""
        northbound, running, _ = self.begin()
        northbound.finish({"stage": "finished"})
        self.successResultOf(running)
        self.assertEqual(THERE, northbound.asked[6:])

    def test_aborted(self) -> None:
        """If the copy does not become the destination's own the route stays, and everything is taken back."""
        northbound, running, _ = self.begin()
        northbound.finish(OperationError(Refusal.ABORTED, "too late"))
        self.assertEqual("too late", str(self.failureResultOf(running, OperationError).value))
        self.assertEqual([("abort", "17"), ("writeConfig", BEFORE)], northbound.asked[6:])

    def test_refused(self) -> None:
        """What is refused ends it there; no clone goes on, no route leads there, and the encoder is as it was."""
        for refused, after in (
            (("readConfig", 1), []),
            (("readConfig", 2), []),
            (("writeConfig", 1), []),
            (("cloneSupport", 1), []),
            (("writeConfig", 2), [("abort", "17"), ("writeConfig", BEFORE)]),
            (("finishClone", 1), [("abort", "17"), ("writeConfig", BEFORE)]),
        ):
            northbound, running, _ = self.begin(refused)
            self.failureResultOf(running, OperationError)
            rest = [each for each in northbound.asked[4:] if each[0] in ("abort", "unroute") or each[1] == BEFORE]
            self.assertEqual(after, rest, refused)
        northbound, running, _ = self.begin(("route", 2))
        northbound.stage("merged")
        northbound.finish({"stage": "finished"})
        self.failureResultOf(running, OperationError)
        self.assertEqual(TAKEN_BACK, northbound.asked[9:])

    def test_severalCaches(self) -> None:
        """An encoder that has several caches already is left alone."""
        northbound = Northbound(caches="2")
        running = Deferred.fromCoroutine(Migration(northbound, PLAN, lambda what: None).migrate())
        self.assertIn("several caches", str(self.failureResultOf(running, OperationError).value))
        self.assertEqual(["readConfig"], [verb for verb, _ in northbound.asked])
