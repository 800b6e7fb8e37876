"""Routes in JSON."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Route
from openmb.rpc.routes import placeFromPlain, routeFromPlain, routeToPlain
from openmb.state.headers import HeaderFieldList

ROUTE = Route(HeaderFieldList.parse("tcp,tp_dst=80"), ("a", "b"), "chain", 7, "out", True)
TEXT = (
    '{"flows": "tcp,tp_dst=80", "path": ["a", "b"], "table": "chain", "priority": 7, "egress": "out", "oneWay": true}'
)


class RouteTests(SynchronousTestCase):
    """To JSON and back."""

    def test_golden(self) -> None:
        self.assertEqual(json.dumps(routeToPlain(ROUTE)), TEXT)
        self.assertEqual(routeFromPlain(json.loads(TEXT)), ROUTE)

    def test_roundTrip(self) -> None:
        route = Route(HeaderFieldList.parse("*"), ())
        self.assertEqual(routeFromPlain(json.loads(json.dumps(routeToPlain(route)))), route)

    def test_leadsNowhere(self) -> None:
        """A route without a path drops only if it says so; one that says so leads nowhere; an egress is somewhere."""
        plain = {**json.loads(TEXT), "path": [], "egress": None}
        for wrong in (plain, {**plain, "drop": False}, {**plain, "drop": 1}, {**json.loads(TEXT), "drop": True}):
            with self.assertRaises(OperationError) as caught:
                routeFromPlain(wrong)
            self.assertEqual(Refusal.BAD_REQUEST, caught.exception.refusal)
        self.assertTrue(routeFromPlain({**plain, "drop": True}).drops)
        self.assertFalse(routeFromPlain({**plain, "egress": "out"}).drops)
        self.assertTrue(placeFromPlain(plain).replaces(ROUTE))

    def test_withoutDirection(self) -> None:
        """Who does not know of directions means both."""
        plain = {name: value for name, value in json.loads(TEXT).items() if name != "oneWay"}
        self.assertFalse(routeFromPlain(plain).oneWay)

    def test_junk(self) -> None:
        """Each field missing, or of another kind."""
        plain = json.loads(TEXT)
        values = [1], {"a": 1}, 1.5, True
        needed = [field for field in plain if field != "oneWay"]
        strange = [{**plain, field: value} for field in needed for value in values if field != "priority"]
        missing = [{name: plain[name] for name in plain if name != field} for field in needed]
        missing += [{**plain, "oneWay": value} for value in (1, None, "true")]
        more = [{**plain, "flows": "tcp,nonsense"}, {**plain, "priority": "7"}, {**plain, "path": "ab"}]
        more += [{**plain, "priority": True}, {**plain, "priority": 7.0}]
        more += [{**plain, "priority": each} for each in (-5, 65536, 2**63, 10**30)]
        more += [{**plain, "table": each} for each in ("", "t" * 65, "a\nb", "\x1b[2J", "größe")]
        more += [{**plain, "path": ["a\n"]}, {**plain, "path": ["a"] * 65}, {**plain, "egress": "\x1b"}]
        junk: object
        for junk in (None, 1, "x", [], {}, *missing, *strange, *more):
            with self.assertRaises(OperationError) as caught:
                routeFromPlain(junk)
            self.assertEqual(caught.exception.refusal, Refusal.BAD_REQUEST, junk)
