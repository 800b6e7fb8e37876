"""What an operator is told by real processes: mistakes of his own, and packets that are of no use."""

from __future__ import annotations

import sys
from importlib.resources import as_file, files

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue

from openmb.packets.batch import packetBatch
from openmb.testing.adapters import START
from tests.integration.services import RunningServices
from tests.packets.build import ethernet, ip4, udp


class OperatorTests(RunningServices):
    """Two Bro middleboxes."""

    async def refuses(self, expected: str, *words: str) -> None:
        """It says why, in one line, and ends with 1."""
        said, status = await self.openmb(*words)
        self.assertEqual((1, 1), (status, said.count("openmb: ")), said)
        self.assertIn(expected, said)

    async def test_mistakes(self) -> None:
        """Each is told at once: an event that nobody has, a relay for kinds that learn nothing, a port in use."""
        await self.begin()
        await self.refuses("there are: connection-removed", "events", "--follow", "-e", "nonsense")
        said, status = await self.openmb("stats", "bro3")
        self.assertEqual(("openmb: no middlebox bro3 has registered\n", 1), (said, status))
        self.boxes["bro2"].signal("TERM")
        await self.children.stop(self.boxes["bro2"])
        await self.until("its end", lambda: self._registered("bro1"))
        said, status = await self.openmb("stats", "bro2")
        self.assertEqual(("openmb: middlebox bro2 is not connected\n", 1), (said, status))
        self.boxes["bro2"] = self.middlebox("bro2")
        await self.until("its return", lambda: self._registered("bro1", "bro2"))
        await self.refuses("learns nothing", "relay", "bro1", "bro2")
        with as_file(files("openmb.demo") / "traces" / "demo.pcap") as capture:
            words = ("replay", "--pcap", str(capture), "--switch", str(self.deployment.switch), "--speed", "0")
            arguments = ("-m", "openmb.northbound.cli", *words)
            _, said, status = await getProcessOutputAndValue(sys.executable, arguments)
        self.assertEqual((1, 1), (status, said.count(b"\n")), said)
        self.assertIn(b"somebody else is connected to this port", said)

    async def test_checksums(self) -> None:
        """Packets with wrong checksums: in the status, and once in the middlebox's log."""
        await self.begin()
        await self.send(packetBatch([ethernet(ip4(udp(b"x", check=1), 17))] * 1000, [START] * 1000))

        def warnings() -> list[str]:
            return [line for line in self.childLog("bro1").read_text().splitlines() if "--no-checksums" in line]

        async def problems() -> list[str]:
            found = (await self.operations())["problems"]
            return [each for each in found if "--no-checksums" in each]

        await self.until("the warning", lambda: Deferred.fromCoroutine(problems()))
        await self.send(packetBatch([ethernet(ip4(udp(b"x", check=1), 17))] * 1000, [START] * 1000))
        (problem,) = await problems()
        self.assertTrue(problem.startswith("bro1: "), problem)
        said, status = await self.openmb("status")
        self.assertEqual(0, status)
        self.assertIn(f"problem: {problem}\n", said)
        self.assertEqual(1, len(warnings()))


class AloneTests(RunningServices):
    """A controller without a middlebox."""

    names = ()

    def _isReached(self) -> Deferred[bool]:
        async def look() -> bool:
            return not (await self.operations())["problems"]

        return Deferred.fromCoroutine(look())

    async def test_status(self) -> None:
        await self.start()
        await self.until("the switch", self._isReached)  # nobody else has waited for it
        self.assertEqual(("no middlebox is connected\n", 0), await self.openmb("status"))
