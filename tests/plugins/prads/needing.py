"""What tests do that need the real PRADS where it is missing."""

from __future__ import annotations

import os

from twisted.trial.unittest import FailTest, SkipTest


def missing(what: str) -> Exception:
    """To be raised: these tests are skipped; where C{OPENMB_NEED_PRADS} is set they fail."""
    return (FailTest if os.environ.get("OPENMB_NEED_PRADS") else SkipTest)(what)
