"""Fragments: no datagram is split over two paths."""

from __future__ import annotations

import itertools
import struct

from openmb.netctl.embedded.stamps import StampMode
from openmb.netctl.embedded.switch import Switch
from openmb.packets.fragments import FragmentLimits
from tests.netctl.embedded.frames import ETHERNET6, batch, fragments, udp, udpBody
from tests.netctl.embedded.test_switch import SwitchTestCase, outputs, route, stampsOf

WEB = udp("10.0.0.1", "10.0.0.2", 1000, 80)
SECOND = 1_000_000_000


class DatagramTests(SwitchTestCase):
    """Port 53 goes to a, the rest to b."""

    def setUp(self) -> None:
        super().setUp()
        self.switch.route(route("*", "b"))
        self.switch.route(route("udp,tp_dst=53", "a", priority=200))
        self.pieces = fragments("10.0.0.1", "10.0.0.2", 53, 7, (16, 24, 10))

    def limited(self, limits: FragmentLimits, mode: StampMode = StampMode.CAPTURE) -> None:
        self.switch = Switch(mode, limits)
        for port in ("in", "a", "b"):
            self.switch.addPort(port)
        self.switch.route(route("*", "b"))
        self.switch.route(route("udp,tp_dst=53", "a", priority=200))

    def test_anyOrder(self) -> None:
        """In whatever order they come, all go where the datagram's ports say, in the order of arrival."""
        for number, order in enumerate(itertools.permutations(range(3))):
            pieces = fragments("10.0.0.1", "10.0.0.2", 53, number, (16, 24, 10))
            arriving = [pieces[place] for place in order]
            self.assertEqual({"a": arriving}, self.forward(*arriving))

    def test_overBatches(self) -> None:
        """They wait over batches, others pass, and leave back to back with the stamp of the last."""
        self.assertEqual({}, self.forward(self.pieces[0]))
        self.assertEqual({"b": [WEB]}, self.forward(self.pieces[2], WEB))
        self.assertEqual(1, self.switch.ports["in"].waiting)
        switched = self.switch.ingress("in", batch([WEB, self.pieces[1], WEB], [500, 600, 700]), 0)
        self.assertEqual({"a": [self.pieces[n] for n in (0, 2, 1)], "b": [WEB, WEB]}, outputs(switched))
        self.assertEqual({"a": [600, 601, 602], "b": [500, 700]}, stampsOf(switched))
        self.assertEqual(0, self.switch.ports["in"].waiting)

    def test_routeChangeWhileWaiting(self) -> None:
        """The route in effect when the datagram is complete decides for all of it."""
        self.forward(*self.pieces[:2])
        self.switch.route(route("udp,tp_dst=53", "c", priority=200))
        self.assertEqual({"c": self.pieces}, self.forward(self.pieces[2]))

    def test_interleaved(self) -> None:
        """Datagrams are told apart."""
        other = fragments("10.0.0.1", "10.0.0.2", 99, 8, (16, 24, 10))
        mixed = [piece for pair in zip(self.pieces, other, strict=True) for piece in pair]
        self.assertEqual({"a": self.pieces, "b": other}, self.forward(*mixed))

    def test_portsApart(self) -> None:
        """What waits at one port is not completed at another."""
        self.assertEqual({}, self.forward(*self.pieces[:2]))
        self.assertEqual({}, self.forward(self.pieces[2], port="c"))

    def test_tooOld(self) -> None:
        """After 30 s by stamp they go by addresses and protocol only, which the rule for port 53 matches first."""
        self.switch.ingress("in", batch(self.pieces[:2], [SECOND, SECOND]), 0)
        early = self.switch.ingress("in", batch([WEB], [30 * SECOND]), 0)
        self.assertEqual({"b": [WEB]}, outputs(early))
        late = self.switch.ingress("in", batch([WEB], [31 * SECOND]), 0)
        self.assertEqual({"a": self.pieces[:2], "b": [WEB]}, outputs(late))
        self.assertEqual((0, 1), (self.switch.ports["in"].waiting, self.switch.ports["in"].incomplete))

    def test_tooMany(self) -> None:
        """The oldest datagram goes when there are too many."""
        self.limited(FragmentLimits(datagrams=2))
        firsts = [fragments("10.0.0.1", "10.0.0.2", 53, number, (16, 8))[0] for number in range(4)]
        self.assertEqual({"a": firsts[:2]}, self.forward(*firsts))
        self.assertEqual((2, 2), (self.switch.ports["in"].waiting, self.switch.ports["in"].incomplete))

    def test_tooMuch(self) -> None:
        """The oldest datagram goes when there are too many bytes."""
        self.limited(FragmentLimits(bytes=3000))
        firsts = [fragments("10.0.0.1", "10.0.0.2", 53, number, (1000, 8))[0] for number in range(4)]
        self.assertEqual({"a": firsts[:2]}, self.forward(*firsts))

    def test_endOfInput(self) -> None:
        """When the peer sends no more, what waits goes."""
        self.forward(*self.pieces[:2])
        self.assertEqual({"a": self.pieces[:2]}, outputs(self.switch.ended("in", 0)))
        self.assertEqual({}, outputs(self.switch.ended("in", 0)))
        self.assertEqual(1, self.switch.ports["in"].incomplete)

    def test_liveTime(self) -> None:
        """Live, time passes without packets."""
        self.limited(FragmentLimits(age=30 * SECOND), StampMode.ARRIVAL)
        self.switch.ingress("in", batch(self.pieces[:1]), SECOND)
        self.assertEqual({}, outputs(self.switch.timePassed("in", 30 * SECOND)))
        self.assertEqual({"a": self.pieces[:1]}, outputs(self.switch.timePassed("in", 31 * SECOND)))

    def test_notWholeInCapture(self) -> None:
        """A fragment that was cut off when captured can never be put together: it does not wait."""
        cut = batch([self.pieces[0][:-4]])
        cut.wire[:] = len(self.pieces[0])
        self.assertEqual({"a": [self.pieces[0][:-4]]}, outputs(self.switch.ingress("in", cut, 0)))

    def test_six(self) -> None:
        """IPv6 fragments too."""
        body = udpBody(1000, 53, bytes(16))
        ends = bytes(15) + b"\x01" + bytes(15) + b"\x02"
        parts = [(body[:16], 1), (body[16:], 16)]
        pieces = [
            ETHERNET6
            + struct.pack("!IHBB", 6 << 28, 8 + len(part), 44, 64)
            + ends
            + struct.pack("!BBHI", 17, 0, field, 77)
            + part
            for part, field in parts
        ]
        self.assertEqual({}, self.forward(pieces[1]))
        self.switch.route(route("udp6,tp_dst=53", "c", priority=300))
        self.assertEqual({"c": [pieces[1], pieces[0]]}, self.forward(pieces[0]))
