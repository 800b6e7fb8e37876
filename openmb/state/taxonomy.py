"""
The taxonomy of middlebox state: role and partition, five legal cells.

Source: the OpenMB poster (SDMBN, University of Wisconsin-Madison, 2013).
"""

from __future__ import annotations

import enum


class Role(enum.IntEnum):
    """What the middlebox does with the state: reads it, reads and writes it, or only writes it."""

    CONFIGURATION = 0
    SUPPORTING = 1
    REPORTING = 2


class Partition(enum.IntEnum):
    """Whether the state belongs to one flow (or host) or to all of them."""

    PER_FLOW = 0
    SHARED = 1


class Cell(enum.IntEnum):
    """The five legal combinations; the value is the cell's code on the wire (C{role * 2 + partition})."""

    CONFIGURATION = 1
    SUPPORTING_PER_FLOW = 2
    SUPPORTING_SHARED = 3
    REPORTING_PER_FLOW = 4
    REPORTING_SHARED = 5

    @property
    def role(self) -> Role:
        return Role(self.value // 2)

    @property
    def partition(self) -> Partition:
        return Partition(self.value % 2)


#: What C{moveInternal} moves.
PER_FLOW_CELLS = (Cell.SUPPORTING_PER_FLOW, Cell.REPORTING_PER_FLOW)
