"""Compressed logs, and rows that may wait: readable up to the last flush, whatever happens to process or disk."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import zlib
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError, OutputFailed
from openmb.plugins.bro.options import BroOptions, settingsOf
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Column
from tests.plugins.bro.running import runBatch
from tests.plugins.bro.test_adapter import decoded
from tests.plugins.bro.test_full_disk import room
from tests.plugins.bro.wire import SYN, Script

COLUMNS = (Column("number", "count"), Column("text", "string"))
LEVEL = 6

#: Writes rows, a flush after each ten, until it is killed; says how many are flushed.
WRITER = """
import sys
from pathlib import Path
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Column
log = LogFile(Path(sys.argv[1]), "some", (Column("number", "count"), Column("text", "string")), False, level=6)
number = 0
while True:
    for _ in range(10):
        log.writeAll([[number, "x" * 30]])
        number += 1
    log.flush()
    print(number, flush=True)
"""


def readable(path: Path) -> str:
    """All that the members of a gzip file hold, the last one as far as it goes."""
    data, text = path.read_bytes(), b""
    while data:
        reader = zlib.decompressobj(31)
        text += reader.decompress(data)
        data = reader.unused_data
    return text.decode()


def numbers(text: str) -> list[int]:
    """The first column of all rows."""
    return [int(line.split("\t")[0]) for line in text.splitlines() if not line.startswith("#")]


class ZippedTests(SynchronousTestCase):
    """One compressed log."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "some.log.gz"

    def log(self, append: bool = False, rotation: int = 0) -> LogFile:
        return LogFile(self.folder, "some", COLUMNS, False, append, rotation, LEVEL)

    def test_oneFile(self) -> None:
        """Flushes are members of one file that any reader takes as one; header and end stand once."""
        log = self.log()
        for number in range(50):
            log.writeAll([[number, "x"]])
            if number % 7 == 0:
                log.flush()
                self.assertEqual(list(range(number + 1)), numbers(gzip.decompress(self.path.read_bytes()).decode()))
        log.close()
        with gzip.open(self.path, "rt") as text:
            content = text.read()
        self.assertEqual(list(range(50)), numbers(content))
        self.assertEqual((1, 1), (content.count("#fields"), content.count("#close")))
        self.assertEqual(0, log.waiting)

    def test_everyPlace(self) -> None:
        """Whatever byte the disk is full at, and with rows in between: each row once, in order."""
        failures = 0
        for size in range(0, 400, 3):
            log = self.log()
            for number in range(40):
                log.writeAll([[number, str(number) * 20]])
            with room(size):
                for number in range(40, 43):
                    failures += not self.flushes(log)
                    log.writeAll([[number, "late"]])
            log.close()
            self.assertEqual(0, log.waiting)
            self.assertEqual(list(range(43)), numbers(gzip.decompress(self.path.read_bytes()).decode()), size)
        self.assertGreater(failures, 100)

    def flushes(self, log: LogFile) -> bool:
        try:
            log.flush()
        except OutputFailed:
            return False
        return True

    def test_waiting(self) -> None:
        """Rows of a member that is not written whole wait."""
        log = self.log()
        for number in range(40):
            log.writeAll([[number, "x" * 60]])
        with room(100):
            self.assertRaises(OutputFailed, log.flush)
        self.assertEqual(40, log.waiting)
        log.flush()
        self.assertEqual(0, log.waiting)

    def test_onAndOff(self) -> None:
        """Full, free, full again, at random."""
        rng, log = random.Random(3), self.log()
        for number in range(400):
            log.writeAll([[number, "y" * rng.randrange(100)]])
            size = self.path.stat().st_size if self.path.exists() else 0
            with room(size + rng.choice((0, 3, 40, 10_000))):
                try:
                    log.flush()
                except OutputFailed as error:
                    self.assertIn("rows are not written", str(error))
        log.close()
        self.assertEqual(list(range(400)), numbers(gzip.decompress(self.path.read_bytes()).decode()))

    def test_cutAndGoneOn(self) -> None:
        """A log that goes on begins with whole members, wherever the last one was cut; each row before it stays."""
        log = self.log()
        ends = [0]
        for number in range(3):
            log.writeAll([[number, "x"]])
            log.flush()
            ends.append(self.path.stat().st_size)
        whole = self.path.read_bytes()
        for size in range(len(whole) + 1):
            self.path.write_bytes(whole[:size])
            again = self.log(append=True)
            again.writeAll([[7, "new"]])
            again.close()
            kept = sum(end <= size for end in ends[1:])
            self.assertEqual([*range(kept), 7], numbers(gzip.decompress(self.path.read_bytes()).decode()), size)

    def test_notZipped(self) -> None:
        """What is no gzip at all is not kept."""
        self.path.write_bytes(b"some other text\n")
        again = self.log(append=True)
        again.writeAll([[7, "new"]])
        again.close()
        self.assertEqual([7], numbers(gzip.decompress(self.path.read_bytes()).decode()))

    def test_rotation(self) -> None:
        """Rotated files keep both endings."""
        log = self.log(rotation=1_000_000)
        log.writeAll([[500_000, "a"], [1_500_000, "b"]])
        log.close()
        (earlier,) = (path for path in self.folder.iterdir() if path != self.path)
        self.assertTrue(earlier.name.startswith("some.19") and earlier.name.endswith(".log.gz"), earlier.name)
        self.assertEqual([500_000], numbers(gzip.decompress(earlier.read_bytes()).decode()))

    def test_killed(self) -> None:
        """A process that is killed with -9: every row that was flushed can be read."""
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(self.folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        with writer.stdout:
            flushed = [int(writer.stdout.readline()) for _ in range(30)][-1]
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        found = numbers(readable(self.path))
        self.assertGreaterEqual(len(found), flushed)
        self.assertEqual(list(range(len(found))), found)


class OptionTests(SynchronousTestCase):
    """The options of the kind."""

    def settings(self, *words: str) -> BroMiddlebox:
        options = BroOptions()
        options.parseOptions(words)
        return BroMiddlebox(settingsOf(options))

    def test_gzip(self) -> None:
        """All logs are compressed, and hold the same rows."""
        script = Script().client(SYN, 1000)
        folder = self.mktemp()
        bro = self.settings("--logs", folder, "--gzip", "9")
        bro.process(decoded(script), None)
        bro.finish()
        bro.flush()
        self.assertEqual({"conn.log.gz", "dns.log.gz", "http.log.gz"}, {path.name for path in Path(folder).iterdir()})
        content = gzip.decompress((Path(folder) / "conn.log.gz").read_bytes()).decode()
        (row,) = (line.split("\t") for line in content.splitlines() if not line.startswith("#"))
        self.assertEqual(list(runBatch(Path(self.mktemp()), script.batch)[0].values()), row)

    def test_flush(self) -> None:
        """Rows may wait so long, not longer; at the end all are written."""
        for patience, expected in (("3600", False), ("0", True)):
            folder = Path(self.mktemp())
            bro = self.settings("--logs", str(folder), "--flush", patience)
            bro.process(decoded(Script().client(SYN, 1000)), None)
            bro.advance(10**19 // 2)
            bro.flush()
            self.assertEqual(expected, (folder / "conn.log").exists())
            bro.finish()
            self.assertTrue((folder / "conn.log").exists())

    def test_flushLater(self) -> None:
        """When the time is over the next call writes."""
        folder = Path(self.mktemp())
        bro = self.settings("--logs", str(folder), "--flush", "5")
        bro.process(decoded(Script().client(SYN, 1000)), None)
        bro.advance(10**19 // 2)
        now = bro.logs._flushed
        for later, expected in ((4.9, False), (5.1, True)):
            self.patch(bro.logs, "_flushed", now - later)
            bro.flush()
            self.assertEqual(expected, (folder / "conn.log").exists(), later)

    def test_wrong(self) -> None:
        for words in (("--gzip", "10"), ("--gzip", "-1"), ("--flush", "-1"), ("--flush", "nan"), ("--flush", "9999")):
            self.assertRaises(ConfigurationError, self.settings, *words)
        self.assertRaises(usage.UsageError, self.settings, "--gzip", "much")
