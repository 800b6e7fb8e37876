"""
Where the captures lie that come with the real programs' outputs; they are not part of the project.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SkipTest


def sharedFolder() -> Path | None:
    """The folder named by C{OPENMB_SHARED}, or else C{shared} beside the checkout; None when there is none."""
    named = os.environ.get("OPENMB_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parent.parent.parent / "shared"
    return folder if (folder / "traces").is_dir() else None


def needSharedFolder() -> Path:
    """
    The folder of shared captures.

    @raise SkipTest: there is none.
    """
    folder = sharedFolder()
    if folder is None:
        raise SkipTest("the shared captures are not here: set OPENMB_SHARED to their folder")
    return folder


def sharedCaptures() -> list[Path]:
    """Every capture in the shared folder, sorted."""
    found = (needSharedFolder() / "traces").rglob("*.pcap*")
    return sorted(path for path in found if path.is_file())
