"""Strangers and misbehaving peers at a real controller, while real middleboxes move state under traffic."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue

from openmb.southbound.certificates import makeAuthority
from openmb.southbound.revocation import revoke
from openmb.southbound.server import HALF_OPEN_LIMIT
from openmb.testing.adapters import START
from openmb.wire import messages as m
from openmb.wire.codec import encode
from tests.integration.services import LOOP, RunningServices
from tests.integration.strangers import Anonymous, OldTLS, Stranger, Wardrobe, asClient, hello

CLOCK = cast(Any, LOOP)
PING = encode(m.Ping(1))
#: Nanoseconds between two rounds of packets.
ROUND = 200_000_000


class StrangerTests(RunningServices):
    """Each gets its line in the controller's log, while a move comes to its end and no packet is lost."""

    timeout = 300

    def startController(self) -> None:
        """One whose log can be read."""
        runner = ("-m", "twisted", "--log-format", "text")
        self.controller = self.children.start("controller", self.deployment.controllerArguments(), runner)

    async def begin(self) -> None:
        await self.start()
        self.rounds = 0
        self.at, self.other = "bro1", "bro2"
        elsewhere = self.deployment.root / "elsewhere"
        makeAuthority(elsewhere)
        self.clothes = Wardrobe(self.deployment.certificates, elsewhere)
        self.port = self.deployment.controllerPort
        await self.openmb("route", "*", "bro1")
        await self.more()
        await self.holds("bro1", 6)

    async def more(self) -> None:
        """Each of the six flows has two more packets in each direction."""
        await self.feed(START + self.rounds * ROUND)
        self.rounds += 1

    def said(self, words: str) -> int:
        """How often the controller has said something."""
        return self.childLog("controller").read_text(errors="replace").count(words)

    async def heard(self, words: str, count: int = 1) -> None:
        """Wait until the controller has said it so often."""
        await self.children.until(f"{words!r} in the log", lambda: self.said(words) >= count)

    def move(self) -> Deferred[Any]:
        """All flows go to the other middlebox, with their state."""
        route = {"flows": "udp", "path": [self.other], "table": "monitor", "priority": 100, "egress": None}
        request = {"source": self.at, "destination": self.other, "flows": "udp", "route": route}
        self.at, self.other = self.other, self.at
        return Deferred.fromCoroutine(self.rpc.call("moveInternal", request, 120.0))

    async def idle(self) -> None:
        """Wait for the end of what is under way."""

        async def look() -> bool:
            return not (await self.rpc.call("operations", {}, 60.0))["underWay"]

        await self.children.until("the end of all moves", lambda: Deferred.fromCoroutine(look()))

    async def during(self, attack: Callable[[], Awaitable[object]]) -> None:
        """C{attack} while a move is under way; the move comes to its end and the packets to their records."""
        await self.idle()
        moving = self.move()
        await self.more()
        self.assertFalse(moving.called)
        await attack()
        await self.more()
        report = await moving
        self.assertEqual(("moved", None), (report["stage"], report["refusal"]))

    async def end(self) -> None:
        """Everything that was sent stands in the logs, once; no session was ever lost."""
        await self.idle()
        await self.more()
        await self.holds(self.at, 6)
        log = self.childLog("controller").read_text(errors="replace")
        for name in ("bro1", "bro2"):
            self.assertEqual(1, len(re.findall(rf"session with {name} \(bro\) at \S+ is open", log)))
        for name in ("bro1", "bro2"):
            await self.children.stop(self.boxes[name])
        self.assertEqual([], self.rows(self.other))
        packets = [(int(row[16]), int(row[18])) for row in self.rows(self.at)]
        self.assertEqual([(2 * self.rounds, 2 * self.rounds)] * 6, packets)

    async def refusedTLS(self, words: str, creator: Any, *parts: bytes) -> None:
        """Somebody whom TLS does not let in; the line says why."""
        before = self.said(words)
        stranger = await Stranger(*parts).connect(self.port, creator)
        await stranger.gone
        self.assertEqual(b"", stranger.received)
        await self.heard(words, before + 1)

    async def refusedHello(self, words: str, creator: Any, data: bytes) -> None:
        """Somebody who is told why, as the log is."""
        before = self.said(words)
        stranger = await Stranger(data).connect(self.port, creator)
        await stranger.gone
        self.assertIn(words.encode(), stranger.received)
        await self.heard(words, before + 1)

    async def dropped(self, words: str, *parts: bytes, thenClose: bool = False) -> None:
        """Somebody with a good certificate who does not keep to the protocol."""
        before = self.said(words)
        stranger = await Stranger(*parts, thenClose=thenClose).connect(self.port, asClient(self.clothes.own("bro3")))
        await stranger.gone
        await self.heard(words, before + 1)

    async def test_certificates(self) -> None:
        """Every certificate that is wrong in one thing."""
        await self.begin()
        clothes = self.clothes
        expired = clothes.dated("bro4", timedelta(days=-2), timedelta(days=-1))
        early = clothes.dated("bro5", timedelta(days=1), timedelta(days=2))
        shut = clothes.own("bro6")
        revoke(self.deployment.certificates, "bro6")
        by = "signed by CN=OpenMB authority, shown by 127.0.0.1:"
        for words, credentials in (
            ("an authority that is not trusted here", clothes.foreign("bro3")),
            (f"middlebox bro4 of kind bro, {by}", expired),
            ("it has expired: renew it", expired),
            (f"middlebox bro5 of kind bro, {by}", early),
            ("it is not valid yet", early),
            (f"middlebox bro6 of kind bro, {by}", shut),
            ("its certificate was revoked on", shut),
            ("it was made for the other end", clothes.controllers()),
        ):
            await self.during(lambda w=words, c=credentials: self.refusedTLS(w, asClient(c), hello("bro3")))  # type: ignore[misc]
        await self.during(lambda: self.refusedTLS("did not return a certificate", Anonymous(), hello("bro3")))
        old = asClient(clothes.own("bro3"), OldTLS)
        await self.during(lambda: self.refusedTLS("unsupported protocol", old))
        mine, prads = asClient(clothes.own("bro3")), asClient(clothes.own("prads1", "prads"))
        wrongName = "HELLO of middlebox bro1 of kind bro with the certificate of middlebox bro3 of kind bro"
        await self.during(lambda: self.refusedHello(wrongName, mine, hello("bro1")))
        wrongKind = "HELLO of middlebox prads1 of kind bro with the certificate of middlebox prads1 of kind prads"
        await self.during(lambda: self.refusedHello(wrongKind, prads, hello("prads1")))
        await self.end()

    async def test_junk(self) -> None:
        """Every way not to keep to the protocol."""
        await self.begin()
        first = hello("bro3")
        for words, parts in (
            ("not an OpenMB frame", (b"junk" * 20,)),
            ("not an OpenMB frame", (first, b"junk" * 20)),
            ("bad PING", (first, PING[:8] + (7).to_bytes(4, "little") + PING[12:])),
            ("bad PING", (first, PING[:8] + (12).to_bytes(4, "little") + PING[12:] + PING)),
            ("exceeds the limit", (first, PING[:8] + b"\0\0\0\x7f" + PING[12:])),
            ("unknown message type 238", (first, PING[:3] + b"\xee" + PING[4:])),
            ("does not take PING when waiting", (PING,)),
            ("does not take HELLO when open", (first, first)),
            ("does not take HOLD when open", (first, encode(m.Hold(1, bytes(16))))),
        ):
            await self.during(lambda w=words, p=parts: self.dropped(w, *p))  # type: ignore[misc]
        cut = "session with bro3 (bro) at 127.0.0.1"
        await self.during(lambda: self.dropped(cut, first, PING[:-3], thenClose=True))
        await self.during(lambda: self.refusedTLS("ended before its session: TLS: ", None, b"GET / HTTP/1.1\r\n\r\n"))
        await self.during(self.meddle)
        await self.end()

    async def meddle(self) -> None:
        """A good middlebox that takes no part in a move speaks as if it did."""
        (operation,) = (await self.rpc.call("operations", {}, 60.0))["underWay"]
        number = int(operation["operation"], 16)
        stranger = await Stranger(hello("bro3")).connect(self.port, asClient(self.clothes.own("bro3")))
        for side in m.Side:
            frame = m.StreamFrame(number, side, 1, m.StreamType.GET_DONE, b"", b"x")
            stranger.transport.write(encode(frame) + encode(m.Credit(number, side, 9)))
        stranger.transport.write(encode(m.Merged(number, 0, 0, 0, 0, 0)) + PING)
        await self.heard("bro3 takes no part in operation", 5)
        await self.children.until("an answer", lambda: stranger.received.endswith(encode(m.Pong(1))))
        stranger.transport.abortConnection()

    async def test_slowAndMany(self) -> None:
        """Newcomers get in, whoever is in the way, and the others do not notice."""
        await self.begin()
        await self.during(self.crowd)
        await self.during(self.drip)
        await self.during(self.drain)
        await self.end()

    async def newcomer(self) -> Stranger:
        """Somebody who gets a session and an answer; like every middlebox it tries again if it was cut off."""
        creator, answer = asClient(self.clothes.own("bro3")), encode(m.Pong(1))
        while True:
            good = await Stranger(hello("bro3"), PING).connect(self.port, creator)
            await self.children.until("an answer", lambda g=good: g.received.endswith(answer) or g.gone.called)  # type: ignore[misc]
            if not good.gone.called:
                return good

    async def crowd(self) -> None:
        """A thousand connections that say nothing."""
        waiting = [await Stranger().connect(self.port) for _ in range(1000)]
        good = await self.newcomer()
        await self.heard("too many connections of 127.0.0.1 without a session", 1000 - HALF_OPEN_LIMIT)
        good.transport.abortConnection()
        for each in waiting:
            each.transport.abortConnection()

    async def drip(self) -> None:
        """One that begins a hand-shake, and goes on with it a byte in half a second."""
        slow = await Stranger(b"\x16\x03\x01\x02\x00").connect(self.port)
        dripping = LoopingCall(lambda: slow.transport.write(b"\x01"))
        dripping.clock = CLOCK
        dripping.start(0.5)
        slow.gone.addCallback(lambda _: dripping.stop())
        await slow.gone
        await self.heard("no hand-shake within 10 s")

    async def drain(self) -> None:
        """So many that the controller has no descriptor left: the others are served, newcomers when there is one."""
        process = int(cast(Any, self.controller.transport).pid)
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{process}/fd"))
        resource.prlimit(process, resource.RLIMIT_NOFILE, (used + 20, limits[1]))
        waiting = [await Stranger().connect(self.port) for _ in range(200)]
        await self.heard("EMFILE")
        for each in waiting:
            each.transport.abortConnection()
        (await self.newcomer()).transport.abortConnection()

    async def test_revokedMeanwhile(self) -> None:
        """An open session ends with its certificate, within seconds, or at once with SIGHUP; the others stay."""
        await self.begin()
        good = await self.newcomer()

        async def shutOut() -> None:
            revoke(self.deployment.certificates, "bro3")
            self.controller.signal("HUP")
            await good.gone
            await self.heard("closing the session with bro3 (bro) at 127.0.0.1")

        await self.during(shutOut)
        self.assertIn(b"its certificate was revoked on", good.received)
        await self.end()

    async def test_keysRotateMeanwhile(self) -> None:
        """Add, use, drop: three files, no restart, and moves at every step."""
        await self.begin()
        file = str(self.deployment.keys)
        for words in (("add", file), ("use", file, "2"), ("drop", file, "1")):
            before = self.readAgain()
            await self.during(lambda w=words: self.keys(*w))  # type: ignore[misc]
            after = [count + 1 for count in before]
            await self.children.until("the new keyring", lambda a=after: self.readAgain() == a)  # type: ignore[misc]
        await self.end()

    def readAgain(self) -> list[int]:
        """How often each middlebox has read its files again."""
        return [self.childLog(name).read_text().count("read again") for name in ("bro1", "bro2")]

    async def keys(self, *words: str) -> None:
        """C{openmb keys}."""
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ("-m", "openmb.northbound.cli", "keys", *words), env=dict(os.environ)
        )
        if status:
            self.fail((out + err).decode())
