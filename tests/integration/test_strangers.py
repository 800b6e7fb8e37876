"""
Strangers and misbehaving peers at a real controller: each gets its line in the controller's log, while a move comes to
its end and no packet is lost.

Crowds, peers that never read, and chunks that were touched: L{tests.integration.test_hostile_wire}.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue

from openmb.southbound.revocation import revoke
from openmb.wire import messages as m
from openmb.wire.codec import decodeAll, encode
from openmb.wire.framing import HEADER_SIZE
from openmb.wire.session import OPERATIONS_LIMIT, SECRET_SIZE
from tests.integration.services import LOOP
from tests.integration.strangers import PING, PONG, OldTLS, StrangersCase, asClient, hello
from tests.southbound.fakes import helloOf
from tests.southbound.peers import Anonymous, Raw


class CertificateTests(StrangersCase):
    """Who shows the wrong certificate, or has lost the right to the one it has."""

    async def refusedTLS(self, creator: Any, *words: str) -> None:
        """Somebody whom TLS does not let in; the log says whose certificate it was, and why."""
        before = [self.said(each) for each in words]
        stranger = await self.connect(Raw(hello("bro3")), creator)
        await self.gone(stranger)
        self.assertEqual(b"", stranger.received)
        for each, count in zip(words, before, strict=True):
            await self.heard(each, count + 1)

    async def refusedHello(self, creator: Any, data: bytes, words: str) -> None:
        """Somebody who is told why, as the log is."""
        before = self.said(words)
        stranger = await self.connect(Raw(data), creator)
        await self.gone(stranger)
        self.assertIn(words.encode(), stranger.received)
        await self.heard(words, before + 1)

    async def test_wrong(self) -> None:
        """Every certificate that is wrong in one thing."""
        await self.begin()
        clothes = self.clothes
        shown = "middlebox {} of kind bro, signed by CN=OpenMB authority, shown by 127.0.0.1:"
        days = [timedelta(days=number) for number in (-2, -1, 1, 2)]
        revoked = clothes.own("bro6")
        revoke(self.deployment.certificates, "bro6")
        for creator, *words in (
            (asClient(clothes.foreign("bro3")), "an authority that is not trusted here"),
            (asClient(clothes.dated("bro4", *days[:2])), shown.format("bro4"), "it has expired: renew it"),
            (asClient(clothes.dated("bro5", *days[2:])), shown.format("bro5"), "it is not valid yet"),
            (asClient(revoked), shown.format("bro6"), "its certificate was revoked on"),
            (asClient(clothes.controllers()), "it was made for the other end"),
            (Anonymous(), "did not return a certificate"),
            (asClient(clothes.own("bro3"), OldTLS), "unsupported protocol"),
        ):
            attack = partial(self.refusedTLS, creator, *words)
            await self.during(attack, attack)
        for name, kind, claimed in (("bro3", "bro", "bro1"), ("prads1", "prads", "prads1")):
            line = f"HELLO of middlebox {claimed} of kind bro with the certificate of middlebox {name} of kind {kind}"
            attack = partial(self.refusedHello, asClient(clothes.own(name, kind)), hello(claimed), line)
            await self.during(attack, attack)
        await self.end()

    async def test_placeOfAnother(self) -> None:
        """Who has the certificate, the key and the incarnation of one that is connected does not get its place."""
        await self.begin()
        for name in ("bro1", "bro2"):
            taken = replace(helloOf(name), incarnation=await self.incarnation(name))
            line = f"{name} is connected, and this HELLO does not show the secret of its session"
            for secret in (bytes(32), bytes(range(32))):
                shown = encode(replace(taken, secret=secret))
                attack = partial(self.refusedHello, asClient(self.clothes.own(name)), shown, line)
                await self.during(attack, attack)
        await self.end()

    async def test_ownPlace(self) -> None:
        """Whoever shows the secret of its WELCOME takes the place of its own connection, which may be dead."""
        await self.begin()
        first = await self.newcomer()
        (welcome, _) = decodeAll(bytes(first.received))
        assert isinstance(welcome, m.Welcome)
        again = encode(replace(helloOf("bro3"), secret=welcome.secret))
        second = await self.connect(Raw(again + PING), asClient(self.clothes.own("bro3")))
        await self.until("an answer", lambda: second.received.endswith(PONG))
        await self.gone(first)
        self.assertIn(b"another connection has taken its place", first.received)
        await self.leave(second)
        await self.end()

    async def test_manyHandshakes(self) -> None:
        """Hundreds of hand-shakes that fail, for two reasons, are some lines and their number."""
        await self.begin()
        before = self.childLog("controller").stat().st_size
        await self.during(self.crowd)
        await self.heard("more in the last")
        text = self.childLog("controller").read_text(errors="replace")
        summaries = re.findall(r"… and ([0-9]+) more in the last", text)
        self.assertGreater(sum(map(int, summaries)), 100)
        self.assertLess(self.childLog("controller").stat().st_size - before, 50_000)
        await self.end()

    async def crowd(self) -> None:
        foreign = asClient(self.clothes.foreign("bro3"))
        for creator in [None, foreign] * 100:
            stranger = await self.connect(Raw(b"GET / HTTP/1.1\r\n\r\n"), creator)
            await self.gone(stranger)

    async def test_revokedMeanwhile(self) -> None:
        """An open session ends with its certificate, at once with SIGHUP; the others stay."""
        await self.begin()
        good = await self.newcomer()

        async def shutOut() -> None:
            revoke(self.deployment.certificates, "bro3")
            self.controller.signal("HUP")
            await self.gone(good)
            await self.heard("closing the session with bro3 (bro) at 127.0.0.1")

        await self.during(shutOut)
        self.assertIn(b"its certificate was revoked on", good.received)
        await self.end()

    async def test_keysRotateMeanwhile(self) -> None:
        """Add, use, drop: three files, no restart, each step in the middle of a move."""
        await self.begin()
        file = str(self.deployment.keys)
        for words in (("add", file), ("use", file, "2"), ("drop", file, "1")):
            await self.during(partial(self.rotate, *words))
        await self.end()

    async def rotate(self, *words: str) -> None:
        """C{openmb keys}; both middleboxes take the new keyring."""
        before = self.readAgain()
        arguments = ("-m", "openmb.northbound.cli", "keys", *words)
        out, err, status = await getProcessOutputAndValue(sys.executable, arguments, env=dict(os.environ))
        self.assertEqual(0, status, (out + err).decode())
        for name in ("bro1", "bro2"):
            self.boxes[name].signal("HUP")
        await self.until("the new keyring", lambda: all(map(int.__gt__, self.readAgain(), before)))

    def readAgain(self) -> list[int]:
        """How often each middlebox has read its files again."""
        return [self.childLog(name).read_text().count("read again") for name in ("bro1", "bro2")]


class BreachTests(StrangersCase):
    """Who does not keep to the protocol, or takes what others need."""

    async def dropped(self, words: str, *parts: bytes, leaves: bool = False) -> None:
        """Somebody with a good certificate who does not keep to the protocol."""
        before = self.said(words)
        creator = asClient(self.clothes.own("bro3"))
        stranger = await self.connect(Raw(b"".join(parts), leaves), creator)
        await self.gone(stranger)
        await self.heard(words, before + 1)

    async def test_breaches(self) -> None:
        """Every way not to keep to the protocol; one that drips is there all the time."""
        await self.begin()
        slow = await self.drip()
        first = hello("bro3")
        for words, *parts in (
            ("not an OpenMB frame", b"junk" * 20),
            ("not an OpenMB frame", first, b"junk" * 20),
            ("bad PING", first, PING[:8] + (7).to_bytes(4, "little") + PING[12:]),
            ("bad PING", first, PING[:8] + (12).to_bytes(4, "little") + PING[12:] + PING),
            ("exceeds the limit", first, PING[:8] + b"\0\0\0\x7f" + PING[12:]),
            ("unknown message type 238", first, PING[:3] + b"\xee" + PING[4:]),
            ("does not take PING when waiting", PING),
            ("does not take HELLO when open", first, first),
            ("does not take HOLD when open", first, encode(m.Hold(1, bytes(16)))),
        ):
            attack = partial(self.dropped, words, *parts)
            await self.during(attack, attack)
        cut = partial(self.dropped, "has ended: Connection", first, PING[:-3], leaves=True)
        await self.during(cut, cut)
        await self.during(self.plain, self.plain)
        await self.during(self.meddle)
        await self.during(partial(self.gone, slow))
        await self.heard("no hand-shake within 10 s")
        await self.end()

    async def test_longHello(self) -> None:
        """A HELLO that names more operations than there may be is turned away unread; the longest is answered."""
        await self.begin()
        status = m.OperationStatus(1, m.Side.SOURCE, "", -1, -1)
        most = tuple(replace(status, operation=1 + n) for n in range(OPERATIONS_LIMIT))
        good = encode(replace(helloOf("bro3"), operations=most))
        end, place = len(good) - SECRET_SIZE, len(encode(helloOf("bro3"))) - SECRET_SIZE - 2
        statuses = good[place + 2 : end] * (36_000 // OPERATIONS_LIMIT + 1)
        statuses = statuses[: 36_000 * ((end - place - 2) // OPERATIONS_LIMIT)]
        body = good[HEADER_SIZE:place] + (36_000).to_bytes(2, "little") + statuses + good[end:]
        bad = good[:8] + len(body).to_bytes(4, "little") + good[12:HEADER_SIZE] + body
        words = f"36000 items where {OPERATIONS_LIMIT} are allowed"
        await self.during(partial(self.dropped, words, bad))
        before = self.childLog("controller").stat().st_size
        await self.during(partial(self.remind, good))
        self.assertLess(self.childLog("controller").stat().st_size - before, 20_000)
        await self.end()

    async def remind(self, said: bytes) -> None:
        stranger = await self.connect(Raw(said + PING), asClient(self.clothes.own("bro3")))
        await self.until("an answer", lambda: stranger.received.endswith(PONG))
        closed = [each for each in decodeAll(bytes(stranger.received)) if isinstance(each, m.Close)]
        self.assertEqual(OPERATIONS_LIMIT, len(closed))
        await self.heard(f"bro3 knows {OPERATIONS_LIMIT} operations that nobody here does")
        await self.leave(stranger)

    async def plain(self) -> None:
        """Somebody who has lost the way."""
        words = "ended before its session: TLS: "
        before = self.said(words)
        stranger = await self.connect(Raw(b"GET / HTTP/1.1\r\n\r\n"))
        await self.gone(stranger)
        await self.heard(words, before + 1)

    async def meddle(self) -> None:
        """A good middlebox that takes no part in a move speaks as if it did."""
        number, words = int(self.operation, 16), []
        for side in m.Side:
            frame = m.StreamFrame(number, side, 1, m.StreamType.GET_DONE, b"", b"x")
            words += [encode(frame), encode(m.Credit(number, side, 9))]
        words += [encode(m.Merged(number, 0, 0, 0, 0, 0)), PING]
        stranger = await self.connect(Raw(hello("bro3") + b"".join(words)), asClient(self.clothes.own("bro3")))
        await self.heard("bro3 takes no part in operation", 5)
        await self.until("an answer", lambda: stranger.received.endswith(PONG))
        await self.leave(stranger)

    async def drip(self) -> Raw:
        """Somebody who begins a hand-shake, and goes on with it a byte in half a second."""
        slow = await self.connect(Raw(b"\x16\x03\x01\x02\x00"))
        dripping = LoopingCall(lambda: slow.transport.write(b"\x01"))
        dripping.clock = cast(Any, LOOP)
        dripping.start(0.5)
        slow.lost.addCallback(lambda _: dripping.stop())
        return slow

    async def test_noDescriptors(self) -> None:
        """A controller without a free descriptor serves those it has, and newcomers when there is one again."""
        await self.begin()
        await self.during(self.exhaust)
        await self.end()

    async def exhaust(self) -> None:
        """Two hundred connections that say nothing, where there is room for twenty."""
        process = int(cast(Any, self.controller.transport).pid)
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{process}/fd"))
        resource.prlimit(process, resource.RLIMIT_NOFILE, (used + 20, limits[1]))
        waiting = [await self.connect(Raw(b"")) for _ in range(200)]
        await self.heard("EMFILE")
        await self.more()
        self.assertEqual(6, await self.records(self.at))
        await self.leave(*waiting)
        await self.leave(await self.newcomer())
