"""The switch without its sockets."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Route
from openmb.netctl.embedded.stamps import StampMode
from openmb.netctl.embedded.switch import Switch, Switched
from openmb.packets.batch import LinkType
from openmb.packets.marker import Marker, parseMarker
from openmb.state.headers import HeaderFieldList
from tests.netctl.embedded.frames import batch, ip, packetsOf, udp, udpBody

WEB = udp("10.0.0.1", "10.0.0.2", 1000, 80)
REPLY = udp("10.0.0.2", "10.0.0.1", 80, 1000)
NAME = udp("10.0.0.1", "10.0.0.2", 1000, 53)


def route(
    text: str,
    *path: str,
    table: str = "monitor",
    priority: int = 100,
    egress: str | None = None,
    oneWay: bool = False,
) -> Route:
    """A route for the flows that C{text} describes."""
    return Route(HeaderFieldList.parse(text), path, table, priority, egress, oneWay)


def outputs(switched: Switched) -> dict[str, list[bytes]]:
    """The packets by port."""
    return {each.port: packetsOf(each.batch) for each in switched.outgoing}


def stampsOf(switched: Switched) -> dict[str, list[int]]:
    """The stamps by port."""
    return {each.port: each.batch.stamps.tolist() for each in switched.outgoing}


class SwitchTestCase(SynchronousTestCase):
    """A switch for replays with some ports."""

    def setUp(self) -> None:
        self.switch = Switch(StampMode.CAPTURE)
        for port in ("in", "a", "b", "c", "out"):
            self.switch.addPort(port)

    def forward(self, *packets: bytes, port: str = "in") -> dict[str, list[bytes]]:
        return outputs(self.switch.ingress(port, batch(list(packets)), 0))


class RoutingTests(SwitchTestCase):
    """Rules in tables."""

    def test_noRules(self) -> None:
        """Without rules everything is dropped and counted."""
        self.assertEqual({}, self.forward(WEB, NAME))
        self.assertEqual((2, 2), (self.switch.ports["in"].received, self.switch.ports["in"].unrouted))

    def test_priorityDecides(self) -> None:
        """The highest priority wins, in whichever order the rules came; both directions match."""
        self.switch.route(route("udp,tp_dst=80", "a", priority=200))
        self.switch.route(route("*", "b"))
        self.assertEqual({"a": [WEB, REPLY], "b": [NAME]}, self.forward(WEB, NAME, REPLY))

    def test_lastOfEquals(self) -> None:
        """Of equal priority the rule added last wins; adding one again makes it the last."""
        self.switch.route(route("udp,tp_dst=80", "a"))
        self.switch.route(route("udp", "b"))
        self.assertEqual({"b": [WEB]}, self.forward(WEB))
        self.switch.route(route("udp,tp_dst=80", "a"))
        self.assertEqual({"a": [WEB]}, self.forward(WEB))

    def test_everyTableGetsACopy(self) -> None:
        """Copies have the same stamp."""
        self.switch.route(route("*", "a"))
        self.switch.route(route("*", "b", table="other"))
        switched = self.switch.ingress("in", batch([WEB, NAME], [70, 80]), 0)
        self.assertEqual({"a": [WEB, NAME], "b": [WEB, NAME]}, outputs(switched))
        self.assertEqual({"a": [70, 80], "b": [70, 80]}, stampsOf(switched))

    def test_onePortForTwoTables(self) -> None:
        """A port that two tables send to gets both copies in the order of the stamps."""
        self.switch.route(route("*", "a"))
        self.switch.route(route("udp,tp_dst=53", "a", table="other"))
        self.assertEqual({"a": [WEB, NAME, NAME, REPLY]}, self.forward(WEB, NAME, REPLY))

    def test_replaced(self) -> None:
        """A rule with the same table, priority and flows is replaced and returned."""
        first, second = route("udp", "a"), route("udp", "b")
        self.assertIsNone(self.switch.route(first))
        self.assertEqual(first, self.switch.route(second))
        self.assertEqual((second,), self.switch.routes)
        self.assertIsNone(self.switch.route(route("udp", "b", priority=7)))
        self.assertIsNone(self.switch.route(route("udp", "b", table="other")))

    def test_unroute(self) -> None:
        """Removed by table, priority and flows; what is not there is no error."""
        self.switch.route(route("udp", "a"))
        self.assertEqual(route("udp", "a"), self.switch.unroute(route("udp", "whatever")))
        self.assertIsNone(self.switch.unroute(route("udp", "a")))
        self.assertEqual({}, self.forward(WEB))

    def test_dropRule(self) -> None:
        """An empty path drops."""
        self.switch.route(route("*", "a"))
        self.switch.route(route("udp,tp_dst=53", priority=200))
        self.assertEqual({"a": [WEB]}, self.forward(WEB, NAME))
        self.assertEqual(0, self.switch.ports["in"].unrouted)

    def test_unknownPorts(self) -> None:
        """Refused, and nothing changes."""
        self.switch.route(route("*", "a"))
        for wrong in (
            route("*", "a", "x"),
            route("*", "a", egress="x"),
            route("*", "a", "b", "a"),
            route("*", "a", egress="a"),
        ):
            with self.assertRaises(OperationError) as caught:
                self.switch.route(wrong)
            self.assertEqual(Refusal.ROUTE_FAILED, caught.exception.refusal)
        self.assertEqual((route("*", "a"),), self.switch.routes)

    def test_ports(self) -> None:
        """A port that a rule leads to stays; names are unique."""
        self.switch.route(route("*", "a"))
        self.assertRaises(OperationError, self.switch.removePort, "a")
        self.assertRaises(OperationError, self.switch.addPort, "a")
        self.assertRaises(OperationError, self.switch.removePort, "x")
        self.switch.unroute(route("*", "a"))
        self.switch.removePort("a")
        self.assertNotIn("a", self.switch.ports)

    def test_thousandsOfPackets(self) -> None:
        """Order is kept in a large batch of many flows."""
        self.switch.route(route("*", "a"))
        self.switch.route(route("udp,tp_dst=53", "b", priority=200))
        packets = [udp("10.0.0.1", "10.0.0.2", number, 53 if number % 3 else 80) for number in range(5000)]
        found = self.forward(*packets)
        self.assertEqual([packet for number, packet in enumerate(packets) if number % 3], found["b"])
        self.assertEqual(packets[::3], found["a"])


class StampingTests(SwitchTestCase):
    """One clock for everything."""

    def test_strictlyIncreasing(self) -> None:
        """Over batches, ports and markers."""
        self.switch.route(route("*", "a"))
        first = self.switch.ingress("in", batch([WEB, NAME], [50, 50]), 0)
        marker = self.switch.mark(1, bytes(16), 0, False, ["a", "b"], 0)
        second = self.switch.ingress("out", batch([WEB], [10]), 0)
        self.assertEqual(
            [{"a": [50, 51]}, {"a": [52], "b": [52]}, {"a": [53]}], [stampsOf(s) for s in (first, marker, second)]
        )

    def test_arrival(self) -> None:
        """Live, the record's stamp does not count."""
        switch = Switch(StampMode.ARRIVAL)
        switch.addPort("in")
        switch.route(route("*", "in"))
        switch.unroute(route("*", "in"))
        switch.addPort("a")
        switch.addPort("tap")
        switch.route(route("*", "a"))
        self.assertEqual({"a": [7000]}, stampsOf(switch.ingress("tap", batch([WEB], [1]), 7000)))


