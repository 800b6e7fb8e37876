"""
What values on the command line may be: finite, and in a range that makes sense.
"""

from __future__ import annotations

import math
from typing import Any

import click

from openmb.rpc.routes import HIGHEST_PRIORITY

#: A month: nothing is waited for longer.
_LONGEST = 30 * 86400.0


class Seconds(click.FloatRange):
    """
    A length of time in seconds: a finite number, more than 0, and a month at most.

    @param zero: 0 is allowed too.
    """

    name = "seconds"

    def __init__(self, zero: bool = False) -> None:
        super().__init__(0, _LONGEST, min_open=not zero)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click, which takes what is not a number for a number."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is no length of time", param, ctx)
        return seconds


SECONDS = Seconds()
PRIORITY = click.IntRange(0, HIGHEST_PRIORITY)
