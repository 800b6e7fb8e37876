"""The move machine does what the table in docs/handover.md says, row by row, and never leaves a caller waiting."""

from __future__ import annotations

import random
import re
from pathlib import Path

from automat import NoTransition
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.operations.facts import MoveCore, MoveInputs
from openmb.operations.journal import Step
from openmb.operations.move import moveMachine
from openmb.operations.states import EVERY
from openmb.operations.values import MoveRequest, MoveSettings, Stage
from openmb.wire import messages as m

PAGE = Path(__file__).parents[2] / "docs" / "handover.md"

#: How the table's words for an act show in what the machine asked for.
ACTS = {
    "PREPARE": "dst Prepare",
    "GET": "src Get",
    "HOLD": "dst Hold",
    "DIVERT": "src Divert",
    "COMMIT": "dst Commit",
    "SOURCE_GONE": "dst SourceGone",
    "DELETE": "src Delete",
    "the owner is lost: DELETE": "src Delete",
    "CLOSE": "src Close",
    "DISCARD": "dst Discard",
    "UNMARK": "src Unmark",
    "ask the network": "setRoute",
    "journal ROUTE with the old and the new rule, ask the network": "setRoute",
    "ask the network for the old route": "setRouteBack",
    "old route": "setRouteBack",
    "tell the application": "reached",
    "markers": "startMarkers",
    "markers to the destination": "startMarkers",
    "end markers": "stopMarkers",
}

#: The facts that lead from idle to each state.
WAYS: dict[str, tuple[str, ...]] = {"idle": ()}
for before, fact, state in (
    ("idle", "begin", "preparing"),
    ("preparing", "prepared", "exporting"),
    ("exporting", "installed", "installed"),
    ("installed", "switchOver", "holding"),
    ("holding", "holdingStarted", "diverting"),
    ("diverting", "divertConfirmed", "routing"),
    ("routing", "routed", "committing"),
    ("committing", "committed", "draining"),
    ("draining", "merged", "deleting"),
    ("deleting", "deleted", "window"),
    ("window", "windowClosed", "closed"),
    ("routing", "sourceDied", "routingAlone"),
    ("idle", "recoverRoute", "recoveringRoute"),
    ("recoveringRoute", "sourceDied", "recoveringAlone"),
    ("routing", "routeFailed", "settingBack"),
    ("routing", "destinationDied", "settingBackToSource"),
    ("settingBack", "sourceDied", "settingBackToDestination"),
    ("settingBackToSource", "unmarked", "awaitingRoute"),
    ("preparing", "abort", "aborting"),
    ("aborting", "discarded", "awaitingSource"),
    ("aborting", "unmarked", "awaitingDestination"),
):
    WAYS[state] = (*WAYS[before], fact)

ARGUMENTS: dict[str, tuple[object, ...]] = {
    "prepared": (bytes(16),),
    "discarded": (0,),
    "recoverAbort": ("restarted",),
    "recoverBack": ("restarted",),
    "abort": (Refusal.ABORTED, "enough"),
    "commitRefused": (Refusal.WRONG_STATE, "not now"),
    "routeFailed": ("the switch says no",),
}


