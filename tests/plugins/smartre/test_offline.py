"""C{openmb run smartre}, both ways."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.capture import openCapture
from openmb.packets.stream import writeCapture
from tests.northbound.test_cli import command
from tests.plugins.smartre.ends import contents
from tests.plugins.smartre.frames import generate


class OfflineTests(SynchronousTestCase):
    """An encoder writes a capture from which a decoder makes the first one again."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def run_(self, *arguments: str) -> tuple[int, str]:
        """Run it, in a folder of its own for packets set aside: its status, and what it said."""
        ran = command("run", "smartre", "--set-aside", str(self.folder), *arguments)
        return ran.status, ran.output + ran.errors

    def test_thereAndBack(self) -> None:
        plain, encoded, back = (str(self.folder / name) for name in ("plain", "encoded", "back"))
        writeCapture(plain, [generate(1, 3000)])
        status, said = self.run_("--role", "encoder", "--pcap", plain, "--out", encoded)
        self.assertEqual(status, 0, said)
        self.assertIn("the gate is off", said)
        self.assertIn("% saved", said)
        self.assertLess(Path(encoded).stat().st_size, 0.8 * Path(plain).stat().st_size)
        status, said = self.run_("--role", "decoder", "--pcap", encoded, "--out", back)
        self.assertEqual(status, 0, said)
        self.assertIn("undecodable: 0 packets", said)
        self.assertEqual(contents(openCapture(back).batches()), contents(openCapture(plain).batches()))

    def test_noPackets(self) -> None:
        plain, encoded = str(self.folder / "plain"), str(self.folder / "encoded")
        writeCapture(plain, [])
        self.assertEqual(self.run_("--role", "encoder", "--pcap", plain, "--out", encoded)[0], 0)
        self.assertEqual(contents(openCapture(encoded).batches()), [])

    def test_notOntoItself(self) -> None:
        """What is read is not overwritten, by whatever name it goes."""
        plain, other = self.folder / "plain", self.folder / "other"
        writeCapture(str(plain), [generate(1, 10)])
        other.symlink_to("plain")
        before = plain.read_bytes()
        for name in (plain, other):
            status, said = self.run_("--role", "encoder", "--pcap", str(plain), "--out", str(name))
            self.assertEqual(2, status)
            self.assertIn("is the capture that is read", said)
            self.assertEqual(before, plain.read_bytes())

    def test_notOntoTheDictionary(self) -> None:
        """Neither is the dictionary."""
        plain, other = self.folder / "plain", self.folder / "other"
        writeCapture(str(plain), [generate(1, 10)])
        other.write_bytes(b"some")
        words = "--role", "encoder", "--pcap", str(plain), "--out", str(other), "--dictionary", str(other)
        status, said = self.run_(*words, "--second-stage")
        self.assertEqual((2, b"some"), (status, other.read_bytes()))
        self.assertIn("is the dictionary that is read", said)

    def test_badOptions(self) -> None:
        plain = str(self.folder / "plain")
        writeCapture(plain, [])
        for options, text in (
            ((), "--role must be"),
            (("--role", "router"), "--role must be"),
            (("--role", "encoder", "--slots", "100"), "power of two"),
            (("--role", "encoder", "--mtu", "10"), "from 576"),
            (("--role", "encoder", "--caches", "99"), "from 1 to 16"),
            (("--role", "encoder", "--cache-flows", "10.0.0.0/8", "--cache-flows", "::/0"), "for 1 caches"),
            (("--role", "encoder", "--cache-flows", "10.0.0.0/8 1-0"), "empty"),
            (("--role", "encoder", "--cache-flows", "x"), "cache-flows"),
            (("--role", "decoder", "--keeps", "16"), "below 16"),
        ):
            status, said = self.run_("--pcap", plain, *options)
            self.assertNotEqual(status, 0, options)
            self.assertIn(text, said, options)

    def test_cannotBeWritten(self) -> None:
        plain = str(self.folder / "plain")
        writeCapture(plain, [])
        status, said = self.run_("--role", "encoder", "--pcap", plain, "--out", str(self.folder / "no" / "such"))
        self.assertNotEqual(status, 0)
        self.assertIn("cannot write", said)
