"""Header field lists: their text, and that nonsense is refused with a reason."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import InvalidHeaderFields
from openmb.state.headers import EVERYTHING, HeaderFieldList
from tests.state.flows import anyFieldLists

_GOLDEN = {
    "tcp,nw_src=10.0.0.0/8,tp_dst=80": HeaderFieldList(0x0800, 6, IPv4Network("10.0.0.0/8"), tpDst=80),
    "udp6,ipv6_dst=2001:db8::/32": HeaderFieldList(0x86DD, 17, nwDst=IPv6Network("2001:db8::/32")),
    "ip": HeaderFieldList(0x0800),
    "ipv6,nw_proto=47": HeaderFieldList(0x86DD, 47),
    "nw_proto=6": HeaderFieldList(nwProto=6),
    "sctp,tp_src=5060": HeaderFieldList(0x0800, 132, tpSrc=5060),
    "icmp,icmp_type=8": HeaderFieldList(0x0800, 1, tpSrc=8),
    "icmp6,dl_vlan=7,icmp_type=1,icmp_code=4": HeaderFieldList(0x86DD, 58, tpSrc=1, tpDst=4, dlVlan=7),
    "dl_vlan=0xffff": HeaderFieldList(dlVlan=0xFFFF),
    "ip,nw_dst=192.0.2.1": HeaderFieldList(nwDst=IPv4Network("192.0.2.1")),
    "*": EVERYTHING,
}
_SAME = {
    " any ": "*",
    "tcp nw_src=10.1.2.3/8 , tp_dst=80": "tcp,nw_src=10.0.0.0/8,tp_dst=80",
    "dl_type=0x0800,ip_proto=6,ip_src=10.0.0.0/255.0.0.0,tcp_dst=0x50": "tcp,nw_src=10.0.0.0/8,tp_dst=80",
    "tcp,tcp,nw_proto=6": "tcp",
    "tcp_src=1": "nw_proto=6,tp_src=1",
    "nw_src=0.0.0.0/0": "ip",
    "ipv6_src=::/0,nw_proto=58": "icmp6",
    "ipv6_src=2001:DB8::1/ffff:ffff::": "ipv6,ipv6_src=2001:db8::/32",
    "nw_dst=192.0.2.1/32": "ip,nw_dst=192.0.2.1",
    "dl_vlan=65535": "dl_vlan=0xffff",
}
_WRONG = {
    "": "'*' selects everything",
    " \t": "'*' selects everything",
    "tcp,": "missing",
    ",": "missing",
    "tcp,,udp": "missing",
    "tpc": "unknown keyword 'tpc'",
    "nw_source=1.2.3.4": "unknown field 'nw_source'",
    "tcp,udp": "contradicts",
    "tcp,ipv6_src=::1": "contradicts",
    "tcp,nw_proto=17": "contradicts",
    "udp,tcp_dst=80": "contradicts",
    "tp_src=1,tp_src=2": "contradicts",
    "nw_src=10.0.0.1,ipv6_dst=::1": "contradicts",
    "tp_src=65536": "up to 65535",
    "tp_src=-1": "takes a number",
    "tp_src=": "takes a number",
    "tp_src=\u0661": "takes a number",
    "tp_src=80=90": "takes a number",
    "nw_proto=256": "up to 255",
    "nw_src=10.0.0.0/33": "at most 32 bits",
    "nw_src=10.0.0.0/": "IPv4",
    "nw_src=10.0.0": "IPv4",
    "nw_src=10.0.0.0/255.0.255.0": "ones followed by zeros",
    "nw_src=10.0.0.0/0.0.0.255": "ones followed by zeros",
    "nw_src=::1": "IPv4",
    "ipv6_src=10.0.0.1": "IPv6",
    "ipv6_src=fe80::1%eth0": "zone",
    "ipv6_src=::ffff:10.0.0.1": "say nw_src",
    "dl_type=0x0806": "only 0x0800",
    "dl_vlan=4096": "dl_vlan cannot be 4096",
    "icmp_type=8": "go with icmp",
    "tcp,icmp_type=8": "go with icmp",
    "icmp,tp_src=8,icmp_code=1": "without ports",
    "icmp,icmp_type=256": "up to 255",
    "icmp,tp_src=256": "tp_src cannot be 256",
}


class TextTests(SynchronousTestCase):
    """C{parse} and C{str}."""

    def test_golden(self) -> None:
        """Known texts give known lists, and back."""
        for text, flows in _GOLDEN.items():
            self.assertEqual(HeaderFieldList.parse(text), flows, text)
            self.assertEqual(str(flows), text)

    def test_spellings(self) -> None:
        """Other spellings give the canonical text."""
        for text, canonical in _SAME.items():
            self.assertEqual(str(HeaderFieldList.parse(text)), canonical, text)

    def test_wrong(self) -> None:
        """What cannot be understood is refused, and the error says what and where."""
        for text, reason in _WRONG.items():
            error = self.assertRaises(InvalidHeaderFields, HeaderFieldList.parse, text)
            self.assertIn(reason, str(error), text)
            self.assertIn(repr(text), str(error))

    @settings(deadline=None)
    @given(anyFieldLists())
    def test_roundTrip(self, flows: HeaderFieldList) -> None:
        """Every list can be read from its own text."""
        again = HeaderFieldList.parse(str(flows))
        self.assertEqual(again, flows)
        self.assertEqual(hash(again), hash(flows))
        self.assertEqual(str(again), str(flows))

    @settings(deadline=None)
    @given(st.text() | st.text(alphabet="tcpudimn_srw=,/.:0123456789xf* "))
    def test_junk(self, text: str) -> None:
        """Any text is either a list, or refused by the one error."""
        try:
            flows = HeaderFieldList.parse(text)
        except InvalidHeaderFields:
            return
        self.assertEqual(HeaderFieldList.parse(str(flows)), flows)


class ValueTests(SynchronousTestCase):
    """The list as a value."""

    def test_constrained(self) -> None:
        """The names of the constrained fields, the implied IP version among them."""
        flows = HeaderFieldList.parse("ipv6_src=2001:db8::/32,tp_dst=80,nw_proto=6,dl_vlan=5")
        self.assertEqual(flows.constrained, {"dl_type", "nw_proto", "nw_src", "tp_dst", "dl_vlan"})
        self.assertEqual(EVERYTHING.constrained, frozenset())

    def test_frozen(self) -> None:
        """Nothing can be changed, not even the numbers made for the kernels."""
        flows = HeaderFieldList.parse("tcp")
        self.assertRaises(AttributeError, setattr, flows, "nwProto", 17)
        self.assertRaises(ValueError, flows._packed.fill, 0)

    def test_refusedValues(self) -> None:
        """The constructor refuses what the text form refuses."""
        for arguments in (
            {"nwSrc": IPv4Network("10.0.0.0/8"), "nwDst": IPv6Network("2001:db8::/32")},
            {"dlType": 0x86DD, "nwDst": IPv4Network("10.0.0.0/8")},
            {"dlType": 0x0806},
            {"nwProto": 300},
            {"tpSrc": -1},
            {"dlVlan": 5000},
        ):
            self.assertRaises(InvalidHeaderFields, HeaderFieldList, **arguments)

    @settings(deadline=None)
    @given(anyFieldLists())
    def test_turnedTwice(self, flows: HeaderFieldList) -> None:
        """Exchanging the ends twice changes nothing."""
        self.assertEqual(flows.turned.turned, flows)
