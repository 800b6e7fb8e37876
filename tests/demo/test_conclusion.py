"""What a demonstration concludes from the logs that lie in its directory of results."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from openmb.demo.bro import Outcome
from openmb.demo.moves import Moved
from openmb.demo.runner import judge, prepareResults
from openmb.demo.survey import Survey
from openmb.northbound.commands.demo import conclude

_LOG = "#fields\tts\tuid\tid.resp_h\n#types\ttime\tstring\taddr\n"
_ROWS = ("1.000000\tCa\t10.0.0.2\n", "2.000000\tCb\t10.0.0.2\n")
_LOOKED = Survey(np.zeros(2, np.int64), "10.0.0.2", "ip,nw_dst=10.0.0.2")


class ConclusionTests(SynchronousTestCase):
    """Exit status, table and document."""

    def setUp(self) -> None:
        """Logs that agree: one row of each instance."""
        self.results = Path(self.mktemp())
        self.folders = prepareResults(self.results)
        for name, rows in (("bro1", _ROWS[:1]), ("bro2", _ROWS[1:]), ("bro-reference", _ROWS)):
            for log in ("http", "dns", "unheard"):
                (self.folders[name] / f"{log}.log").write_text(_LOG + "".join(rows))

    def concluded(self, **counts: int) -> tuple[int, str]:
        """The exit status and what is printed, of a move with these counts."""
        moved = Moved("bro1", "bro2", asked=3_000_000_000)
        moved.counts.update(counts)
        console = Console(file=io.StringIO(), width=120)
        status = conclude(judge(Outcome(2, moves=[moved]), _LOOKED, self.results), console)
        assert isinstance(console.file, io.StringIO)
        return status, console.file.getvalue()

    def document(self) -> dict[str, object]:
        """results.json."""
        plain: dict[str, object] = json.loads((self.results / "results.json").read_text())
        return plain

    def test_equal(self) -> None:
        """Status 0; the row that the second instance wrote for a request of before counts as moved."""
        status, text = self.concluded()
        self.assertEqual(status, 0)
        self.assertIn("equal:", text)
        document: Any = self.document()
        (moved,) = document["moves"]
        self.assertEqual((document["equal"], moved["pendingRequests"], moved["pendingQueries"]), (True, 1, 1))
        self.assertEqual(document["rowsByInstance"], {log: [1, 1] for log in ("dns", "http", "unheard")})
        for log in document["rows"]:
            self.assertRegex(text, rf"{log}\.log +│ +3 │ +2 │ +1 │ +1 │ equal")

    def test_nothingShown(self) -> None:
        """Logs that agree although no packet came while its flow moved prove nothing: that is said."""
        self.assertIn("has shown nothing", self.concluded()[1])
        for name in ("held", "redirected"):
            self.assertNotIn("has shown nothing", self.concluded(**{name: 1})[1])

    def test_tampered(self) -> None:
        """One digit of one row of any log: status 1, and the row is shown."""
        for name in ("http", "dns", "unheard"):
            log = self.folders["bro2"] / f"{name}.log"
            log.write_text(log.read_text().replace("2.000000", "2.000001"))
            status, text = self.concluded()
            self.assertEqual(status, 1)
            self.assertIn("1 missing, 1 too many", text)
            self.assertIn(f"missing: {name}: 2.000000 Cb 10.0.0.2", text)
            self.assertIs(self.document()["equal"], False)
            log.write_text(log.read_text().replace("2.000001", "2.000000"))
            self.assertEqual(self.concluded()[0], 0)

    def test_emptied(self) -> None:
        """A new run begins without the logs of an earlier one, and no rows at all prove nothing."""
        prepareResults(self.results)
        self.assertEqual(self.concluded()[0], 1)
