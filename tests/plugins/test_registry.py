"""Kinds are found, and what is not found is said."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from openmb.errors import ConfigurationError
from openmb.interfaces import INTERFACE_VERSION, IMiddleboxPlugin
from openmb.plugins.registry import allKinds, checkMiddlebox, checkPlugin, findPlugin
from openmb.testing.counter import CounterMiddlebox
from tests.northbound.counting import DROP_IN, CountingPlugin, addDropIns


class Poor:
    """Claims to be a plugin."""

    interfaceVersion, kind, summary = INTERFACE_VERSION, "poor", "has next to nothing"

    def __init__(self) -> None:
        directlyProvides(self, IMiddleboxPlugin)

    def warmUp(self) -> None:
        """Nothing to do."""


def _summaries(*names: str) -> dict[str, str]:
    return {kind.kind: kind.summary for kind in allKinds() if kind.kind in names}


class RegistryTests(SynchronousTestCase):
    """The look-up of kinds."""

    def test_found(self) -> None:
        """A kind whose drop-in lies on the plugin path is found by its name."""
        addDropIns(self, counting_kind=DROP_IN)
        plugin = findPlugin("counting")
        self.assertTrue(verifyObject(IMiddleboxPlugin, plugin))
        self.assertEqual(plugin.summary, "counts packets")

    def test_notFound(self) -> None:
        """A kind that is not there raises an error that names those that are."""
        addDropIns(self, counting_kind=DROP_IN)
        error = self.assertRaises(ConfigurationError, findPlugin, "nosuch")
        self.assertTrue(str(error).startswith("no plugin 'nosuch'; found: "))
        self.assertIn("counting", str(error))

    def test_brokenDropIn(self) -> None:
        """A drop-in that cannot be imported is logged and does not hide the others."""
        addDropIns(self, broken_kind="import nothing_of_this_name\n", counting_kind=DROP_IN)
        self.assertIn("counting", [kind.kind for kind in allKinds()])
        self.assertTrue(self.flushLoggedErrors(ModuleNotFoundError))

    def test_named(self) -> None:
        """A drop-in that names what it is made of: that is imported when the kind is used, and its faults are told."""
        head = "from openmb.plugins.registry import Kind\n"
        addDropIns(
            self,
            named_kind=f"{head}one = Kind('named', 'counts', 'tests.northbound.counting.CountingPlugin')\n",
            lost_kind=f"{head}one = Kind('lost', 'is not there', 'no.such.Plugin')\n",
        )
        self.assertEqual({"named": "counts", "lost": "is not there"}, _summaries("named", "lost"))
        self.assertIsInstance(findPlugin("named"), CountingPlugin)
        error = self.assertRaises(ConfigurationError, findPlugin, "lost")
        self.assertIn("plugin 'lost' cannot be used: ", str(error))
        self.assertIn("no.such", str(error))

    def test_otherVersion(self) -> None:
        """A plugin that was written for other interfaces, or does not say for which, is refused and says so."""
        plugin = CountingPlugin()
        self.assertIs(plugin, checkPlugin("counting", plugin))
        plugin.interfaceVersion = INTERFACE_VERSION + 1
        error = self.assertRaises(ConfigurationError, checkPlugin, "counting", plugin)
        self.assertIn(f"written for version {INTERFACE_VERSION + 1} of the interfaces", str(error))
        self.assertRaises(ConfigurationError, checkPlugin, "counting", object())

    def test_lacking(self) -> None:
        """What a plugin or a middlebox lacks is told in a line each."""
        lines = str(self.assertRaises(ConfigurationError, checkPlugin, "poor", Poor())).splitlines()
        self.assertEqual("plugin 'poor' does not provide what it should:", lines[0])
        for name in ("makeOptions", "terms", "makeMiddlebox"):
            self.assertEqual(1, sum(f"{name}(" in line for line in lines), lines)
        self.assertEqual(4, len(lines))
        engine: Any = CounterMiddlebox(lambda key, counter: None)
        self.assertIs(engine, checkMiddlebox(engine))
        engine.getShared = lambda operation: iter(())
        self.assertIn("getShared", str(self.assertRaises(ConfigurationError, checkMiddlebox, engine)))

    def test_help(self) -> None:
        """The service's help names the kinds and imports none of them."""
        code = (
            "import sys\nfrom openmb.middlebox.tap import Options\ntext = Options().getUsage()\n"
            "print('bro' in text and 'prads' in text and 'smartre' in text, *sys.modules)"
        )
        command = [sys.executable, "-c", code]
        runs = [subprocess.run(command, check=True, capture_output=True, text=True, timeout=120) for _ in range(2)]
        named, *modules = runs[-1].stdout.split()
        self.assertEqual("True", named)
        for kind in ("bro", "prads", "smartre"):
            self.assertNotIn(f"openmb.plugins.{kind}.plugin", modules)

    def test_alone(self) -> None:
        """To find one kind the others are not imported, once the drop-ins are known."""
        code = "import sys; from openmb.plugins.registry import findPlugin; findPlugin({!r}); print(*sys.modules)"
        for kind, other in (("bro", "prads"), ("prads", "bro")):
            command = [sys.executable, "-c", code.format(kind)]
            runs = [subprocess.run(command, check=True, capture_output=True, text=True, timeout=120) for _ in range(2)]
            modules = runs[-1].stdout.split()
            self.assertIn(f"openmb.plugins.{kind}.plugin", modules)
            self.assertNotIn(f"openmb.plugins.{other}.plugin", modules)
