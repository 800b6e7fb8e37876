"""Questions of the controller, and configuration through it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.questions import ANSWER_TIME
from openmb.errors import OperationError, Refusal
from openmb.wire import messages as m
from tests.controller.rig import NONCE, OP, Rig

ENTRY = m.ConfigurationEntry("log/flush", ("2",))
OTHER = b"x" * 32


class InquirerTests(SynchronousTestCase):
    """A controller with three middleboxes; C{a} is asked."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.controller = self.rig.controller

    def asked(self, question: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(question)

    def refusal(self, asked: Deferred[Any]) -> Refusal:
        return Refusal(self.failureResultOf(asked, OperationError).value.refusal)

    def test_read(self) -> None:
        asked = self.asked(self.controller.readConfig("a", "log"))
        self.assertEqual([m.GetConfiguration(OP, "log")], self.rig.sent["a"])
        self.rig.says("a", m.ConfigurationAnswer(OP, (ENTRY,)))
        self.assertEqual({"log/flush": ("2",)}, self.successResultOf(asked))

    def test_write(self) -> None:
        """A key's values, and a tree; both as one message."""
        asked = self.asked(self.controller.writeConfig("a", "log/flush", ["2"]))
        self.assertEqual([m.SetConfiguration(OP, (ENTRY,))], self.rig.sent["a"])
        self.rig.says("a", m.Configured(OP, bytes(32)))
        self.assertIsNone(self.successResultOf(asked))
        self.asked(self.controller.writeConfig("a", "*", {"log/flush": ("2",), "a": ()})).addErrback(lambda _: None)
        entries = (ENTRY, m.ConfigurationEntry("a", ()))
        self.assertEqual(m.SetConfiguration(OP + 1, entries), self.rig.sent["a"][-1])

    def test_delete(self) -> None:
        asked = self.asked(self.controller.delConfig("a", "*"))
        self.assertEqual([m.DeleteConfiguration(OP, "*")], self.rig.sent["a"])
        self.rig.says("a", m.Configured(OP, bytes(32)))
        self.successResultOf(asked)

    def test_badBeforehand(self) -> None:
        """What cannot be asked is refused here."""
        for question in (
            self.controller.readConfig("a", "a//b"),
            self.controller.writeConfig("a", "*", ["x"]),
            self.controller.writeConfig("a", "log", {"other": ("x",)}),
            self.controller.delConfig("a", ""),
        ):
            self.assertEqual(Refusal.BAD_REQUEST, self.refusal(self.asked(question)))
        self.assertEqual([], self.rig.sent["a"])
        self.assertEqual(Refusal.UNKNOWN_MIDDLEBOX, self.refusal(self.asked(self.controller.readConfig("x"))))

    def test_refused(self) -> None:
        asked = self.asked(self.controller.writeConfig("a", "log/flush", ["2"]))
        self.rig.says("a", m.Refused(OP, int(m.MessageType.SET_CONFIGURATION), Refusal.WRONG_STATE, "not now"))
        self.assertEqual(Refusal.WRONG_STATE, self.refusal(asked))
        self.controller.startMove("a", "b", "tcp")

    def test_nobodyAnswersForOthers(self) -> None:
        """Another middlebox's answer, and one of another kind, are none."""
        asked = self.asked(self.controller.readConfig("a"))
        self.rig.says("b", m.ConfigurationAnswer(OP, ()), m.Refused(OP, 0, Refusal.ABORTED, "no"))
        self.rig.says("a", m.StatsAnswer(OP, ()))
        self.assertNoResult(asked)
        self.rig.says("a", m.ConfigurationAnswer(OP, ()))
        self.assertEqual({}, self.successResultOf(asked))

    def test_disconnected(self) -> None:
        """Who goes away does not answer; another session of the same name is not asked again."""
        asked = self.asked(self.controller.stats("a", "tcp"))
        self.controller.sessionClosed(self.rig.sessions["a"])
        self.assertEqual(Refusal.DISCONNECTED, self.refusal(asked))
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_governing(self) -> None:
        """A new digest counts from its answer on: for the next move, as a HELLO's would."""
        self.asked(self.controller.writeConfig("a", "net", ["x"]))
        self.rig.says("a", m.Configured(OP, OTHER))
        with self.assertRaises(OperationError) as caught:
            self.controller.startMove("a", "b", "tcp")
        self.assertEqual(Refusal.INCOMPATIBLE_RECORDS, caught.exception.refusal)
        self.asked(self.controller.writeConfig("b", "net", ["x"]))
        self.rig.says("b", m.Configured(OP + 1, OTHER))
        self.controller.startMove("a", "b", "tcp")

    def test_unsure(self) -> None:
        """No move while nobody knows whether a change was done; a late answer tells, and so does a new session."""
        asked = self.asked(self.controller.writeConfig("b", "net", ["x"]))
        for _ in range(2):
            with self.assertRaises(OperationError) as caught:
                self.controller.startMove("a", "b", "tcp")
            self.assertEqual(Refusal.WRONG_STATE, caught.exception.refusal)
            self.rig.clock.advance(ANSWER_TIME)
        self.assertEqual(Refusal.DEADLINE, self.refusal(asked))
        self.rig.says("b", m.Configured(OP, self.rig.sessions["b"].hello.governing))
        self.controller.startMove("a", "b", "tcp")

    def test_changedUnderAMove(self) -> None:
        """The change was on its way when the move began: it ends before anything is moved."""
        move = self.controller.startMove("a", "b", "tcp")
        self.asked(self.controller.writeConfig("a", "net", ["x"]))
        self.rig.says("b", m.Prepared(OP, NONCE))
        self.rig.says("a", m.Configured(OP + 1, OTHER))
        self.assertEqual(Refusal.INCOMPATIBLE_RECORDS, move.report.refusal)
        self.assertEqual("Unmark", self.rig.types("a")[-1])

    def test_changedWithoutGoverning(self) -> None:
        """What governs no records does not concern a move."""
        move = self.controller.startMove("a", "b", "tcp")
        self.asked(self.controller.writeConfig("a", "log", ["x"]))
        self.rig.says("a", m.Configured(OP + 1, self.rig.sessions["a"].hello.governing))
        self.assertIsNone(move.report.refusal)
