"""Logs that are rotated: each row once, in the file of its time, whatever the disk does."""

from __future__ import annotations

import random
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError, OutputFailed
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.plugin import BroPlugin
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Column, stampText
from tests.plugins.bro.test_full_disk import room

COLUMNS = (Column("ts", "time"), Column("number", "count"), Column("text", "string"))
SECOND = 1_000_000
HOUR = 3600


class RotationTests(SynchronousTestCase):
    """The file itself."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.log = self.made()

    def made(self, append: bool = False) -> LogFile:
        return LogFile(self.folder, "some", COLUMNS, False, append, HOUR * SECOND)

    def name(self, hour: int, end: str = "") -> str:
        return f"some.{stampText(hour * HOUR)}{end}.log"

    def rows(self) -> dict[str, list[int]]:
        """The numbers of each file's rows; each file has one header, and one end."""
        found = {}
        for path in self.folder.iterdir():
            text = path.read_text()
            self.assertEqual((1, 1), (text.count("#fields"), text.count("#close")), path.name)
            self.assertTrue(text.startswith("#separator") and text.splitlines()[-1].startswith("#close"))
            found[path.name] = [int(line.split("\t")[1]) for line in text.splitlines() if not line.startswith("#")]
        return found

    def write(self, *hours: float) -> None:
        self.log.writeAll(
            [[round(hour * HOUR * SECOND), self.log.count + place, "x"] for place, hour in enumerate(hours)]
        )

    def test_hours(self) -> None:
        """A border belongs to what comes after it; hours without rows make no files; the last one keeps its name."""
        self.write(1, 1.999, 2, 2.5)
        self.log.flush()
        self.write(2.9, 7)
        self.log.close()
        self.assertEqual({self.name(1): [0, 1], self.name(2): [2, 3, 4], "some.log": [5]}, self.rows())

    def test_flushesMakeNoDifference(self) -> None:
        hours = [1, 1.5, 2, 2.2, 2.1, 3, 1, 3.5, 5]
        for step in (1, 2, 3, 9):
            folder = self.folder
            self.folder = folder / f"{step}"
            self.folder.mkdir()
            self.log = self.made()
            for place in range(0, len(hours), step):
                self.write(*hours[place : place + step])
                self.log.flush()
            self.log.close()
            expected = {self.name(1): [0, 1], self.name(2): [2, 3, 4], self.name(3): [5, 6, 7], "some.log": [8]}
            self.assertEqual(expected, self.rows())
            self.folder = folder

    def test_taken(self) -> None:
        """A file that is there is not written over."""
        (self.folder / self.name(1)).write_text("#separator #fields\nx\t77\n#close\n")
        (self.folder / self.name(1, "-2")).write_text("#separator #fields\nx\t88\n#close\n")
        self.write(1, 2)
        self.log.close()
        expected = {self.name(1): [77], self.name(1, "-2"): [88], self.name(1, "-3"): [0], "some.log": [1]}
        self.assertEqual(expected, self.rows())

    def test_given(self) -> None:
        """Times that are not in the first column."""
        self.log.writeAll([[5, 0, "x"], [5, 1, "y"]], [HOUR * SECOND, 2 * HOUR * SECOND])
        self.log.close()
        self.assertEqual({self.name(1): [0], "some.log": [1]}, self.rows())

    def test_fullDisk(self) -> None:
        """Full at random, in rows, headers, ends: nothing lost or doubled, and it tells how many rows wait."""
        rng, failures = random.Random(5), 0
        for number in range(300):
            self.log.writeAll([[number * 600 * SECOND, number, "y" * rng.randrange(100)]])
            path = self.folder / "some.log"
            size = path.stat().st_size if path.exists() else 0
            with room(rng.choice((0, size, size + 3, size + 40, 10_000))):
                try:
                    self.log.flush()
                except OutputFailed:
                    failures += 1
                    self.assertLessEqual(self.log.waiting, number + 1)
                else:
                    self.assertEqual(0, self.log.waiting)
        self.log.close()
        self.assertEqual(0, self.log.waiting)
        self.assertTrue(50 < failures < 280, failures)
        found = self.rows()
        last = found.pop("some.log")
        self.assertEqual({self.name(hour): list(range(6 * hour, 6 * hour + 6)) for hour in range(49)}, found)
        self.assertEqual(list(range(294, 300)), last)

    def test_noDirectory(self) -> None:
        """The file cannot be renamed: rows wait, and go on when it can."""
        self.write(1)
        self.log.flush()
        self.write(2)
        elsewhere = self.folder.with_name("elsewhere")
        self.folder.rename(elsewhere)
        for _ in range(2):
            self.assertRaises(OutputFailed, self.log.flush)
            self.assertEqual(1, self.log.waiting)
        elsewhere.rename(self.folder)
        self.log.close()
        self.assertEqual({self.name(1): [0], "some.log": [1]}, self.rows())

    def test_startedAgain(self) -> None:
        """A process that was killed left rows in the log: those that come go on there, and the file gets their time."""
        self.write(1)
        self.log.flush()
        self.log = self.made(append=True)
        self.write(2, 3)
        self.log.close()
        lines = (self.folder / self.name(2)).read_text().splitlines()
        rows = [line.split("\t")[0] for line in lines if not line.startswith("#")]
        self.assertEqual(["3600.000000", "7200.000000"], rows)
        self.assertEqual(["some.log"], [path.name for path in self.folder.iterdir() if path.name != self.name(2)])

    def test_never(self) -> None:
        self.log = LogFile(self.folder, "some", COLUMNS, False)
        self.write(1, 2, 3)
        self.log.close()
        self.assertEqual({"some.log": [0, 1, 2]}, self.rows())


class OptionTests(SynchronousTestCase):
    """From the command line to the files."""

    def test_files(self) -> None:
        """One connection an hour, in batches of any size."""
        packet = bytes.fromhex("4500002000000000401100000a000001080808080035003500 0c0000".replace(" ", "")) + b"abcd"
        for step in (1, 3):
            logs, plugin = Path(self.mktemp()), BroPlugin()
            options = plugin.makeOptions()
            options.parseOptions(["--logs", str(logs), "--rotate", str(HOUR)])
            middlebox = plugin.makeMiddlebox(options)
            stamps = [HOUR * 10**9 * hour for hour in range(1, 7)]
            for place in range(0, 6, step):
                part = stamps[place : place + step]
                middlebox.process(
                    Decoder(checksums=False).decode(packetBatch([packet] * len(part), part, link=101)), None
                )
                middlebox.flush()
            middlebox.finish()
            names = {f"conn.{stampText(hour * HOUR)}.log" for hour in range(1, 6)} | {"conn.log"}
            self.assertEqual(names, {path.name for path in logs.glob("conn*")})

    def test_bad(self) -> None:
        for value in ("-1", "1000000001"):
            options = BroPlugin().makeOptions()
            options.parseOptions(["--rotate", value])
            self.assertRaises(ConfigurationError, BroPlugin().makeMiddlebox, options)