class MarkerTests(SwitchTestCase):
    """Drain markers."""

    def test_marker(self) -> None:
        """The frame says what was asked for."""
        (sent,) = self.switch.mark(9, b"t" * 16, 3, True, ["a"], 0).outgoing
        self.assertEqual(Marker(9, b"t" * 16, 3, True), parseMarker(sent.batch.packet(0)))
        self.assertEqual(1, self.switch.ports["a"].forwarded)

    def test_refused(self) -> None:
        """Unknown ports and impossible values."""
        wrong = (
            (1, bytes(16), 0, ["x"]),
            (1, b"short", 0, ["a"]),
            (1 << 64, bytes(16), 0, ["a"]),
            (1, bytes(16), -1, ["a"]),
        )
        for operation, token, number, ports in wrong:
            self.assertRaises(OperationError, self.switch.mark, operation, token, number, False, ports, 0)

    def test_notForwarded(self) -> None:
        """A marker that somebody sends into a port goes nowhere."""
        self.switch.route(route("*", "a"))
        frame = self.switch.mark(1, bytes(16), 0, False, ["a"], 0).outgoing[0].batch.packet(0)
        self.assertEqual({"a": [WEB]}, self.forward(frame, WEB))


class ChainTests(SwitchTestCase):
    """In-line paths."""

    def test_chain(self) -> None:
        """From port to port and out."""
        self.switch.route(route("*", "a", "b", egress="out"))
        self.assertEqual({"a": [WEB]}, self.forward(WEB))
        self.assertEqual({"b": [WEB]}, self.forward(WEB, port="a"))
        self.assertEqual({"out": [WEB]}, self.forward(WEB, port="b"))

    def test_needs(self) -> None:
        """A packet from outside needs every queue on its way, a returned one only the next."""
        self.switch.route(route("*", "a", "b", egress="out"))
        fresh = self.switch.ingress("in", batch([WEB]), 0)
        returned = self.switch.ingress("a", batch([WEB]), 0)
        self.assertEqual((frozenset({"a", "b", "out"}), False), (fresh.needs, fresh.returned))
        self.assertEqual((frozenset({"b"}), True), (returned.needs, returned.returned))

    def test_copiesEnd(self) -> None:
        """Without egress what the last middlebox sends back goes nowhere."""
        self.switch.route(route("*", "a"))
        self.assertEqual({}, self.forward(WEB, port="a"))

    def test_rewritten(self) -> None:
        """What a middlebox changed is matched again, by the rules through its port."""
        self.switch.route(route("udp,tp_dst=80", "a", "b", egress="out", priority=200))
        self.switch.route(route("*", "a", egress="out"))
        self.assertEqual({"b": [WEB], "out": [NAME]}, self.forward(WEB, NAME, port="a"))

    def test_afterRouteChange(self) -> None:
        """What the old path still sends back leaves by the old path."""
        self.switch.route(route("*", "a", egress="out"))
        self.switch.route(route("*", "b", egress="out"))
        self.assertEqual({"out": [WEB]}, self.forward(WEB, port="a"))
        self.assertEqual({"b": [WEB]}, self.forward(WEB))

    def test_bothDirections(self) -> None:
        """
        A chain between two hosts that both send: there by one rule and back by another, through the same middleboxes in
        the opposite order.
        """
        self.switch.route(route("nw_dst=10.0.0.2", "a", "b", egress="out", oneWay=True))
        self.switch.route(route("nw_dst=10.0.0.1", "b", "a", egress="in", oneWay=True))
        ways = {"in": {"a": [WEB]}, "a": {"b": [WEB]}, "b": {"out": [WEB]}}
        back = {"out": {"b": [REPLY]}, "b": {"a": [REPLY]}, "a": {"in": [REPLY]}}
        for port, expected in ways.items():
            self.assertEqual(expected, self.forward(WEB, port=port), port)
        for port, expected in back.items():
            self.assertEqual(expected, self.forward(REPLY, port=port), port)

    def test_oneWay(self) -> None:
        """Answers do not match, and a rule for both directions is another rule."""
        one, both = route("nw_dst=10.0.0.2", "a", oneWay=True), route("nw_dst=10.0.0.2", "b")
        self.switch.route(one)
        self.assertEqual({"a": [WEB]}, self.forward(WEB, REPLY))
        self.assertIsNone(self.switch.route(both))
        self.assertEqual({"b": [WEB, REPLY]}, self.forward(WEB, REPLY))
        self.assertEqual(both, self.switch.unroute(both))
        self.assertEqual({"a": [WEB]}, self.forward(WEB, REPLY))
        self.assertEqual(one, self.switch.unroute(one))

    def test_wireOnly(self) -> None:
        """No middlebox at all: straight to the egress."""
        self.switch.route(route("*", egress="out"))
        self.assertEqual({"out": [WEB]}, self.forward(WEB))


