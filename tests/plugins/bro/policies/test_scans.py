"""Scans, as notice.log tells of them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import PacketBatch
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.policies.settings import Policy
from openmb.state.announcements import Announced
from tests.plugins.bro.policies.scanning import (
    SCANNER,
    START,
    STEP,
    attempt,
    batchOf,
    feed,
    session,
    sweep,
    victim,
    watching,
)
from tests.plugins.bro.running import Row, end, readLog


def stampText(stamp: int) -> str:
    """As a log has it."""
    return f"{stamp // 10**9}.{stamp % 10**9 // 1000:06d}"


class ScanTests(SynchronousTestCase):
    """One middlebox."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def notices(self, *packets: PacketBatch, **settings: object) -> list[Row]:
        """What one middlebox notices."""
        middlebox = watching(self.folder, **settings)
        for some in packets:
            feed(middlebox, some)
        end(middlebox)
        return readLog(self.folder / "notice.log")

    def test_addresses(self) -> None:
        """The 25th address makes it a scan: who, which port, how long; the stamp is that of the last attempt."""
        (row,) = self.notices(sweep(25))
        self.assertEqual("Scan::Address_Scan", row["note"])
        self.assertEqual(f"{SCANNER} scanned at least 25 unique hosts on port 22/tcp in 0m6s", row["msg"])
        self.assertEqual((SCANNER, "-", "22", "remote"), (row["src"], row["dst"], row["p"], row["sub"]))
        self.assertEqual(stampText(START + 24 * STEP), row["ts"])
        self.assertEqual(("Notice::ACTION_LOG", "3600.000000"), (row["actions"], row["suppress_for"]))

    def test_oneLess(self) -> None:
        self.assertEqual([], self.notices(sweep(24)))
        self.assertFalse((self.folder / "notice.log").exists())

    def test_sameAgain(self) -> None:
        """Repeated attempts on the same address count once."""
        again = [sweep(24, start=START + each * 10 * 10**9) for each in range(3)]
        self.assertEqual([], self.notices(*again))

    def test_rejected(self) -> None:
        """Attempts that are reset count like those that nobody answers, and like those that are broken off."""
        for answer in ("reset", "open"):
            self.folder = Path(self.mktemp())
            self.assertEqual(1, len(self.notices(sweep(25, answer=answer))), answer)

    def test_sessions(self) -> None:
        """Connections on which something is said are no scan."""
        parts = [session(victim(each), 80, START + each * STEP) for each in range(40)]
        self.assertEqual([], self.notices(batchOf(*parts)))

    def test_ports(self) -> None:
        """15 ports of one address."""
        parts = [attempt(victim(0), 1000 + each, START + each * STEP) for each in range(15)]
        (row,) = self.notices(batchOf(*parts))
        self.assertEqual("Scan::Port_Scan", row["note"])
        self.assertEqual(f"{SCANNER} scanned at least 15 unique ports of host {victim(0)} in 0m3s", row["msg"])
        self.assertEqual((SCANNER, victim(0), "-"), (row["src"], row["dst"], row["p"]))

    def test_epochs(self) -> None:
        """What lies in two epochs does not count together."""
        self.assertEqual([], self.notices(sweep(24), sweep(2, first=24, start=START + 300 * 10**9)))
        self.folder = Path(self.mktemp())
        late = sweep(2, first=24, start=START + 300 * 10**9)
        self.assertEqual(1, len(self.notices(sweep(24), late, scanEpoch=3600)))

    def test_thresholds(self) -> None:
        self.assertEqual(1, len(self.notices(sweep(3), addresses=3)))

    def test_notRepeated(self) -> None:
        """For an hour there is no other notice of the kind about the same scanner; then there is."""
        parts = [sweep(30, port=1000 + each, start=START + each * 1300 * 10**9) for each in range(4)]
        rows = self.notices(*parts)
        self.assertEqual(["1000", "1003"], [row["p"] for row in rows])
        (stats,) = readLog(self.folder / "stats.log")
        self.assertEqual(("2", "2"), (stats["notices"], stats["suppressed_notices"]))

    def test_notFollowed(self) -> None:
        """Without the policy there is nothing."""
        self.assertEqual([], self.notices(sweep(40), policies=frozenset({Policy.KNOWN})))

    def test_bounded(self) -> None:
        """With too many suspicions the earliest are forgotten, and counted."""
        middlebox = watching(self.folder, most=100)
        for each in range(300):
            feed(middlebox, batchOf(attempt(victim(each), 22, START + each * STEP, f"203.0.115.{each % 250}")))
        self.assertEqual(100, len(middlebox.policies.own.observations))
        end(middlebox)
        (stats,) = readLog(self.folder / "stats.log")
        self.assertGreater(int(stats["forgotten"]), 0)

    def test_forgets(self) -> None:
        """What is over is forgotten."""
        middlebox = watching(self.folder)
        feed(middlebox, sweep(30))
        self.assertTrue(middlebox.policies.own.observations)
        middlebox.advance(START + 10_000 * 10**9)
        self.assertFalse(middlebox.policies.own.observations or middlebox.policies.own.quiet)

    def test_whenever(self) -> None:
        """However packets come in batches, the same is noticed."""
        whole = sweep(40, answer="reset")
        expected = [row["msg"].split(" in ")[0] for row in self.notices(whole)]
        for size in (1, 7):
            self.folder = Path(self.mktemp())
            parts = [whole.select(slice(place, place + size)) for place in range(0, len(whole), size)]
            self.assertEqual(expected, [row["msg"].split(" in ")[0] for row in self.notices(*parts)])

    def test_announced(self) -> None:
        """Who listens for notices hears what the log says, and the fast path stays on."""
        middlebox, heard = watching(self.folder), list[Announced]()
        middlebox.listen(frozenset({"notice"}), heard.extend)
        feed(middlebox, sweep(25))
        end(middlebox)
        (row,) = readLog(self.folder / "notice.log")
        (event,) = heard
        self.assertEqual((row["note"], row["msg"], row["src"], None, 22), event.values)
        self.assertEqual(row["ts"], stampText(event.stamp))

    def test_changedWhileRunning(self) -> None:
        """The policy is taken up when it is configured."""
        middlebox: BroMiddlebox = watching(self.folder, policies=frozenset())
        feed(middlebox, sweep(24))
        middlebox.configure(middlebox.configuration.changed({"policies/followed": ("scan",)}))
        feed(middlebox, sweep(25, port=23, start=START + 60 * 10**9))
        end(middlebox)
        self.assertEqual(["23"], [row["p"] for row in readLog(self.folder / "notice.log")])
