"""Matching of packets, keys and hosts, against a model that looks at one at a time; intersections by brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import FinerThanNative
from openmb.packets.headers import HEADERS, Kind
from openmb.state.flowkey import FLOW_KEY, HOST_KEY, flowKeys, hostKey
from openmb.state.headers import EVERYTHING, HeaderFieldList
from tests.state.flows import UNIVERSE, fieldLists, header, matches, turned

_SAMPLE = UNIVERSE[::7]


class MatchHeadersTests(SynchronousTestCase):
    """C{matchHeaders}."""

    @settings(deadline=None, max_examples=60)
    @given(fieldLists(), st.sampled_from((None, Kind.FRAGMENT)))
    def test_model(self, flows: HeaderFieldList, kind: Kind | None) -> None:
        """The kernel agrees with the model, for whole packets and for fragments."""
        packets = _SAMPLE.copy()
        if kind is not None:
            packets["kind"] = kind
        expected = [matches(flows, packet) for packet in packets]
        self.assertEqual(flows.matchHeaders(packets).tolist(), expected, str(flows))

    @settings(deadline=None)
    @given(fieldLists())
    def test_bothDirections(self, flows: HeaderFieldList) -> None:
        """A packet and its answer match alike, and a list matches what it matches with its ends exchanged."""
        packets = UNIVERSE[(UNIVERSE["protocol"] != 1) & (UNIVERSE["protocol"] != 58)]
        found = flows.matchHeaders(packets).tolist()
        self.assertEqual(flows.matchHeaders(turned(packets)).tolist(), found)
        self.assertEqual(flows.turned.matchHeaders(packets).tolist(), found)

    @settings(deadline=None)
    @given(fieldLists())
    def test_oneWay(self, flows: HeaderFieldList) -> None:
        """One way, and the other way round: together they are both."""
        packets = UNIVERSE
        there, back = flows.matchHeaders(packets, True), flows.turned.matchHeaders(packets, True)
        isAnswered = np.isin(packets["protocol"], (1, 58)) & (flows.tpSrc is not None or flows.tpDst is not None)
        self.assertTrue((there <= flows.matchHeaders(packets)).all())
        either = (there | back)[~isAnswered]
        self.assertEqual(flows.matchHeaders(packets)[~isAnswered].tolist(), either.tolist())

    def test_oneWayExactly(self) -> None:
        """Source and destination as the packet says; an ICMP type is the packet's own."""
        flows = HeaderFieldList.parse("udp,nw_dst=10.0.0.1,tp_dst=53")
        there, back = header("10.0.0.2", 999, "10.0.0.1", 53, 17), header("10.0.0.1", 53, "10.0.0.2", 999, 17)
        self.assertEqual([True, False], [bool(flows.matchHeaders(each, True)[0]) for each in (there, back)])
        echo = HeaderFieldList.parse("icmp,nw_src=10.0.0.1,icmp_type=8")
        asks, answers = header("10.0.0.1", 8, "10.0.0.2", 0, 1), header("10.0.0.2", 0, "10.0.0.1", 0, 1)
        self.assertEqual([True, False], [bool(echo.matchHeaders(each, True)[0]) for each in (asks, answers)])

    @settings(deadline=None)
    @given(fieldLists(vlans=False))
    def test_asKeys(self, flows: HeaderFieldList) -> None:
        """A packet matches if and only if its key does."""
        keys, _ = flowKeys(UNIVERSE)
        self.assertEqual(flows.matchKeys(keys).tolist(), flows.matchHeaders(UNIVERSE).tolist(), str(flows))

    def test_noFlow(self) -> None:
        """What is not a packet of a flow matches nothing, not even the list of everything."""
        packets = np.repeat(UNIVERSE[:1], 256)
        packets["kind"] = np.arange(256)
        flows = (Kind.TCP, Kind.UDP, Kind.ICMP, Kind.OTHER, Kind.FRAGMENT)
        self.assertEqual(np.flatnonzero(EVERYTHING.matchHeaders(packets)).tolist(), [int(kind) for kind in flows])

    def test_fragment(self) -> None:
        """A fragment matches by addresses and protocol, whatever the ports say."""
        packet = header("10.0.0.1", 0, "10.0.0.2", 0, 17)
        packet["kind"] = Kind.FRAGMENT
        self.assertTrue(HeaderFieldList.parse("udp,nw_dst=10.0.0.1,tp_dst=53").matchHeaders(packet)[0])
        self.assertFalse(HeaderFieldList.parse("tcp,nw_dst=10.0.0.1,tp_dst=53").matchHeaders(packet)[0])

    def test_echoReply(self) -> None:
        """A list that names the request selects the answer too, for they are one flow."""
        flows = HeaderFieldList.parse("icmp,icmp_type=8,nw_src=10.0.0.1")
        self.assertTrue(flows.matchHeaders(header("10.0.0.1", 8, "10.0.0.2", 0, 1))[0])
        self.assertTrue(flows.matchHeaders(header("10.0.0.2", 0, "10.0.0.1", 0, 1))[0])
        self.assertFalse(flows.matchHeaders(header("10.0.0.2", 8, "10.0.0.1", 0, 1))[0])
        self.assertFalse(flows.matchHeaders(header("10.0.0.1", 3, "10.0.0.2", 8, 1))[0])

    def test_mappedIsIPv4(self) -> None:
        """An IPv6 prefix above the mapped addresses does not select IPv4."""
        flows = HeaderFieldList.parse("ipv6_src=::/16")
        self.assertFalse(flows.matchHeaders(header("10.0.0.1", 1, "10.0.0.2", 2, 6))[0])
        self.assertTrue(flows.matchHeaders(header("::1", 1, "2001:db8::2", 2, 6))[0])

    def test_shapes(self) -> None:
        """No packets, strided packets and read-only packets are all fine."""
        flows = HeaderFieldList.parse("tcp,tp_src=80")
        whole = flows.matchHeaders(UNIVERSE)
        self.assertEqual(flows.matchHeaders(np.zeros(0, HEADERS)).tolist(), [])
        self.assertEqual(flows.matchHeaders(UNIVERSE[::3]).tolist(), whole[::3].tolist())
        locked = UNIVERSE.copy()
        locked.flags.writeable = False
        self.assertEqual(flows.matchHeaders(locked).tolist(), whole.tolist())
        self.assertTrue(0 < whole.sum() < len(whole))


