"""
Writes the byte tables of C{docs/protocol.md} from the formats: C{python -m openmb.wire.document docs/protocol.md}.

The prose of the page is written by hand; what stands between C{<!-- begin NAME -->} and C{<!-- end NAME -->} is
replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

from construct import Construct, SizeofError

from openmb.errors import Refusal
from openmb.state import packing
from openmb.state.taxonomy import Cell
from openmb.wire import stream
from openmb.wire.fields import notationOf
from openmb.wire.formats import CATALOGUE, HEADER, NESTED, End, Entry
from openmb.wire.messages import Side, Sort, StreamType

_SECTION = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
_PARTS: Mapping[str, Construct] = {
    "OPENED, clear part": stream.OPENED,
    "RECORDS and CHANGES, clear part": packing.CLEAR.defersubcon,
    "RECORDS and CHANGES, plain part": packing.PLAIN.defersubcon,
    "GET_DONE, plain part": stream.GET_DONE,
    "MARKED, plain part": stream.MARKED,
    "DRAINED, plain part": stream.DRAINED,
    "FINISHED, plain part": stream.FINISHED,
    "RETURN_DONE, plain part": stream.RETURN_DONE,
    "REPROCESS, REDIRECT, RETURNED, clear part": stream.EVENTS,
}


def updatedPage(page: str) -> str:
    """
    C{page} with its generated sections brought up to date.

    @raise KeyError: the page has a section that nothing generates.
    """
    sections = {
        "header": lambda: _table(HEADER.subcons),
        "messages": lambda: "\n".join(_messageTable()),
        "bodies": lambda: "\n\n".join(_bodies()),
        "values": lambda: "\n\n".join(f"### {value.notation}\n\n{_table(value.struct.subcons)}" for value in NESTED),
        "stream": lambda: "\n\n".join(f"### {name}\n\n{_table(struct.subcons)}" for name, struct in _PARTS.items()),
        "associated": lambda: _table(stream.ASSOCIATED.subcons),
        "enumerations": lambda: "\n\n".join(_enumeration(each) for each in (StreamType, Sort, Side, Cell, Refusal)),
    }
    return _SECTION.sub(lambda match: f"{match[1]}\n{sections[match[2]]()}\n\n{match[3]}", page)


def _messageTable() -> Iterator[str]:
    yield "| type | message | sent by | operation field | meaning |"
    yield "|---:|---|---|---|---|"
    for entry in CATALOGUE.values():
        yield f"| {entry.type:d} | {entry.type.name} | {_senders(entry)} | {entry.carries.value} | {entry.meaning} |"


def _senders(entry: Entry) -> str:
    return " and ".join(end.value for end in End if end in entry.senders)


def _bodies() -> Iterator[str]:
    for entry in CATALOGUE.values():
        yield f"### {entry.type.name} ({entry.type:d})\n\n" + (_table(entry.body) if entry.body else "Empty.")


def _table(subcons: Sequence[Any]) -> str:
    lines = ["| offset | size | type | field | meaning |", "|---:|---:|---|---|---|"]
    offset: int | None = 0
    for field in subcons:
        size = _size(field)
        place = "" if offset is None else str(offset)
        lines.append(f"| {place} | {_shown(size)} | {notationOf(field)} | {field.name} | {field.docs} |")
        offset = None if offset is None or size is None else offset + size
    return "\n".join(lines)


def _size(field: Construct) -> int | None:
    try:
        return int(field.sizeof())
    except (SizeofError, KeyError):
        return None


def _shown(size: int | None) -> str:
    return "…" if size is None else str(size)


def _enumeration(members: type[IntEnum]) -> str:
    rows = "\n".join(f"| {int(member)} | {member.name} |" for member in members)
    return f"### {members.__name__}\n\n| value | name |\n|---:|---|\n{rows}"


def main(arguments: Sequence[str]) -> None:
    """Bring the page named by the first argument up to date."""
    path = Path(arguments[0])
    path.write_text(updatedPage(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
