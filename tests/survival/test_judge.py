"""The judge: what it lets pass, and what it must not."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.testing.survival.fates import ABORTED, FAILED, FINISHED, UNKNOWN, Seen, endings, fatesOf
from openmb.testing.survival.judge import Fate, Gapped, Judgement, Lost, judge
from openmb.testing.survival.points import Moment, Party, Point, Step, pointsOf
from openmb.testing.survival.rows import Flow, Row
from openmb.testing.survival.traffic import Class
from openmb.testing.survival.truth import Known

FAR = 10_000
SERVERS = {Class.FIRST: 1, Class.SECOND: 65, Class.MOVING: 129}


def row(flow: Flow, kind: Class, start: int, packets: tuple[int, int] = (3, 2)) -> Row:
    """A row of conn.log."""
    ends = [flow[0], str(flow[1]), f"192.168.0.{SERVERS[kind]}", "80"]
    fields = [f"{start}.0", f"C{flow[1]}.{start}", *ends, *("-" for _ in range(15))]
    fields[16], fields[18] = str(packets[0]), str(packets[1])
    return Row("conn", "\t".join(fields))


class JudgeTests(SynchronousTestCase):
    """Six flows, two of each class: one over early, one that is under way when somebody dies at packet 50,000."""

    def setUp(self) -> None:
        self.truth: dict[Flow, Known] = {}
        self.early: dict[Class, Row] = {}
        self.late: dict[Class, Row] = {}
        for number, kind in enumerate(Class):
            for offset, (rows, start) in enumerate(((self.early, 100), (self.late, 45_000))):
                flow = ("10.0.0.1", 40000 + 10 * number + offset)
                rows[kind] = row(flow, kind, start)
                places = [start + 10 * each for each in range(5)]
                self.truth[flow] = Known(kind, places, [3, 2], [(rows[kind], start + 20_000)])
        self.all = [*self.early.values(), *self.late.values()]
        self.fates: dict[Class, Fate] = dict.fromkeys(Class)

    def judged(self, *rows: Row) -> Judgement:
        return judge(self.truth, rows, self.fates)

    def kill(self, kind: Class, again: int = 60_000) -> None:
        self.fates[kind] = Lost(50_000, again, frozenset({self.early[kind]}))

    def without(self, *rows: Row) -> list[Row]:
        return [each for each in self.all if each not in rows]

    def test_equal(self) -> None:
        """Everything as one middlebox would have written it."""
        self.assertEqual(([], 6, 0), (self.judged(*self.all).wrong, self.judged().rows, self.judged(*self.all).lost))

    def test_missing(self) -> None:
        """A row that nobody wrote, of a class that nobody lost."""
        for missing in self.all:
            self.assertEqual(1, len(self.judged(*self.without(missing)).wrong), missing.text)

    def test_changed(self) -> None:
        """A row that says something else."""
        changed = replace(self.late[Class.MOVING], text=self.late[Class.MOVING].text.replace("45000.0", "45001.0"))
        self.assertEqual(1, len(self.judged(*self.without(self.late[Class.MOVING]), changed).wrong))

    def test_repeated(self) -> None:
        """A row twice, whoever died: the row, the connection, packets of both sides, and what was written before."""
        for kind in Class:
            self.kill(kind)
        wrong = self.judged(*self.early.values(), self.early[Class.FIRST]).wrong
        self.assertEqual(5, len(wrong), wrong)

    def test_morePacketsThanSent(self) -> None:
        """Two rows of a flow that together count a packet twice."""
        self.kill(Class.FIRST)
        flow = self.late[Class.FIRST].flow
        parts = [row(flow, Class.FIRST, 45_010, (2, 1)), row(flow, Class.FIRST, 45_020, (2, 1))]
        wrong = self.judged(*self.without(self.late[Class.FIRST]), *parts).wrong
        self.assertEqual(["counted" in line for line in wrong], [True])
        self.assertEqual([], self.judged(*self.without(self.late[Class.FIRST]), parts[0]).wrong)

    def test_stranger(self) -> None:
        """A row of a flow that was never sent."""
        self.assertEqual(1, len(self.judged(*self.all, row(("10.9.9.9", 1), Class.FIRST, 1)).wrong))

    def test_lost(self) -> None:
        """What died with its record is missing, and nothing else: as the design says of a lone crash."""
        self.kill(Class.FIRST)
        found = self.judged(*self.without(self.late[Class.FIRST]))
        self.assertEqual(([], 1), (found.wrong, found.lost))

    def test_lostTooMuch(self) -> None:
        """A row that was due long before the death, and that later ones show to have been passed over."""
        self.kill(Class.FIRST)
        flow = ("10.0.0.1", 40009)
        due = row(flow, Class.FIRST, 200)
        self.truth[flow] = Known(Class.FIRST, [200], [3, 2], [(due, 5_000)])
        wrong = self.judged(*self.without(self.late[Class.FIRST])).wrong
        self.assertEqual(["not written" in line for line in wrong], [True])

    def test_cannotBeThere(self) -> None:
        """A record that died cannot come to its end as if nothing had been."""
        self.kill(Class.FIRST)
        flow = ("10.0.0.1", 40008)
        self.truth[flow] = Known(Class.FIRST, [300], [3, 2], [(row(flow, Class.FIRST, 300), 70_000)])
        wrong = self.judged(*self.without(self.late[Class.FIRST]), row(flow, Class.FIRST, 300)).wrong
        self.assertEqual(["had died" in line for line in wrong], [True])

    def test_afterTheRestart(self) -> None:
        """What began after the restart is whole."""
        self.kill(Class.FIRST, again=44_000)
        self.assertEqual(1, len(self.judged(*self.without(self.late[Class.FIRST])).wrong))

    def test_gapped(self) -> None:
        """Packets may be missing, but not the connection, and not where none was under way."""
        late = self.late[Class.MOVING]
        less = row(late.flow, Class.MOVING, 45_000, (2, 1))
        self.fates[Class.MOVING] = Gapped(45_005, 45_015)
        found = self.judged(*self.without(late), less)
        self.assertEqual(([], 1, 1), (found.wrong, found.gapped, found.exposed))
        self.assertEqual(1, len(self.judged(*self.without(late)).wrong))
        self.fates[Class.MOVING] = Gapped(45_041, 45_500)
        self.assertEqual(1, len(self.judged(*self.without(late), less).wrong))


class FateTests(SynchronousTestCase):
    """What the design promises, step by step."""

    OWN = {Party.SOURCE: Class.FIRST, Party.DESTINATION: Class.SECOND}

    def fates(self, party: Party, step: Step, stage: str) -> dict[Class, type[object]]:
        written = dict.fromkeys(Class, frozenset[Row]())
        seen = Seen(stage, 1000, 2000, 1500, 4000, 3000, written)
        return {kind: type(fate) for kind, fate in fatesOf(party, Point(step, Moment.AFTER), self.OWN, seen).items()}

    def test_controller(self) -> None:
        """Its death costs nothing, ever."""
        for step in Step:
            for stage in (FINISHED, ABORTED, FAILED):
                self.assertEqual({type(None)}, set(self.fates(Party.CONTROLLER, step, stage).values()))

    def test_others(self) -> None:
        """A class that the dead one never saw is whole; its own is lost; so is what moved, if it owned it."""
        for step in Step:
            for stage in (FINISHED, ABORTED):
                source = self.fates(Party.SOURCE, step, stage)
                destination = self.fates(Party.DESTINATION, step, stage)
                self.assertEqual((Lost, type(None)), (source[Class.FIRST], source[Class.SECOND]))
                self.assertEqual((type(None), Lost), (destination[Class.FIRST], destination[Class.SECOND]))
                owner = source if stage == ABORTED else destination
                other = destination if stage == ABORTED else source
                self.assertIs(Lost, owner[Class.MOVING])
                self.assertIsNot(Lost, other[Class.MOVING])

    def test_gaps(self) -> None:
        """Only around the switch-over may packets of the flows that moved be missing."""
        gaps = {step for step in Step if self.fates(Party.SOURCE, step, FINISHED)[Class.MOVING] is Gapped}
        self.assertFalse(gaps & {Step.DELETING, Step.WINDOW, Step.CLOSED})
        gaps = {step for step in Step if self.fates(Party.DESTINATION, step, ABORTED)[Class.MOVING] is Gapped}
        self.assertEqual({Step.DIVERTING, Step.ROUTING, Step.SETTING_BACK, Step.RETURNING}, gaps)

    def test_endings(self) -> None:
        """Before the vote a death undoes the move; after COMMIT nothing does; a controller's decides nothing new."""
        for party in Party:
            self.assertEqual({ABORTED}, endings(party, Point(Step.HOLDING, Moment.AFTER)))
            self.assertNotIn(ABORTED, endings(party, Point(Step.DRAINING, Moment.BEFORE)))
        self.assertEqual({UNKNOWN}, endings(Party.CONTROLLER, Point(Step.PREPARING, Moment.BEFORE)))
        self.assertEqual({FINISHED}, endings(Party.CONTROLLER, Point(Step.COMMITTING, Moment.DECIDED)))
        self.assertEqual({ABORTED}, endings(Party.DESTINATION, Point(Step.ROUTING, Moment.BEFORE)))

    def test_points(self) -> None:
        """Every point has a line that the launcher reads back."""
        points = [point for step in Step for point in pointsOf(step)]
        self.assertEqual(points, [Point.parse(point.line()) for point in points])
        self.assertEqual(37, len(points))
