"""The command C{openmb doctor}."""

from __future__ import annotations

import json
import os

from click.testing import CliRunner

from openmb.northbound.commands.doctor import command, examine
from openmb.northbound.doctor.finding import Level
from openmb.southbound.certificates import makeAuthority, makeCertificate
from openmb.southbound.keys import makeKeyring
from openmb.wire.formats import End
from tests.northbound.doctoring import DoctorCase, unprivileged


class CommandTests(DoctorCase):
    """The command line."""

    def run_(self, *words: object) -> tuple[int, str]:
        ran = CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)
        return ran.return_value, ran.output

    def test_everything(self) -> None:
        """All options together, on a deployment without processes."""
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.MIDDLEBOX, "bro1", "bro")
        makeKeyring(self.folder / "keys", "bro")
        status, said = self.run_(
            *("--certificates", self.folder, "--name", "bro1", "--keys", self.folder / "keys", "--logs", self.folder),
            *("--journal", self.folder / "j", "--switch", self.folder, "--socket", self.folder / "s"),
            *("--controller", "127.0.0.1:1", "--listen", "192.0.2.1:1"),
        )
        self.assertEqual(1, status)
        for words in (
            "wrong    127.0.0.1:1: nobody listens",
            "ok       ",
            "warning  ",
            "twistd openmb-switch",
            "no address of this machine",
        ):
            self.assertIn(words, said)

    def test_status(self) -> None:
        self.assertEqual(0, self.run_("--logs", self.folder)[0])
        self.assertEqual(1, self.run_("--keys", self.folder / "none")[0])

    def test_json(self) -> None:
        status, said = self.run_("--json", "--keys", self.folder / "none")
        lines = [json.loads(line) for line in said.splitlines()]
        self.assertEqual(1, status)
        self.assertEqual({"level", "subject", "text"}, set(lines[0]))
        self.assertIn("wrong", {line["level"] for line in lines})

    def test_changesNothing(self) -> None:
        makeAuthority(self.folder)
        makeKeyring(self.folder / "keys", "bro")
        before = {path: path.read_bytes() for path in self.folder.iterdir()}
        self.run_("--certificates", self.folder, "--keys", self.folder / "keys", "--journal", self.folder / "j")
        self.assertEqual(before, {path: path.read_bytes() for path in self.folder.iterdir()})
        self.assertNotIn("j", os.listdir(self.folder))

    def test_notAllowed(self) -> None:
        """That nothing can be seen is an answer too, and the other checks go on."""
        inner = self.folder / "inner"
        inner.mkdir()
        with unprivileged(inner, 0):
            found = list(examine(certificates=inner / "certificates", journal=inner / "j", logs=(self.folder,)))
        for name in ("certificates", "j"):
            self.has(found, Level.WRONG, f"{inner / name}: cannot be looked at (Permission denied)")
        self.assertIn(str(self.folder), [each.subject for each in found])
