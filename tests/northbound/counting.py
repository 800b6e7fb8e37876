"""A kind of middlebox that only counts packets, and a folder from which C{twisted.plugin} finds it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.plugin import IPlugin
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import openmb.plugins
from openmb.errors import ConfigurationError
from openmb.interfaces import INTERFACE_VERSION, CellUsage, IMiddlebox, IMiddleboxPlugin, Processed, RunTerms
from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell

DROP_IN = "from tests.northbound.counting import CountingPlugin\nplugin = CountingPlugin()\n"


class CountingOptions(usage.Options):
    """The kind's own options."""

    optParameters = [["logs", None, None, "where the count goes"]]
    optFlags = [["no-checksums", "C", "do not verify checksums"], ["loud", None, "shout"]]

    def postOptions(self) -> None:
        """A folder is needed."""
        if self["logs"] is None:
            raise usage.UsageError("--logs is needed")


@implementer(IMiddlebox)
class CountingMiddlebox:
    """A middlebox without any state that could be moved."""

    kind = "counting"
    layouts: Sequence[tuple[Cell, int, int]] = ()
    governing = bytes(32)

    def __init__(self, output: Path, loud: bool) -> None:
        self._output = output
        self._loud = loud
        self._packets = 0
        self._finished = False

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """None."""
        return ()

    def reprocess(self, operation: int, packets: Decoded) -> None:
        """Nothing moves."""

    def advance(self, now: int) -> None:
        """Nothing is due."""

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """Count."""
        self._packets += len(packets.packets)
        return Processed(np.zeros(len(packets.packets), np.uint64))

    def finish(self) -> None:
        """The end is reached."""
        self._finished = True

    def flush(self) -> None:
        """Write the count, once the end is reached."""
        if self._finished:
            self._output.write_text(f"{self._packets}{'!' * self._loud}", encoding="ascii")


@implementer(IPlugin, IMiddleboxPlugin)
class CountingPlugin:
    """Makes counting middleboxes."""

    interfaceVersion = INTERFACE_VERSION
    kind = "counting"
    summary = "counts packets"

    def warmUp(self) -> None:
        """There is nothing to compile."""

    def makeOptions(self) -> Any:
        """See L{IMiddleboxPlugin}."""
        return CountingOptions()

    def terms(self, options: Any) -> RunTerms:
        """See L{IMiddleboxPlugin}."""
        return RunTerms(reassemble=True, checksums=not options.get("no-checksums", False))

    def makeMiddlebox(self, options: Any, append: bool = False) -> IMiddlebox:
        """See L{IMiddleboxPlugin}."""
        folder = Path(options["logs"])
        if not folder.is_dir():
            raise ConfigurationError(f"{folder} is not a folder:\nmake it first")
        return CountingMiddlebox(folder / "count", bool(options["loud"]))


def addDropIns(test: SynchronousTestCase, **modules: str) -> None:
    """Let C{twisted.plugin} find a folder with these modules (name and text) for the length of a test."""
    folder = Path(test.mktemp())
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    openmb.plugins.__path__.append(str(folder))
    test.addCleanup(openmb.plugins.__path__.remove, str(folder))
