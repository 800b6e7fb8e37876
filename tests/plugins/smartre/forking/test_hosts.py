"""Forks and configuration between real hosts: sealed records, streams, re-process events, messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.settings import HostSettings
from openmb.packets.batch import packetBatch
from openmb.plugins.smartre.plugin import SmartreDecoder, SmartreEncoder
from openmb.plugins.smartre.settings import Role
from openmb.state.keyring import Keyring
from openmb.testing.smartre.fabric import PREFIXES, SILENT, TALKING, contentsOf, packetsOf
from openmb.wire import messages as m
from tests.middlebox.rig import OP, End, peer
from tests.middlebox.sharedrig import SharedPair
from tests.plugins.smartre.forking.traffic import traffic

_PACKETS = traffic(21, 900)
_KEYRING = Keyring("smartre", {1: bytes(range(32))}, 1)


class SmartreEnd(End):
    """A host of this kind."""

    def __init__(self, name: str, engine: Any, clock: Clock) -> None:
        self.name, self.clock = name, clock
        self.sent: list[Any] = []
        self.nonce = bytes(16)
        self.engine = engine
        self.host = MiddleboxHost(
            *(name, "smartre", peer(name).incarnation, engine, _KEYRING, self._send, clock.seconds, HostSettings())
        )

    def give(self, packets: Sequence[bytes], stamp: int) -> None:
        """Packets arrive, in one batch."""
        self.feed(packetBatch(packets, [stamp] * len(packets)))

    def set(self, key: str, *values: str) -> None:
        """As the controller writes configuration."""
        self.tell(m.SetConfiguration(4, (m.ConfigurationEntry(key, values),)))


class DecoderPair(SharedPair):
    """Two decoders with a clone between them."""

    def __init__(self) -> None:
        super().__init__(m.Sort.CLONE)
        self.decoders = [SmartreDecoder(replace(SILENT, role=Role.DECODER)) for _ in range(2)]
        self.source, self.copy = (
            SmartreEnd(name, end, self.clock) for name, end in zip("ab", self.decoders, strict=True)
        )
        self.a, self.b = self.source, self.copy
        self.b.tell(self.prepare)


class HostTests(SynchronousTestCase):
    """Everything by messages."""

    def test_forkWhileCloned(self) -> None:
        """The clone at the other host has both caches, and the configuration of its source."""
        pair, clock = DecoderPair(), Clock()
        one, other, encoder = pair.source, pair.copy, SmartreEnd("e", SmartreEncoder(SILENT), clock)

        def send(begin: int, end: int) -> None:
            batch = packetBatch(_PACKETS[begin:end], [begin * 100_000] * (end - begin))
            sent = encoder.engine.process(encoder.host._decoder.decode(batch), None).forward
            one.give(packetsOf(sent), begin * 100_000)
            pair.relay()

        for place in range(0, 300, 50):
            send(place, place + 50)
        one.tell(pair.get)
        while one.host.work():
            pair.relay()
        send(300, 350)
        encoder.set("NumCaches", "2")
        encoder.set("CacheFlows", *PREFIXES)
        self.assertEqual(2, len(encoder.take(m.Configured)))
        for place in range(350, 900, 50):
            send(place, place + 50)
        one.tell(m.Finish(OP))
        pair.relay()
        other.tell(m.Commit(OP))
        found = [contentsOf(decoder) for decoder in pair.decoders]
        self.assertEqual([0, 1], sorted(found[0]))
        self.assertEqual(*found)
        self.assertEqual(1, int(pair.decoders[0].statistics["forks"][0]))
        self.assertEqual([], [*one.take(m.Refused), *other.take(m.Refused)])

    def test_refused(self) -> None:
        """With a reason; what governs stays while there are operations."""
        encoder = SmartreEnd("e", SmartreEncoder(TALKING), Clock())
        encoder.set("CacheFlows", *PREFIXES)
        (refused,) = encoder.take(m.Refused)
        self.assertEqual((Refusal.BAD_REQUEST, True), (refused.refusal, "NumCaches says 1" in refused.reason))
        pair = DecoderPair()
        pair.copy.set("Cache/Slots", "64")
        self.assertIs(Refusal.WRONG_STATE, pair.copy.refusal())
        pair.copy.set("Keeps", "0", "1")
        self.assertEqual(1, len(pair.copy.take(m.Configured)))

    def test_events(self) -> None:
        """A subscriber hears of the fork."""
        encoder = SmartreEnd("e", SmartreEncoder(TALKING), Clock())
        encoder.tell(m.EnableEvents(9, ("epoch-changed",), "*"))
        encoder.set("NumCaches", "2")
        encoder.host.timePassed(1.0)
        (events,) = encoder.take(m.Events)
        (event,) = events.events
        said = {field.name: field.value for field in event.fields}
        self.assertEqual({"cache": 1, "epoch": 2, "before": 0, "reason": "forked"}, said)
