"""The services say which OpenMB they are."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from openmb._version import __version__


class ServiceVersionTests(SynchronousTestCase):
    """C{twistd SERVICE --version}."""

    def test_ownVersion(self) -> None:
        """It is OpenMB's, not Twisted's."""
        for service in ("openmb", "openmb-middlebox", "openmb-switch"):
            code = "import sys; sys.argv = ['twistd', *sys.argv[1:]]; from twisted.scripts.twistd import run; run()"
            words = [sys.executable, "-c", code, service, "--version"]
            ran = subprocess.run(words, capture_output=True, text=True, timeout=300)
            self.assertEqual((0, f"OpenMB {__version__}\n"), (ran.returncode, ran.stdout), ran.stderr)
