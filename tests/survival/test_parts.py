"""What the runs are made of: gate, traffic, truth, rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Thread

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import CaptureError
from openmb.packets.batch import PacketBatch, joinBatches
from openmb.packets.decode import Decoder
from openmb.packets.headers import Status
from openmb.plugins.bro.reporting.connections import CONNECTION_COLUMNS
from openmb.plugins.bro.reporting.dnslog import DNS_COLUMNS
from openmb.plugins.bro.tracking import talks
from openmb.testing.survival.gate import Gate
from openmb.testing.survival.points import Moment, Point, Step
from openmb.testing.survival.rows import LogFolder
from openmb.testing.survival.traffic import Class, Waves
from openmb.testing.survival.truth import flowsOf, truthOf

POINT = Point(Step.ROUTING, Moment.DECIDED)
NAMES = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "uri")
#: Where columns of conn.log and dns.log stand.
SERVICE = next(place for place, column in enumerate(CONNECTION_COLUMNS) if column.name == "service")
CODE = next(place for place, column in enumerate(DNS_COLUMNS) if column.name == "rcode_name")
HEADER = "\t".join(("#fields", *NAMES))


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
        truth = truthOf(sent, waves.last(), Path(self.mktemp())).flows
        self.assertEqual(sum(map(len, sent)), sum(len(known.places) for known in truth.values()))
        for known in truth.values():
            (connection,) = [(row, place) for row, place in known.rows if row.log == "conn"]
            self.assertEqual(tuple(known.sent), connection[0].packets)
            self.assertGreater(connection[1], known.places[-1])
            self.assertIs(known.kind, connection[0].kind)
            for row, place in known.rows:
                self.assertGreater(place, known.first, row.text)
        logs = Counter(row.log for known in truth.values() for row, _ in known.rows)
        self.assertEqual({"conn", "dns", "http"}, logs.keys())
        self.assertGreater(min(logs.values()), 50)

    def test_fastPath(self) -> None:
        """Every row of http.log comes from the fast path, and every log has rows."""
        waves, sent = wavesOf(9, 3000)
        truth = truthOf(sent, waves.last(), Path(self.mktemp()))
        self.assertEqual({"conn", "dns", "http"}, truth.logs.keys())
        self.assertEqual(truth.logs["http"], truth.fastRows)
        self.patch(talks, "FAST_PATH", False)
        self.assertEqual(0, truthOf(sent, waves.last(), Path(self.mktemp())).fastRows)

    def test_services(self) -> None:
        """Each class has flows with and without a service, and queries with and without an answer."""
        waves, sent = wavesOf(8, 3000)
        truth = truthOf(sent, waves.last(), Path(self.mktemp())).flows
        rows = [row for known in truth.values() for row, _ in known.rows]
        for kind in Class:
            services = {row.fields[SERVICE] for row in rows if row.kind is kind and row.log == "conn"}
            codes = {row.fields[CODE] for row in rows if row.kind is kind and row.log == "dns"}
            self.assertEqual(({"-", "dns", "http"}, {"-", "NOERROR"}), (services, codes), kind)


class RowTests(SynchronousTestCase):
    """Reading logs that are written meanwhile."""

    def test_takes(self) -> None:
        """Each row once; the rest of a line when it is there; what is no row is told apart."""
        folder = Path(self.mktemp())
        folder.mkdir()
        logs = LogFolder(folder)
        self.assertEqual([], logs.take())
        line = "\t".join(["x"] * len(NAMES))
        with (folder / "http.log").open("w") as file:
            file.write(f"{HEADER}\n{line}\n{line[:5]}")
            file.flush()
            self.assertEqual([line], [row.text for row in logs.take()])
            file.write(f"{line[5:]}\n")
            file.flush()
            self.assertEqual([line], [row.text for row in logs.take()])
            file.write(f"{line[:5]}#fields\n{line}\n")
            file.flush()
            self.assertEqual([line], [row.text for row in logs.take()])
        self.assertEqual([f"{line[:5]}#fields"], [row.text for row in logs.broken])

    def test_everyLog(self) -> None:
        """Whatever log there is is read, also one that appears later; of one whose rows have no flow it is said."""
        folder = Path(self.mktemp())
        folder.mkdir()
        logs = LogFolder(folder)
        line = "\t".join(["x"] * len(NAMES))
        for name in ("other", "another"):
            (folder / f"{name}.log").write_text(f"{HEADER}\n{line}\n")
            self.assertEqual([name], [row.log for row in logs.take()])
        (folder / "flowless.log").write_text(f"#fields\tts\tcount\n{line}\n")
        self.assertIn("flowless.log", str(self.assertRaises(CaptureError, logs.take)))
