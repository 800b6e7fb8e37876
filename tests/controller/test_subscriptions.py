"""Subscriptions: who is asked, what the stream says, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.happenings import Happened, Lost, Refused, Returned, Went
from openmb.controller.questions import ANSWER_TIME
from openmb.controller.subscriptions import HANDED, QUEUE_LIMIT, SUBSCRIPTIONS, Subscription
from openmb.errors import OperationError, Refusal
from openmb.wire import messages as m
from tests.controller.rig import OP, Rig, hello


def event(number: int, text: str = "") -> m.Event:
    return m.Event("found", number, (m.EventField("text", text), m.EventField("number", number)))


def events(first: int, count: int, identifier: int = OP, text: str = "") -> m.Events:
    return m.Events(identifier, first, tuple(event(first + each, text) for each in range(count)))


class SubscriptionTests(SynchronousTestCase):
    """A controller with three middleboxes."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.subscriptions = self.rig.controller.subscriptions

    def asking(self, middlebox: str = "a", flows: str = "*") -> Deferred[Subscription]:
        return Deferred.fromCoroutine(self.subscriptions.open(middlebox, ("found",), flows))

    def opened(self, middlebox: str = "a") -> Subscription:
        asked = self.asking(middlebox)
        for name in "abc" if middlebox == "*" else middlebox:
            self.rig.says(name, m.EventsEnabled(OP))
        return self.successResultOf(asked)

    def taken(self, subscription: Subscription) -> list[Any]:
        return list(self.successResultOf(Deferred.fromCoroutine(subscription.next())))

    def test_one(self) -> None:
        """A named middlebox is asked and answers; its events come in order, packet by packet."""
        asked = self.asking(flows="tcp,tp_dst=80")
        self.assertEqual([m.EnableEvents(OP, ("found",), "tcp,tp_dst=80")], self.rig.sent["a"])
        self.assertEqual([[], []], [self.rig.sent[name] for name in "bc"])
        self.assertNoResult(asked)
        self.rig.says("a", m.EventsEnabled(OP))
        subscription = self.successResultOf(asked)
        waiting = Deferred.fromCoroutine(subscription.next())
        self.assertNoResult(waiting)
        self.rig.says("a", events(0, 2))
        self.assertEqual([Happened("a", event(0))], self.successResultOf(waiting)[:1])

    def test_refused(self) -> None:
        """A named middlebox that refuses, is unknown, or does not answer: there is no subscription."""
        asked = self.asking()
        self.rig.says("a", m.Refused(OP, int(m.MessageType.ENABLE_EVENTS), Refusal.BAD_REQUEST, "no event"))
        self.assertEqual("no event", self.failureResultOf(asked, OperationError).value.reason)
        self.assertEqual(m.DisableEvents(OP), self.rig.sent["a"][-1])
        self.assertEqual(
            Refusal.UNKNOWN_MIDDLEBOX, self.failureResultOf(self.asking("x"), OperationError).value.refusal
        )
        self.assertEqual(Refusal.BAD_REQUEST, self.failureResultOf(self.asking("a", "x"), OperationError).value.refusal)
        late = self.asking()
        self.rig.clock.advance(ANSWER_TIME)
        self.assertEqual(Refusal.DEADLINE, self.failureResultOf(late, OperationError).value.refusal)
        self.rig.says("a", events(0, 1))
        self.assertEqual(m.DisableEvents(OP), self.rig.sent["a"][-1])

    def test_all(self) -> None:
        """Everybody is asked; who has no such event is told of, and the others' events come."""
        asked = self.asking("*")
        self.rig.says("a", m.EventsEnabled(OP), events(0, 1))
        self.rig.says("b", m.Refused(OP, int(m.MessageType.ENABLE_EVENTS), Refusal.BAD_REQUEST, "no event"))
        self.rig.says("c", m.EventsEnabled(OP))
        subscription = self.successResultOf(asked)
        expected = [Happened("a", event(0)), Refused("b", Refusal.BAD_REQUEST, "no event")]
        self.assertEqual(expected, self.taken(subscription))

    def test_newcomers(self) -> None:
        """Whoever registers later is asked too, if it is wanted."""
        everybody, one = self.opened("*"), self.asking("a")
        self.rig.says("a", m.EventsEnabled(OP + 1))
        self.rig.connect(hello("d"))
        self.assertEqual([m.EnableEvents(OP, ("found",), "*")], self.rig.sent["d"])
        self.rig.says("d", m.EventsEnabled(OP), events(0, 1))
        self.assertEqual([Returned("d"), Happened("d", event(0))], self.taken(everybody))
        self.successResultOf(one)

    def test_lostConnection(self) -> None:
        """A middlebox that comes back is asked again; what was lost meanwhile shows in the numbers."""
        subscription = self.opened()
        self.rig.says("a", events(0, 2))
        self.rig.controller.sessionClosed(self.rig.sessions["a"])
        self.rig.connect(hello("a"))
        self.assertEqual([m.EnableEvents(OP, ("found",), "*")], self.rig.sent["a"])
        self.rig.says("a", m.EventsEnabled(OP), events(5, 1))
        expected = [Went("a"), Returned("a"), Lost("a", 3), Happened("a", event(5))]
        self.assertEqual(expected, self.taken(subscription)[2:])
        self.assertEqual((3, 3), (subscription.lost, subscription.taken))

    def test_restarted(self) -> None:
        """Another process counts anew: nothing is said to be lost that nobody can know of."""
        subscription = self.opened()
        self.rig.says("a", events(0, 7))
        self.rig.controller.sessionClosed(self.rig.sessions["a"])
        self.rig.connect(replace(hello("a"), incarnation=b"z" * 16))
        self.rig.says("a", m.EventsEnabled(OP), events(0, 1))
        self.assertEqual([Went("a"), Returned("a"), Happened("a", event(0))], self.taken(subscription)[7:])

    def test_dropped(self) -> None:
        """Events that a middlebox had to drop."""
        subscription = self.opened()
        self.rig.says("a", events(0, 1), events(10, 1))
        self.assertEqual([Happened("a", event(0)), Lost("a", 9), Happened("a", event(10))], self.taken(subscription))

    def test_slow(self) -> None:
        """An application that takes nothing for long misses the oldest, is told how many, and gets the newest."""
        subscription, total, at = self.opened(), 0, 0
        while total < 3 * QUEUE_LIMIT:
            self.rig.says("a", events(at, 100, text="x" * 1000))
            at, total = at + 100, total + 100_000
        found: list[Any] = []
        while not found or not isinstance(found[-1], Happened) or found[-1].event.stamp < at - 1:
            part = self.taken(subscription)
            self.assertLess(len(part), 2 * HANDED // 1000)
            found += part
        self.assertIsInstance(found[0], Lost)
        self.assertIsNone(found[0].middlebox)
        self.assertEqual(at, found[0].number + len(found) - 1)
        self.assertEqual(list(range(found[0].number, at)), [each.event.stamp for each in found[1:]])
        self.assertLess(len(found) * 1000, 1.1 * QUEUE_LIMIT)
        self.assertEqual((found[0].number, len(found) - 1), (subscription.lost, subscription.taken))

    def test_closed(self) -> None:
        """Its middleboxes are told; what waits can be taken; then nothing comes."""
        subscription = self.opened()
        self.rig.says("a", events(0, 1))
        self.subscriptions.close(subscription)
        self.subscriptions.close(subscription)
        self.assertEqual(["EnableEvents", "DisableEvents"], self.rig.types("a"))
        self.assertEqual([Happened("a", event(0))], self.taken(subscription))
        self.assertEqual([], self.taken(subscription))
        with self.assertRaises(OperationError):
            self.subscriptions.find(OP)

    def test_closedWhileWaiting(self) -> None:
        subscription = self.opened()
        waiting = Deferred.fromCoroutine(subscription.next())
        self.rig.controller.shutDown()
        self.assertEqual([], self.successResultOf(waiting))

    def test_cancelled(self) -> None:
        """Whoever waits may give up; later events are taken by the next who asks."""
        subscription = self.opened()
        waiting = Deferred.fromCoroutine(subscription.next())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.rig.says("a", events(0, 1))
        self.assertEqual([Happened("a", event(0))], self.taken(subscription))

    def test_cancelledWhileAsking(self) -> None:
        """An application that goes away before there is an answer leaves nothing behind."""
        asked = self.asking("*")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.rig.says("a", m.EventsEnabled(OP), events(0, 1))
        self.assertEqual(m.DisableEvents(OP), self.rig.sent["a"][-1])
        self.assertEqual([], self.flushLoggedErrors())

    def test_strangers(self) -> None:
        """Events that nobody wants, or of a middlebox that was not asked, are not to come again."""
        subscription = self.opened()
        self.rig.says("b", events(0, 1), events(0, 1, identifier=12345))
        self.assertEqual([m.DisableEvents(OP), m.DisableEvents(12345)], self.rig.sent["b"])
        self.assertNoResult(Deferred.fromCoroutine(subscription.next()))

    def test_many(self) -> None:
        """There is a limit."""
        for each in range(SUBSCRIPTIONS):
            asked = self.asking()
            self.rig.says("a", m.EventsEnabled(OP + each))
            self.successResultOf(asked)
        self.assertEqual(Refusal.BUFFER_FULL, self.failureResultOf(self.asking(), OperationError).value.refusal)
