"""An encoder and a decoder of SmartRE in line, as real processes: what goes in at one end comes out at the other."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np
from twisted.internet.utils import getProcessOutputAndValue

from openmb.netctl.embedded.port import PortClient, connectPort
from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from tests.integration.services import LOOP, RunningServices
from tests.integration.tunnel import Tunnel, tunnels
from tests.plugins.smartre.frames import ethernet, four, tcp

#: Writes what is at an address to standard output; the server may still be starting.
FETCH = """
import sys, time, urllib.request
for attempt in range(60):
    try:
        sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=30).read())
        break
    except ConnectionError:
        time.sleep(0.5)
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionError):
            raise
        time.sleep(0.5)
else:
    sys.exit("nobody answers")
"""
#: The protocol of encoded packets.
_ENCODED = 253


def turned(frame: bytes) -> bytes:
    """An IPv4 frame in the other direction."""
    return frame[:26] + frame[30:34] + frame[26:30] + frame[34:]


def octetsOf(batch: PacketBatch) -> list[bytes]:
    """The packets of a batch."""
    ends = batch.offsets + batch.lengths
    return [batch.data[begin:end].tobytes() for begin, end in zip(batch.offsets.tolist(), ends.tolist(), strict=True)]


class Tap:
    """
    Stands between encoder and decoder, passes on what comes and counts it.

    @ivar octets: IP bytes, in both directions; C{encoded}: packets that are encoded, or messages of the two.
    """

    def __init__(self) -> None:
        self.octets = self.encoded = 0
        self.port = PortClient(self._passOn)

    def _passOn(self, batch: PacketBatch) -> None:
        packets = octetsOf(batch)
        self.octets += sum(len(packet) - 14 for packet in packets)
        self.encoded += sum(packet[23] == _ENCODED for packet in packets)
        self.port.send(batch)


class ChainTests(RunningServices):
    """left, encoder, tap, decoder, right."""

    kind = "smartre"
    names = ("encoder", "decoder")
    ends = ("left", "right", "tap")

    def own(self, name: str) -> tuple[str, ...]:
        # what comes back is for the host on the left, where nobody decodes
        towards = ("--cache-flows", f"{self.right}/32") if name == "encoder" else ()
        return "--role", name, "--slots", "4096", *towards

    async def chain(self, left: str, right: str) -> Tap:
        """Start everything, with routes for addresses left and right."""
        self.right = right
        await self.start()
        tap = Tap()
        await connectPort(LOOP, self.deployment.switch, "tap", tap.port)
        self.addCleanup(tap.port.abort)
        there = ["encoder", "tap", "decoder"]
        for address, path, egress in ((right, there, "right"), (left, there[::-1], "left")):
            words = ("route", f"nw_dst={address}", *path, "--egress", egress, "--one-way")
            said, status = await self.openmb(*words)
            self.assertEqual((0, ""), (status, said))
        return tap

    async def test_everyByte(self) -> None:
        """
        Packets in both directions, sent in turns: each comes out once, unchanged, in order, though fewer bytes went
        between the two.
        """
        tap = await self.chain("10.0.0.1", "10.0.0.2")
        rng = np.random.default_rng(4)
        texts = [rng.bytes(1400) for _ in range(40)]
        frames = [ethernet(four(tcp(texts[each % 40]), number=each)) for each in range(600)]
        whole = tcp(texts[0])  # in two fragments, which nobody puts together
        frames[302] = ethernet(four(whole[:800], 6, fragment=0x2000, number=9000))
        frames[303] = ethernet(four(whole[800:], 6, fragment=100, number=9000))
        back = [turned(frame) for frame in frames[::7]]
        arrived: dict[str, list[bytes]] = {"left": [], "right": []}
        ports = {}
        for end in ("left", "right"):
            ports[end] = PortClient(lambda batch, end=end: arrived[end].extend(octetsOf(batch)))  # type: ignore[misc]
            await connectPort(LOOP, self.deployment.switch, end, ports[end])
            self.addCleanup(ports[end].abort)
        stamp = time.time_ns()
        for place in range(0, 600, 20):
            some, answers = frames[place : place + 20], back[place // 7 : (place + 20) // 7]
            ports["left"].send(packetBatch(some, [stamp + each for each in range(len(some))]))
            ports["right"].send(packetBatch(answers, [stamp + each for each in range(len(answers))]))
            # as hosts do, they send more when something has come back: acknowledgements need a path, too
            await self.until("the packets", lambda: len(arrived["right"]) >= place + 20)  # noqa: B023
            stamp += 10_000_000
        await self.until("the answers", lambda: len(arrived["left"]) >= len(back[: 600 // 7]))
        self.assertEqual(frames, arrived["right"])
        self.assertEqual(back[: 600 // 7], arrived["left"])
        self.assertGreater(tap.encoded, 300)
        self.assertLess(tap.octets, 0.8 * sum(len(frame) - 14 for frame in frames + back))

    async def test_realHosts(self) -> None:
        """Two hosts in namespaces of their own, a web server and a client: files come as they are, with less sent."""
        folder, page = self.page()
        async with tunnels(LOOP, ("10.77.0.1", "10.77.0.2")) as (server, client):
            tap = await self.chain(server.address, client.address)
            for end, tunnel in (("left", server), ("right", client)):
                await self.plug(end, tunnel)
            server.spawn(sys.executable, "-m", "http.server", "--bind", server.address, "--directory", folder, "8080")
            for _ in range(3):
                words = client.enter(sys.executable, "-c", FETCH, f"http://{server.address}:8080/page.html")
                got, said, status = await getProcessOutputAndValue(words[0], words[1:], env=dict(os.environ))
                self.assertEqual(0, status, said)
                self.assertEqual(page, got)
            self.assertGreater(tap.encoded, 100)
            self.assertLess(tap.octets, 0.9 * (server.sent + client.sent))

    def page(self) -> tuple[str, bytes]:
        """A folder with a page, and what is in it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        lines = (hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000))
        (folder / "page.html").write_text("\n".join(lines))
        return str(folder), (folder / "page.html").read_bytes()

    async def plug(self, end: str, tunnel: Tunnel) -> None:
        """A host at a port of the switch."""
        port = PortClient(lambda batch: tunnel.deliver([frame[14:] for frame in octetsOf(batch)]), link=LinkType.RAW)
        await connectPort(LOOP, self.deployment.switch, end, port)
        self.addCleanup(port.abort)
        tunnel.receiver = lambda packet: port.send(packetBatch([packet], [time.time_ns()], link=LinkType.RAW))
