"""Every journal keeps its promises; the one on disk also through kill -9, full disks and strange files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from openmb.controller.journal import REMEMBERED, UPGRADES, SQLiteJournal, _bringUpToDate, _connect, unfinishedIn
from openmb.controller.journalfile import VERSION
from openmb.errors import ConfigurationError, OperationError, Refusal
from openmb.interfaces import Route
from openmb.operations.journal import Entry, IJournal, MemoryJournal, Step
from openmb.state.headers import HeaderFieldList
from openmb.wire.messages import Peer, Sort
from tests.controller.journalprograms import DAEMON, FILLER, WRITER

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object

NEW = Route(HeaderFieldList.parse("tcp,tp_dst=80"), ("b",), "monitor", 7, None)
OLD = Route(HeaderFieldList.parse("tcp,tp_dst=80"), ("a", "b"), "other", 7, "out")
#: The steps of a version that there is not yet.
NEXT = {**UPGRADES, VERSION: lambda database: database.execute("CREATE TABLE more (x)")}
ROOT = Path(__file__).parents[2]


def entry(operation: int, step: Step, new: Route | None = None, old: Route | None = None, reason: str = "") -> Entry:
    ends = Peer("bro1", b"1" * 16), Peer("bro2", b"2" * 16)
    why = reason or ("finished" if step is Step.CLOSED else "")
    return Entry(operation, step, *ends, "tcp,tp_dst=80", b"t" * 16, new, old, why)


class JournalTestsMixin(_Base):
    """What every journal does."""

    def makeJournal(self) -> IJournal:
        """Hook: an empty journal."""
        raise AssertionError("a subclass provides makeJournal")

    def test_interface(self) -> None:
        self.assertTrue(verifyObject(IJournal, self.makeJournal()))

    def test_lastEntryCounts(self) -> None:
        """The last entry of each operation that is not over, in the order of opening, whole."""
        journal = self.makeJournal()
        for each in (entry(5, Step.OPEN), entry(3, Step.OPEN), entry(5, Step.SWITCHING), entry(4, Step.OPEN)):
            journal.write(each)
        last = entry(5, Step.ROUTE, NEW, OLD)
        journal.write(last)
        journal.write(entry(3, Step.CLOSED, reason="aborted"))
        self.assertEqual(journal.unfinished(), (last, entry(4, Step.OPEN)))
        self.assertEqual(journal.outcomes(10), (entry(3, Step.CLOSED, reason="aborted"),))

    def test_outcomes(self) -> None:
        """The newest, the oldest of them first."""
        journal = self.makeJournal()
        for operation in range(1, 8):
            journal.write(entry(operation, Step.CLOSED, reason="finished"))
        self.assertEqual([each.operation for each in journal.outcomes(3)], [5, 6, 7])

    def test_wanted(self) -> None:
        """In the order in which they were wanted last; the place of a route counts, not where it leads."""
        journal = self.makeJournal()
        other = Route(HeaderFieldList(), ("c",))
        for route in (OLD, NEW, other, replace(NEW, path=("d",))):
            journal.want(route)
        self.assertEqual((OLD, other, replace(NEW, path=("d",))), journal.wanted())
        journal.unwant(replace(OLD, path=()))
        journal.unwant(OLD)
        self.assertEqual((other, replace(NEW, path=("d",))), journal.wanted())

    def test_commitIsWanted(self) -> None:
        """With COMMIT the new route is wanted, instead of the old one; with BACK the old one is, if it was."""
        journal = self.makeJournal()
        old = replace(NEW, path=("a",))
        journal.want(old)
        for step in (Step.ROUTE, Step.BACK):
            journal.write(entry(1, step, NEW, old))
            self.assertEqual((old,), journal.wanted())
        journal.write(entry(1, Step.COMMIT, NEW, old))
        self.assertEqual((NEW,), journal.wanted())
        journal.write(entry(1, Step.BACK, NEW, old))
        self.assertEqual((old,), journal.wanted())
        journal.write(entry(2, Step.COMMIT, NEW))
        journal.write(entry(2, Step.BACK, NEW))
        self.assertEqual((), journal.wanted())

    def test_largestIdentifier(self) -> None:
        journal = self.makeJournal()
        for operation in (1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
            journal.write(entry(operation, Step.OPEN))
        self.assertEqual([each.operation for each in journal.unfinished()], [1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])


class MemoryJournalTests(JournalTestsMixin, SynchronousTestCase):
    """The one for tests and simulation."""

    def makeJournal(self) -> IJournal:
        return MemoryJournal()


class SQLiteJournalTests(JournalTestsMixin, SynchronousTestCase):
    """The journal on disk."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def makeJournal(self) -> IJournal:
        return self.opened()

    def opened(self) -> SQLiteJournal:
        journal = SQLiteJournal(self.path)
        self.addCleanup(journal.close)
        return journal

    def test_wantedSurvives(self) -> None:
        """Routes that are wanted are there after a restart, one that drops among them."""
        journal = self.opened()
        drop = Route(HeaderFieldList(), (), oneWay=True)
        journal.want(drop)
        journal.write(entry(1, Step.COMMIT, NEW))
        journal.close()
        self.assertEqual((drop, NEW), self.opened().wanted())

    def test_wantedNonsense(self) -> None:
        """A wanted route that makes no sense is a damaged journal."""
        journal = self.opened()
        journal.want(NEW)
        journal.close()
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("UPDATE wanted SET route = '{}'")
        with self.assertRaisesRegex(ConfigurationError, "damaged"):
            SQLiteJournal(self.path)

    def test_survives(self) -> None:
        """What was written is there when the file is opened again; the epoch has grown."""
        first = self.opened()
        for each in (entry(1, Step.OPEN), entry(1, Step.BACK, NEW, OLD, "no"), entry(2, Step.CLOSED, reason="failed")):
            first.write(each)
        first.close()
        second = self.opened()
        self.assertEqual(second.unfinished(), (entry(1, Step.BACK, NEW, OLD, "no"),))
        self.assertEqual(second.outcomes(5), (entry(2, Step.CLOSED, reason="failed"),))
        self.assertGreater(second.epoch, first.epoch)

    def test_decisions(self) -> None:
        """The whole history of an operation, with times."""
        journal = self.opened()
        journal.write(entry(1, Step.OPEN))
        journal.write(entry(1, Step.ABORT, reason="enough"))
        found = journal.decisions(1)
        self.assertEqual([(Step.OPEN, ""), (Step.ABORT, "enough")], [each[:2] for each in found])
        self.assertLessEqual(found[0][2], found[1][2])

    def test_private(self) -> None:
        """Only this user may read it, and what SQLite puts beside it."""
        journal = self.opened()
        journal.write(entry(1, Step.OPEN))
        modes = {path.name: path.stat().st_mode & 0o777 for path in self.path.parent.glob(f"{self.path.name}*")}
        self.assertEqual(set(modes.values()), {0o600}, modes)

    def test_oneController(self) -> None:
        """A second controller is refused while the first one runs, and welcome afterwards."""
        first = self.opened()
        first.write(entry(1, Step.OPEN))
        with self.assertRaisesRegex(ConfigurationError, "in use by another controller"):
            SQLiteJournal(self.path)
        first.write(entry(2, Step.OPEN))
        first.close()
        self.assertEqual(len(self.opened().unfinished()), 2)

    def test_background(self) -> None:
        """A controller that has put itself into the background after opening still has the journal for itself."""
        child = subprocess.Popen([sys.executable, "-c", DAEMON, str(self.path.absolute())], stdout=-1, cwd=ROOT)
        assert child.stdout is not None
        process = int(child.stdout.readline())
        child.wait()
        try:
            self.refused("in use by another controller")
            self.assertEqual(unfinishedIn(self.path), 1)
        finally:
            os.kill(process, signal.SIGKILL)
            child.stdout.read()  # ends when the process has ended
            child.stdout.close()
        self.assertEqual([each.operation for each in self.opened().unfinished()], [1])

    def test_closed(self) -> None:
        """Nothing is written or read after the end."""
        journal = self.opened()
        journal.close()
        self.assertRaises(OperationError, journal.write, entry(1, Step.OPEN))
        self.assertRaises(OperationError, journal.unfinished)
        journal.close()

    def test_prunes(self) -> None:
        """Only so many operations that are over are kept; those under way always are."""
        journal = self.opened()
        journal.write(entry(1 << 40, Step.OPEN))
        journal.close()
        database = sqlite3.connect(self.path)
        database.executemany(
            "INSERT INTO operation (id, source, source_incarnation, destination, destination_incarnation, flows, "
            "token, step, reason) VALUES (?, 'a', x'00', 'b', x'00', 'tcp', zeroblob(16), 'closed', 'finished')",
            [(number,) for number in range(1, REMEMBERED + 501)],
        )
        database.commit()
        database.close()
        journal = self.opened()
        outcomes = journal.outcomes(2 * REMEMBERED)
        self.assertEqual((len(outcomes), outcomes[0].operation), (REMEMBERED, 501))
        self.assertEqual([each.operation for each in journal.unfinished()], [1 << 40])

    def refused(self, words: str) -> None:
        """Opening is refused with C{words}, and no byte has changed."""
        before = {path: path.read_bytes() for path in self.path.parent.glob(f"{self.path.name}*") if path.is_file()}
        with self.assertRaisesRegex(ConfigurationError, words):
            SQLiteJournal(self.path)
        self.assertEqual(
            before, {path: path.read_bytes() for path in self.path.parent.glob(f"{self.path.name}*") if path.is_file()}
        )

    def test_newerVersion(self) -> None:
        journal = SQLiteJournal(self.path, VERSION + 1, NEXT)
        journal.write(entry(1, Step.OPEN))
        journal.close()
        self.refused(f"newer OpenMB .version {VERSION + 1}, this one knows {VERSION}")

    def test_newerVersionKilled(self) -> None:
        """The version stands in the file itself, also when its writer was killed and all else is in a log beside it."""
        self.written(0, 1, VERSION + 1)
        self.assertTrue(self.path.with_name(f"{self.path.name}-wal").stat().st_size)
        self.refused(f"newer OpenMB .version {VERSION + 1}, this one knows {VERSION}")

    def test_versionWithoutLog(self) -> None:
        """A new version is in the file itself as soon as it counts, not in the write-ahead log only."""
        self.opened().close()
        with closing(_connect(self.path)) as database:
            _bringUpToDate(database, self.path, VERSION + 1, NEXT)
            self.refused(f"newer OpenMB .version {VERSION + 1}, this one knows {VERSION}")

    def test_upgrade(self) -> None:
        """An older journal is brought up to date, with its content, in one step."""
        old = self.opened()
        old.write(entry(1, Step.OPEN))
        old.close()
        new = SQLiteJournal(self.path, VERSION + 1, NEXT)
        self.assertEqual(new.unfinished(), (entry(1, Step.OPEN),))
        new.close()
        self.refused("newer OpenMB")

    def test_fromVersionOne(self) -> None:
        """Before there were clones and merges all operations were moves."""
        with closing(_connect(self.path)) as database:
            _bringUpToDate(database, self.path, 1, {})
            self.path.chmod(0o600)
            values = (7, "a", b"a" * 16, "b", b"b" * 16, "tcp", bytes(16), "open", None, None, "")
            columns = "id, source, source_incarnation, destination, destination_incarnation, flows, token, step, "
            columns += "route, previous, reason"
            database.execute(f"INSERT INTO operation ({columns}) VALUES ({', '.join('?' * len(values))})", values)
        journal = self.opened()
        self.assertEqual([(7, Sort.MOVE)], [(each.operation, each.sort) for each in journal.unfinished()])
        merge = replace(entry(8, Step.OPEN), sort=Sort.MERGE)
        journal.write(merge)
        self.assertEqual(merge, journal.unfinished()[-1])

    def test_key(self) -> None:
        """Each journal has a key of its own, which stays when it is opened again; a damaged one is told."""
        first = self.opened()
        key = first.key
        first.close()
        self.assertEqual((32, key), (len(key), self.opened().key))
        other = SQLiteJournal(self.path.with_name("other"))
        self.addCleanup(other.close)
        self.assertNotEqual(key, other.key)

    def test_unsafe(self) -> None:
        """What others could have written, or would write, is no journal; nothing of it is changed."""
        self.opened().close()
        for mode in (0o666, 0o640, 0o604):
            self.path.chmod(mode)
            self.refused(f"journal .* others can use it .mode {mode:04o}.: .*'chmod 600 ")
        self.path.chmod(0o600)
        real = self.path.absolute().with_name("real")
        self.path.rename(real)
        self.path.symlink_to(real)
        self.refused("it is a symbolic link, which is not followed")
        self.path.unlink()
        real.rename(self.path)
        log = self.path.with_name(f"{self.path.name}-wal")
        log.symlink_to(real)
        self.refused("-wal: it is a symbolic link|cannot be opened: it is a symbolic link")
        self.assertFalse(real.exists())
        log.unlink()
        self.opened()

    def test_directoryOfOthers(self) -> None:
        """Who can write in the directory can put another journal there."""
        self.path.parent.chmod(0o777)
        self.addCleanup(self.path.parent.chmod, 0o755)
        self.refused("others can write in it .mode 0777.: choose another directory")

    def test_damagedKey(self) -> None:
        self.opened().close()
        with closing(_connect(self.path)) as database:
            database.execute("UPDATE controller SET key = 'short'")
        with self.assertRaisesRegex(ConfigurationError, "is damaged: its key"):
            SQLiteJournal(self.path)

    def test_failedUpgrade(self) -> None:
        """One that breaks in the middle leaves the old version whole."""

        def broken(database: sqlite3.Connection) -> None:
            database.execute("DROP TABLE decision")
            database.execute("NONSENSE")

        old = self.opened()
        old.write(entry(1, Step.OPEN))
        old.close()
        with self.assertRaises(ConfigurationError):
            SQLiteJournal(self.path, VERSION + 1, {**UPGRADES, VERSION: broken})
        self.assertEqual(len(self.opened().decisions(1)), 1)

    def test_strangers(self) -> None:
        """Not a database, another program's, cut off: refused and left alone."""
        self.path.write_bytes(b"this is no database\n" * 20)
        self.refused("is not a journal")
        self.path.write_bytes(b"SQLite format 3\0" + bytes(20))
        self.refused("is not a journal")
        self.path.unlink()
        database = sqlite3.connect(self.path)
        database.execute("PRAGMA application_id = 7")
        database.execute("CREATE TABLE theirs (x)")
        database.commit()
        database.close()
        self.refused("another program")
        self.path.unlink()
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("CREATE TABLE theirs (x)")
        self.refused("another program")

    def test_damaged(self) -> None:
        """A journal whose pages are overwritten is an error in words, not a crash."""
        journal = self.opened()
        for number in range(1, 200):
            journal.write(entry(number, Step.OPEN))
        journal.close()
        content = bytearray(self.path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        self.path.write_bytes(content)
        with self.assertRaises((ConfigurationError, OperationError)):
            SQLiteJournal(self.path).unfinished()

    def test_nonsense(self) -> None:
        """An entry with which no controller could go on: refused in words when it is opened, and by doctor."""
        for change, words in (
            ("flows = 'udp,nonsense=3'", "operation 0{15}7: .*nonsense"),
            ("token = x'00'", "a token of 1 bytes in operation 0{15}7"),
            ("step = 'closed', reason = 'nonsense'", "nonsense"),
            ("step = 'nonsense'", "nonsense"),
            ("route = '{}'", "damaged"),
        ):
            self.path = Path(self.mktemp())
            journal = self.opened()
            journal.write(entry(7, Step.OPEN))
            journal.close()
            with closing(sqlite3.connect(self.path)) as database:
                database.execute(f"UPDATE operation SET {change}")
                database.commit()
            self.refused(words)
            with self.assertRaisesRegex(ConfigurationError, words):
                unfinishedIn(self.path)

    def test_noDirectory(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "cannot be opened|cannot be read"):
            SQLiteJournal(self.path / "nowhere" / "journal")

    def test_fullDisk(self) -> None:
        """A write that finds no room raises, leaves nothing behind, and the next one works when there is room."""
        journal = self.opened()
        journal.write(entry(1, Step.OPEN))
        (pages,) = journal._database.execute("PRAGMA page_count").fetchone()
        journal._database.execute(f"PRAGMA max_page_count = {pages}")
        with self.assertRaises(OperationError) as caught:
            for number in range(2, 2000):
                journal.write(entry(number, Step.OPEN, reason="x" * 500))
        self.assertEqual(caught.exception.refusal, Refusal.JOURNAL_FAILED)
        kept = len(journal.unfinished())
        journal._database.execute("PRAGMA max_page_count = 100000")
        journal.write(entry(9999, Step.OPEN))
        self.assertEqual(len(journal.unfinished()), kept + 1)

    def test_unwritable(self) -> None:
        """A text that cannot be stored is an error, and the next write works."""
        journal = self.opened()
        with self.assertRaises(OperationError) as caught:
            journal.write(entry(1, Step.OPEN, reason="\udc80"))
        self.assertEqual(caught.exception.refusal, Refusal.JOURNAL_FAILED)
        journal.write(entry(2, Step.OPEN))
        self.assertEqual(journal.unfinished(), (entry(2, Step.OPEN),))

    def test_noRoomForTheLog(self) -> None:
        """The write-ahead log itself cannot grow: an error, nothing lost, and the next write works when it can."""
        done = subprocess.run(
            [sys.executable, "-c", FILLER, str(self.path.absolute())], cwd=ROOT, capture_output=True, text=True
        )
        (failed, kept), (found,) = (line.split() for line in done.stdout.splitlines())
        self.assertEqual(failed, "JOURNAL_FAILED")
        self.assertGreater(int(kept), 1)
        self.assertEqual(int(found), int(kept) + 1)
        self.assertEqual(len(self.opened().unfinished()), int(found))

    def test_look(self) -> None:
        """A look from outside counts what is under way, and keeps nobody from writing."""
        journal = self.opened()
        journal.write(entry(1, Step.OPEN))
        journal.write(entry(2, Step.OPEN))
        self.assertEqual(unfinishedIn(self.path), 2)
        journal.write(entry(2, Step.CLOSED))
        self.assertEqual(unfinishedIn(self.path), 1)
        journal.close()
        before = {path: path.read_bytes() for path in self.path.parent.iterdir()}
        self.assertEqual(unfinishedIn(self.path), 1)
        self.assertEqual(before, {path: path.read_bytes() for path in self.path.parent.iterdir()})

    def test_lookAtRemains(self) -> None:
        """The same at what a killed controller has left: the log that it left counts, and stays as it is."""
        written = self.written(0, 5)
        names = self.path, self.path.with_name(f"{self.path.name}-wal")
        before = [name.read_bytes() for name in names]
        self.assertIn(unfinishedIn(self.path), ((written + 1) // 2, written // 2 + 1))
        self.assertEqual(before, [name.read_bytes() for name in names])

    def written(self, number: int, lines: int, version: int = VERSION) -> int:
        """Have a process write from C{number} on, kill it after so many lines, and say how far it has come."""
        words = [sys.executable, "-c", WRITER, str(self.path.absolute()), str(number), str(version)]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        for _ in range(lines):
            number = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")[:-1]
        child.stdout.close()
        child.wait()
        return int(rest[-1]) if rest else number

    def test_killed(self) -> None:
        """Everything whose write returned is there after kill -9 in the middle of writing, twenty times."""
        written = 0
        for round_ in range(20):
            written = self.written(written, 1 + 3 * round_)
            journal = SQLiteJournal(self.path)
            ids = {each.operation for each in (*journal.unfinished(), *journal.outcomes(10_000))}
            journal.close()
            self.assertLessEqual(set(range(1, written + 1)), ids)
            self.assertLessEqual(max(ids), written + 1)
            written = max(ids)
