"""
The small captures made after public bug reports, each with the rows that real Zeek writes of it.

What is right is told in the folder's own README.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import joinBatches
from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from tests.plugins.bro.running import Row, decodeCapture, makeBro, readLog, runDecoded
from tests.plugins.bro.test_split import moveAt
from tests.shared import needSharedFolder

_LOGS = ("conn.log", "http.log", "dns.log")


class ReportTests(SynchronousTestCase):
    """Rows of conn.log and dns.log, in batches of one packet and of all, and after a move."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.count = 0

    def fresh(self) -> Path:
        """A folder that does not exist yet."""
        self.count += 1
        return self.folder / str(self.count)

    def packets(self, name: str, checksums: bool) -> Decoded:
        """All packets of the report that begins with C{name}, as one batch."""
        place = next((needSharedFolder() / "reports").glob(f"{name}*.pcap"))
        batches = decodeCapture(place, checksums)
        if len(batches) == 1:
            return batches[0]
        return Decoded(joinBatches([each.packets for each in batches]), batches[0].headers)

    def rows(self, name: str, log: str = "conn.log", checksums: bool = True) -> list[Row]:
        """The rows of a log, the same whatever the batches and moves."""
        packets = self.packets(name, checksums)
        found = []
        for size in (1, len(packets)):
            folder = self.fresh()
            runDecoded(folder, [packets.select(slice(at, at + size)) for at in range(0, len(packets), size)])
            found.append([sorted(map(str, readLog(folder / each))) for each in _LOGS])
        for cut in range(1, len(packets)):
            first, second = self.fresh(), self.fresh()
            moveAt(makeBro(first), makeBro(second), packets, HeaderFieldList(), cut, 0, 64)
            found.append([sorted(map(str, readLog(first / each) + readLog(second / each))) for each in _LOGS])
        self.assertEqual([found[0]] * len(found), found)
        return readLog(folder / log)

    def check(self, name: str, expected: Row, whole: bool = True) -> None:
        """The report makes one row of conn.log, with these fields; C{whole}: checksums are verified."""
        rows = self.rows(name, checksums=whole)
        self.assertEqual(1, len(rows), rows)
        self.assertEqual(expected, {field: rows[0][field] for field in expected})

    def test_groupMembership(self) -> None:
        """IGMP makes no row."""
        self.assertEqual([], self.rows("01_"))

    def test_encryptedPayload(self) -> None:
        """ESP over IPv4 is a transport that nobody knows."""
        self.check("02_", {"proto": "unknown_transport", "ip_proto": "50", "orig_pkts": "1", "resp_pkts": "1"})

    def test_trailingBytes(self) -> None:
        """The UDP checksum covers all that IP carries."""
        self.check("03_", {"history": "C", "orig_pkts": "0", "service": "-", "duration": "-"})
        self.assertEqual([], self.rows("03_", "dns.log"))

    def test_virtualNetworkSix(self) -> None:
        """VXLAN over IPv6 needs no checksum."""
        self.check("04_", {"history": "D", "orig_pkts": "1"})

    def test_homeAddress(self) -> None:
        """The home address option's address is the originator."""
        self.check("06_", {"id.orig_h": "2001:db8::aaaa", "history": "D", "service": "dns"})

    def test_extensionCut(self) -> None:
        """An extension header longer than its packet is a transport that nobody knows."""
        self.check("08_", {"proto": "unknown_transport", "ip_proto": "0", "orig_pkts": "1", "orig_ip_bytes": "81"})

    def test_tagsInside(self) -> None:
        """Inside a VLAN only an ordinary tag is followed."""
        for name in ("09_", "09b_"):
            self.assertEqual([], self.rows(name), name)

    def test_sessionLength(self) -> None:
        """PPPoE's length cuts the packet, here within its IP header."""
        self.assertEqual([], self.rows("10_"))

    def test_otherByteOrder(self) -> None:
        """The family of BSD null is little-endian."""
        self.assertEqual([], self.rows("11_"))

    def test_linkTypes(self) -> None:
        """PPP, PPP on a serial line, NFLOG."""
        for name in ("12a_", "12b_", "12c_"):
            self.check(name, {"id.orig_h": "10.1.1.1", "service": "dns", "orig_ip_bytes": "53"})
            self.assertEqual(["abc.com"], [row["query"] for row in self.rows(name, "dns.log")])

    def test_noTotalLength(self) -> None:
        """Segmentation offload: what the IP header does not count is not counted."""
        self.check("13_", {"orig_pkts": "2", "orig_ip_bytes": "0", "orig_bytes": "100"}, whole=False)
        self.assertEqual([], self.rows("13_"))

    def test_captureLength(self) -> None:
        """A record is cut to the file's capture length: what is beyond was not seen."""
        self.check("18_", {"service": "-", "missed_bytes": "68", "orig_bytes": "28", "resp_bytes": "40"})
        self.assertEqual([], self.rows("18_", "http.log"))

    def test_modifiedFormat(self) -> None:
        """The pcap format with longer record headers."""
        self.check("19_", {"service": "http", "history": "ShADadFf", "orig_pkts": "6"})

    def test_timeRoles(self) -> None:
        """NTP's roles: see C{test_ntp_roles}."""
        self.check("22_", {"id.orig_h": "10.2.2.2", "history": "D"})
        self.check("22c", {"id.orig_h": "10.1.1.1", "history": "D^", "orig_pkts": "1", "resp_pkts": "2"})

    def test_networkTime(self) -> None:
        """Network time never goes back: see C{test_network_time}."""
        rows = self.rows("23_")
        self.assertEqual(["1"] * 3, [row["orig_pkts"] for row in rows])
        self.assertEqual(["10.1.1.1", "10.1.1.1", "10.3.3.3"], sorted(row["id.orig_h"] for row in rows))

    def test_distantTime(self) -> None:
        """Stamps of 2^31 seconds and more."""
        self.check("24_", {"ts": "2147483648.000000"})
