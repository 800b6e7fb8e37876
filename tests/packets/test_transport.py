"""
TCP, UDP and ICMP headers and their checksums.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind, Status
from tests.packets.build import CLIENT, CLIENT6, SERVER, SERVER6, icmp, internetSum, ip4, ip6, pseudo, tcp, udp

BETWEEN6 = (CLIENT6, SERVER6)


def header(packet: bytes, checksums: bool = True) -> Any:
    return Decoder(checksums).decode(packetBatch([packet], [0], LinkType.RAW)).headers[0]


class ChecksumTests(SynchronousTestCase):
    """A wrong transport checksum is a remark on the packet; every single-bit error is one."""

    def packets(self) -> list[bytes]:
        return [
            ip4(tcp(b"odd")),
            ip4(tcp(b"even", options=b"\x02\x04\x05\xb4")),
            ip4(udp(b"question"), 17),
            ip4(icmp(8, 0, b"ping"), 1),
            ip6(tcp(b"x", between=BETWEEN6)),
            ip6(udp(b"xy", between=BETWEEN6), 17),
            ip6(icmp(128, 0, b"abcde", BETWEEN6), 58),
        ]

    def test_good(self) -> None:
        for packet in self.packets():
            self.assertEqual(int(header(packet)["status"]) & ~Status.IPV6, 0, packet.hex())

    def test_everyByteCounts(self) -> None:
        """Any bit turned over in any byte is noticed, at least as a wrong checksum or an impossible header."""
        for packet in self.packets():
            start = 20 if packet[0] >> 4 == 4 else 40
            for place in range(start, len(packet)):
                wrong = bytearray(packet)
                wrong[place] ^= 1 << place % 8
                status = int(header(bytes(wrong))["status"])
                self.assertTrue(status & (Status.BAD_CHECKSUM | Status.BAD_TRANSPORT), (packet.hex(), place))

    def test_notAsked(self) -> None:
        self.assertEqual(header(ip4(tcp(spoil=1)), checksums=False)["status"], 0)

    def test_lengths(self) -> None:
        """Payloads of every length up to some vectors' worth, and a long one."""
        for length in (*range(140), 1460, 65000):
            payload = bytes((7 * place + length) & 0xFF for place in range(length))
            self.assertEqual(header(ip4(tcp(payload)))["status"], 0, length)
            self.assertEqual(header(ip4(tcp(payload, spoil=0x8000)))["status"], Status.BAD_CHECKSUM, length)

    def test_udpZero(self) -> None:
        self.assertEqual(header(ip4(udp(b"x", check=0), 17))["status"], Status.NO_CHECKSUM)
        self.assertEqual(header(ip4(udp(b"x", check=0), 17), False)["status"], Status.NO_CHECKSUM)

    def test_udpZeroSix(self) -> None:
        packet = ip6(udp(b"x", check=0, between=BETWEEN6), 17)
        self.assertEqual(header(packet)["status"], Status.IPV6 | Status.BAD_CHECKSUM)

    def test_udpShorterThanPacket(self) -> None:
        """The checksum covers all that IP carries, as in Zeek; the payload is counted by the IP length."""
        row = header(ip4(udp(b"abc") + b"trailer", 17))
        self.assertEqual((row["status"], row["window"], row["length"]), (Status.BAD_CHECKSUM, 11, 10))
        whole = internetSum(pseudo(CLIENT, SERVER, 17, 18) + udp(b"abc", check=0) + b"trailer")
        row = header(ip4(udp(b"abc", check=whole) + b"trailer", 17))
        self.assertEqual((row["status"], row["window"], row["length"]), (0, 11, 10))

    def test_virtualNetwork(self) -> None:
        """VXLAN needs no checksum over IPv6, if it looks like VXLAN: its port, its flag, room for a frame."""
        frame = bytes([8]) + bytes(30)
        for port, payload, status in ((4789, frame, 0), (4788, frame, 1), (4789, bytes(31), 1), (4789, frame[:22], 1)):
            packet = ip6(udp(payload, ports=(5000, port), check=0, between=BETWEEN6), 17)
            self.assertEqual(header(packet)["status"], Status.IPV6 | status, (port, payload))


class TransportTests(SynchronousTestCase):
    """What is filled in when a header is cut off or impossible."""

    def test_tcpCutOff(self) -> None:
        for length in range(20):
            row = header(ip4(tcp()[:length]))
            self.assertEqual((row["kind"], row["status"]), (Kind.TCP, Status.BAD_TRANSPORT))
            self.assertEqual((row["payload"], row["length"]), (20, length))
            ports = (40000, 80) if length >= 4 else (0, 0)
            self.assertEqual((row["source_port"], row["destination_port"]), ports)

    def test_tcpOffset(self) -> None:
        for offset in (0, 4, 7, 15):
            row = header(ip4(tcp(b"hello", offset=offset)))
            self.assertEqual((row["kind"], row["status"]), (Kind.TCP, Status.BAD_TRANSPORT), offset)
            self.assertEqual((row["payload"], row["flags"], row["sequence"]), (40, 0x18, 1000))

    def test_tcpOptions(self) -> None:
        row = header(ip4(tcp(b"hello", options=b"\x01" * 40)))
        self.assertEqual((row["payload"], row["length"], row["captured"], row["status"]), (80, 5, 5, 0))

    def test_optionsNotCaptured(self) -> None:
        packet = ip4(tcp(b"hello", options=b"\x01" * 40))
        row = Decoder().decode(packetBatch([packet[:44]], [0], LinkType.RAW, [len(packet)])).headers[0]
        self.assertEqual((row["status"], row["payload"]), (Status.TRUNCATED, 80))
        self.assertEqual((row["length"], row["captured"]), (5, 0))

    def test_udpLength(self) -> None:
        """An impossible length; the checksum is judged all the same."""
        for length in (0, 7, 14):
            right = internetSum(pseudo(CLIENT, SERVER, 17, 13) + udp(b"hello", length=length, check=0))
            for check, status in ((right, 0), (right ^ 1, Status.BAD_CHECKSUM)):
                row = header(ip4(udp(b"hello", length=length, check=check), 17))
                self.assertEqual((row["status"], row["window"]), (Status.BAD_TRANSPORT | status, length))
                self.assertEqual((row["payload"], row["length"]), (28, 5))

    def test_cutOff(self) -> None:
        for length in range(8):
            row = header(ip4(udp()[:length], 17))
            self.assertEqual((row["kind"], row["status"]), (Kind.UDP, Status.BAD_TRANSPORT))
            row = header(ip4(icmp(8, 0)[:length], 1))
            self.assertEqual((row["kind"], row["status"]), (Kind.ICMP, Status.BAD_TRANSPORT))

    def test_icmp(self) -> None:
        row = header(ip4(icmp(3, 1, b"quote"), 1))
        self.assertEqual((row["kind"], row["source_port"], row["destination_port"]), (Kind.ICMP, 3, 1))
        self.assertEqual((row["payload"], row["length"]), (28, 5))
