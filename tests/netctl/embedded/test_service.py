"""The switch with real sockets."""

from __future__ import annotations

import stat
import struct

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from openmb.errors import ConfigurationError, OperationError, Refusal
from openmb.interfaces import Route
from openmb.netctl.embedded.service import SwitchService, SwitchSettings
from openmb.netctl.embedded.stamps import StampMode
from openmb.packets.batch import PacketBatch
from openmb.packets.marker import parseMarker
from openmb.state.headers import HeaderFieldList
from tests.netctl.embedded.frames import batch, fragments, ip, udp, udpBody
from tests.netctl.embedded.running import REACTOR, RunningSwitchTestCase
from tests.netctl.embedded.test_switch import route


def many(count: int, port: int = 80) -> PacketBatch:
    """Packets of 1,000 bytes payload, each unlike the others."""
    return batch([udp("10.0.0.1", "10.0.0.2", 1000, port, struct.pack("!I", n) + bytes(996)) for n in range(count)])


class _Raw(Protocol):
    """Bytes out, the connection's end in."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.enough: Deferred[None] = Deferred()
        self.wanted = self.received = 0

    def count(self, octets: int) -> Deferred[None]:
        """Fires when so many have come."""
        self.wanted = octets
        self.dataReceived(b"")
        return self.enough

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self.wanted and self.received >= self.wanted and not self.enough.called:
            self.enough.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


class PortTests(RunningSwitchTestCase):
    """Sockets, streams and who may connect."""

    async def raw(self, port: str, data: bytes, ended: bool) -> _Raw:
        protocol = await UNIXClientEndpoint(REACTOR, str(self.directory / f"{port}.sock")).connect(
            Factory.forProtocol(_Raw)
        )
        assert isinstance(protocol, _Raw)
        protocol.transport.write(data)  # type: ignore[union-attr]
        if ended:
            protocol.transport.loseWriteConnection()  # type: ignore[union-attr]
        else:
            self.addCleanup(protocol.transport.abortConnection)  # type: ignore[union-attr]
        return protocol

    async def test_private(self) -> None:
        """Only this user can enter, connect or find anything."""
        self.start()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.directory.iterdir()}
        self.assertEqual({f"{name}.sock": 0o600 for name in ("control", "in", "a", "b", "out")}, modes)
        self.assertEqual(0o700, stat.S_IMODE(self.directory.stat().st_mode))

    async def test_openDirectory(self) -> None:
        """A directory that others can enter is refused."""
        self.directory.chmod(0o755)
        with self.assertRaises(ConfigurationError) as caught:
            SwitchService(SwitchSettings(self.directory), REACTOR).startService()
        self.assertIn("chmod 700", str(caught.exception))

    async def test_foreignStream(self) -> None:
        """What C{tcpdump -w -} writes: microseconds, raw IP; the feeder's end of input ends its connection."""
        self.start()
        watcher = await self.watch("a")
        await self.network.route(route("*", "a"))
        packet = ip("10.0.0.1", "10.0.0.2", 17, udpBody(1, 80, b"x"))
        stream = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
        stream += struct.pack("<IIII", 5, 7, len(packet), len(packet)) + packet
        feeder = await self.raw("in", stream, ended=True)
        self.assertEqual([bytes(12) + b"\x08\x00" + packet], await watcher.count(1))
        self.assertEqual([5_000_007_000], watcher.stamps)
        await feeder.ended
        await self.until("in", connected=False)

    async def test_endReleasesFragments(self) -> None:
        """Fragments do not wait for a feeder that is gone."""
        self.start()
        watcher = await self.watch("a")
        await self.network.route(route("*", "a"))
        pieces = fragments("10.0.0.1", "10.0.0.2", 53, 7, (16, 24, 10))
        await self.inject(batch(pieces[:2]))
        self.assertEqual([], watcher.packets)
        self.feeder.client.close()
        self.assertEqual(pieces[:2], await watcher.count(2))

    async def test_junk(self) -> None:
        """Junk costs the connection; the port is free again and others are undisturbed."""
        self.start()
        watcher = await self.watch("a")
        await self.network.route(route("*", "a"))
        await (await self.raw("in", b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n", ended=False)).ended
        await self.until("in", connected=False)
        await self.inject(many(1))
        self.assertEqual(1, len(await watcher.count(1)))

    async def test_taken(self) -> None:
        """A port has one peer; others are turned away, which is said once, and the first goes on."""
        self.start()
        watcher = await self.watch("a")
        with capturedLogs() as logs:
            for _ in range(20):
                await (await self.watch("a")).lost
        self.assertEqual(1, sum("is taken" in str(event["log_format"]) for event in logs))
        await self.network.route(route("*", "a"))
        await self.inject(many(3))
        self.assertEqual(3, len(await watcher.count(3)))

    async def test_idlePeerGone(self) -> None:
        """A peer that closes both directions frees its port, although a route leads there and nothing is written."""
        self.start()
        await self.network.route(route("*", "a"))
        watcher = await self.watch("a")
        await self.until("a", connected=True)
        watcher.client.close()
        await self.until("a", connected=False)
        successor = await self.watch("a")
        await self.inject(many(3))
        self.assertEqual(3, len(await successor.count(3)))

    async def test_onlyInputEnded(self) -> None:
        """A peer that has ended its own stream goes on reading, and nobody takes its place before it is gone."""
        self.start()
        await self.network.route(route("*", "a"))
        reader = await self.raw("a", b"", ended=True)
        second = await self.watch("a")
        await second.lost
        await self.inject(many(1))
        await reader.count(24 + 16 + 1042)
        reader.transport.abortConnection()  # type: ignore[union-attr]
        await reader.ended
        successor = await self.watch("a")  # nothing has been written since
        await self.inject(many(2))
        self.assertEqual(2, len(await successor.count(2)))

    async def test_arrivalStamps(self) -> None:
        """Live, stamps are the switch's own clock's and strictly increasing."""
        self.start(stamps=StampMode.ARRIVAL)
        watcher = await self.watch("a")
        await self.network.route(route("*", "a"))
        await self.inject(many(100))
        await watcher.count(100)
        self.assertEqual(sorted(set(watcher.stamps)), watcher.stamps)
        self.assertGreater(watcher.stamps[0], 1_600_000_000_000_000_000)

    async def test_inLine(self) -> None:
        """A middlebox that sends back."""
        self.start()
        middlebox, egress = await self.watch("a"), await self.watch("out")
        await self.network.route(route("*", "a", egress="out"))
        sent = many(50)
        await self.inject(sent)
        await middlebox.count(50)
        middlebox.client.send(sent)
        self.assertEqual(middlebox.packets, await egress.count(50))

    async def test_stopWritesEverything(self) -> None:
        """What is queued when the switch stops still arrives."""
        self.start()
        watcher = await self.watch("a")
        await self.network.route(route("*", "a"))
        watcher.client.pauseProducing()
        await self.inject(many(2000))
        stopped = self.service.stopService()
        watcher.client.resumeProducing()
        self.assertEqual(2000, len(await watcher.count(2000)))
        await watcher.lost
        await stopped


class BackPressureTests(RunningSwitchTestCase):
    """A port that does not read, a queue of 256 KiB."""

    async def stall(self) -> None:
        """Feed more than queue and sockets hold to C{a}, whose peer does not read, until C{in} is not read from."""
        self.start(queue=256 << 10)
        self.slow, self.fast = await self.watch("a"), await self.watch("b")
        await self.network.route(route("udp,tp_dst=80", "a"))
        await self.network.route(route("udp,tp_dst=53", "b"))
        self.slow.client.pauseProducing()
        self.feeder = await self.watch("in")
        self.feeder.client.send(many(8000))
        await self.until("in", stalled=True)

    async def test_bounded(self) -> None:
        """The switch keeps little more than the bound, drops nothing, and goes on where it stopped."""
        await self.stall()
        report = await self.report("a")
        self.assertLess(report["queuedBytes"], (256 << 10) + (1 << 20))
        self.assertLess((await self.report("in"))["received"], 8000)
        self.slow.client.resumeProducing()
        found = await self.slow.count(8000)
        self.assertEqual(list(range(8000)), [struct.unpack_from("!I", packet, 42)[0] for packet in found])
        self.assertEqual(0, (await self.report("a"))["dropped"])

    async def test_othersGoOn(self) -> None:
        """Another feeder's packets for another port pass, and so do markers for it."""
        await self.stall()
        other = await self.watch("out")
        other.client.send(many(10, 53))
        self.assertEqual(10, len(await self.fast.count(10)))
        await self.network.mark(1, bytes(16), 0, False, ["b"])
        self.assertEqual(1, parseMarker((await self.fast.count(11))[10]).operation)

    async def test_markerBehindFullQueue(self) -> None:
        """A marker is queued at once, behind what the full queue holds and before what was not read."""
        await self.stall()
        await self.network.mark(5, bytes(16), 0, True, ["a"])
        queued = (await self.report("a"))["forwarded"]
        self.slow.client.resumeProducing()
        found = await self.slow.count(8001)
        self.assertEqual([queued - 1], [place for place, packet in enumerate(found) if len(packet) == 64])

    async def test_routeChangeFrees(self) -> None:
        """When the route leaves the port that does not read, reading goes on."""
        await self.stall()
        forwarded = (await self.report("a"))["forwarded"]
        await self.network.route(route("udp,tp_dst=80", "b"))
        found = await self.fast.count(8000 - forwarded)
        self.assertEqual(list(range(forwarded, 8000)), [struct.unpack_from("!I", packet, 42)[0] for packet in found])

    async def test_disconnectFrees(self) -> None:
        """The queue of a middlebox that has gone waits for its successor, in order."""
        await self.stall()
        self.slow.client.abort()
        await self.until("a", connected=False)
        waiting = (await self.report("a"))["queued"]
        self.assertGreater(waiting, 0)
        successor = await self.watch("a")
        found = await successor.count(waiting)
        numbers = [struct.unpack_from("!I", packet, 42)[0] for packet in found]
        self.assertEqual(list(range(numbers[0], numbers[0] + len(numbers))), numbers)

    async def test_goneWhileStalled(self) -> None:
        """A peer that dies while its port is not read from: what it had sent is read, and the port is free."""
        self.start(queue=64 << 10)
        await self.network.route(route("*", "a", "b", egress="out"))
        middlebox, slow = await self.watch("a"), await self.watch("b")
        slow.client.pauseProducing()
        middlebox.client.send(many(4000))
        await self.until("a", stalled=True)
        before = (await self.report("a"))["received"]
        middlebox.client.abort()
        await self.until("a", connected=False)
        self.assertGreater((await self.report("a"))["received"], before)
        self.assertTrue((await self.report("a"))["stalled"])
        await self.watch("a")
        await self.until("a", connected=True)

    async def test_chainsInOppositeOrder(self) -> None:
        """Two chains that cross do not wait for each other."""
        self.start(queue=64 << 10)
        echoes = {port: await self.watch(port) for port in ("a", "b")}
        egress = await self.watch("out")
        for echo in echoes.values():
            echo.echo = True
        await self.network.route(route("udp,tp_dst=80", "a", "b", egress="out"))
        await self.network.route(route("udp,tp_dst=53", "b", "a", egress="out"))
        feeder = await self.watch("in")
        for _ in range(8):
            feeder.client.send(many(500, 80))
            feeder.client.send(many(500, 53))
        self.assertEqual(8000, len(await egress.count(8000)))


class ControlTests(RunningSwitchTestCase):
    """The control socket."""

    async def refused(self, deferred: Deferred[None]) -> Refusal:
        with self.assertRaises(OperationError) as caught:
            await deferred
        error: OperationError = caught.exception
        return error.refusal

    async def test_ports(self) -> None:
        """Ports come and go."""
        self.start()
        await self.network.addPort("bro1")
        self.assertTrue((self.directory / "bro1.sock").exists())
        await self.network.route(route("*", "bro1"))
        self.assertEqual(Refusal.WRONG_STATE, await self.refused(self.network.removePort("bro1")))
        await self.network.unroute(route("*", "bro1"))
        watcher = await self.watch("bro1")
        await self.network.removePort("bro1")
        await watcher.lost
        self.assertFalse((self.directory / "bro1.sock").exists())
        self.assertNotIn("bro1", [report["name"] for report in await self.network.ports()])

    async def test_badNames(self) -> None:
        """A name becomes a file's name: nothing that leads elsewhere."""
        self.start()
        for name in ("../x", "", ".", "control", "a b", "x" * 65, "a/b", "-x\n"):
            self.assertEqual(Refusal.BAD_REQUEST, await self.refused(self.network.addPort(name)))
        self.assertEqual(Refusal.WRONG_STATE, await self.refused(self.network.addPort("a")))

    async def test_routes(self) -> None:
        """Routes come back as they were given."""
        self.start()
        given = [
            Route(HeaderFieldList.parse("tcp,nw_src=10.0.0.0/8,tp_dst=80"), ("a", "b"), "t", 7, "out"),
            Route(HeaderFieldList.parse("*"), (), "other"),
        ]
        for each in given:
            await self.network.route(each)
        self.assertEqual(given, await self.network.routes())

    async def test_badRequests(self) -> None:
        """What makes no sense is refused; the connection goes on."""
        self.start()
        call = self.network._client.call
        for verb, arguments in (
            ("route", {}),
            ("route", {"route": {"flows": "nonsense=1", "path": [], "table": "t", "priority": 1, "egress": None}}),
            ("route", {"route": {"flows": "*", "path": [1], "table": "t", "priority": 1, "egress": None}}),
            ("route", {"route": {"flows": "*", "path": "a", "table": "t", "priority": 1, "egress": None}}),
            ("route", {"route": {"flows": "", "path": ["a"], "table": "t", "priority": 1, "egress": None}}),
            ("route", {"route": {"flows": "*", "path": [], "table": "t", "priority": 1, "egress": None}}),
            ("mark", {"operation": 1, "token": "zz", "number": 1, "final": True, "ports": ["a"]}),
            ("mark", {"operation": 1, "token": "00", "number": 1, "final": True, "ports": ["a"]}),
            ("mark", {"operation": 1, "token": "00" * 16, "number": 1, "final": 1, "ports": ["a"]}),
            ("addPort", {"name": 7}),
        ):
            with self.assertRaises(OperationError) as caught:
                await call(verb, arguments, 10.0)
            self.assertEqual(Refusal.BAD_REQUEST, caught.exception.refusal)
        self.assertEqual([], await self.network.routes())

    async def test_switchGone(self) -> None:
        """A switch that is not there is said to be so."""
        self.start()
        await self.service.stopService()
        with self.assertRaises(OperationError) as caught:
            await self.network.routes()
        self.assertEqual(Refusal.DISCONNECTED, caught.exception.refusal)
