"""Faults of journals, directories and the machine, made for real, and what C{openmb doctor} says of them."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from openmb.controller.journal import UPGRADES, SQLiteJournal
from openmb.controller.journalfile import VERSION
from openmb.northbound.doctor.files import checkJournal, checkRoom
from openmb.northbound.doctor.finding import Level
from openmb.northbound.doctor.machine import checkMachine
from openmb.operations.journal import Entry, Step
from openmb.wire.messages import Peer
from tests.northbound.doctoring import DoctorCase, unprivileged

ENDS = Peer("a", bytes(16)), Peer("b", bytes(16))


class JournalTests(DoctorCase):
    """The controller's journal."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "j"

    def written(self, step: Step) -> None:
        journal = SQLiteJournal(self.path)
        journal.write(Entry(1, step, *ENDS, "tcp", bytes(16), reason="aborted"))
        journal.close()

    def test_well(self) -> None:
        self.written(Step.CLOSED)
        self.has(checkJournal(self.path), Level.OK, "every operation in it is over")

    def test_none(self) -> None:
        found = list(checkJournal(self.path))
        self.assertEqual(["the journal can be written"], [each.text[:26] for each in found])

    def test_unfinished(self) -> None:
        self.written(Step.COMMIT)
        self.has(checkJournal(self.path), Level.WARNING, "operations that are not over: 1")

    def test_inUse(self) -> None:
        """A controller that runs is not disturbed."""
        journal = SQLiteJournal(self.path)
        self.addCleanup(journal.close)
        journal.write(Entry(2, Step.OPEN, *ENDS, "tcp", bytes(16)))
        self.has(checkJournal(self.path), Level.WARNING, "operations that are not over: 1")
        journal.write(Entry(2, Step.CLOSED, *ENDS, "tcp", bytes(16), reason="finished"))
        self.has(checkJournal(self.path), Level.OK, "every operation in it is over")

    def test_strange(self) -> None:
        self.written(Step.CLOSED)
        self.path.chmod(0o644)
        self.has(checkJournal(self.path), Level.WRONG, "others can use it", "chmod 600")
        self.path.write_bytes(b"something else " * 20)
        self.has(checkJournal(self.path), Level.WRONG, "is not a journal")

    def test_newer(self) -> None:
        SQLiteJournal(self.path, VERSION + 1, {**UPGRADES, VERSION: lambda database: None}).close()
        self.has(checkJournal(self.path), Level.WRONG, f"written by a newer OpenMB (version {VERSION + 1}")

    def test_notWritable(self) -> None:
        self.written(Step.CLOSED)
        self.path.chmod(0o400)
        with unprivileged(self.folder, 7):
            self.has(checkJournal(self.path), Level.WRONG, "cannot write it", "chown")


class RoomTests(DoctorCase):
    """Directories for logs."""

    def test_room(self) -> None:
        free = shutil.disk_usage(self.folder).free
        self.has(checkRoom(self.folder, "logs", roomy=0, scarce=0), Level.OK, "logs can be written")
        self.has(checkRoom(self.folder, "logs", roomy=2 * free, scarce=0), Level.WARNING, "MiB are free for logs")
        self.has(checkRoom(self.folder, "logs", roomy=2 * free, scarce=2 * free), Level.WRONG, "make room;")

    def test_new(self) -> None:
        self.has(checkRoom(self.folder / "new" / "er", "logs"), Level.WARNING, "no such directory yet", "mkdir -p")

    def test_noRights(self) -> None:
        with unprivileged(self.folder):
            self.has(checkRoom(self.folder, "logs"), Level.WRONG, "logs cannot be written here", "chown")
            self.has(checkRoom(self.folder / "new", "logs"), Level.WRONG, "it cannot be made in")


class MachineTests(DoctorCase):
    """Limits, clock, kernels."""

    def test_well(self) -> None:
        found = list(checkMachine(1.8e9, {"NUMBA_CACHE_DIR": str(self.folder)}))
        self.has(found, Level.OK, f"kernels: kept in {self.folder}")
        self.has(found, Level.OK, "clock: 2027-01-15")

    def test_clock(self) -> None:
        self.has(checkMachine(0.0), Level.WRONG, "it is 1970-01-01 00:00 UTC here")

    def test_files(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        self.has(checkMachine(), Level.WARNING, "the limit is 256", "ulimit -n")

    def kernels(self, given: Path | None, package: Path, home: Path) -> list[tuple[Level, str]]:
        told = {} if given is None else {"NUMBA_CACHE_DIR": str(given)}
        found = checkMachine(None, {**told, "HOME": str(home)}, package)
        return [(each.level, each.text) for each in found if each.subject == "kernels"]

    def test_kernels(self) -> None:
        """Where they go, in turn: as told, beside the source, into the user's own cache; or nowhere."""
        readable, free = self.folder / "readable", self.folder / "free"
        readable.mkdir()
        free.mkdir()
        told = (Level.WARNING, f"cannot be kept in {readable}: 'chown' it, or give another NUMBA_CACHE_DIR")
        free.chmod(0o777)
        with unprivileged(readable):
            advice = f"it is not this user's: choose a directory of its own, such as {free / 'openmb'}"
            unsafe = f"others can write to {free}, and so have this user run their code: {advice}"
            self.assertEqual([(Level.WRONG, unsafe)], self.kernels(free, readable, readable))
            self.assertEqual([told, (Level.OK, f"kept in {free}/.cache/numba")], self.kernels(readable, readable, free))
            nowhere = "cannot be kept anywhere: set NUMBA_CACHE_DIR to a directory that this user can write"
            self.assertEqual([told, (Level.WRONG, nowhere)], self.kernels(readable, readable, readable))

    def test_besideSource(self) -> None:
        self.assertEqual([(Level.OK, f"kept in {self.folder}")], self.kernels(None, self.folder, self.folder))