class LinkTypeTests(SwitchTestCase):
    """Other link types become Ethernet."""

    def test_raw(self) -> None:
        """Raw IP of both versions; what is no IP is dropped."""
        four = ip("10.0.0.1", "10.0.0.2", 17, udpBody(1, 2, b"hello"))
        six = (
            struct.pack("!IHBB", 6 << 28, 13, 17, 64)
            + bytes(15)
            + b"\x01"
            + bytes(15)
            + b"\x02"
            + udpBody(1, 2, b"hello")
        )
        self.switch.route(route("*", "a"))
        switched = self.switch.ingress("in", batch([four, b"junk", six], [1, 2, 3], LinkType.RAW), 0)
        self.assertEqual({"a": [bytes(12) + b"\x08\x00" + four, bytes(12) + b"\x86\xdd" + six]}, outputs(switched))
        self.assertEqual({"a": [1, 3]}, stampsOf(switched))
        self.assertEqual(1, self.switch.ports["in"].unrouted)

    def test_truncated(self) -> None:
        """The length on the wire grows by as much as the captured one."""
        whole = ip("10.0.0.1", "10.0.0.2", 17, udpBody(1, 2, bytes(100)))
        cut = batch([b"\x02\x00\x00\x00" + whole[:60]], link=LinkType.NULL)
        cut.wire[:] = 4 + len(whole)
        self.switch.route(route("*", "a"))
        (sent,) = self.switch.ingress("in", cut, 0).outgoing
        self.assertEqual((74, 14 + len(whole)), (int(sent.batch.lengths[0]), int(sent.batch.wire[0])))
        self.assertEqual(bytes(12) + b"\x08\x00" + whole[:60], sent.batch.packet(0))
