"""Switch, controller and two middleboxes as real processes: TLS on loopback, UNIX sockets, the command line, deaths."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from openmb.errors import OperationError, Refusal
from openmb.rpc.client import RPCClient
from openmb.testing.adapters import START
from tests.integration.services import ANSWER, LOOP, RunningServices


class ServicesTests(RunningServices):
    """The command line, and what it moves."""

    async def test_moveAndSee(self) -> None:
        """Route, feed, look, move, feed again, end: every connection once, with all its packets, at the destination."""
        await self.start()
        self.assertEqual(("", 0), await self.openmb("route", "*", "bro1"))
        await self.feed()
        await self.holds("bro1", 6)
        said, status = await self.openmb("stats", "bro1", "udp")
        self.assertEqual((0, True), (status, "supporting per flow: 6 records" in said), said)
        said, status = await self.openmb("move", "bro1", "bro2", "udp")
        self.assertEqual((0, True), (status, ": moved" in said), said)
        await self.feed(START + 200_000_000)
        await self.holds("bro2", 6)
        said, status = await self.openmb("status")
        self.assertEqual((0, True, True), (status, "middlebox bro1 (bro)" in said, "12 records" in said), said)
        await self.stopMiddleboxes()
        self.assertEqual([], self.rows("bro1"))
        rows = self.rows("bro2")
        self.assertEqual(6, len(rows))
        self.assertEqual(6, len({row[1] for row in rows}))
        self.assertEqual({("4", "4")}, {(row[16], row[18]) for row in rows})

    async def test_planned(self) -> None:
        """What a move would do is said, and nothing is done; a move that makes no sense is refused before the route."""
        await self.start()
        egress = ("--table", "inline", "--priority", "200", "--egress", "in")
        self.assertEqual(("", 0), await self.openmb("route", "*", "bro1", *egress))
        before = await self.openmb("routes")
        for words, doubt in (
            (("bro1", "bro2", "udp"), "bro1 has no records of udp"),
            (("bro2", "bro1", "udp"), "no route takes udp to bro2"),
        ):
            said, status = await self.openmb("move", *words, "--dry-run")
            self.assertEqual((0, True), (status, doubt in said), said)
            said, status = await self.openmb("move", *words)
            self.assertEqual((1, True, True), (status, doubt in said, "--force" in said), said)
            self.assertEqual(before, await self.openmb("routes"))
        await self.feed()
        await self.holds("bro1", 6)
        said, status = await self.openmb("move", "bro1", "bro2", "udp", "--dry-run")
        self.assertEqual((0, True, False), (status, said.startswith("6 records"), "but:" in said), said)
        self.assertEqual(before, await self.openmb("routes"))
        self.assertEqual(0, (await self.openmb("move", "bro1", "bro2", "udp"))[1])
        said, status = await self.openmb("routes")
        self.assertIn("inline 200 udp -> bro2 > in\n", said)
        said, status = await self.openmb("move", "bro1", "bro2", "tcp", "--force")
        self.assertEqual((0, True), (status, ": moved" in said), said)

    async def test_abortAndRefusals(self) -> None:
        """What is refused ends with status 1 and one line; an aborted move leaves the source as it was."""
        await self.begin()
        for words in (("move", "bro1", "bro1", "udp"), ("move", "bro1", "nobody", "udp"), ("abort", "123")):
            said, status = await self.openmb(*words)
            self.assertEqual((1, 1), (status, len(said.splitlines())), said)
        said, status = await self.openmb("move", "bro1", "bro2", "udp", "--no-route")
        self.assertEqual((0, True), (status, ": installed" in said), said)
        identifier = said.split()[1].rstrip(":")
        self.assertEqual(0, (await self.openmb("abort", identifier))[1])
        await self.idle()
        await self.feed(START + 200_000_000)
        await self.stopMiddleboxes()
        self.assertEqual([], self.rows("bro2"))
        self.assertEqual(6, len(self.rows("bro1")))

    async def test_killed(self) -> None:
        """A killed destination: the move ends with a reason, the source goes on.  A killed controller: an error."""
        await self.begin()
        await self.openmb("move", "bro1", "bro2", "udp", "--no-route")
        self.boxes["bro2"].signal("KILL")
        await self.children.stop(self.boxes["bro2"])
        self.boxes["bro2"] = self.middlebox("bro2")  # another incarnation: that the old one is dead is known at once
        await self.idle()
        over = (await self.operations())["over"]
        self.assertEqual(("aborted", "PEER_DIED"), (over[-1]["stage"], over[-1]["refusal"]))
        await self.holds("bro1", 6)
        self.controller.signal("KILL")
        await self.children.stop(self.controller)
        self.assertEqual(1, (await self.openmb("status"))[1])

    async def test_routes(self) -> None:
        """A route that drops says so and is counted; routes are listed; removing what is not there is said."""
        await self.start()
        await self.openmb("route", "*", "bro1")
        self.assertEqual(("", 0), await self.openmb("route", "udp", "--drop", "--priority", "200"))
        said, status = await self.openmb("routes")
        self.assertEqual(("monitor 200 udp -> nowhere (dropped)\nmonitor 100 * -> bro1\n", 0), (said, status))
        await self.feed()
        switch = RPCClient(self.deployment.switch / "control.sock", LOOP)
        self.addCleanup(switch.close)

        async def look() -> bool:
            ports = {port["name"]: port for port in await switch.call("ports", {}, ANSWER)}
            return bool(ports["in"]["received"] == ports["in"]["discarded"] == 24)

        await self.until("24 packets dropped", lambda: Deferred.fromCoroutine(look()))
        removed = "removed the route to nowhere (dropped)\n"
        self.assertEqual((removed, 0), await self.openmb("route", "udp", "--remove", "--priority", "200"))
        said, status = await self.openmb("route", "udp", "--remove", "--priority", "200")
        self.assertEqual((1, True), (status, "there is no route" in said), said)
        with self.assertRaises(OperationError) as caught:
            await self.rpc.call("stats", {"middlebox": "bro1", "flows": ""}, ANSWER)
        self.assertEqual(Refusal.BAD_REQUEST, caught.exception.refusal)

    async def test_killedIdle(self) -> None:
        """A middlebox that is killed while nothing comes frees its port: started again, it gets packets."""
        await self.start()
        self.assertEqual(("", 0), await self.openmb("route", "*", "bro1"))
        self.boxes["bro1"].signal("KILL")
        await self.children.stop(self.boxes["bro1"])
        self.boxes["bro1"] = self.middlebox("bro1")
        await self.until("registration", lambda: self._registered(*self.names))
        await self.feed()
        await self.holds("bro1", 6)
