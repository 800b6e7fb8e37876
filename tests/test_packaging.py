"""What an installation brings: services for twistd, kernels to compile beforehand, the capture of the demonstration."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import openmb
from openmb.warmup import dropStaleKernels, kernelModules, warmUp


class ServiceTests(SynchronousTestCase):
    """C{twistd} finds the three services."""

    def test_serviceMakers(self) -> None:
        """Each service's module provides options and a maker."""
        makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker) if maker.tapname.startswith("openmb")}
        self.assertEqual(sorted(makers), ["openmb", "openmb-middlebox", "openmb-switch"])
        for maker in makers.values():
            self.assertTrue(callable(maker.options))
            self.assertTrue(callable(maker.makeService))


class WarmUpTests(SynchronousTestCase):
    """Kernels are compiled before they are needed."""

    def test_registered(self) -> None:
        """Every part of the package with kernels, or one that it is in, has a module that registers."""
        package = Path(openmb.__path__[0])
        withKernels = {
            source.parent.relative_to(package).as_posix().replace("/", ".")
            for source in package.rglob("*.py")
            if "@njit" in source.read_text(encoding="utf-8")
        }
        registered = {name.removeprefix("openmb.").rpartition(".")[0] for name in kernelModules()}
        # the fuzzers' canary is compiled where it is needed, with index checks
        missing = {part for part in withKernels if not any(f"{part}.".startswith(f"{one}.") for one in registered)}
        self.assertEqual(missing, {"testing.fuzzing"})

    def test_progress(self) -> None:
        """Each module is reported once, in order."""
        seen: list[tuple[int, int, str]] = []
        warmUp(lambda place, total, name, seconds: seen.append((place, total, name)))
        self.assertEqual([place for place, _, _ in seen], list(range(1, len(seen) + 1)))
        self.assertEqual({total for _, total, _ in seen}, {len(seen)})

    def test_stale(self) -> None:
        """When any source with kernels changes all compiled kernels go, and only then."""
        package = Path(self.mktemp()) / "some"
        compiled = package / "deep" / "__pycache__" / "kernel.nbc"
        compiled.parent.mkdir(parents=True)
        source = package / "deep" / "kernels.py"
        for text, expected in (("@njit\n1\n", True), ("@njit\n1\n", False), ("@njit\n2\n", True)):
            compiled.touch()
            source.write_text(text)
            self.assertEqual(dropStaleKernels(package), expected)
            self.assertEqual(compiled.exists(), not expected)

    def test_demoCapture(self) -> None:
        """The capture is a resource of the package."""
        self.assertTrue((files("openmb.demo") / "traces" / "demo.pcap").is_file())
