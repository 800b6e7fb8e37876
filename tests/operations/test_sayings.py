"""The tables of who may say what: they agree with the machines, and with the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.operations import shared
from openmb.operations.move import moveMachine
from openmb.operations.sayings import (
    MOVE_RULES,
    MOVE_STATES,
    REFUSED,
    REFUSED_COMMIT,
    REFUSED_DELETE,
    SHARED_RULES,
    SHARED_STATES,
    Rule,
    Verdict,
    judge,
    tableOf,
)
from openmb.operations.states import builder
from openmb.wire import messages as m

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
#: The fact that each message is.
FACTS = {
    "PREPARED": "prepared",
    "INSTALLED": "installed",
    "HOLDING": "holdingStarted",
    "DIVERT_CONFIRMED": "divertConfirmed",
    "FINISH_CONFIRMED": "finishConfirmed",
    "COMMITTED": "committed",
    "MERGED": "merged",
    "DELETED": "deleted",
    "WINDOW_CLOSED": "windowClosed",
    "UNMARKED": "unmarked",
    "DISCARDED": "discarded",
    REFUSED_COMMIT: "commitRefused",
    REFUSED_DELETE: "deleteRefused",
    REFUSED: "abort",
}


def transitions(of: Any) -> set[tuple[str, str]]:
    """Every fact and state for which a machine has a transition, but the states in which nobody is listened to."""
    every = of._automaton.allTransitions()
    return {(str(fact), state.name) for state, fact, _, _ in every if state.name not in ("idle", "closed")}


class TableTests(SynchronousTestCase):
    """Both tables."""

    def assertAgree(self, rules: tuple[Rule, ...], of: Any, own: set[tuple[str, str]]) -> None:
        told = {(FACTS[rule.message], state) for rule in rules if rule.message in FACTS for state in rule.taken}
        facts = {fact for fact, _ in told}
        known = {(fact, state) for fact, state in transitions(of) if fact in facts}
        self.assertEqual(known - own, told)

    def test_move(self) -> None:
        """What the table lets through a machine understands, and what a machine understands may be said."""
        self.assertAgree(MOVE_RULES, builder, set())
        self.assertTrue(moveMachine)

    def test_shared(self) -> None:
        """The same; a journal that cannot be written is the controller's own word for a refused COMMIT."""
        self.assertAgree(SHARED_RULES, shared.builder, {("commitRefused", "finishing")})

    def test_states(self) -> None:
        """The tables know every state."""
        ends = {"idle", "closed"}
        self.assertEqual(set(MOVE_STATES) | ends, {state.name for state in builder._automaton.states()})
        self.assertEqual(set(SHARED_STATES) | ends, {state.name for state in shared.builder._automaton.states()})

    def test_page(self) -> None:
        """The page shows them."""
        page = PAGE.read_text("utf-8")
        self.assertIn(tableOf(MOVE_RULES, MOVE_STATES), page)
        self.assertIn(tableOf(SHARED_RULES, SHARED_STATES), page)

    def test_onlyTheDestinationRefusesCommit(self) -> None:
        """A source is never given COMMIT, so it cannot refuse it, in no state of anything."""
        refused = m.Refused(7, m.MessageType.COMMIT, Refusal.WRONG_STATE, "no")
        for sort, states in ((m.Sort.MOVE, MOVE_STATES), (m.Sort.CLONE, SHARED_STATES), (m.Sort.MERGE, SHARED_STATES)):
            for state in states:
                self.assertIs(Verdict.WRONG, judge(sort, m.Side.SOURCE, refused, state), state)
        self.assertIs(Verdict.TAKEN, judge(m.Sort.MOVE, m.Side.DESTINATION, refused, "committing"))

    def test_nobodySpeaksForTheOther(self) -> None:
        """Frames are of one's own stream, credit is for the other's."""
        for side, other in ((m.Side.SOURCE, m.Side.DESTINATION), (m.Side.DESTINATION, m.Side.SOURCE)):
            for state in MOVE_STATES:
                frame, credit = m.StreamFrame(7, other, 0, m.StreamType.RECORDS, b"", b""), m.Credit(7, side, 0)
                self.assertIs(Verdict.WRONG, judge(m.Sort.MOVE, side, frame, state))
                self.assertIs(Verdict.WRONG, judge(m.Sort.MOVE, side, credit, state))

    def test_streamsStayOpen(self) -> None:
        """Who may send frames or credit once may do it to the end: a relay need not ask again."""
        early = ("preparing", "exporting", "installed", "holding", "diverting")
        for rules, every, before in ((MOVE_RULES, MOVE_STATES, early), (SHARED_RULES, SHARED_STATES, early[:1])):
            for rule in (rule for rule in rules if rule.message in ("STREAM", "CREDIT")):
                closed = tuple(state for state in every if state not in rule.taken)
                self.assertEqual(before[: len(closed)], closed, "what is not open yet is the beginning")
        later = {state.name for state, _, after, _ in builder._automaton.allTransitions() if after.name in early}
        self.assertEqual(set(), later - {"idle", *early})

    def test_unknownRequest(self) -> None:
        """A refusal of something that there is not."""
        self.assertIs(
            Verdict.WRONG, judge(m.Sort.MOVE, m.Side.SOURCE, m.Refused(7, 255, Refusal.ABORTED, ""), "routing")
        )
