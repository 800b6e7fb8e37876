"""weird.log, against what the real program wrote of the shared captures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.decode import Decoder
from openmb.plugins.bro.policies.settings import Policy
from openmb.plugins.bro.tracking.weirds import Weird
from tests.plugins.bro.policies.scanning import watching
from tests.plugins.bro.policies.test_sharing import move
from tests.plugins.bro.running import Row, decodeCapture, end, readLog
from tests.plugins.bro.wire import ACK, FIN, RST, SYN, Script
from tests.shared import needSharedFolder

NAMES = frozenset(each.text for each in Weird)
_SHOWN = ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "name", "addl", "notice", "source")


def shown(rows: list[Row]) -> list[tuple[str, ...]]:
    """What can be compared: everything but the uid and who wrote it; of those the tracker tells of."""
    return sorted(tuple(row[name] for name in _SHOWN) for row in rows if row["name"] in NAMES)


def told(row: tuple[str, ...]) -> Callable[[tuple[str, ...]], bool]:
    """Is it the same, or the same of an earlier connection of these addresses and ports?"""
    return lambda other: other[1:] == row[1:] and float(other[0]) <= float(row[0])


def firsts(rows: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Of rows that differ in their stamps only the first."""
    earliest = {row[1:]: row for row in reversed(rows)}
    return set(earliest.values())


class CaptureTests(SynchronousTestCase):
    """Every shared capture with logs of the real program's."""

    def test_rows(self) -> None:
        """
        The same rows, and none where the real program has none; but that the real program passes over what it has told
        of the same addresses and ports in the last ten minutes, and ours what it has told of the same connection.
        """
        compared = captures = 0
        wrong = []
        for log in sorted((needSharedFolder() / "traces").glob("*/*/conn.log")):
            found = [each for each in log.parent.iterdir() if each.suffix in (".pcap", ".pcapng", ".cap", ".trace")]
            if len(found) != 1:
                continue
            folder = Path(self.mktemp())
            middlebox = watching(folder, policies=frozenset({Policy.WEIRD}))
            for packets in decodeCapture(found[0]):
                middlebox.process(packets, None)
            end(middlebox)
            real, ours = shown(readLog(log.parent / "weird.log")), shown(readLog(folder / "weird.log"))
            compared, captures = compared + len(real), captures + 1
            wrong += [f"{found[0].name}: missing {row}" for row in real if not any(map(told(row), ours))]
            wrong += [f"{found[0].name}: too many {row}" for row in ours if not any(map(told(row), real))]
            self.assertEqual(firsts(real), firsts(ours), found[0].name)
        self.assertEqual(0, len(wrong), "\n".join(wrong))
        self.assertGreater(captures, 50)
        self.assertGreater(compared, 80)

    def test_splitAnywhere(self) -> None:
        """Moved in the middle: each weird once, whoever tells of it."""
        capture = next((needSharedFolder() / "traces" / "ndpi" / "KakaoTalk_chat.pcap").glob("*.pcap"))
        whole = decodeCapture(capture, limit=20)
        single = Path(self.mktemp())
        middlebox = watching(single, policies=frozenset({Policy.WEIRD}))
        for packets in whole:
            middlebox.process(packets, None)
        end(middlebox)
        expected = sorted(tuple(row.values()) for row in readLog(single / "weird.log"))
        self.assertGreater(len(expected), 3)
        for place in range(0, len(whole), 4):
            folders = Path(self.mktemp()), Path(self.mktemp())
            one, two = (watching(folder, policies=frozenset({Policy.WEIRD})) for folder in folders)
            for packets in whole[:place]:
                one.process(packets, None)
            move(one, two)
            for packets in whole[place:]:
                two.process(packets, None)
            end(one)
            end(two)
            found = sorted(tuple(row.values()) for folder in folders for row in readLog(folder / "weird.log"))
            self.assertEqual(expected, found, place)


class OddTests(SynchronousTestCase):
    """Single connections."""

    def names(self, script: Script) -> list[str]:
        """The weirds of one connection, in order; all about it."""
        folder = Path(self.mktemp())
        middlebox = watching(folder, policies=frozenset({Policy.WEIRD}))
        middlebox.process(Decoder().decode(script.batch), None)
        end(middlebox)
        rows, (connection, *_) = readLog(folder / "weird.log"), readLog(folder / "conn.log")
        self.assertEqual({connection["uid"]} if rows else set(), {row["uid"] for row in rows})
        return [row["name"] for row in rows]

    def test_ordinary(self) -> None:
        """Nothing is odd about a connection that opens, says something and ends; nor is a SYN that comes again."""
        self.assertEqual([], self.names(Script().handshake()))
        self.assertEqual([], self.names(Script().client(SYN, 1000).client(SYN, 1000)))

    def test_afterReset(self) -> None:
        """What comes after a RST: once, however often."""
        script = Script().handshake().client(RST | ACK, 1001, 5001)
        for place in range(3):
            script.client(ACK, 1001 + place, 5001, b"x")
        self.assertEqual(["data_after_reset"], self.names(script))

    def test_synthetic(self) -> None:
        """A SYN with everything, and a FIN before anything was answered."""
        self.assertEqual(["SYN_with_data"], self.names(Script().client(SYN, 1000, 0, b"x")))
        self.assertEqual(["TCP_christmas", "baroque_SYN"], self.names(Script().client(SYN | RST | 32, 1000)))
        self.assertEqual(["inappropriate_FIN"], self.names(Script().client(SYN, 1000).client(FIN, 1001)))

    def test_notFollowed(self) -> None:
        """Without the policy there is no file."""
        folder = Path(self.mktemp())
        middlebox = watching(folder, policies=frozenset({Policy.SCAN}))
        middlebox.process(Decoder().decode(Script().client(SYN, 1000, 0, b"x").batch), None)
        end(middlebox)
        self.assertFalse((folder / "weird.log").exists())
