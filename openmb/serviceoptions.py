"""
What the options of all services have in common.
"""

from __future__ import annotations

import sys

from twisted.python import usage

from openmb._version import __version__


class ServiceOptions(usage.Options):
    """Options of a service, with C{--version} for that of OpenMB, not of Twisted."""

    def opt_version(self) -> None:
        """Show the version of OpenMB and exit."""
        sys.stdout.write(f"OpenMB {__version__}\n")
        raise SystemExit(0)
