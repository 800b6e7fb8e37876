"""
The counting kind as a plugin: with processes of its own, it shows what hosts and controller do to a kind.

It is not installed; L{writeDropIn} makes a folder that, on C{PYTHONPATH}, adds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from twisted.plugin import IPlugin
from twisted.python import usage
from zope.interface import implementer

from openmb.errors import ConfigurationError
from openmb.interfaces import INTERFACE_VERSION, IMiddlebox, IMiddleboxPlugin, RunTerms
from openmb.state.flowkey import FLOW_KEY, flowText
from openmb.testing.counter import Counter, CounterMiddlebox
from openmb.testing.totals import Tally

#: The rows of flows; and, written at the end, the rows and packets of all rows that were not merged elsewhere.
FLOWS, TOTALS = "flows.log", "totals.log"
DROP_IN = "from openmb.testing.counterplugin import CounterPlugin\n\ncounter = CounterPlugin()\n"


class CounterOptions(usage.Options):
    """The kind's own options."""

    optFlags = [["inline", None, "forward what was processed"]]
    optParameters = [
        ["logs", "l", ".", "directory for the rows"],
        ["idle", None, 1.0, "seconds after which an idle flow is over", float],
    ]


class Files:
    """Where one middlebox writes; every row is with the operating system at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.append(FLOWS, "")

    def append(self, name: str, text: str) -> None:
        """Add to a file."""
        with (self._folder / name).open("a", encoding="ascii") as file:
            file.write(text)

    def row(self, key: bytes, counter: Counter) -> None:
        """A flow was over, or the input ends."""
        flow = flowText(np.frombuffer(key, FLOW_KEY)[0])
        self.append(FLOWS, f"{flow}\t{counter.packets}\t{counter.order:08x}\n")

    def total(self, written: Tally) -> None:
        """The input ends."""
        self.append(TOTALS, f"{written.count}\t{written.total}\n")


@implementer(IPlugin, IMiddleboxPlugin)
class CounterPlugin:
    """Makes counting middleboxes."""

    interfaceVersion = INTERFACE_VERSION
    kind = "counter"
    summary = "counts the packets of each flow"

    def warmUp(self) -> None:
        """There is nothing to compile."""

    def makeOptions(self) -> CounterOptions:
        """See C{IMiddleboxPlugin}."""
        return CounterOptions()

    def terms(self, options: Any) -> RunTerms:
        """See C{IMiddleboxPlugin}."""
        return RunTerms(reassemble=True, checksums=True, inline=bool(options["inline"]))

    def makeMiddlebox(self, options: Any, append: bool = False) -> IMiddlebox:
        """See C{IMiddleboxPlugin}."""
        folder = Path(options["logs"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files = Files(folder)
        except OSError as error:
            raise ConfigurationError(f"cannot write to {folder}: {error.strerror}") from error
        middlebox = CounterMiddlebox(files.row, options["idle"], files.total)
        middlebox.inline = bool(options["inline"])
        return middlebox


def writeDropIn(folder: Path) -> Path:
    """Make C{folder} one that adds the kind, when it is on C{PYTHONPATH}."""
    plugins = folder / "openmb" / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / "counter_kind.py").write_text(DROP_IN, encoding="ascii")
    return folder
