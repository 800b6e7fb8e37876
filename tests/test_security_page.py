"""The recipes of C{docs/security.md}, run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.southbound.certificates import readAuthorities
from openmb.southbound.live import LiveCredentials
from openmb.state.keyring import Keyring

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
#: What only makes sense while services run.
ALIVE = ("sleep ", "openmb status")


def recipes() -> dict[str, list[str]]:
    """The lines to type under each heading."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            lines = found.setdefault(line.strip("# "), [])
        elif line.startswith("    ") and not line.strip().startswith(ALIVE):
            lines.append(line.strip())
    return {heading: lines for heading, lines in found.items() if lines}


class RecipeTests(SynchronousTestCase):
    """Four machines in four directories."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir()
        self.recipes = recipes()

    def run_(self, heading: str) -> str:
        """Type what stands under C{heading}; the first line that fails ends it."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        script = "\n".join(["set -eu", *self.recipes.pop(heading)])
        done = subprocess.run(
            ["sh", "-c", script], cwd=self.root, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def test_inOrder(self) -> None:
        """After each recipe the services have what it says, without a start."""
        self.run_("Recipes")
        machines = {
            each: LiveCredentials(self.root / each / "certificates", each) for each in ("controller", "bro1", "bro2")
        }
        first = machines["bro2"].current.certificate
        self.assertFalse(list(self.root.glob("[!o]*/certificates/authority.key")), "it stays in the office")

        self.run_("A certificate ends soon")
        machines["bro2"].refresh()
        second = machines["bro2"].current.certificate
        self.assertNotEqual(first, second)

        said = self.run_("A key was stolen")
        self.assertEqual(2, said.count(" UTC  "))
        for each in machines.values():
            each.refresh()
            for old in (first, second):
                self.assertIn("revoked", str(each.objection(old)))
            self.assertIsNone(each.objection(machines["bro1"].current.certificate))
        self.assertIsNone(machines["controller"].objection(machines["bro2"].current.certificate))

        self.run_("New keys for a keyring")
        rings = [Keyring.load(self.root / each / "bro.keys") for each in ("bro1", "bro2")]
        self.assertEqual([(2, [2])] * 2, [(ring.current, list(ring.keys)) for ring in rings])

        third = machines["bro2"].current.certificate
        self.run_("Another authority")
        for each in machines.values():
            each.refresh()
        for name, each in machines.items():
            self.assertEqual(1, len(readAuthorities(self.root / name / "certificates")))
            self.assertIn("not trusted any more", str(each.objection(third)))
            self.assertIsNone(each.objection(machines["bro2"].current.certificate))

        self.assertIn("middlebox bro2 of kind bro", self.run_("Is it so?"))
        self.assertEqual({}, self.recipes, "every recipe was run")
