"""
The simulation's traffic in other clothes: over IPv6, tagged, in fragments.
"""

from __future__ import annotations

import random

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.interfaces import Route
from openmb.packets.batch import packetBatch
from openmb.packets.decode import DecodeCounts, Decoder
from openmb.packets.headers import Decoded, Kind, Status
from openmb.state.headers import EVERYTHING
from openmb.testing.simulation.clock import SimulatedClock
from openmb.testing.simulation.clothing import Clothes, dressed, flowsOverSix, fragments, overSix, tag
from openmb.testing.simulation.network import NetworkBehaviour, SimulatedNetwork
from openmb.testing.simulation.scenario import SERVERS
from openmb.testing.simulation.traffic import ACK, Endpoints, Traffic, makeTraffic

ENDS = Endpoints(bytes([10, 0, 0, 1]), 1025, bytes([10, 1, 0, 1]), 80)
SEGMENT = ENDS.segment(True, ACK, 1, 2, b"hello, world")
#: L{SEGMENT} over IPv6, byte by byte.
SIX = bytes.fromhex(
    "020000000002 020000000001 86dd"
    "60000000 0020 06 40 20010db8 00000000 00000000 0a000001 20010db8 00000000 00000000 0a010001"
    "0401 0050 00000001 00000002 5010 2000 dbb3 0000 68656c6c6f2c20776f726c64"
)


def decodeAll(packets: list[bytes]) -> tuple[Decoded, DecodeCounts]:
    """Everything decoded, checksums looked at."""
    decoder = Decoder(checksums=True)
    return decoder.decode(packetBatch(packets, list(range(len(packets))))), decoder.counts


def conversations() -> Traffic:
    """Some TCP, UDP and ICMP."""
    return makeTraffic(random.Random(5), 10.0, 40, SERVERS)


class SixTests(SynchronousTestCase):
    """IPv6."""

    def test_golden(self) -> None:
        self.assertEqual(SIX, overSix(SEGMENT))

    def test_checksums(self) -> None:
        """Every checksum is right, of each protocol."""
        found, counts = decodeAll([overSix(packet) for packet in conversations().packets])
        self.assertEqual((0, 0, 0), (counts.badChecksums, counts.malformed, counts.badTransports))
        self.assertEqual({6, 17, 58}, set(found.headers["protocol"].tolist()))

    def test_damaged(self) -> None:
        """What was damaged before still is: its checksum is as wrong as before, at every place."""
        for place in range(34 + 4, len(SEGMENT)):
            damaged = SEGMENT[:place] + bytes([SEGMENT[place] ^ 4]) + SEGMENT[place + 1 :]
            found, _ = decodeAll([overSix(damaged)])
            self.assertTrue(int(found.headers["status"][0]), f"byte {place}")

    def test_lists(self) -> None:
        for four, six in (
            ("tcp", "tcp6"),
            ("icmp", "icmp6"),
            ("nw_dst=10.1.0.1", "ipv6,ipv6_dst=2001:db8::a01:1"),
            ("udp,nw_src=10.0.1.0/24,tp_dst=514", "udp6,ipv6_src=2001:db8::a00:100/120,tp_dst=514"),
            ("*", "*"),
        ):
            self.assertEqual(six, flowsOverSix(four))


class FragmentTests(SynchronousTestCase):
    """Fragments and tags."""

    def test_whole(self) -> None:
        """Put together again, in whatever order they come, they say what the packet said."""
        rng = random.Random(1)
        for original in (SEGMENT, SIX, ENDS.datagram(False, bytes(99)), ENDS.echo(True, 3)):
            for number in range(20):
                pieces = fragments(rng, original, number)
                self.assertGreater(len(pieces), 1)
                rng.shuffle(pieces)
                found, counts = decodeAll([tag(piece, 7) for piece in pieces])
                self.assertEqual((len(pieces), 1, 0), (counts.fragments, counts.reassembled, counts.badChecksums))
                last = found.headers[-1]
                self.assertTrue(int(last["status"]) & Status.REASSEMBLED)
                self.assertEqual(7, int(last["vlan"]))
                whole, _ = decodeAll([original])
                for name in ("source_high", "source_low", "destination_low", "protocol"):
                    self.assertEqual(whole.headers[0][name], last[name])

    def test_short(self) -> None:
        """What is too short for two fragments stays as it is."""
        short = SEGMENT[:34] + SEGMENT[34:42]
        self.assertEqual([short], fragments(random.Random(1), short, 1))

    def test_firstIsWhole(self) -> None:
        """The first packet of a flow is never in fragments, and no piece comes before its packet."""
        plain = conversations()
        traffic = dressed(random.Random(6), plain, Clothes(six=True, tagged=0.5, cut=1.0), 10.0)
        self.assertEqual(sorted(traffic.times), traffic.times)
        found, _ = decodeAll(traffic.packets)
        isFragment = [number >= 0 for number in traffic.datagrams]
        self.assertGreater(sum(isFragment), 500)
        firsts = [traffic.flows.index(flow) for flow in set(plain.flows)]
        self.assertEqual({Kind.TCP, Kind.UDP, Kind.ICMP}, set(found.headers["kind"][firsts].tolist()))
        self.assertFalse(any(isFragment[place] for place in firsts))


class SwitchTests(SynchronousTestCase):
    """The simulated switch."""

    def test_waits(self) -> None:
        """Fragments go when their datagram is complete, one after the other; what is never complete never goes."""
        whole, pieces = overSix(SEGMENT), fragments(random.Random(3), SEGMENT, 9)
        packets = [SEGMENT, pieces[0], whole, *pieces[1:], pieces[0]]
        count = len(packets)
        datagrams = [-1, 0, -1, *[0] * len(pieces[1:]), 0]
        traffic = Traffic([0.1] * count, packets, [0] * count, [True] * count, 1, datagrams)
        clock, arrived = SimulatedClock(), list[bytes]()
        decoded, _ = decodeAll(packets)
        behaviour = NetworkBehaviour(0.001, 0.01, 0.0, 0.0)
        network = SimulatedNetwork(clock, random.Random(1), random.Random(2), traffic, decoded, behaviour)
        network.attach("a", lambda frames, stamps: arrived.extend(frames), lambda: True)
        network.install(Route(EVERYTHING, ("a",), priority=1))
        for index in range(count):
            network.ingress(index)
        clock.run(1.0)
        self.assertEqual([SEGMENT, whole, *pieces], arrived)
        self.assertEqual(0, network.stamps[-1])
        sent = np.array(network.stamps)[[0, 2, 1, *range(3, count - 1)]]
        self.assertTrue((np.diff(sent) > 0).all(), sent)