class MatchKeysTests(SynchronousTestCase):
    """C{matchKeys} and C{matchHosts}."""

    def test_vlanIsFiner(self) -> None:
        """A VLAN cannot be told from a key: an error, not a guess."""
        flows = HeaderFieldList.parse("tcp,dl_vlan=5")
        error = self.assertRaises(FinerThanNative, flows.matchKeys, np.zeros(1, FLOW_KEY))
        self.assertEqual(error.field, "dl_vlan")

    def test_wrongSize(self) -> None:
        """Keys of another size are refused."""
        self.assertRaises(ValueError, EVERYTHING.matchKeys, np.zeros(1, HOST_KEY))
        self.assertRaises(ValueError, EVERYTHING.matchHosts, np.zeros(1, FLOW_KEY))

    def test_hosts(self) -> None:
        """A host is selected by the prefixes that the list names, either of them; by the IP version; or by nothing."""
        names = ("10.0.0.1", "11.0.0.1", "12.0.0.1", "2001:db8::1")
        hosts = np.concatenate([hostKey(name) for name in names])
        for text, expected in (
            ("nw_src=10.0.0.0/8", "10.0.0.1"),
            ("nw_dst=10.0.0.0/8", "10.0.0.1"),
            ("nw_src=10.0.0.0/8,nw_dst=11.0.0.0/8", "10.0.0.1 11.0.0.1"),
            ("ipv6", "2001:db8::1"),
            ("ip", "10.0.0.1 11.0.0.1 12.0.0.1"),
            ("*", " ".join(names)),
        ):
            flows = HeaderFieldList.parse(text)
            found = flows.matchAddresses(hosts["high"], hosts["low"])
            self.assertEqual([name for name, hit in zip(names, found, strict=True) if hit], expected.split(), text)
            self.assertEqual(flows.matchHosts(hosts).tolist(), found.tolist())


class IntersectTests(SynchronousTestCase):
    """C{intersects}."""

    @settings(deadline=None, max_examples=400)
    @given(fieldLists(), fieldLists())
    def test_bruteForce(self, one: HeaderFieldList, other: HeaderFieldList) -> None:
        """Two lists intersect if and only if some packet of the universe matches both."""
        witnessed = bool((one.matchHeaders(UNIVERSE) & other.matchHeaders(UNIVERSE)).any())
        self.assertEqual(one.intersects(other), witnessed, f"{one} and {other}")
        self.assertEqual(other.intersects(one), witnessed)

    def test_crossed(self) -> None:
        """Requests to a server and replies from it are the same flows."""
        requests = HeaderFieldList.parse("tcp,nw_src=10.0.0.0/8,tp_dst=80")
        self.assertTrue(requests.intersects(HeaderFieldList.parse("tcp,nw_dst=10.1.0.0/16,tp_src=80")))
        self.assertFalse(requests.intersects(HeaderFieldList.parse("tcp,nw_dst=11.0.0.0/8,nw_src=12.0.0.0/8")))
        self.assertFalse(requests.intersects(HeaderFieldList.parse("tcp,nw_src=10.0.0.0/8,tp_dst=443,tp_src=443")))

    def test_itself(self) -> None:
        """Every list that a flow can match intersects itself."""
        for text in ("*", "tcp", "icmp,icmp_type=3,icmp_code=1", "ipv6_src=2001:db8::1,ipv6_dst=2001:db8::2"):
            flows = HeaderFieldList.parse(text)
            self.assertTrue(flows.intersects(flows), text)
            self.assertTrue(flows.intersects(EVERYTHING))


class CoverTests(SynchronousTestCase):
    """Which list is surely the wider one."""

    def test_covers(self) -> None:
        for wide, narrow, expected in (
            ("*", "udp", True),
            ("udp", "*", False),
            ("udp", "udp,tp_dst=53", True),
            ("udp,tp_dst=53", "udp,tp_src=53", True),
            ("tcp", "udp", False),
            ("nw_src=10.0.0.0/8", "tcp,nw_dst=10.1.0.0/16", True),
            ("nw_src=10.1.0.0/16", "nw_src=10.0.0.0/8", False),
            ("nw_src=10.0.0.0/8", "ipv6", False),
            ("ip,nw_src=10.0.0.0/8,nw_dst=10.1.0.0/16", "ip,nw_src=10.1.2.0/24,nw_dst=10.2.0.0/16", True),
        ):
            found = HeaderFieldList.parse(wide).covers(HeaderFieldList.parse(narrow))
            self.assertEqual(expected, found, (wide, narrow))
