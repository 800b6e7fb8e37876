"""Guessing of SSH passwords, against what the real program made of its own captures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from openmb.packets.headers import Decoded
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.analyzers.login import MOST_SEGMENTS, Login, LoginWatch
from openmb.plugins.bro.fastpath.lanes import Lanes
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.policies.settings import Policy
from openmb.plugins.bro.reporting.connections import beginningOf
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.settings import BroSettings
from openmb.plugins.bro.tracking.identity import Identity
from tests.plugins.bro.policies.scanning import watching
from tests.plugins.bro.policies.test_sharing import merge, move
from tests.plugins.bro.running import decodeCapture, end, readLog
from tests.shared import sharedFolder

GUESSING = "scripts.policy.protocols.ssh.detect-bruteforcing"
#: The real program's word for each outcome.
SAID = {Login.UNKNOWN: "-", Login.FAILED: "F", Login.SUCCEEDED: "T"}


def traces() -> Path:
    """The captures of Zeek's own test suite."""
    folder = sharedFolder()
    if folder is None:
        raise SkipTest("the shared captures are not beside this checkout")
    return folder / "traces" / "bro"


class Recorder:
    """Takes rows as a log does, and keeps how logging in went."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], str] = {}

    def connections(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """See C{IOutput}."""
        for words, row in zip(keys.tolist(), rows, strict=True):
            ends = beginningOf(ConnectionIDs(), Identity(words, int(row["start"]), bool(row["swapped"])))
            self.found[ends[1], str(ends[2])] = SAID[Login(int(row["login"]))]

    def messages(self, identity: Identity, rows: list[HTTPRow | DNSRow]) -> None:
        """See C{IOutput}."""

    def requests(self, lanes: Lanes, rows: NDArray[np.int32]) -> None:
        """See C{IOutput}."""


class CaptureTests(SynchronousTestCase):
    """Real captures."""

    def test_outcomes(self) -> None:
        """Who got in, and who did not, in every connection that the real program lists in ssh.log."""
        compared = 0
        for log in sorted(traces().glob("*/ssh.log")):
            (capture,) = log.parent.glob("*.pcap")
            middlebox, recorder = BroMiddlebox(BroSettings()), Recorder()
            middlebox._own.reportTo(recorder)
            for packets in decodeCapture(capture):
                middlebox.process(packets, None)
            middlebox.finish()
            for row in readLog(log):
                compared += 1
                ends = row["id.orig_h"], row["id.orig_p"]
                self.assertEqual(row["auth_success"], recorder.found[ends], f"{log} {ends}")
        self.assertGreater(compared, 40)

    def expected(self) -> list[str]:
        """What the real program noticed: note, message, detail, who."""
        (row,) = readLog(traces() / GUESSING / "notice.log")
        return [row[name] for name in ("note", "msg", "sub", "src", "actions", "suppress_for")]

    def said(self, *folders: Path) -> list[list[str]]:
        """What ours did."""
        rows = [row for folder in folders for row in readLog(folder / "notice.log")]
        return [[row[name] for name in ("note", "msg", "sub", "src", "actions", "suppress_for")] for row in rows]

    def packets(self) -> list[Decoded]:
        """The capture of guesses, in small batches."""
        return decodeCapture(traces() / GUESSING / "sshguess.pcap", limit=16)

    def watching(self, folder: Path) -> BroMiddlebox:
        return watching(folder, policies=frozenset({Policy.GUESSING}), guesses=10)

    def test_notice(self) -> None:
        """The same words; our stamp is that of the connection's last packet, five seconds before it is removed."""
        folder = Path(self.mktemp())
        middlebox = self.watching(folder)
        for packets in self.packets():
            middlebox.process(packets, None)
        end(middlebox)
        self.assertEqual([self.expected()], self.said(folder))
        (row,) = readLog(folder / "notice.log")
        (real,) = readLog(traces() / GUESSING / "notice.log")
        self.assertLess(float(row["ts"]), float(real["ts"]))
        self.assertGreater(float(row["ts"]) + 5.1, float(real["ts"]))

    def test_splitAnywhere(self) -> None:
        """Moved in the middle, even of an attempt, and merged: one notice, with the count that one instance has."""
        whole = self.packets()
        for place in range(1, len(whole), 5):
            folders = Path(self.mktemp()), Path(self.mktemp())
            one, two = (self.watching(folder) for folder in folders)
            for packets in whole[:place]:
                one.process(packets, None)
            move(one, two)
            merge(one, two)
            for packets in whole[place:]:
                two.process(packets, None)
            end(one)
            end(two)
            self.assertEqual([self.expected()[:2]], [each[:2] for each in self.said(*folders)], place)


class WatchTests(SynchronousTestCase):
    """The rule by itself; lengths as OpenSSH has them."""

    def outcome(self, *lengths: int) -> tuple[Login, int]:
        watch = LoginWatch()
        watch.begin()
        for length in lengths:
            watch.segment(length)
        return watch.outcome, watch.attempts

    def test_refused(self) -> None:
        """The first refusal is not of an attempt: clients ask what they may try."""
        self.assertEqual((Login.UNKNOWN, 0), self.outcome(56, 72))
        self.assertEqual((Login.FAILED, 2), self.outcome(56, 72, 72, 72))

    def test_accepted(self) -> None:
        self.assertEqual((Login.SUCCEEDED, 1), self.outcome(56, 40))
        self.assertEqual((Login.SUCCEEDED, 2), self.outcome(56, 72, 72, 40))

    def test_afterwards(self) -> None:
        """Nothing that comes later changes it, and not much is looked at."""
        self.assertEqual((Login.SUCCEEDED, 1), self.outcome(56, 40, 72, 72, 72))
        self.assertEqual((Login.FAILED, MOST_SEGMENTS - 2), self.outcome(*[56] * 1000))

    def test_others(self) -> None:
        """Lengths that fit nothing are no attempts: banners, questions."""
        self.assertEqual((Login.FAILED, 1), self.outcome(56, 72, 900, 72, 13))
