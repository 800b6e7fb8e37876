"""Addresses and keys: golden bytes, one key for both directions."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.state.addresses import addressWords, networkWords, wordsAddress
from openmb.state.flowkey import FLOW_KEY, HOST_KEY, flowKey, flowKeys, flowText, hostKey, keyWords
from tests.state.flows import UNIVERSE, header, turned

_PORTS = st.integers(0, 65535)


class AddressTests(SynchronousTestCase):
    """Addresses as words."""

    def test_mapped(self) -> None:
        """IPv4 stands as the mapped address, and comes back as IPv4."""
        self.assertEqual(addressWords("10.1.2.3"), (0, 0x0000FFFF0A010203))
        self.assertEqual(str(wordsAddress(0, 0x0000FFFF0A010203)), "10.1.2.3")
        self.assertEqual(str(wordsAddress(0, 0x0000FFFE0A010203)), "::fffe:a01:203")

    @given(st.ip_addresses())
    def test_roundTrip(self, address: IPv6Address) -> None:
        """Every address survives; a mapped one is IPv4."""
        again = wordsAddress(*addressWords(address))
        self.assertEqual(again, getattr(address, "ipv4_mapped", None) or address)

    def test_networks(self) -> None:
        """Prefix and mask as words, those of IPv4 96 bits longer."""
        full = (1 << 64) - 1
        self.assertEqual(networkWords(ip_network("10.0.0.0/8")), (0, 0xFFFF0A000000, full, 0xFFFFFFFFFF000000))
        self.assertEqual(networkWords(ip_network("2001:db8::/32")), (0x20010DB8 << 32, 0, 0xFFFFFFFF << 32, 0))
        self.assertEqual(networkWords(ip_network("::/0")), (0, 0, 0, 0))


class FlowKeyTests(SynchronousTestCase):
    """Flow keys."""

    def test_golden(self) -> None:
        """The bytes of a key."""
        expected = bytes.fromhex("00000000000000000100000affff000000000000000000000200000affff0000d204500006000000")
        self.assertEqual(flowKey("10.0.0.1", 1234, "10.0.0.2", 80, 6).tobytes(), expected)
        self.assertEqual(flowKey("10.0.0.2", 80, "10.0.0.1", 1234, 6).tobytes(), expected)

    def test_sizes(self) -> None:
        """40 and 16 bytes, without gaps."""
        self.assertEqual((FLOW_KEY.itemsize, HOST_KEY.itemsize), (40, 16))
        self.assertEqual(hostKey("2001:db8::1").tobytes(), bytes.fromhex("00000000b80d01200100000000000000"))

    @settings(deadline=None)
    @given(st.ip_addresses(), _PORTS, st.ip_addresses(), _PORTS, st.sampled_from((6, 17, 47, 132)))
    def test_canonical(self, one: IPv6Address, onePort: int, other: IPv6Address, otherPort: int, protocol: int) -> None:
        """Both directions have one key, whose endpoint a is the smaller."""
        key = flowKey(one, onePort, other, otherPort, protocol)
        self.assertEqual(flowKey(other, otherPort, one, onePort, protocol).tobytes(), key.tobytes())
        low = (key["a_high"][0], key["a_low"][0], key["a_port"][0])
        self.assertLessEqual(low, (key["b_high"][0], key["b_low"][0], key["b_port"][0]))

    def test_headers(self) -> None:
        """The keys of packets are those of their fields, and C{forward} says who is a."""
        keys, forward = flowKeys(UNIVERSE)
        back, backward = flowKeys(turned(UNIVERSE))
        plain = (UNIVERSE["protocol"] != 1) & (UNIVERSE["protocol"] != 58)
        self.assertEqual(keys[plain].tobytes(), back[plain].tobytes())
        distinct = plain & (keys["a_low"] != keys["b_low"])
        self.assertTrue((forward[distinct] != backward[distinct]).all())
        source = np.where(forward, keys["a_low"], keys["b_low"])
        self.assertEqual(source.tolist(), UNIVERSE["source_low"].tolist())
        port = np.where(forward, keys["a_port"], keys["b_port"])
        self.assertEqual(port.tolist(), UNIVERSE["source_port"].tolist())

    def test_echo(self) -> None:
        """Echo request and reply have one key, of type and counterpart."""
        request, forward = flowKeys(header("10.0.0.1", 8, "10.0.0.2", 0, 1))
        reply, backward = flowKeys(header("10.0.0.2", 0, "10.0.0.1", 0, 1))
        self.assertEqual(request.tobytes(), reply.tobytes())
        self.assertEqual((bool(forward[0]), bool(backward[0])), (True, False))
        self.assertEqual(flowText(request), "icmp 10.0.0.1:8 - 10.0.0.2:0")

    def test_oneway(self) -> None:
        """A type without a counterpart keeps its source as a, and its code."""
        key = flowKey("10.0.0.9", 3, "10.0.0.1", 1, 1)
        self.assertEqual(flowText(key), "icmp 10.0.0.9:3 -> 10.0.0.1:1")
        self.assertNotEqual(flowKey("10.0.0.1", 3, "10.0.0.9", 1, 1).tobytes(), key.tobytes())

    def test_oddTypes(self) -> None:
        """An ICMP type beyond 255 (it can only be junk) is a one-way flow, not an access out of bounds."""
        for protocol in (1, 58):
            self.assertEqual(int(flowKey("10.0.0.1", 65535, "10.0.0.2", 0, protocol)["oneway"][0]), 1)

    def test_text(self) -> None:
        """IPv6 stands in brackets."""
        self.assertEqual(
            flowText(flowKey("2001:db8::2", 53, "2001:db8::1", 9, 17)), "udp [2001:db8::1]:9 - [2001:db8::2]:53"
        )
        self.assertEqual(flowText(flowKey("10.0.0.1", 0, "10.0.0.2", 0, 47)[0]), "protocol 47 10.0.0.1:0 - 10.0.0.2:0")

    def test_refused(self) -> None:
        """Numbers out of range."""
        self.assertRaises(ValueError, flowKey, "10.0.0.1", 65536, "10.0.0.2", 0, 6)
        self.assertRaises(ValueError, flowKey, "10.0.0.1", 1, "10.0.0.2", 0, 256)
        self.assertRaises(ValueError, flowKey, "10.0.0", 1, "10.0.0.2", 0, 6)

    def test_words(self) -> None:
        """Structured, byte and word keys are the same words."""
        keys, _ = flowKeys(UNIVERSE[:5])
        words = keyWords(keys, 5)
        self.assertEqual(words.shape, (5, 5))
        octets = np.frombuffer(keys.tobytes(), np.uint8).reshape(5, 40)
        self.assertTrue((keyWords(octets, 5) == words).all())
        self.assertIs(keyWords(words, 5), words)
        self.assertRaises(ValueError, keyWords, octets[:, :39], 5)
