"""Which addresses are local, as the options say."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.plugin import BroMiddlebox, BroPlugin
from openmb.plugins.bro.reporting.locality import LocalNetworks, readNetworks
from openmb.state.addresses import addressWords

SYN = bytes.fromhex("4500002800000000400600000a00000108080808040000500000000100000000500200000000" + "0000")


def local(networks: LocalNetworks, *addresses: str) -> list[bool | None]:
    return [networks.isLocal(*addressWords(each)) for each in addresses]


class NetworksTests(SynchronousTestCase):
    """What C{--local-nets} and C{--no-private-local} mean."""

    def test_default(self) -> None:
        self.assertEqual([True, False, True, True], local(readNetworks(None), "10.1.1.1", "8.8.8.8", "fe80::1", "::1"))

    def test_besides(self) -> None:
        """The private ones stay; ends of networks are exact; host bits do not count."""
        networks = readNetworks("8.8.8.0/24, 2620:0::1/32,9.9.9.9")
        addresses = (
            "8.8.8.0",
            "8.8.8.255",
            "8.8.9.0",
            "8.8.7.255",
            "9.9.9.9",
            "9.9.9.8",
            "2620::5",
            "2621::",
            "10.0.0.1",
        )
        self.assertEqual([True, True, False, False, True, False, True, False, True], local(networks, *addresses))

    def test_only(self) -> None:
        networks = readNetworks("8.0.0.0/8", withPrivate=False)
        self.assertEqual([True, False, False], local(networks, "8.8.8.8", "10.0.0.1", "fe80::1"))

    def test_everything(self) -> None:
        """All of IPv4 has no IPv6 in it."""
        self.assertEqual([True, False], local(readNetworks("0.0.0.0/0", False), "8.8.8.8", "2620::1"))
        self.assertEqual([True], local(readNetworks("::/0", False), "2620::1"))

    def test_none(self) -> None:
        """No networks: nobody knows."""
        for networks in (readNetworks("none"), readNetworks(None, withPrivate=False)):
            self.assertEqual([None, None], local(networks, "10.0.0.1", "8.8.8.8"))

    def test_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text("# ours\n8.8.8.0/24  # one\n\n9.0.0.0/8, 2620::/32\n")
        self.assertEqual(
            [True, True, True, False], local(readNetworks(str(path)), "8.8.8.8", "9.1.1.1", "2620::", "7.7.7.7")
        )

    def test_bad(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"\xff\xfe")
        empty = Path(self.mktemp())
        empty.write_text("# nothing\n")
        for value in (
            "",
            ",",
            "10.0.0.0/33",
            "x",
            "10.0.0/8",
            "none,10.0.0.0/8",
            "::/129",
            str(path),
            str(empty),
            "a\0b",
        ):
            self.assertRaises(ConfigurationError, readNetworks, value)

    def test_same(self) -> None:
        """The order and repetitions make no difference, the networks do."""
        one, other = readNetworks("8.0.0.0/8,9.0.0.0/8"), readNetworks("9.0.0.0/8,8.1.0.0/8,8.0.0.0/8")
        self.assertEqual(one.text, other.text)
        self.assertNotEqual(one.text, readNetworks("8.0.0.0/8").text)


class OptionsTests(SynchronousTestCase):
    """From the command line to the row."""

    def middlebox(self, *arguments: str) -> tuple[BroMiddlebox, Path]:
        plugin, logs = BroPlugin(), Path(self.mktemp())
        options = plugin.makeOptions()
        options.parseOptions(["--json", "--logs", str(logs), *arguments])
        return plugin.makeMiddlebox(options), logs / "conn.log"

    def row(self, *arguments: str) -> tuple[bool | None, bool | None]:
        middlebox, log = self.middlebox(*arguments)
        middlebox.process(Decoder(checksums=False).decode(packetBatch([SYN], [1], link=101)), None)
        middlebox.finish()
        row = json.loads(log.read_text())
        return row.get("local_orig"), row.get("local_resp")

    def test_rows(self) -> None:
        self.assertEqual((True, False), self.row())
        self.assertEqual((True, True), self.row("--local-nets", "8.0.0.0/8"))
        self.assertEqual((False, True), self.row("--local-nets", "8.0.0.0/8", "--no-private-local"))
        self.assertEqual((None, None), self.row("--local-nets", "none"))
        self.assertEqual((None, None), self.row("--no-private-local"))

    def test_bad(self) -> None:
        self.assertRaises(ConfigurationError, self.middlebox, "--local-nets", "10.0.0.0/40")

    def test_governing(self) -> None:
        """Two middleboxes that would write different rows cannot be taken for each other."""
        plain, other = self.middlebox()[0], self.middlebox("--local-nets", "8.0.0.0/8")[0]
        self.assertEqual(plain.governing, self.middlebox("--local-nets", "10.0.0.0/8")[0].governing)
        self.assertNotEqual(plain.governing, other.governing)
