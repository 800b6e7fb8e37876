"""What is configured while traffic flows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from openmb.errors import OperationError, Refusal
from openmb.interfaces import IMiddlebox
from openmb.plugins.smartre import format as wire
from openmb.plugins.smartre.configuration import DECODER, ENCODER
from openmb.plugins.smartre.planning import Fate
from openmb.plugins.smartre.plugin import SmartreDecoder, SmartreEncoder, SmartrePlugin
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.plugins.smartre.store import State
from openmb.testing.smartre.fabric import PREFIXES, TALKING, Fabric, write
from openmb.testing.smartre.network import messageOf
from tests.plugins.smartre.forking.traffic import traffic
from tests.plugins.smartre.frames import ethernet, four, udp

_PACKETS = traffic(3, 1200)


def encoder(**settings: object) -> SmartreEncoder:
    """A small one."""
    return SmartreEncoder(replace(TALKING, **settings))  # type: ignore[arg-type]


def decoder(**settings: object) -> SmartreDecoder:
    """A small one."""
    return SmartreDecoder(replace(TALKING, role=Role.DECODER, **settings))  # type: ignore[arg-type]


class TreeTests(SynchronousTestCase):
    """Trees, good ones and bad ones."""

    def refused(
        self, end: SmartreEncoder | SmartreDecoder, entries: Mapping[str, Iterable[object]], refusal: Refusal, text: str
    ) -> None:
        """C{entries} are refused, with C{text} in the reason, and nothing has changed."""
        tree, settings, governing = dict(end.configuration.tree), end.settings, end.governing
        caches, kept = list(end.caches), end._kept.tolist() if isinstance(end, SmartreDecoder) else []
        with self.assertRaises(OperationError) as caught:
            write(end, entries)
        self.assertIs(refusal, caught.exception.refusal)
        self.assertIn(text, str(caught.exception))
        self.assertEqual((tree, settings, governing), (end.configuration.tree, end.settings, end.governing))
        self.assertEqual(caches, list(end.caches))
        self.assertEqual(kept, end._kept.tolist() if isinstance(end, SmartreDecoder) else [])

    def test_interfaces(self) -> None:
        for end in (encoder(), decoder()):
            self.assertTrue(verifyObject(IMiddlebox, end))

    def test_started(self) -> None:
        """The tree says what the options said."""
        options = SmartrePlugin().makeOptions()
        options.parseOptions(
            [
                *("--role", "encoder", "--caches", "2", "--cache-flows", "10.1.2.3/16", "--slots", "128"),
                *("--slot-bytes", "2000", "--entries", "64", "--sampling", "64", "--mtu", "9000"),
                *("--no-gate", "--keep-newest", "--no-bypass", "--second-stage"),
            ]
        )
        tree = SmartrePlugin().makeMiddlebox(options).configuration.tree
        expected = {
            "Role": ("encoder",),
            "NumCaches": ("2",),
            "CacheFlows": ("10.1.0.0/16",),
            "ForkOf": (),
            "Cache/Entries": ("64",),
            "Cache/Sampling": ("64",),
            "Cache/KeepOldest": ("false",),
            "Gate": ("false",),
            "Bypass": ("false",),
            "SecondStage": ("true",),
            "MTU": ("9000",),
            "Cache/Slots": ("128",),
            "Cache/SlotBytes": ("2000",),
            "Dictionary": ("",),
            "SavingInterval": ("10",),
        }
        self.assertEqual(expected, tree)
        options = SmartrePlugin().makeOptions()
        options.parseOptions(["--role", "decoder", "--keeps", "1", "--keeps", "3"])
        tree = SmartrePlugin().makeMiddlebox(options).configuration.tree
        self.assertEqual((("decoder",), ("1", "3")), (tree["Role"], tree["Keeps"]))

    def test_refusedByEncoder(self) -> None:
        end = encoder()
        cases: tuple[tuple[Mapping[str, Iterable[object]], str], ...] = (
            ({"NumCache": [2]}, "no key 'NumCache'"),
            ({"Keeps": [1]}, "no key 'Keeps'"),
            ({"NumCaches": [0]}, "1 to 16"),
            ({"NumCaches": [17]}, "1 to 16"),
            ({"NumCaches": [1, 2]}, "2 values"),
            ({"CacheFlows": PREFIXES}, "NumCaches says 1"),
            ({"CacheFlows": ["10.0.0.0/99"]}, "'10.0.0.0/99'"),
            ({"CacheFlows": ["10.0.0.0/8 0.5-0.2"]}, "empty"),
            ({"CacheFlows": ["10.0.0.0/8 half"]}, "no share"),
            ({"NumCaches": [2], "CacheFlows": ["10.0.0.0/8 0-0.6", "10.0.0.0/8 0.5-1"]}, "share some packets"),
            ({"NumCaches": [3], "ForkOf": [0, 2, 1]}, "made later"),
            ({"NumCaches": [3], "ForkOf": [0, 1]}, "made later"),
            ({"ForkOf": ["first"]}, "ForkOf"),
            ({"Cache/Slots": [100]}, "power of two"),
            ({"Cache/Sampling": [33]}, "power of two"),
            ({"Cache/Entries": [65]}, "power of two"),
            ({"Gate": ["yes"]}, "true or false"),
            ({"Role": ["decoder"]}, "encoder is needed"),
            ({"SavingInterval": [0]}, "number"),
            ({"Gate": ["false"], "MTU": [10]}, "576"),
        )
        for entries, text in cases:
            self.refused(end, entries, Refusal.BAD_REQUEST, text)
        self.refused(end, {"Dictionary": ["0123"]}, Refusal.WRONG_STATE, "read at the start")

    def test_refusedByDecoder(self) -> None:
        end = decoder()
        for entries, text in (
            ({"Keeps": [16]}, "0 to 15"),
            ({"NumCaches": [2]}, "no key 'NumCaches'"),
            ({"Role": ["encoder"]}, "decoder is needed"),
        ):
            self.refused(end, entries, Refusal.BAD_REQUEST, text)

    def test_copied(self) -> None:
        """The whole tree of one is good for another, whatever that was started with; then they agree."""
        source, copy = decoder(keeps=(1, 2), slots=256, slotBytes=1400), decoder()
        self.assertNotEqual(source.governing, copy.governing)
        write(copy, source.configuration.under("*"))
        self.assertEqual(source.configuration.tree, copy.configuration.tree)
        self.assertEqual(source.governing, copy.governing)
        one, other = encoder(caches=2, cacheFlows=PREFIXES, gated=False, entries=64), encoder()
        write(other, one.configuration.under("*"))
        self.assertEqual(one.configuration.tree, other.configuration.tree)
        self.refused(copy, one.configuration.under("*"), Refusal.BAD_REQUEST, "")

    def test_governing(self) -> None:
        """Both ends of a clone agree on role, shape and dictionary, and on nothing else."""
        path = Path(self.mktemp())
        path.write_bytes(b"some dictionary")
        usual = decoder().governing
        self.assertEqual(usual, decoder(keeps=(1,), savingInterval=7_000_000).governing)
        others = {
            each.governing for each in (encoder(), decoder(slots=64), decoder(slotBytes=64), decoder(dictionary=path))
        }
        self.assertEqual(4, len(others - {usual}))
        for schema in (ENCODER, DECODER):
            governs = {setting.key for setting in schema if setting.governs}
            self.assertEqual({"Role", "Cache/Slots", "Cache/SlotBytes", "Dictionary"}, governs)
        end = decoder()
        write(end, {"Cache/Slots": [128]})
        self.assertEqual(decoder(slots=128).governing, end.governing)
        write(end, end.configuration.reset("*"))
        self.assertEqual(usual, end.governing)

    def test_page(self) -> None:
        """The tables of docs/smartre.md."""
        page = (Path(__file__).parents[3] / "docs" / "smartre.md").read_text("utf-8")
        for schema in (ENCODER, DECODER):
            self.assertIn(schema.document(), page)


class LiveTests(SynchronousTestCase):
    """Between two batches."""

    def live(self, settings: SmartreSettings = TALKING) -> Fabric:
        """Ends that have spoken."""
        fabric = Fabric(settings)
        fabric.send(_PACKETS[:400])
        return fabric

    def finish(self, fabric: Fabric) -> None:
        """The rest comes as well, byte for byte."""
        fabric.send(_PACKETS[400:])
        self.assertEqual(Counter(_PACKETS), fabric.came)
        self.assertEqual(0, fabric.count("undecodable_bytes"))

    def grows(self, fabric: Fabric, name: str, packets: list[bytes]) -> int:
        """By how much a counter of the encoder grows with these packets."""
        before = int(fabric.encoder.statistics[name][0])
        fabric.send(packets)
        return int(fabric.encoder.statistics[name][0]) - before

    def test_gate(self) -> None:
        """At once: without messages from the decoder nothing new is referred to, and with the gate open it is."""
        fabric = self.live()
        fabric.back.loss = 1.0
        fresh = traffic(99, 60)
        for end in fabric.encoder.caches:
            end.encoder.store.states[:] = State.LOST
        self.assertEqual(0, self.grows(fabric, "hits", fresh))
        fabric.configure(Gate=["false"])
        self.assertGreater(self.grows(fabric, "hits", fresh), 30)
        fabric.configure(Gate=["true"])
        self.assertEqual(0, self.grows(fabric, "hits", traffic(98, 60)))

    def test_samplingKeepOldestMtu(self) -> None:
        fabric = self.live()
        fabric.configure(**{"Cache/Sampling": ["8"], "Cache/KeepOldest": ["false"], "MTU": ["1300"]})
        encoder = fabric.encoder.caches[0].encoder
        self.assertEqual((8, False), (encoder.sampling, encoder.keepOldest))
        self.finish(fabric)

    def test_samplingSaves(self) -> None:
        """More places are looked up: more is found."""
        found = []
        for sampling in (1024, 8):
            fabric = self.live()
            fabric.configure(**{"Cache/Sampling": [sampling]})
            found.append(self.grows(fabric, "hits", _PACKETS[400:800]))
        self.assertLess(2 * found[0], found[1])

    def test_entries(self) -> None:
        """The table is made anew: what was there before is found again."""
        fabric = self.live()
        fabric.configure(**{"Cache/Entries": [1 << 12]})
        self.assertEqual(1 << 12, len(fabric.encoder.caches[0].encoder.table))
        self.assertGreater(self.grows(fabric, "encoded", _PACKETS[:100]), 80)
        fabric.came -= Counter(_PACKETS[:100])
        self.finish(fabric)

    def test_bypass(self) -> None:
        """Flows that do not pay pass from now on, and do not any more."""
        fabric, dice = self.live(), random.Random(1)
        for isOn, bypassed in (("true", 32), ("false", 0), ("true", 32)):
            fabric.configure(Bypass=[isOn])
            noise = [ethernet(four(udp(dice.randbytes(300)), to=(10, 0, 1, 77))) for _ in range(60)]
            before = int(fabric.encoder.statistics["passed"][0][Fate.BYPASSED])
            fabric.send(noise, size=1)
            after = int(fabric.encoder.statistics["passed"][0][Fate.BYPASSED])
            self.assertGreaterEqual(after - before, bypassed)
            self.assertEqual(bypassed > 0, after > before)
            self.assertTrue(all(fabric.came.pop(packet) for packet in noise))
        self.finish(fabric)

    def test_secondStage(self) -> None:
        """Decoders restore such packets unasked."""
        fabric = self.live()
        fabric.configure(SecondStage=["true"])
        self.finish(fabric)

    def test_shape(self) -> None:
        """Other caches only while they are empty."""
        fabric = self.live()
        ends: tuple[SmartreEncoder | SmartreDecoder, ...] = (fabric.encoder, fabric.decoders[0])
        for end in ends:
            for entry in ({"Cache/Slots": [512]}, {"Cache/SlotBytes": [1000]}):
                with self.assertRaises(OperationError) as caught:
                    write(end, entry)
                self.assertIs(Refusal.WRONG_STATE, caught.exception.refusal)
                self.assertIn("hold packets", str(caught.exception))
        self.finish(fabric)
        fabric = Fabric()
        ends = fabric.encoder, *fabric.decoders
        for end in ends:
            write(end, {"Cache/Slots": [512], "Cache/SlotBytes": [1300]})
        self.assertEqual(512, fabric.encoder.caches[0].encoder.store.slots)
        fabric.send(_PACKETS)
        self.assertEqual(512, fabric.decoders[0].caches[0].decoder.store.slots)
        self.assertEqual(Counter(_PACKETS), fabric.came)
        self.assertGreater(fabric.count("decoded"), 500)

    def test_keeps(self) -> None:
        """Packets of caches that are not kept pass, and forks of them; those that are kept again are decoded again."""
        fabric = self.live()
        write(fabric.decoders[0], {"Keeps": [0]})
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        fabric.send(_PACKETS[400:500])
        self.assertEqual([0], sorted(fabric.decoders[0].caches))
        self.assertIn(wire.Fork, {type(messageOf(packet)) for packet in fabric.came})
        write(fabric.decoders[0], {"Keeps": []})
        fabric.send(_PACKETS[500:700])
        self.assertEqual([0, 1], sorted(fabric.decoders[0].caches))
        foreign = fabric.count("foreign")
        write(fabric.decoders[0], {"Keeps": [0]})
        fabric.send(_PACKETS[700:900])
        self.assertGreater(fabric.count("foreign") - foreign, 30)
        foreign = fabric.count("foreign")
        write(fabric.decoders[0], {"Keeps": []})
        fabric.send(_PACKETS[900:])
        self.assertEqual((foreign, 0), (fabric.count("foreign"), fabric.count("undecodable_bytes")))
        self.assertEqual(Counter(), Counter(_PACKETS[:700] + _PACKETS[900:]) - fabric.came)

    def test_oneLine(self) -> None:
        """NumCaches 2 duplicates cache 0; less drops it; each time the epoch is a newer one."""
        fabric = self.live()
        for epoch in (2, 3):
            fabric.configure(NumCaches=[2])
            first, second = fabric.encoder.caches
            assert second.fork is not None
            self.assertEqual((epoch, 0, 1), (second.epoch, second.fork.origin, second.fork.originEpoch))
            self.assertEqual(first.encoder.store.ids.tolist(), second.encoder.store.ids.tolist())
            self.assertEqual(first.encoder.store.payloads.tobytes(), second.encoder.store.payloads.tobytes())
            self.assertNotIn(State.USABLE, second.encoder.store.states[: second.encoder.store.slots].tolist())
            fabric.configure(NumCaches=[1])
            self.assertEqual(1, len(fabric.encoder.caches))
        self.finish(fabric)

    def test_forkOf(self) -> None:
        """Of which cache each is a duplicate; one that comes of nothing."""
        fabric = self.live()
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        fabric.send(_PACKETS[400:600])
        fabric.configure(ForkOf=[0, 0, 1, "none", 2], NumCaches=[5])
        caches = fabric.encoder.caches
        self.assertEqual(caches[1].encoder.store.next, caches[2].encoder.store.next)
        self.assertIsNone(caches[3].fork)
        self.assertFalse(caches[3].encoder.store.ids.any())
        # a duplicate of what no decoder has heard of comes of the cache behind it
        origins = [cache.fork.origin for cache in caches if cache.fork is not None]
        self.assertEqual([0, 1, 1], origins)
        fabric.configure(CacheFlows=["10.9.0.0/16", "10.8.0.0/16", "10.0.1.0/24", "10.7.0.0/16", "10.0.2.0/24"])
        fabric.send(_PACKETS[600:])
        self.assertEqual(3, fabric.count("forks"))
        self.assertEqual((Counter(_PACKETS), 0), (fabric.came, fabric.count("refused")))
        for number in (2, 4):
            fork = fabric.encoder.caches[number].fork
            assert fork is not None
            self.assertTrue(fork.isConfirmed)

    def test_droppedAnswers(self) -> None:
        """What is under way when a cache is dropped is answered, for a while."""
        fabric = self.live()
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        fabric.send(_PACKETS[400:800])
        fabric.behind[2] = 1
        fabric.back.loss = 1.0
        fabric.send(_PACKETS[800:840])
        asking = fabric.decoders[1].asking
        assert asking is not None
        self.assertGreater(len(asking.holding), 5)
        fabric.configure(CacheFlows=(), NumCaches=[1])
        fabric.back.loss = 0.0
        fabric.wait(200_000_000)
        self.assertEqual((0, 0), (len(asking.holding), fabric.count("undecodable_bytes")))
        self.assertEqual(Counter(_PACKETS[:840]), fabric.came)
