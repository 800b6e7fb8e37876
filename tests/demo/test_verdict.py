"""The verdict: what counts as equal, and what does not."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.demo.verdict import Log, compare, pendingMoved, readLog
from openmb.errors import CaptureError

_HEADER = "#separator \\x09\n#path\thttp\n#fields\tts\tuid\tid.resp_h\turi\n#types\ttime\tstring\taddr\tstring\n"
_ROWS = (
    "1.000000\tCa\t10.0.0.1\t/1",
    "2.000000\tCb\t10.0.0.2\t/2",
    "3.000000\tCa\t10.0.0.1\t/3",
    "4.000000\tCa\t10.0.0.1\t/4",
)


class VerdictTests(SynchronousTestCase):
    """Two instances' logs against the reference's."""

    def setUp(self) -> None:
        """Three folders."""
        root = Path(self.mktemp())
        self.first, self.second, self.reference = (root / name for name in ("one", "two", "reference"))
        for folder in (self.first, self.second, self.reference):
            folder.mkdir(parents=True)

    def write(self, folder: Path, *rows: str, footer: str = "#close\t2026-01-01-00-00-00\n") -> None:
        """An http.log of these rows."""
        (folder / "http.log").write_text(_HEADER + "".join(f"{row}\n" for row in rows) + footer)

    def compared(self, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[bool, int, int, int]:
        """Equal, and how many rows are missing, too many, and flows out of order."""
        self.write(self.reference, *_ROWS)
        self.write(self.first, *first, footer="#close\t2027-01-01-00-00-00\n")
        self.write(self.second, *second)
        verdict = compare([self.first, self.second], self.reference)
        return verdict.equal, len(verdict.missing), len(verdict.surplus), len(verdict.disordered)

    def test_split(self) -> None:
        """Rows split between the two are equal, whatever the order of different flows."""
        self.assertEqual(self.compared((_ROWS[1], _ROWS[0]), _ROWS[2:]), (True, 0, 0, 0))

    def test_thereAndBack(self) -> None:
        """A flow that moved and came back has its rows in the first, the second and the first again."""
        self.assertEqual(self.compared((_ROWS[0], _ROWS[1], _ROWS[3]), _ROWS[2:3]), (True, 0, 0, 0))

    def test_missing(self) -> None:
        """A row that nobody wrote."""
        self.assertEqual(self.compared(_ROWS[:2], _ROWS[2:3]), (False, 1, 0, 0))

    def test_twice(self) -> None:
        """A row that both wrote."""
        self.assertEqual(self.compared(_ROWS, _ROWS[2:3]), (False, 0, 1, 0))

    def test_altered(self) -> None:
        """One field of one row, even of the uid, makes a difference."""
        altered = _ROWS[3].replace("Ca", "Cx")
        self.assertEqual(self.compared((*_ROWS[:3], altered), ()), (False, 1, 1, 0))

    def test_disordered(self) -> None:
        """The right rows of one flow in the wrong order."""
        self.assertEqual(self.compared((_ROWS[0], _ROWS[1], _ROWS[3], _ROWS[2]), ()), (False, 0, 0, 1))

    def test_torn(self) -> None:
        """Rows of the second that do not stand in one piece in the reference's order."""
        self.assertEqual(self.compared((_ROWS[2], _ROWS[1]), (_ROWS[0], _ROWS[3])), (False, 0, 0, 1))

    def test_nothing(self) -> None:
        """No rows anywhere prove nothing."""
        self.assertFalse(compare([self.first, self.second], self.reference).equal)

    def test_logOfOneInstanceOnly(self) -> None:
        """A log that the reference does not have at all."""
        self.write(self.reference, *_ROWS)
        self.write(self.first, *_ROWS)
        (self.second / "conn.log").write_text(_HEADER + _ROWS[0] + "\n")
        self.assertEqual(len(compare([self.first, self.second], self.reference).surplus), 1)

    def test_everyLog(self) -> None:
        """A log that nobody has heard of counts like any other, whoever wrote it."""
        for writer, found in ((self.reference, (1, 0)), (self.second, (0, 1))):
            self.write(self.reference, *_ROWS)
            self.write(self.first, *_ROWS)
            (writer / "unheard.log").write_text(_HEADER + _ROWS[0] + "\n")
            verdict = compare([self.first, self.second], self.reference)
            self.assertEqual((verdict.equal, set(verdict.logs)), (False, {"http", "unheard"}))
            self.assertEqual((len(verdict.missing), len(verdict.surplus)), found)
            (writer / "unheard.log").unlink()

    def test_everyColumn(self) -> None:
        """One changed field in whichever column, and a column with another name."""
        self.assertTrue(self.compared(_ROWS[:1], _ROWS[1:])[0])
        for place in range(4):
            fields = _ROWS[1].split("\t")
            fields[place] += "0"
            self.assertFalse(self.compared((_ROWS[0], "\t".join(fields), *_ROWS[2:]), ())[0], place)
        self.compared(_ROWS[:1], _ROWS[1:])
        log = self.second / "http.log"
        log.write_text(log.read_text().replace("\turi\n", "\turl\n"))
        verdict = compare([self.first, self.second], self.reference)
        self.assertEqual((verdict.equal, verdict.unlike, verdict.missing), (False, ["http"], []))

    def test_flowless(self) -> None:
        """Rows of a log without uids are compared, but have no order."""
        header = "#fields\tts\tcount\n"
        self.write(self.reference, *_ROWS)
        self.write(self.first, *_ROWS)
        (self.reference / "loss.log").write_text(f"{header}1.0\t1\n2.0\t2\n")
        (self.first / "loss.log").write_text(f"{header}2.0\t2\n")
        (self.second / "loss.log").write_text(f"{header}1.0\t1\n")
        self.assertTrue(compare([self.first, self.second], self.reference).equal)
        (self.second / "loss.log").write_text(f"{header}1.0\t3\n")
        self.assertFalse(compare([self.first, self.second], self.reference).equal)

    def test_brokenLog(self) -> None:
        """A row cut short is an error, not a difference."""
        self.write(self.first, _ROWS[0][:-3])
        self.assertRaises(CaptureError, readLog, self.first / "http.log")


class PendingTests(SynchronousTestCase):
    """Which requests count as moved while they waited for their reply."""

    def test_counted(self) -> None:
        """Those to the server, after the one moment and before the other, both exclusive."""
        columns = ("ts", "uid", "id.resp_h", "uri")
        log = Log(columns, tuple(tuple(row.split("\t")) for row in _ROWS))
        self.assertEqual(pendingMoved(log, "10.0.0.1", 4_000_000_000, 1_000_000_000), 1)
        self.assertEqual(pendingMoved(log, "10.0.0.1", 5_000_000_000, 0), 3)
        self.assertEqual(pendingMoved(Log((), ()), "10.0.0.1", 5_000_000_000, 0), 0)
