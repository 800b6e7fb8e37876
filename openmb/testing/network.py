"""
What every network must do, as a mixin for trial: subclass it together with C{TestCase} and provide the four hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, Route
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import MARKER_LENGTH, MARKER_TYPE, Marker, parseMarker
from openmb.state.headers import HeaderFieldList

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object

_TOKEN = b"conformance test"


def webPacket(number: int) -> bytes:
    """An Ethernet frame with a UDP packet to port 80, unlike that of any other C{number} below 2**16."""
    transport = b"\x04\x00\x00\x50\x00\x0a\x00\x00" + number.to_bytes(2, "big")
    header = (
        b"\x45\x00\x00\x1e"
        + number.to_bytes(2, "big")
        + b"\x00\x00\x40\x11\x00\x00"
        + bytes((10, 0, 0, 1, 10, 0, 0, 2))
    )
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    checked = header[:10] + (total ^ 0xFFFF).to_bytes(2, "big") + header[12:]
    return b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00" + checked + transport


def isMarker(packet: bytes) -> bool:
    """Is this a drain marker?"""
    return len(packet) == MARKER_LENGTH and packet[12:14] == MARKER_TYPE.to_bytes(2, "big")


class NetworkTestsMixin(_Base):
    """
    The tests.  The network has three ports: packets come in at C{in}, middleboxes that only watch are at C{a} and C{b}.
    """

    async def makeNetwork(self) -> INetwork:
        """Hook: a network with the three ports and no route; both middleboxes are connected."""
        raise AssertionError("a subclass provides makeNetwork")

    async def inject(self, packets: PacketBatch) -> None:
        """Hook: packets come in at C{in}; return when the network has decided where each of them goes."""
        raise AssertionError("a subclass provides inject")

    async def arrived(self, port: str, count: int) -> list[bytes]:
        """Hook: wait until at least C{count} packets, markers included, came to C{port}; all that came."""
        raise AssertionError("a subclass provides arrived")

    async def settled(self, seconds: float) -> None:
        """Hook: wait for the network's settling time to pass."""
        raise AssertionError("a subclass provides settled")

    async def test_interface(self) -> None:
        """It provides the interface."""
        self.assertTrue(verifyObject(INetwork, await self.makeNetwork()))

    async def test_routeAnswerIsExact(self) -> None:
        """Packets before the request go one way, those after the answer (and the settling time) the other."""
        network = await self.makeNetwork()
        packets = [webPacket(number) for number in range(40)]
        await network.route(_everything("a"))
        await self._injectAll(packets[:20])
        await network.route(_everything("b"))
        await self.settled(network.settle)
        await self._injectAll(packets[20:])
        await network.mark(1, _TOKEN, 0, True, ["a", "b"])
        self.assertEqual(packets[:20], (await self.arrived("a", 21))[:-1])
        self.assertEqual(packets[20:], (await self.arrived("b", 21))[:-1])

    async def test_onlyMatchingFlows(self) -> None:
        """A rule of higher priority takes its flows and leaves the rest."""
        network = await self.makeNetwork()
        await network.route(_everything("a"))
        await network.route(Route(HeaderFieldList.parse("udp,tp_dst=80"), ("b",), priority=200))
        await self.settled(network.settle)
        other = webPacket(1).replace(b"\x00\x50\x00\x0a", b"\x00\x51\x00\x0a")
        await self._injectAll([webPacket(0), other])
        self.assertEqual([webPacket(0)], await self.arrived("b", 1))
        self.assertEqual([other], await self.arrived("a", 1))

    async def test_replacedRuleReturned(self) -> None:
        """The rule that was replaced is the answer, None if there was none."""
        network = await self.makeNetwork()
        self.assertIsNone(await network.route(_everything("a")))
        self.assertEqual(_everything("a"), await network.route(_everything("b")))
        self.assertIsNone(await network.route(Route(HeaderFieldList.parse("*"), ("a",), priority=7)))

    async def test_current(self) -> None:
        """The rule that would be replaced is known before it is."""
        network = await self.makeNetwork()
        self.assertIs(await network.current(_everything("b")), None)
        await network.route(_everything("a"))
        self.assertEqual(await network.current(_everything("b")), _everything("a"))
        await network.unroute(_everything("b"))
        self.assertIs(await network.current(_everything("b")), None)

    async def test_routes(self) -> None:
        """All rules in effect, the highest priority first; one that drops among them."""
        network = await self.makeNetwork()
        self.assertEqual([], await network.routes())
        dropping = Route(HeaderFieldList.parse("udp"), (), priority=200)
        await network.route(_everything("a"))
        await network.route(dropping)
        self.assertEqual([dropping, _everything("a")], await network.routes())

    async def test_unroute(self) -> None:
        """A removed rule is not in effect and is not replaced by the next; removing it again is no error."""
        network = await self.makeNetwork()
        await network.route(_everything("a"))
        self.assertEqual(_everything("a"), await network.unroute(_everything()))
        self.assertIsNone(await network.unroute(_everything("a")))
        await self.settled(network.settle)
        await self._injectAll([webPacket(0)])
        self.assertIsNone(await network.route(_everything("a")))
        await self.settled(network.settle)
        await self._injectAll([webPacket(1)])
        self.assertEqual([webPacket(1)], await self.arrived("a", 1))

    async def test_markerBehindPackets(self) -> None:
        """A marker comes behind every packet that was sent down the path, to each port, as it was asked for."""
        network = await self.makeNetwork()
        await network.route(_everything("a"))
        packets = [webPacket(number) for number in range(500)]
        await self._injectAll(packets)
        await network.mark(77, _TOKEN, 5, False, ["a", "b"])
        await network.mark(77, _TOKEN, 6, True, ["a"])
        found = await self.arrived("a", 502)
        self.assertEqual(packets, found[:500])
        self.assertEqual([_marker(5, False), _marker(6, True)], [parseMarker(packet) for packet in found[500:]])
        self.assertEqual([_marker(5, False)], [parseMarker(packet) for packet in await self.arrived("b", 1)])

    async def test_unknownPortRefused(self) -> None:
        """C{ROUTE_FAILED}, and nothing changes."""
        network = await self.makeNetwork()
        await network.route(_everything("a"))
        for asked in (
            lambda: network.route(_everything("nowhere")),
            lambda: network.mark(1, _TOKEN, 0, False, ["nowhere"]),
        ):
            with self.assertRaises(OperationError) as caught:
                await asked()
            self.assertEqual(Refusal.ROUTE_FAILED, caught.exception.refusal)
        await self._injectAll([webPacket(0)])
        self.assertEqual([webPacket(0)], await self.arrived("a", 1))

    async def _injectAll(self, packets: list[bytes]) -> None:
        await self.inject(packetBatch(packets, [1_700_000_000_000_000_000 + place for place in range(len(packets))]))


def _everything(*path: str) -> Route:
    return Route(HeaderFieldList.parse("*"), path)


def _marker(number: int, final: bool) -> Marker:
    return Marker(77, _TOKEN, number, final)
