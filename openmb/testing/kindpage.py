"""
Keeps the page of a kind of middlebox true: C{python -m openmb.testing.kindpage bro docs/bro.md}.

What stands between C{<!-- begin settings -->} and C{<!-- end settings -->}, and likewise for C{events}, is written from
what the kind declares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from openmb.interfaces import IMiddlebox
from openmb.middlebox.capabilities import capabilitiesOf
from openmb.plugins.registry import findPlugin
from openmb.state.announcements import documentAnnouncements

_SECTION = re.compile(r"(<!-- begin (settings|events) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def updatedPage(page: str, middlebox: IMiddlebox) -> str:
    """C{page} with the settings and events that C{middlebox} declares."""
    provided = capabilitiesOf(middlebox)
    sections = {
        "settings": lambda: provided.configurable.configuration.schema.document(),
        "events": lambda: documentAnnouncements(provided.announcer.announcements),
    }
    return _SECTION.sub(lambda match: f"{match[1]}\n{sections[match[2]]()}\n\n{match[3]}", page)


def main(arguments: Sequence[str]) -> None:
    """Bring the page named by the second argument up to date for the kind named by the first."""
    plugin, path = findPlugin(arguments[0]), Path(arguments[1])
    options = plugin.makeOptions()
    options.parseOptions([])
    path.write_text(updatedPage(path.read_text("utf-8"), plugin.makeMiddlebox(options)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
