"""Kinds are found, and what is not found is said."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddleboxPlugin
from openmb.plugins.registry import allPlugins, findPlugin
from tests.northbound.counting import DROP_IN, addDropIns


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
        self.assertIn("counting", [plugin.kind for plugin in allPlugins()])
        self.assertTrue(self.flushLoggedErrors(ModuleNotFoundError))

    def test_alone(self) -> None:
        """To find one kind the others are not imported, once the drop-ins are known."""
        code = "import sys; from openmb.plugins.registry import findPlugin; findPlugin({!r}); print(*sys.modules)"
        for kind, other in (("bro", "prads"), ("prads", "bro")):
            command = [sys.executable, "-c", code.format(kind)]
            runs = [subprocess.run(command, check=True, capture_output=True, text=True, timeout=120) for _ in range(2)]
            modules = runs[-1].stdout.split()
            self.assertIn(f"openmb.plugins.{kind}.plugin", modules)
            self.assertNotIn(f"openmb.plugins.{other}.plugin", modules)
