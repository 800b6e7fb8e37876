"""Every packet is in exactly one counter of the switch."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.interfaces import Route
from openmb.netctl.embedded.service import SwitchService, SwitchSettings
from openmb.netctl.embedded.socketport import SocketPort
from openmb.netctl.embedded.switch import PortCounts, Switch
from openmb.packets.batch import LinkType
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter
from openmb.rpc.unix import ILocalReactor
from openmb.state.headers import HeaderFieldList
from tests.netctl.embedded.frames import batch, fragments, packetsOf, udp
from tests.netctl.embedded.test_switch import NAME, REPLY, WEB, SwitchTestCase, route
from tests.netctl.embedded.test_time import Peer

PORTS = ("in", "a", "b", "out")
PIECES = fragments("10.0.0.1", "10.0.0.2", 53, 7, (16, 24, 10))
#: A request, its answer, another flow, what carries no IP, a header that makes no sense, and pieces of a datagram.
PACKETS = (WEB, REPLY, NAME, bytes(12) + b"\x08\x06" + bytes(28), bytes(12) + b"\x08\x00\x4f" + bytes(5), *PIECES)

ROUTES = st.builds(
    Route,
    st.sampled_from(["*", "udp,tp_dst=80", "udp", "nw_src=10.0.0.1", "tcp"]).map(HeaderFieldList.parse),
    st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple),
    st.sampled_from(["monitor", "other"]),
    st.integers(1, 3),
    st.sampled_from([None, "out"]),
    st.booleans(),
)
SENT = st.tuples(st.just("send"), st.sampled_from(PORTS), st.lists(st.sampled_from(PACKETS), min_size=1, max_size=6))
STEPS = st.lists(
    st.one_of(
        SENT,
        SENT,
        st.tuples(st.sampled_from(["route", "unroute"]), ROUTES),
        st.tuples(st.sampled_from(["connect", "leave", "stop", "go"]), st.sampled_from(PORTS)),
        st.tuples(st.just("mark"), st.lists(st.sampled_from(PORTS), min_size=1, unique=True)),
        st.tuples(st.just("wait"), st.integers(1, 40)),
    ),
    max_size=14,
)


def accounted(counts: PortCounts) -> int:
    """The packets received at a port, by what became of each."""
    return counts.switched + counts.unrouted + counts.discarded + counts.ended + counts.held


class FateTests(SwitchTestCase):
    """One packet for each counter."""

    def counts(self, port: str = "in") -> tuple[int, ...]:
        found = self.switch.ports[port]
        return found.received, found.switched, found.unrouted, found.discarded, found.ended, found.held

    def test_unrouted(self) -> None:
        """No route matches, or there is no IP: not even 'everything' matches that."""
        self.switch.route(route("tcp", "a"))
        self.forward(WEB, PACKETS[3], PACKETS[4])
        self.assertEqual((3, 0, 3, 0, 0, 0), self.counts())

    def test_discarded(self) -> None:
        """A route without path and egress drops, and that is counted; unless another table wants a copy."""
        self.switch.route(route("*"))
        self.forward(WEB, NAME)
        self.assertEqual((2, 0, 0, 2, 0, 0), self.counts())
        self.switch.route(route("udp,tp_dst=80", "a", table="other"))
        self.forward(WEB, NAME)
        self.assertEqual((4, 1, 0, 3, 0, 0), self.counts())

    def test_ended(self) -> None:
        """What a middlebox sends back has no way to go on without egress."""
        self.switch.route(route("*", "a"))
        self.forward(WEB)
        self.forward(WEB, port="a")
        self.assertEqual((1, 0, 0, 0, 1, 0), self.counts("a"))

    def test_held(self) -> None:
        """Fragments that wait; then they went on."""
        self.switch.route(route("*", "a"))
        self.forward(*PIECES[:2])
        self.assertEqual((2, 0, 0, 0, 0, 2), self.counts())
        self.forward(PIECES[2])
        self.assertEqual((3, 3, 0, 0, 0, 0), self.counts())

    def test_copies(self) -> None:
        """A packet that two tables send on is one packet received and two forwarded."""
        self.switch.route(route("*", "a"))
        self.switch.route(route("*", "b", table="other"))
        self.forward(WEB)
        self.assertEqual((1, 1, 0, 0, 0, 0), self.counts())
        self.assertEqual((1, 1), (self.switch.ports["a"].forwarded, self.switch.ports["b"].forwarded))


class _Bench:
    """A switch on a fake reactor whose ports come and go; C{sent} counts what went in, C{seen} what came out."""

    def __init__(self, directory: Path) -> None:
        self._reactor = MemoryReactorClock()
        clock = cast(ILocalReactor, cast(Any, self._reactor))
        self.service = SwitchService(
            SwitchSettings(directory, queue=300, ports=PORTS), clock, lambda: int(self._reactor.seconds() * 1e9)
        )
        self.service.startService()
        self.factories = {Path(address).stem: factory for address, factory, *_ in self._reactor.unixServers}
        self.peers: dict[str, Peer] = {}
        self._begun: set[str] = set()
        self.sent, self.seen = dict.fromkeys(PORTS, 0), dict.fromkeys(PORTS, 0)

    def send(self, port: str, packets: list[bytes]) -> None:
        if port in self.peers:
            writer = PcapStreamWriter(LinkType.ETHERNET)
            written = writer.header() + writer.records(batch(packets))
            peer = self.peers[port]
            peer.protocol.dataReceived(written if port not in self._begun else written[24:])
            self._begun.add(port)
            self.sent[port] += len(packets)

    def connect(self, port: str) -> None:
        if port not in self.peers:
            protocol = cast(SocketPort, self.factories[port]).buildProtocol(None)
            assert protocol is not None
            self.peers[port] = Peer()
            self.peers[port].protocol = protocol
            self._begun = self._begun - {port}
            protocol.makeConnection(self.peers[port])

    def leave(self, port: str) -> None:
        if port in self.peers:
            peer = self.peers.pop(port)
            peer.protocol.connectionLost()
            self.seen[port] += self._count(peer)

    def stop(self, port: str) -> None:
        if port in self.peers:
            self.peers[port].protocol.pauseProducing()

    def go(self, port: str) -> None:
        if port in self.peers:
            self.peers[port].protocol.resumeProducing()

    def route(self, rule: Route) -> None:
        self.service.route(rule)

    def unroute(self, rule: Route) -> None:
        self.service.unroute(rule)

    def mark(self, ports: list[str]) -> None:
        self.service.mark(1, bytes(16), 0, False, tuple(ports))

    def wait(self, seconds: int) -> None:
        self._reactor.pump([1.0] * seconds)

    def delivered(self, port: str) -> int:
        return self.seen[port] + (self._count(self.peers[port]) if port in self.peers else 0)

    @staticmethod
    def _count(peer: Peer) -> int:
        return sum(len(packetsOf(found)) for found in PcapStreamReader().feed(peer.value()))


class CountTests(SynchronousTestCase):
    """Whatever routes there are, and whoever comes and goes."""

    @given(st.lists(ROUTES, max_size=6), st.lists(SENT, max_size=8))
    @settings(max_examples=60, deadline=None)
    def test_switch(self, routes: list[Route], sent: list[tuple[str, str, list[bytes]]]) -> None:
        """Received is the sum of the fates, and the copies that are forwarded are those that leave."""
        switch = Switch()
        for port in PORTS:
            switch.addPort(port)
        for rule in routes:
            switch.route(rule)
        left = dict.fromkeys(PORTS, 0)
        for now, (_, port, packets) in enumerate(sent, 1):
            for outgoing in switch.ingress(port, batch(packets), now).outgoing:
                left[outgoing.port] += len(outgoing.batch)
        counts = switch.ports
        self.assertEqual(sum(len(packets) for _, _, packets in sent), sum(accounted(each) for each in counts.values()))
        self.assertEqual(
            {port: each.received for port, each in counts.items()}, {p: accounted(counts[p]) for p in PORTS}
        )
        self.assertEqual(left, {port: each.forwarded for port, each in counts.items()})

    @given(STEPS)
    @settings(max_examples=60, deadline=None)
    def test_service(self, steps: list[tuple[Any, ...]]) -> None:
        """
        Of what went in nothing is missing: received is the sum of the fates; what was forwarded waits, was delivered,
        or was dropped while nobody was there.
        """
        directory = Path(tempfile.mkdtemp(prefix="omb"))
        try:
            bench = _Bench(directory)
            for what, *arguments in steps:
                getattr(bench, what)(*arguments)
            for report in bench.service.report():
                counts, queue = report.counts, report.queue
                self.assertEqual(bench.sent[report.name], counts.received)
                self.assertEqual(counts.received, accounted(counts))
                self.assertEqual(counts.forwarded, queue.packets + queue.taken + queue.dropped)
                self.assertEqual(queue.taken, bench.delivered(report.name))
        finally:
            shutil.rmtree(directory)

    def test_removed(self) -> None:
        """A port that is removed takes its counters along, and nobody else's."""
        switch = Switch()
        for port in PORTS:
            switch.addPort(port)
        switch.ingress("in", batch([udp("10.0.0.1", "10.0.0.2", 1, 2)]), 1)
        switch.ingress("a", batch([WEB]), 2)
        switch.removePort("a")
        self.assertRaises(OperationError, switch.removePort, "a")
        self.assertEqual([1, 0, 0], [accounted(each) for each in switch.ports.values()])