class Recorder:
    """Writes down what the machine asks for, in order."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.stages: list[Stage] = []
        self.reasons: list[Refusal] = []
        self.unwritable: set[Step] = set()

    def journal(self, step: Step, reason: str = "") -> bool:
        if step in self.unwritable:
            return False
        self.acts.append(f"journal {step.name}")
        return True

    def toSource(self, message: m.Message) -> None:
        self.acts.append(f"src {type(message).__name__}")

    def toDestination(self, message: m.Message) -> None:
        self.acts.append(f"dst {type(message).__name__}")

    def setRoute(self) -> None:
        self.acts.append("setRoute")

    def setRouteBack(self) -> None:
        self.acts.append("setRouteBack")

    def startMarkers(self, back: bool) -> None:
        self.acts.append("startMarkers")

    def stopMarkers(self) -> None:
        self.acts.append("stopMarkers")

    def expect(self, wait: str) -> None:
        self.acts.append(f"expect {wait}")

    def reached(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.acts.append("reached")

    def failed(self, refusal: Refusal, reason: str) -> None:
        self.reasons.append(refusal)


REQUEST = MoveRequest(7, m.Peer("a", b"a" * 16), m.Peer("b", b"b" * 16), "tcp", b"t" * 16, MoveSettings())


class Run:
    """One machine, driven fact by fact."""

    def __init__(self, *facts: str) -> None:
        self.recorder = Recorder()
        self.machine = moveMachine(MoveCore(REQUEST, self.recorder))
        for fact in facts:
            self.tell(fact)

    def tell(self, fact: str) -> list[str]:
        """What the machine does about one fact."""
        before = len(self.recorder.acts)
        getattr(self.machine, fact)(*ARGUMENTS.get(fact, ()))
        return self.recorder.acts[before:]

    @property
    def state(self) -> str:
        return str(self.machine.__automat_transitioner__._state.name)  # type: ignore[attr-defined]


def documented() -> list[tuple[str, str, str, list[str]]]:
    """The rows of the table: state, fact, next state, acts."""
    section = PAGE.read_text().split("## The operation at the controller")[1].split("\n## ")[0]
    rows = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if len(cells) == 4 and cells[0] not in ("state", "---|---|---|---"):
            rows.append((cells[0], cells[1], cells[2], re.split("; ", re.sub(r" \(.*?\)| to both", "", cells[3]))))
    return rows


def stateNames(text: str) -> list[str]:
    """The states that a cell of the table names."""
    if text == "preparing … diverting":
        return ["preparing", "exporting", "installed", "holding", "diverting"]
    return text.replace("awaiting…", "awaitingSource, awaitingDestination").split(", ")


class TableTests(SynchronousTestCase):
    """The table of the page and the machine agree."""

    def test_everyRow(self) -> None:
        checked = 0
        for states, facts, following, acts in documented():
            if "…" in following or "as routing" in acts[0]:
                continue
            for state in stateNames(states):
                for fact in facts.split(", "):
                    run = Run(*WAYS[state])
                    self.assertEqual(run.state, state)
                    done = run.tell(fact)
                    self.assertEqual(run.state, state if following == "same" else following, (state, fact))
                    asides = ("–", "later no", "the operation ends")
                    wanted = [ACTS.get(act, act) for act in acts if not act.startswith(asides)]
                    positions = [done.index(act) for act in wanted]
                    self.assertEqual(positions, sorted(positions), (state, fact, done))
                    checked += 1
        self.assertGreater(checked, 35)

    def test_journalBeforeAct(self) -> None:
        """Each decision is written before the message or request that carries it out."""
        run = Run(*WAYS["closed"])
        acts = run.recorder.acts
        for step, act in (
            ("OPEN", "dst Prepare"),
            ("SWITCHING", "dst Hold"),
            ("COMMIT", "dst Commit"),
            ("COMMITTED", "src Delete"),
            ("CLOSED", "src Close"),
        ):
            self.assertLess(acts.index(f"journal {step}"), acts.index(act))


class UnwritableJournalTests(SynchronousTestCase):
    """What must be durable before its act, and cannot be written, is not acted on."""

    def run_(self, step: Step, *facts: str) -> Run:
        run = Run()
        run.recorder.unwritable.add(step)
        for fact in facts:
            run.tell(fact)
        return run

    def test_open(self) -> None:
        run = self.run_(Step.OPEN, "begin")
        self.assertEqual(run.state, "aborting")
        self.assertNotIn("dst Prepare", run.recorder.acts)
        self.assertEqual(run.recorder.reasons, [Refusal.JOURNAL_FAILED])

    def test_commit(self) -> None:
        run = self.run_(Step.COMMIT, *WAYS["committing"])
        self.assertEqual(run.state, "settingBack")
        self.assertNotIn("dst Commit", run.recorder.acts)
        self.assertNotIn("startMarkers", run.recorder.acts)
        self.assertEqual(run.recorder.reasons, [Refusal.JOURNAL_FAILED])

    def test_commitWithoutTheSource(self) -> None:
        run = self.run_(Step.COMMIT, *WAYS["routingAlone"], "routed")
        self.assertEqual((run.state, run.recorder.acts.count("dst Commit")), ("settingBack", 0))

    def test_others(self) -> None:
        """The entry before leads to the same end: the operation goes on."""
        run = Run()
        run.recorder.unwritable.update({Step.SWITCHING, Step.DRAINING, Step.COMMITTED, Step.CLOSED})
        for fact in WAYS["closed"]:
            run.tell(fact)
        self.assertEqual((run.state, run.recorder.reasons), ("closed", []))


class EveryFactInEveryStateTests(SynchronousTestCase):
    """Death, deadline and abort are declared everywhere; after them the operation always ends."""

    def test_alwaysDeclared(self) -> None:
        names = {state.name for state in EVERY} - {"idle"}
        self.assertEqual(names, set(WAYS) - {"idle"})
        for state in names:
            for fact in ("abort", "sourceDied", "destinationDied"):
                Run(*WAYS[state]).tell(fact)
            if state != "closed":
                Run(*WAYS[state]).tell("deadline")

    def test_deadlinesEndEverything(self) -> None:
        """If nobody answers any more, a few deadlines lead to the end."""
        for state in set(WAYS) - {"idle"}:
            run = Run(*WAYS[state])
            for _ in range(4):
                if run.state != "closed":
                    run.tell("deadline")
            self.assertEqual(run.state, "closed", state)

    def test_randomFacts(self) -> None:
        """Facts in any order that the middleboxes could produce never raise; an end is announced once."""
        facts = ["abort", "deadline", "sourceDied", "destinationDied", "discarded", "unmarked", "routedBack"]
        forward = list(WAYS["closed"])
        for seed in range(2000):
            rng = random.Random(seed)
            run = Run()
            ahead = iter(forward)
            for _ in range(rng.randrange(3, 25)):
                fact = next(ahead, None) if rng.random() < 0.75 else rng.choice(facts)
                if fact is None or (fact == "begin") is not (run.state == "idle"):
                    continue
                try:
                    run.tell(fact)
                except NoTransition:
                    # only an answer to a question that was never asked may be unknown
                    self.assertIn(fact, (*forward, "discarded", "unmarked", "routedBack"))
            ends = [s for s in run.recorder.stages if s in (Stage.FINISHED, Stage.ABORTED, Stage.FAILED)]
            self.assertEqual(len(ends), int(run.state == "closed"))

    def test_noAbortAfterCommit(self) -> None:
        for state in ("committing", "draining", "deleting", "window"):
            run = Run(*WAYS[state])
            self.assertEqual(run.tell("abort"), [])
            self.assertEqual(run.state, state)


class InterfaceTests(SynchronousTestCase):
    """Every fact has a docstring: the machine is read from its inputs."""

    def test_documented(self) -> None:
        for name in (name for name in vars(MoveInputs) if not name.startswith("_")):
            self.assertTrue(getattr(MoveInputs, name).__doc__, name)
