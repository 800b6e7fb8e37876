"""What a move would do: the new route is as the one that carries the flows now."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.planning import Plan, Wishes, plan
from openmb.interfaces import Route
from openmb.state.headers import HeaderFieldList

UDP = HeaderFieldList.parse("udp")


def route(text: str, *path: str, table: str = "monitor", priority: int = 100, egress: str | None = None) -> Route:
    """A route of these flows."""
    return Route(HeaderFieldList.parse(text), path, table, priority, egress)


class PlanningTests(SynchronousTestCase):
    """Routes in the order in which they are tried."""

    def plan(self, *routes: Route, wishes: Wishes | None = None, records: int = 5) -> Plan:
        """A move of all datagrams from a to b."""
        return plan("a", "b", UDP, wishes or Wishes(), routes, records)

    def test_inherited(self) -> None:
        """Table, priority, egress, and the rest of the path."""
        now = route("*", "x", "a", "y", table="inline", priority=300, egress="out")
        planned = self.plan(now)
        self.assertEqual((now, ()), (planned.carrying, planned.doubts))
        self.assertEqual(route("udp", "x", "b", "y", table="inline", priority=300, egress="out"), planned.route)

    def test_wishes(self) -> None:
        now = route("*", "a", table="inline", priority=300, egress="out")
        planned = self.plan(now, wishes=Wishes(priority=400, egress="other"))
        self.assertEqual(route("udp", "b", table="inline", priority=400, egress="other"), planned.route)
        self.assertIsNone(self.plan(now, wishes=Wishes(egress="")).route.egress)

    def test_lowPriority(self) -> None:
        """A new route is of priority 100 at least; one that would never win is doubted."""
        self.assertEqual(100, self.plan(route("*", "a", priority=10)).route.priority)
        (doubt,) = self.plan(route("*", "a", priority=300), wishes=Wishes(priority=200)).doubts
        self.assertIn("never wins", doubt)

    def test_elsewhere(self) -> None:
        """The first route that matches decides: what lies behind it is not where the flows go."""
        planned = self.plan(route("udp", "c", priority=200), route("*", "a"))
        self.assertEqual(None, planned.carrying)
        self.assertIn("no route takes udp to a", planned.doubts)
        planned = self.plan(route("tcp", "c", priority=200), route("*", "a"))
        self.assertEqual(route("*", "a"), planned.carrying)

    def test_someAreElsewhere(self) -> None:
        """Some of the flows go elsewhere, by a narrower route: the others are carried all the same."""
        planned = self.plan(route("udp,tp_dst=53", "c", priority=200), route("*", "a"))
        self.assertEqual((route("*", "a"), ()), (planned.carrying, planned.doubts))

    def test_tables(self) -> None:
        """A copy in another table counts, unless the table is named."""
        other = route("*", "a", table="second")
        self.assertEqual("second", self.plan(route("*", "c"), other).route.table)
        self.assertIsNone(self.plan(route("*", "c"), other, wishes=Wishes(table="monitor")).carrying)

    def test_nothing(self) -> None:
        self.assertIn("a has no records of udp", self.plan(route("*", "a"), records=0).doubts)
