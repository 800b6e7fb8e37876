"""
What is remembered of an operation that is over, also by a controller that is started again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from openmb.errors import Refusal
from openmb.operations.values import MoveReport, Stage
from openmb.wire.messages import Sort

#: What the journal has beside the report, or what is never part of it.
_ELSEWHERE = ("operation", "stage", "sort")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    An operation that is over.

    @ivar source: a middlebox's name; so is C{destination}.
    @ivar began: seconds since 1970; 0: not known.
    @ivar ended: seconds since 1970; 0: not known.
    """

    source: str
    destination: str
    flows: str
    began: float
    ended: float
    report: MoveReport


def reportText(report: MoveReport) -> str:
    """Counts, refusal and reason as JSON."""
    plain = {each.name: getattr(report, each.name) for each in fields(report) if each.name not in _ELSEWHERE}
    plain["refusal"] = None if report.refusal is None else report.refusal.name
    return json.dumps(plain)


def readReport(text: str, operation: int, stage: Stage, sort: Sort) -> MoveReport:
    """
    The inverse of L{reportText}; of an empty text, which earlier versions have left, a report without counts.

    @raise ValueError: the text makes no sense.
    """
    if not text:
        return MoveReport(operation, stage, recovered=True, sort=sort)
    plain = json.loads(text)
    if not isinstance(plain, Mapping):
        raise ValueError(f"no report of an operation: {text}")
    return MoveReport(operation, stage, sort=sort, **_checked(plain))


def _checked(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a report, each of its own kind; what a later version has added is left out."""
    found: dict[str, Any] = {}
    for each in fields(MoveReport):
        if each.name in _ELSEWHERE or each.name not in plain:
            continue
        value = plain[each.name]
        if each.name == "refusal":
            value = None if value is None else Refusal[value] if value in Refusal.__members__ else Refusal.ABORTED
        elif type(value) is not type(each.default):
            raise ValueError(f"no report of an operation: {each.name} is {value!r}")
        found[each.name] = value
    return found
