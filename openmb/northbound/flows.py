"""
Flows on the command line.
"""

from __future__ import annotations

import click

from openmb.errors import InvalidHeaderFields
from openmb.state.fieldtext import readFields


class FlowsType(click.ParamType):  # type: ignore[type-arg]  # generic since a later version than the one needed
    """The text of a header field list; what cannot be understood is wrong usage, before anybody is asked."""

    name = "flows"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """C{value} as it is."""
        try:
            readFields(value)
        except InvalidHeaderFields as error:
            self.fail(str(error), param, ctx)
        return value


FLOWS = FlowsType()
