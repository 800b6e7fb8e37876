"""A disk that is full: nothing is lost, nothing written twice, and it goes on when there is room."""

from __future__ import annotations

import json
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OutputFailed
from openmb.plugins.bro.reporting.encoding import PlainLines
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Column

COLUMNS = (Column("number", "count"), Column("text", "string"))


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process can grow beyond C{size} bytes: the last write is cut off, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


class FullDiskTests(SynchronousTestCase):
    """The log file itself, with the real errors of the operating system."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.log = LogFile(self.folder, "some", COLUMNS, asJSON=False)

    def rows(self) -> list[str]:
        lines = (self.folder / "some.log").read_text().splitlines()
        return [line.split("\t")[0] for line in lines if not line.startswith("#")]

    def test_everyPlace(self) -> None:
        """Whatever byte the disk is full at: in the header, in a row, in the end."""
        for size in (0, 1, 50, 200, 300, 333, 1000, 2500):
            self.log = LogFile(self.folder, "some", COLUMNS, asJSON=False)
            for number in range(40):
                self.log.writeAll([[number, "x" * 60]])
            with room(size):
                for _ in range(3):
                    self.assertRaises(OutputFailed, self.log.close)
            self.log.close()
            self.assertEqual([str(number) for number in range(40)], self.rows())
            self.assertEqual(1, (self.folder / "some.log").read_text().count("#close"))
            self.assertEqual(1, (self.folder / "some.log").read_text().count("#fields"))

    def test_onAndOff(self) -> None:
        """Full, free, full again, at random, with rows in between: each row once, in order."""
        rng = random.Random(7)
        for number in range(400):
            self.log.writeAll([[number, "y" * rng.randrange(100)]])
            path = self.folder / "some.log"
            size = path.stat().st_size if path.exists() else 0
            with room(size + rng.choice((0, 3, 40, 10_000))):
                try:
                    self.log.flush()
                except OutputFailed as error:
                    self.assertIn("rows are not written", str(error))
        self.log.close()
        self.assertEqual([str(number) for number in range(400)], self.rows())

    def test_link(self) -> None:
        """What stands there and is not to be written is a failure like others: rows wait until it has been moved."""
        path = self.folder / "some.log"
        path.symlink_to("/dev/full")
        self.log.writeAll([[1, "z"]])
        with self.assertRaises(OutputFailed) as caught:
            self.log.flush()
        self.assertIn("some.log: it is a symbolic link, which is not followed", str(caught.exception))
        self.assertIn("1 rows are not written", str(caught.exception))
        path.unlink()
        self.log.close()
        self.assertEqual(["1"], self.rows())

    def test_noDirectory(self) -> None:
        """A directory that went away and comes back."""
        self.log.writeAll([[1, "z"]])
        self.folder.rename(self.folder.with_name("elsewhere"))
        self.assertRaises(OutputFailed, self.log.flush)
        self.folder.with_name("elsewhere").rename(self.folder)
        self.log.close()
        self.assertEqual(["1"], self.rows())

    def test_waiting(self) -> None:
        """It says how many rows are not there as a whole, wherever the disk is full."""
        for asJSON in (False, True):
            log = LogFile(self.folder, f"json{asJSON}", COLUMNS, asJSON)
            path = self.folder / f"json{asJSON}.log"
            for number in range(40):
                log.writeAll([[number, "x" * 60]])
            for size in (0, 100, 500, 501, 1500, 1510, 2000):
                with room(size), self.assertRaises(OutputFailed) as caught:
                    log.flush()
                text = path.read_text() if path.exists() else ""
                whole = sum(not line.startswith("#") and line.endswith("\n") for line in text.splitlines(keepends=True))
                self.assertEqual((40 - whole, True), (log.waiting, f" {log.waiting} rows" in str(caught.exception)))
            log.flush()
            self.assertEqual(0, log.waiting)
            with room(path.stat().st_size + (0 if asJSON else 3)):
                self.assertEqual(asJSON, self.closes(log))
            self.assertEqual(0, log.waiting)
            log.writeAll([[40, "after the end"]])
            self.assertEqual(1, log.waiting)
            log.close()
            self.assertEqual(0, log.waiting)

    def closes(self, log: LogFile) -> bool:
        try:
            log.close()
        except OutputFailed:
            return False
        return True


class PartOfLineTests(SynchronousTestCase):
    """A log that goes on begins with whole rows."""

    def test_cut(self) -> None:
        path = Path(self.mktemp())
        for before, after in ((b"", b""), (b"ab", b""), (b"ab\n", b"ab\n"), (b"ab\nc", b"ab\n"), (b"\n\nc", b"\n\n")):
            for tail in (b"", b"x" * 70_000, b"x" * (1 << 16), b"x" * 200_000):
                path.write_bytes(before + tail)
                PlainLines().mend(path)
                expected = after if not tail or not before.endswith(b"\n") else before
                self.assertEqual(expected, path.read_bytes())

    def test_appended(self) -> None:
        """The process that had no room for its last row was killed; the next one writes none of its rows into it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        first = LogFile(folder, "some", COLUMNS, asJSON=True)
        for number in range(3):
            first.writeAll([[number, "z" * 50]])
        with room(170):
            self.assertRaises(OutputFailed, first.flush)
        again = LogFile(folder, "some", COLUMNS, asJSON=True, append=True)
        again.writeAll([[7, "new"]])
        again.close()
        rows = [json.loads(line)["number"] for line in (folder / "some.log").read_text().splitlines()]
        self.assertEqual([0, 1, 7], rows)
