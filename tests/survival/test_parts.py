"""What the runs are made of: gate, traffic, truth, rows."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import PacketBatch, joinBatches
from openmb.packets.decode import Decoder
from openmb.packets.headers import Status
from openmb.testing.survival.gate import Gate
from openmb.testing.survival.points import Moment, Point, Step
from openmb.testing.survival.rows import COLUMNS, LogFolder
from openmb.testing.survival.traffic import Class, Waves
from openmb.testing.survival.truth import flowsOf, truthOf

POINT = Point(Step.ROUTING, Moment.DECIDED)


def wavesOf(number: int, packets: int) -> tuple[Waves, list[PacketBatch]]:
    """A run's traffic: the waves that begin within so many packets."""
    waves, sent = Waves(number), list[PacketBatch]()
    for batch in waves.batches():
        sent.append(batch)
        waves.ending = sum(map(len, sent)) >= packets
    return waves, sent


class GateTests(SynchronousTestCase):
    """A controller stops where it was told to, once, and goes on when it may."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        self.harness = Gate(directory, make=True)
        self.addCleanup(self.harness.close)
        self.controller = Gate(directory)
        self.addCleanup(self.controller.close)

    def test_plan(self) -> None:
        """There is a plan as long as the gate is armed."""
        self.assertIsNone(self.controller.plan())
        self.harness.arm(POINT)
        self.assertEqual(POINT, self.controller.plan())
        self.harness.disarm()
        self.assertIsNone(self.controller.plan())

    def test_stop(self) -> None:
        """It waits; only then is the point reached, and only once."""
        self.harness.arm(POINT)
        self.assertFalse(self.harness.reached())
        stopping = Thread(target=self.controller.stop, args=(POINT,))
        stopping.start()
        while not self.harness.reached():
            self.assertTrue(stopping.is_alive())
        self.assertTrue(stopping.is_alive())
        self.assertFalse(self.harness.reached())
        self.harness.release()
        stopping.join(10)
        self.assertFalse(stopping.is_alive())
        self.assertIsNone(self.controller.plan())

    def test_deadControllers(self) -> None:
        """What one left in the pipes does not reach the next."""
        self.harness.release()
        self.harness.arm(POINT)
        stopping = Thread(target=self.controller.stop, args=(POINT,))
        stopping.start()
        while not self.harness.reached():
            pass
        self.assertTrue(stopping.is_alive())
        self.harness.release()
        stopping.join(10)


class TrafficTests(SynchronousTestCase):
    """The waves."""

    def test_stamps(self) -> None:
        """They rise from packet to packet, from run to run, and to the last packets; checksums are right."""
        before = 0
        for number in (3, 4):
            waves, sent = wavesOf(number, 2000)
            whole = joinBatches([*sent, waves.last()])
            self.assertTrue((np.diff(whole.stamps) > 0).all())
            self.assertGreater(int(whole.stamps[0]), before)
            before = int(whole.stamps[-1])
            self.assertFalse((Decoder().decode(whole).headers["status"] & Status.BAD_CHECKSUM).any())

    def test_classes(self) -> None:
        """Each class has its share, and runs have no flow in common, the last ones included."""
        known: set[tuple[str, int]] = set()
        for number in (0, 1, 2):
            waves, sent = wavesOf(number, 2000)
            flows = flowsOf(Decoder().decode(joinBatches(sent)))
            last = flowsOf(Decoder().decode(waves.last()))
            shares = [sum(known.kind is kind for known in flows.values()) / len(flows) for kind in Class]
            self.assertGreater(min(shares), 0.25)
            self.assertEqual(set(Class), {known.kind for known in last.values()})
            self.assertFalse(known & (flows.keys() | last.keys()) or flows.keys() & last.keys())
            known |= flows.keys() | last.keys()


class TruthTests(SynchronousTestCase):
    """What one middlebox would have written."""

    def test_truth(self) -> None:
        """One connection a flow, with all its packets, written after the last of them; HTTP rows before that."""
        waves, sent = wavesOf(7, 3000)
        truth = truthOf(sent, waves.last(), Path(self.mktemp()))
        self.assertEqual(sum(map(len, sent)), sum(len(known.places) for known in truth.values()))
        for known in truth.values():
            (connection,) = [(row, place) for row, place in known.rows if row.log == "conn"]
            self.assertEqual(tuple(known.sent), connection[0].packets)
            self.assertGreater(connection[1], known.places[-1])
            self.assertIs(known.kind, connection[0].kind)
            for row, place in known.rows:
                self.assertGreater(place, known.first, row.text)
        self.assertGreater(sum(row.log == "http" for known in truth.values() for row, _ in known.rows), 50)


class RowTests(SynchronousTestCase):
    """Reading logs that are written meanwhile."""

    def test_takes(self) -> None:
        """Each row once; the rest of a line when it is there; what is no row is told apart."""
        folder = Path(self.mktemp())
        folder.mkdir()
        logs = LogFolder(folder)
        self.assertEqual([], logs.take())
        line = "\t".join(["x"] * COLUMNS["http"])
        with (folder / "http.log").open("w") as file:
            file.write(f"#fields\n{line}\n{line[:5]}")
            file.flush()
            self.assertEqual([line], [row.text for row in logs.take()])
            file.write(f"{line[5:]}\n")
            file.flush()
            self.assertEqual([line], [row.text for row in logs.take()])
            file.write(f"{line[:5]}#fields\n{line}\n")
            file.flush()
            self.assertEqual([line], [row.text for row in logs.take()])
        self.assertEqual([f"{line[:5]}#fields"], [row.text for row in logs.broken])
