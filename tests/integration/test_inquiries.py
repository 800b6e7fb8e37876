"""Configuration, amounts of state and introspection events through real processes and the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred

from openmb.demo.processes import Child
from openmb.rpc.client import ClientProtocol, RPCClient
from openmb.testing.adapters import START, manyFlows
from tests.integration.services import ANSWER, LOOP, RunningServices

#: Nanoseconds after which every connection is over.
LATER = 7200 * 10**9


class InquiryTests(RunningServices):
    """Two Bro middleboxes, both routed to in turn."""

    async def says(self, *words: str) -> str:
        """What the command line prints, which must succeed."""
        said, status = await self.openmb(*words)
        self.assertEqual(0, status, said)
        return said

    async def refuses(self, expected: str, *words: str) -> None:
        """It says why, in one line, and ends with 1."""
        said, status = await self.openmb(*words)
        self.assertEqual((1, 1), (status, len(said.splitlines())), said)
        self.assertIn(expected, said)

    async def test_configuration(self) -> None:
        """Get, set, del; copied whole; what governs records decides whether flows can move."""
        await self.begin()
        said = (await self.says("config", "get", "bro1")).splitlines()
        self.assertIn("log/flush: 0", said)
        self.assertIn("networks/local: ", said)
        await self.says("config", "set", "bro1", "log/flush", "0.25")
        await self.says("config", "set", "bro1", "networks/local", "8.0.0.0/8", "2620::/32")
        self.assertEqual("log/flush: 0.25\n", await self.says("config", "get", "bro1", "log/flush"))
        await self.refuses("log/nonsense", "config", "set", "bro1", "log/nonsense", "1")
        await self.refuses("cannot change while the middlebox runs", "config", "set", "bro1", "log/format", "json")
        await self.refuses("governs records", "move", "bro1", "bro2", "udp")
        path = self.deployment.root / "tree.json"
        path.write_text(await self.says("config", "get", "bro1", "--json"))
        await self.says("config", "set", "bro2", "--tree", str(path))
        self.assertEqual(await self.says("config", "get", "bro1"), await self.says("config", "get", "bro2"))
        self.assertIn(": installed", await self.says("move", "bro1", "bro2", "udp", "--no-route"))
        await self.refuses("governs records", "config", "del", "bro2", "networks")
        await self.says("config", "del", "bro2", "log")
        self.assertEqual("log/flush: 0\n", await self.says("config", "get", "bro2", "log/flush"))
        bad = self.deployment.root / "bad.json"
        bad.write_text("{")
        self.assertEqual(3, (await self.openmb("config", "set", "bro2", "--tree", str(bad)))[1])

    async def test_stats(self) -> None:
        """All five cells, and what an operation has marked."""
        await self.begin()
        said = await self.says("stats", "bro1", "udp")
        cells = dict(line.split(": ") for line in said.splitlines())
        names = ["configuration", "supporting per flow", "supporting shared", "reporting per flow", "reporting shared"]
        self.assertEqual(names, list(cells))
        self.assertRegex(cells["supporting per flow"], "^6 records, [1-9][0-9]+ bytes, 0 marked$")
        await self.says("move", "bro1", "bro2", "udp", "--no-route")
        self.assertIn("supporting per flow: 6 records", said)
        self.assertIn(" 6 marked", await self.says("stats", "bro1", "udp"))
        await self.refuses("finer", "stats", "bro1", "dl_vlan=5")

    def follow(self, name: str, *words: str) -> Child:
        """C{openmb events --follow} in a process of its own."""
        arguments = ("events", "--follow", *words, "--socket", str(self.deployment.socket))
        return self.children.start(name, arguments, ("-m", "openmb.northbound.cli"))

    def lines(self, child: Child) -> list[dict[str, Any]]:
        """The whole lines of JSON that a child has printed."""
        text = child.log.read_text("utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def events(self, child: Child) -> list[str]:
        return [line["event"] for line in self.lines(child) if "event" in line]

    async def test_events(self) -> None:
        """Followed by name and flows; a middlebox that is killed and comes back is asked again."""
        await self.begin()
        every = self.follow("every")
        some = self.follow("some", "-m", "bro1", "-e", "connection-removed", "nw_src=10.0.1.2")
        for child in (every, some):
            await self.until("the subscription", lambda child=child: child.said("subscription"))  # type: ignore[misc]
        await self.refuses("there are: connection-removed", "events", "--count", "1", "-m", "bro1", "-e", "nonsense")
        self.assertEqual(2, (await self.openmb("events"))[1])
        await self.feed(START + LATER)
        await self.until("six connections", lambda: len(self.events(every)) == 6)
        await self.until("one of them", lambda: len(self.events(some)) == 1)
        (line,) = self.lines(some)
        self.assertEqual(("bro1", "udp"), (line["middlebox"], line["fields"]["proto"]))
        self.assertEqual("10.0.1.2", line["fields"]["orig_h"])
        self.boxes["bro1"].signal("KILL")
        await self.children.stop(self.boxes["bro1"])
        self.boxes["bro1"] = self.middlebox("bro1")
        await self.until("its return", lambda: {"middlebox": "bro1", "connected": True} in self.lines(some))
        turns = count(2)

        def isHeard() -> Any:
            """Feed again and again: the new process takes a moment to reach the switch."""
            if len(self.events(some)) > 1:
                return True
            return Deferred.fromCoroutine(self.feed(START + next(turns) * LATER))

        await self.until("one more of them", isHeard)
        counting = Deferred.fromCoroutine(self.openmb("events", "--count", "1", "udp"))

        def isCounted() -> Any:
            return counting.called or Deferred.fromCoroutine(self.feed(START + next(turns) * LATER))

        await self.until("an event", isCounted)
        said, status = await counting
        self.assertEqual((0, 1), (status, said.count('"event"')), said)
        self.assertEqual([], [each for each in self.lines(every) if "lost" in each])
        for child in (every, some):
            child.signal("INT")
            await self.children.stop(child)

    async def test_slowSubscriber(self) -> None:
        """One that does not read stalls nobody, and learns how much it has missed."""
        await self.begin()
        slow = RPCClient(self.deployment.socket, LOOP)
        self.addCleanup(slow.close)
        notices: list[Mapping[str, Any]] = []
        arguments = {"middlebox": "bro1", "events": ["connection-removed"], "flows": "*"}
        over = Deferred.fromCoroutine(slow.call("subscribe", arguments, None, notices.append))
        await self.until("the subscription", lambda: bool(notices))
        connection = slow._protocol
        assert isinstance(connection, ClientProtocol) and connection.transport is not None
        connection.transport.pauseProducing()  # type: ignore[attr-defined]
        rounds, flows = 100, 250
        for turn in range(rounds + 1):
            await self.send(manyFlows(range(flows), start=START + (turn + 1) * LATER, rounds=1))
        await self.until("every connection's end", lambda: len(self.rows("bro1")) == 6 + rounds * flows)
        await self.rpc.call("stats", {"middlebox": "bro1", "flows": "*"}, ANSWER)
        self.assertLess(len(notices), 1000)
        connection.transport.resumeProducing()  # type: ignore[attr-defined]
        last = START + rounds * LATER + (flows - 1) * 1_000_000
        await self.until("the newest event", lambda: notices[-1].get("stamp", 0) >= last)
        lost = sum(each["lost"] for each in notices if "lost" in each)
        seen = [each["stamp"] for each in notices if "stamp" in each]
        self.assertEqual(6 + rounds * flows, lost + len(seen))
        self.assertGreater(lost, 1000)
        await self.rpc.call("unsubscribe", {"subscription": notices[0]["subscription"]}, ANSWER)
        self.assertEqual({"events": len(seen), "lost": lost}, await over)
