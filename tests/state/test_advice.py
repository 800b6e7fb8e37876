"""Advice does no harm: chmod is for one's own files that are what they should be."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.southbound.certificates import readKey
from openmb.state.advice import restricting
from openmb.state.keyring import Keyring


class AdviceTests(SynchronousTestCase):
    """What is said of which path."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def test_ownFile(self) -> None:
        path = self.folder / "keys"
        path.touch(0o644)
        self.assertEqual(f"run 'chmod 600 {path}'", restricting(path, "600"))

    def test_somethingElse(self) -> None:
        """A file that is no such file at all is not to be changed."""
        path = self.folder / "passwd"
        path.write_text("root:x:0:0:root:/root:/bin/bash\n")
        self.assertNotIn("chmod", restricting(path, "600", False))

    def test_sharedDirectory(self) -> None:
        """Directories that others are meant to use, and those at the top."""
        shared = self.folder / "tmp"
        shared.mkdir()
        shared.chmod(0o1777)
        for folder in (shared, Path("/tmp"), Path("/"), Path("/etc")):
            said = restricting(folder, "700")
            self.assertNotIn("chmod", said)
            self.assertIn(str(folder / "openmb"), said)
        self.assertIn("chmod 700", restricting(self.folder, "700"))

    def test_link(self) -> None:
        link = self.folder / "link"
        link.symlink_to("/etc/passwd")
        self.assertNotIn("chmod", restricting(link, "600"))

    def test_whereItIsGiven(self) -> None:
        """The password file given as a keyring and as a private key."""
        for read in (Keyring.load, readKey):
            error = self.assertRaises(ConfigurationError, read, Path("/etc/passwd"))
            self.assertNotIn("chmod", str(error))
        path = self.folder / "keys"
        Keyring.generate("bro").save(path)
        path.chmod(0o644)
        self.assertIn("chmod 600", str(self.assertRaises(ConfigurationError, Keyring.load, path)))
