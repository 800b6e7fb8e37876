"""The commands of the README, each as it stands there, run by a shell as a new user would."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

_ROOT = Path(__file__).resolve().parent.parent
#: Seconds that the walk takes at most: what hangs is ended.
_PATIENCE = 400


def blocks(begin: str, end: str) -> list[str]:
    """The indented blocks between two headings."""
    page = (_ROOT / "README.md").read_text()
    part = page[page.index(begin) : page.index(end)]
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", part, re.MULTILINE)
    return [re.sub(r"^    ", "", each, flags=re.MULTILINE) for each in found]


class WalkTests(TestCase):
    """From certificates to the logs of both instances."""

    timeout = _PATIENCE + 60

    def setUp(self) -> None:
        """A folder that looks like a checkout: the environment, the package, nothing else."""
        # a short path: those of UNIX sockets have about a hundred bytes
        self.folder = Path(tempfile.mkdtemp(prefix="readme-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "openmb").symlink_to(_ROOT / "openmb")
        (self.folder / ".venv").mkdir()
        (self.folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)

    def shell(self, script: str) -> str:
        """Run a script with everything that it starts in a session of its own; what it has printed."""
        shell = shutil.which("bash")
        if shell is None:
            raise SkipTest("there is no bash")
        env = {name: value for name, value in os.environ.items() if not name.startswith("OPENMB_")}
        running = subprocess.Popen(
            [shell, "-e", "-c", script],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = running.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            said, _ = running.communicate()
            self.fail(f"still running after {_PATIENCE} s: {said}")
        self.assertEqual(0, running.returncode, said)
        return said

    def test_walk(self) -> None:
        """Every block up to the live recipe, in order, in one shell."""
        *walk, live = blocks("## Moving a flow by hand", "## More")
        self.assertIn("tcpdump --immediate-mode", live)
        said = self.shell("\n".join([*walk, "wait"]))
        for part in ("middlebox bro1 (bro)", "middlebox bro2 (bro)", ": moved"):
            self.assertIn(part, said)
        counts = [int(each) for each in re.findall(r"supporting per flow: (\d+) records", said)]
        self.assertEqual(3, len(counts), said)
        everything, left, arrived = counts
        self.assertGreater(everything, 0)
        self.assertEqual(0, left)
        self.assertGreater(arrived, 0)
        logs = [self.folder / "try" / name / "conn.log" for name in ("logs1", "logs2")]
        rows = [sum(not line.startswith("#") for line in log.read_text().splitlines()) for log in logs]
        self.assertGreater(min(rows), 0, said)

    def test_twoCommands(self) -> None:
        """What the README begins with are targets of the Makefile."""
        targets = set(re.findall(r"^([a-z]+):", (_ROOT / "Makefile").read_text(), re.MULTILINE))
        (both,) = blocks("## Two commands", "## How it fits together")
        self.assertEqual({"demo", "test"}, {line.split()[1] for line in both.splitlines()})
        self.assertLessEqual({"demo", "test", "kernels"}, targets)
