"""The switch on a fake reactor: what time does."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from openmb.demo.memory import residentOf
from openmb.netctl.embedded.service import SwitchService, SwitchSettings
from openmb.netctl.embedded.socketport import PortConnection, SocketPort
from openmb.packets.batch import LinkType
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter
from openmb.rpc.unix import ILocalReactor
from tests.netctl.embedded.frames import batch, fragments, packetsOf, udp
from tests.netctl.embedded.test_switch import route

WEB = udp("10.0.0.1", "10.0.0.2", 1000, 80)


_OPEN = os.open(os.devnull, os.O_RDONLY)


class Peer(StringTransport):
    """The other end of a port; remembers whether it is read from."""

    bufferSize = 0
    reading = True
    protocol: PortConnection

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def fileno(self) -> int:
        """Something open, whose other end never hangs up."""
        return _OPEN


class TimeTests(SynchronousTestCase):
    """Ten seconds of grace, thirty for fragments."""

    def setUp(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="omb"))
        self.addCleanup(shutil.rmtree, directory)
        self.reactor = MemoryReactorClock()
        settings = SwitchSettings(directory, queue=1000, ports=("in", "a", "b", "a2"))
        clock = cast(ILocalReactor, cast(Any, self.reactor))
        self.service = SwitchService(settings, clock, lambda: int(self.reactor.seconds() * 1e9))
        self.service.startService()
        self.service.route(route("*", "a"))
        self.feeder = self.connect("in")
        self.writer = PcapStreamWriter(LinkType.ETHERNET)
        self.feeder.protocol.dataReceived(self.writer.header())

    def connect(self, name: str) -> Peer:
        ports = {Path(address).stem: factory for address, factory, *_ in self.reactor.unixServers}
        protocol = cast(SocketPort, ports[name]).buildProtocol(None)
        assert protocol is not None
        transport = Peer()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def feed(self, *packets: bytes) -> None:
        self.feeder.protocol.dataReceived(self.writer.records(batch(list(packets))))

    def seen(self, transport: StringTransport) -> list[bytes]:
        return [each for found in PcapStreamReader().feed(transport.value()) for each in packetsOf(found)]

    def pass_(self, seconds: int) -> None:
        self.reactor.pump([1.0] * seconds)

    def dropped(self) -> int:
        return next(report.queue.dropped for report in self.service.report() if report.name == "a")

    def test_withinGrace(self) -> None:
        """Who comes in time gets what waited."""
        self.feed(WEB)
        self.pass_(9)
        self.assertEqual([WEB], self.seen(self.connect("a")))

    def test_afterGrace(self) -> None:
        """Then it is dropped and counted, and reading goes on."""
        self.feed(*[WEB] * 30)
        self.assertFalse(self.feeder.reading)
        self.pass_(9)
        self.assertEqual((0, False), (self.dropped(), self.feeder.reading))
        self.pass_(2)
        self.assertEqual((30, True), (self.dropped(), self.feeder.reading))
        self.feed(WEB)
        self.assertEqual((31, True), (self.dropped(), self.feeder.reading))
        late = self.connect("a")
        self.feed(WEB)
        self.assertEqual([WEB], self.seen(late))

    def test_slowPeer(self) -> None:
        """A peer that takes no more stops the feeder only when the queue is full; it gets all."""
        peer = self.connect("a")
        peer.protocol.pauseProducing()
        self.feed(WEB)
        self.assertEqual((True, []), (self.feeder.reading, self.seen(peer)))
        self.feed(*[WEB] * 30)
        self.assertFalse(self.feeder.reading)
        peer.protocol.resumeProducing()
        self.assertEqual((True, [WEB] * 31), (self.feeder.reading, self.seen(peer)))

    def test_middleboxIsReadFrom(self) -> None:
        """A middlebox waits for no full queue (chains could wait for each other), but for one eight times full."""
        self.service.route(route("*", "a", "b", egress="a2"))
        first, second = self.connect("a"), self.connect("b")
        second.protocol.pauseProducing()
        first.protocol.dataReceived(self.writer.header())
        first.protocol.dataReceived(self.writer.records(batch([WEB] * 30)))
        self.assertTrue(first.reading)
        self.feed(WEB)
        self.assertEqual((True, [WEB]), (first.reading, self.seen(first)))
        first.protocol.dataReceived(self.writer.records(batch([WEB] * 200)))
        self.assertFalse(first.reading)
        second.protocol.resumeProducing()
        self.assertEqual((True, [WEB] * 230), (first.reading, self.seen(second)))

    def test_feederWaitsForWholeChain(self) -> None:
        """A feeder waits for a full queue further down the path."""
        self.service.route(route("*", "a", "b", egress="a2"))
        first, second = self.connect("a"), self.connect("b")
        second.protocol.pauseProducing()
        first.protocol.dataReceived(self.writer.header() + self.writer.records(batch([WEB] * 30)))
        self.feed(WEB)
        self.assertFalse(self.feeder.reading)
        second.protocol.resumeProducing()
        self.assertTrue(self.feeder.reading)

    def test_fragments(self) -> None:
        """Fragments that wait too long go on when nothing else comes."""
        peer = self.connect("a")
        first = fragments("10.0.0.1", "10.0.0.2", 53, 1, (16, 8))[0]
        self.feed(first)
        self.pass_(29)
        self.assertEqual([], self.seen(peer))
        self.pass_(2)
        self.assertEqual([first], self.seen(peer))

    def test_heap(self) -> None:
        """Memory that was freed between blocks which are still used goes back once a minute."""
        if platform.libc_ver()[0] != "glibc":
            raise SkipTest("only glibc's malloc can be told to")
        blocks = [bytearray(60_000) for _ in range(4000)]
        kept = blocks[::50]
        blocks.clear()
        before = residentOf(os.getpid()) or 0
        self.pass_(59)
        self.assertGreater(residentOf(os.getpid()) or 0, before - 50_000)
        self.pass_(1)
        self.assertLess(residentOf(os.getpid()) or 0, before - 150_000)
        self.assertEqual(80, len(kept))
