"""Networks are found by name, and what is not found is said."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import openmb.netctl
from openmb.errors import ConfigurationError
from openmb.interfaces import INetwork, INetworkKind
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.registry import allNetworks, connectNetwork
from openmb.tap import Options

_HEAD = "from openmb.netctl.registry import NetworkKind\n"
_EMBEDDED = "openmb.netctl.embedded.client.connectNetwork"


class RegistryTests(SynchronousTestCase):
    """The look-up."""

    def add(self, **modules: str) -> None:
        """Let C{twisted.plugin} find a folder with these modules (name and text) for the length of a test."""
        folder = Path(self.mktemp())
        folder.mkdir()
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        openmb.netctl.__path__.append(str(folder))
        self.addCleanup(openmb.netctl.__path__.remove, str(folder))

    def test_embedded(self) -> None:
        """The one that is always there."""
        network = connectNetwork("embedded:switch", Clock())
        self.assertIsInstance(network, EmbeddedNetwork)
        self.assertTrue(verifyObject(INetwork, network))
        for kind in allNetworks():
            self.assertTrue(verifyObject(INetworkKind, kind))

    def test_unknown(self) -> None:
        """The error names the forms that there are."""
        for text in ("nosuch:x", "embedded", "embedded:", ":x", ""):
            error = self.assertRaises(ConfigurationError, connectNetwork, text, Clock())
            self.assertIn("there are: embedded:DIR", str(error))

    def test_elsewhere(self) -> None:
        """One that lies elsewhere on the plugin path; what it is made of is imported when it is used."""
        self.add(
            other_network=f"{_HEAD}one = NetworkKind('other', 'PLACE', 'another', 'no.such.maker')\n",
            twin_network=f"{_HEAD}one = NetworkKind('twin', 'DIR', 'as embedded', '{_EMBEDDED}')\n",
        )
        self.assertEqual(["embedded", "other", "twin"], [kind.name for kind in allNetworks()])
        self.assertIsInstance(connectNetwork("twin:somewhere", Clock()), EmbeddedNetwork)
        error = self.assertRaises(ConfigurationError, connectNetwork, "other:x", Clock())
        self.assertIn("network 'other' cannot be used: ", str(error))

    def test_options(self) -> None:
        """C{--switch DIR} is short for C{--network embedded:DIR}; one of them is needed; the help has all of them."""
        for words in (["--switch", "s"], ["--network", "embedded:s"]):
            options = Options()
            options.parseOptions(["--certificates", "c", *words])
            self.assertEqual("embedded:s", options["network"])
        for words in ([], ["--switch", "s", "--network", "embedded:s"]):
            self.assertRaises(usage.UsageError, Options().parseOptions, ["--certificates", "c", *words])
        self.assertIn("embedded:DIR", str(Options()))
