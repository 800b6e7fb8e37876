"""C{openmb replay}, a real process, into a real switch: captures of any link type."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from openmb.demo.deployment import temporaryDeployment
from openmb.demo.processes import Children
from openmb.netctl.embedded.reframe import asEthernet
from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.stream import writeCapture
from tests.integration.services import LOOP, PATIENCE
from tests.packets.build import ethernet, ip4, tcp

PACKET = ip4(tcp(b"hello"))


class ReplayTests(TestCase):
    """What it says, and how it ends."""

    timeout = 300

    async def replay(self, packets: list[bytes], link: int) -> tuple[str, int]:
        """Replay a capture; what is said, and the exit status."""
        stack = ExitStack()
        self.addCleanup(stack.close)
        deployment = stack.enter_context(temporaryDeployment("bro", ()))
        (deployment.root / "out").mkdir()
        children = Children(LOOP, deployment.root / "out")
        self.addCleanup(lambda: Deferred.fromCoroutine(children.stopAll()))
        children.start("switch", deployment.switchArguments(("in",)))
        await children.until("the port", (deployment.switch / "in.sock").exists, PATIENCE)
        capture = Path(self.mktemp())
        writeCapture(capture, [packetBatch(packets, list(range(1, len(packets) + 1)), link)])
        arguments = "-m", "openmb.northbound.cli", "replay", "--pcap", str(capture), "--switch", str(deployment.switch)
        out, err, status = await getProcessOutputAndValue(sys.executable, arguments, env=dict(os.environ))
        return (out + err).decode(), status

    async def test_linkTypes(self) -> None:
        """Raw IP, PPP and Ethernet; what carries no IP is left out, and said to be."""
        self.assertEqual(("3 packets sent\n", 0), await self.replay([PACKET] * 3, LinkType.RAW))
        ppp = [b"\xff\x03\x00\x21" + PACKET, b"\xff\x03\xc0\x21" + PACKET]
        self.assertEqual(("1 packets sent, 1 left out: they carry no IP\n", 0), await self.replay(ppp, LinkType.PPP))
        frames = [ethernet(PACKET), ethernet(bytes(28), 0x0806)]
        self.assertEqual(("2 packets sent\n", 0), await self.replay(frames, LinkType.ETHERNET))

    async def test_unknownLink(self) -> None:
        """What is of a link type that nobody knows is not taken for IP, whatever it looks like."""
        said, status = await self.replay([PACKET], 147)
        self.assertIn("link type 147 is not known", said)
        self.assertEqual(3, status)

    def test_unknownLinkAmongOthers(self) -> None:
        """As it may be in a pcapng capture: it is left out, and counted by that."""
        for link, count in ((147, 0), (LinkType.RAW, 1)):
            decoded = Decoder(checksums=False, reassemble=False).decode(packetBatch([PACKET], [1], link))
            self.assertEqual(count, len(asEthernet(decoded).packets))
