"""An engine that throws costs the packet, never the middlebox; the operation in progress says what it lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError, OperationError, OutputFailed, Refusal
from openmb.interfaces import Failed
from openmb.middlebox.faults import KEPT, TOLD, SetAside
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.capture import openCapture
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, End, Pair, single
from tests.plugins.bro.test_full_disk import room

POISON = b"poison"


def poisoned(packets: PacketBatch, which: int, stamp: int) -> PacketBatch:
    """Packet C{which} once more, later, with the bytes that make the engine throw at its end."""
    return packetBatch([bytes(packets.packet(which)) + POISON], [stamp])


class ThrowingEngineTests(SynchronousTestCase):
    """The counting kind throws on packets that hold certain bytes."""

    def setUp(self) -> None:
        self.pair = Pair()
        for end in (self.pair.a, self.pair.b):
            end.engine.poison = POISON
        self.packets = manyFlows()
        self.bad = poisoned(self.packets, 0, START + 5)

    def test_alone(self) -> None:
        """The packet is counted and kept; the ones before and after it in the batch are processed."""
        end, folder = End("one"), Path(self.mktemp())
        folder.mkdir()
        end.engine.poison = POISON
        end.host.setAside = SetAside("one", folder)
        frames = [bytes(self.packets.packet(place)) for place in range(len(self.packets))]
        stamps = [int(stamp) for stamp in self.packets.stamps]
        end.feed(packetBatch([*frames[:3], frames[0] + POISON, *frames[3:]], [*stamps[:3], stamps[2], *stamps[3:]]))
        end.host.finish()
        self.assertEqual(single(self.packets), sorted(f"{row.flow} {row.line}" for row in end.rows))
        self.assertEqual((1, 1), (end.host.counts.failedPackets, end.host.setAside.packets))
        (file,) = folder.iterdir()
        (batch,) = openCapture(file).batches(10)
        self.assertEqual([frames[0] + POISON], [bytes(batch.packet(0))])
        self.assertEqual(0o600, file.stat().st_mode & 0o777)

    def test_source(self) -> None:
        """While records are exported: the move goes on, and its end says how many packets were lost."""
        self.pair.installed(self.packets)
        self.pair.a.feed(self.bad)
        self.pair.relay()
        self.pair.b.tell(m.Hold(OP, b"the markers' own"))
        self.pair.a.tell(m.Divert(OP, b"the markers' own"))
        self.pair.relay()
        self.pair.b.tell(m.Commit(OP))
        for end, stamp in ((self.pair.a, START + 10**9), (self.pair.b, START + 10**9 + 1)):
            end.mark(stamp, True)
        self.pair.relay()
        self.pair.tick(2.0)
        self.pair.a.tell(m.Delete(OP, 10))
        self.pair.tick(1.0)
        self.pair.tick(1.0)
        (closed,) = self.pair.a.take(m.WindowClosed)
        self.assertEqual(1, closed.lost)
        self.assertEqual(single(self.packets), self.pair.finish())

    def test_sourceAborted(self) -> None:
        self.pair.installed(self.packets)
        self.pair.a.feed(self.bad)
        self.pair.a.tell(m.Unmark(OP, False))
        (unmarked,) = self.pair.a.take(m.Unmarked)
        self.assertEqual(1, unmarked.lost)

    def test_destination(self) -> None:
        """A packet that the merge cannot process is counted in MERGED; the others are."""
        self.pair.confirmed()
        self.pair.a.feed(self.bad)
        self.pair.relay()
        self.pair.b.tell(m.Commit(OP))
        for end, stamp in ((self.pair.a, START + 10**9), (self.pair.b, START + 10**9 + 1)):
            end.mark(stamp, True)
        self.pair.relay()
        self.pair.tick(2.0)
        (merged,) = self.pair.b.take(m.Merged)
        self.assertEqual((1, 1), (merged.lost, self.pair.b.host.counts.failedPackets))

    def test_reprocessing(self) -> None:
        """A destination that throws on an event refuses the operation; the source goes on as if never asked."""
        self.pair.a.engine.poison = None
        self.pair.installed(self.packets)
        self.pair.a.feed(self.bad)
        self.pair.relay()
        (refused,) = self.pair.b.take(m.Refused)
        self.assertEqual((OP, Refusal.ENGINE_FAILED), (refused.operation, refused.refusal))
        self.pair.b.tell(m.Discard(OP, False))
        self.pair.a.tell(m.Unmark(OP, False))
        self.assertEqual(single(self.packets, self.bad), self.pair.finish())


class ThrowingAdapterTests(SynchronousTestCase):
    """Whatever the adapter throws becomes an answer."""

    def throwing(self, name: str, end: End) -> None:
        def throw(*arguments: Any) -> Any:
            raise ZeroDivisionError(name)

        setattr(end.engine, name, throw)

    def test_export(self) -> None:
        def throwing(*arguments: Any) -> Iterator[Any]:
            yield ()
            raise ZeroDivisionError("export")

        pair = Pair()
        self.patch(pair.a.engine, "getPerflow", throwing)
        pair.installed()
        (refused,) = pair.a.take(m.Refused)
        self.assertEqual((OP, Refusal.ENGINE_FAILED), (refused.operation, refused.refusal))
        self.assertIn("ZeroDivisionError: export", refused.reason)
        self.assertEqual(single(manyFlows()), pair.finish())

    def test_import(self) -> None:
        pair = Pair()
        self.throwing("putPerflow", pair.b)
        pair.installed()
        self.assertEqual({Refusal.ENGINE_FAILED}, {refused.refusal for refused in pair.b.take(m.Refused)})

    def test_commit(self) -> None:
        """A COMMIT that the engine cannot carry out is refused as one, so that the route goes back."""
        pair = Pair().confirmed()
        self.throwing("commit", pair.b)
        pair.b.tell(m.Commit(OP))
        pair.b.mark(START + 10**9)
        (refused,) = pair.b.take(m.Refused)
        self.assertEqual((m.MessageType.COMMIT, Refusal.ENGINE_FAILED), (refused.request, refused.refusal))

    def test_everyCommand(self) -> None:
        """The host lives on, whichever call throws."""
        for name, command in (
            ("prepare", lambda pair: pair.b.tell(pair.prepare)),
            ("freeze", lambda pair: pair.b.tell(pair.prepare, m.Hold(OP, b"the markers' own"))),
            ("usage", lambda pair: pair.b.tell(m.Stats(5, "udp"))),
        ):
            pair = Pair()
            self.throwing(name, pair.b)
            command(pair)
            self.assertEqual(Refusal.ENGINE_FAILED, pair.b.refusal(), name)

    def test_discard(self) -> None:
        """The operation ends all the same: packets must not wait for it for ever."""
        for name in ("discard", "thaw"):
            pair = Pair().confirmed()
            pair.b.feed(manyFlows((8,), START + 10**8, 1))
            self.throwing(name, pair.b)
            pair.b.tell(m.Discard(OP, False))
            self.assertEqual([m.Discarded(OP, 0)], pair.b.take(m.Discarded))
            self.assertEqual((0, 1), (pair.b.host.operations, pair.b.host.setAside.faults))

    def test_goingOn(self) -> None:
        """The source goes on with its copies though its records cannot be freed."""
        for name in ("unmark", "thaw"):
            pair = Pair().confirmed()
            pair.a.feed(manyFlows((8,), START + 10**8, 1))
            self.throwing(name, pair.a)
            pair.a.tell(m.Unmark(OP, False))
            self.assertEqual([m.Unmarked(OP, 1, 0)], pair.a.take(m.Unmarked))
            self.assertEqual((0, 1), (pair.a.host.operations, pair.a.host.setAside.faults))

    def test_deleting(self) -> None:
        """Records that cannot be deleted stay marked: they are not reported a second time."""
        pair = Pair().merged()
        self.throwing("delPerflow", pair.a)
        pair.a.tell(m.Delete(OP, 0))
        self.assertEqual([m.Deleted(OP, 0, 0)], pair.a.take(m.Deleted))
        pair.tick(1.0)
        pair.tick(1.0)
        self.assertEqual(0, pair.a.host.operations)
        self.assertEqual(single(manyFlows()), pair.finish())

    def test_leaseEnded(self) -> None:
        """One operation whose end throws does not keep others from theirs."""
        pair = Pair().confirmed()
        self.throwing("commit", pair.b)
        self.throwing("discard", pair.b)
        pair.b.host.connectionLost()
        pair.clock.advance(61)
        pair.b.host.timePassed(pair.clock.seconds())
        self.assertEqual((0, 1), (pair.b.host.operations, pair.b.host.setAside.faults))

    def test_lastReport(self) -> None:
        """What throws at the end is told, and the service ends."""
        end = End("one")
        self.throwing("finish", end)
        end.feed(manyFlows())
        end.host.finish()
        self.assertEqual(1, end.host.setAside.faults)

    def test_fullTable(self) -> None:
        """Packets for which there is no room are counted with the operation, whose source gives up."""

        def full(*arguments: Any) -> None:
            raise OperationError(Refusal.BUFFER_FULL, "no room")

        pair = Pair().installed()
        process = pair.a.engine.process
        self.patch(pair.a.engine, "process", full)
        pair.a.feed(manyFlows((8,), START + 10**8, 1))
        self.patch(pair.a.engine, "process", process)
        self.assertEqual([Refusal.BUFFER_FULL], [refused.refusal for refused in pair.a.take(m.Refused)])
        self.assertEqual(1, pair.a.host.counts.lostPackets)
        pair.a.tell(m.Unmark(OP, False))
        self.assertEqual([m.Unmarked(OP, 0, 1)], pair.a.take(m.Unmarked))

    def test_wholeBatch(self) -> None:
        """An engine that cannot say what it processed loses the batch; the next one is processed."""
        end = End("one")
        process = end.engine.process
        self.throwing("process", end)
        end.feed(manyFlows())
        self.assertEqual(len(manyFlows()), end.host.counts.failedPackets)
        end.engine.process = process  # type: ignore[method-assign]
        end.feed(manyFlows())
        end.host.finish()
        self.assertEqual(single(manyFlows()), sorted(f"{row.flow} {row.line}" for row in end.rows))


class SetAsideTests(SynchronousTestCase):
    """The captures."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_append(self) -> None:
        """One capture for all faults of a run; a run does not go on with that of an earlier one."""
        for _ in range(2):
            aside = SetAside("x", self.folder)
            for number in range(3):
                aside.add(packetBatch([b"abc", bytes([number])], [1, 2]), "why")
            (file,) = self.folder.iterdir()
            self.assertEqual(6, sum(len(batch) for batch in openCapture(file).batches(10)))
            self.assertEqual((6, 6), (aside.packets, aside.kept))

    def test_bound(self) -> None:
        """Beyond the bound packets are only counted."""
        aside = SetAside("x", self.folder)
        large = packetBatch([bytes(60_000)] * 100, [1] * 100)
        for _ in range(4):
            aside.add(large, "why")
        (file,) = self.folder.iterdir()
        self.assertEqual((400, 200), (aside.packets, aside.kept))
        self.assertLess(file.stat().st_size, KEPT)

    def test_linkTypes(self) -> None:
        """Each link type has a capture of its own."""
        aside = SetAside("x", self.folder)
        for link in (1, 101, 1):
            aside.add(packetBatch([b"abc"], [1], link=link), "why")
        self.assertEqual(["set-aside-x-1.pcap", "set-aside-x-101.pcap"], sorted(p.name for p in self.folder.iterdir()))

    def test_nowhere(self) -> None:
        """A directory that cannot be made costs the capture only."""
        aside = SetAside("x", self.folder / "nowhere" / "here")
        aside.add(packetBatch([b"abc"], [1]), "why")
        self.assertEqual((1, 0), (aside.packets, aside.kept))

    def test_fullDisk(self) -> None:
        """What does not fit as a whole leaves no part behind."""
        aside = SetAside("x", self.folder)
        aside.add(packetBatch([b"abc"], [1]), "why")
        (file,) = self.folder.iterdir()
        size = file.stat().st_size
        with room(8 << 20):
            aside.add(packetBatch([bytes(60_000)] * 200, [1] * 200), "why")
        self.assertEqual((201, 1, size), (aside.packets, aside.kept, file.stat().st_size))
        aside.add(packetBatch([b"abc"], [1]), "why")
        self.assertEqual(2, sum(len(batch) for batch in openCapture(file).batches(10)))

    def test_link(self) -> None:
        """Nothing is written through a link that somebody has put where the capture would be."""
        victim = self.folder / "victim"
        victim.write_text("precious")
        (self.folder / "set-aside-x-1.pcap").symlink_to(victim)
        aside = SetAside("x", self.folder)
        aside.add(packetBatch([b"abc"], [1]), "why")
        self.assertEqual(("precious", 0), (victim.read_text(), aside.kept))

    def test_directory(self) -> None:
        """It is made when it is needed, for this user alone; one in which others can write is refused at once."""
        folder = self.folder / "aside"
        aside = SetAside("x", folder)
        self.assertFalse(folder.exists())
        aside.add(packetBatch([b"abc"], [1]), "why")
        self.assertEqual((0o700, 1), (folder.stat().st_mode & 0o777, aside.kept))
        folder.chmod(0o777)
        with self.assertRaisesRegex(ConfigurationError, "others can write in it"):
            SetAside("x", folder)


class TellingTests(SynchronousTestCase):
    """What is logged."""

    def setUp(self) -> None:
        self.aside = SetAside("x", None)
        self.told: list[str] = []
        observer = cast(ILogObserver, self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: LogEvent) -> None:
        if event.get("log_source") is self.aside:
            self.told.append(formatEvent(event))

    def test_seldom(self) -> None:
        """The first ones each, then less and less often."""
        for _ in range(1000):
            self.aside.add(packetBatch([b"abc"], [1]), "why")
        self.assertEqual(TOLD + 5, len(self.told))
        self.assertIn("512 so far", self.told[-1])

    def test_reasons(self) -> None:
        """Each reason in a batch is told, and what is about no packet too."""
        batch = packetBatch([b"a", b"b", b"c", b"d"], [1, 2, 3, 4])
        failed = [Failed(2, "one"), Failed(0, "other"), Failed(2, "other"), Failed(-1, "row")]
        self.assertEqual([0, 2], self.aside.addAll(batch, failed).tolist())
        self.assertEqual(3, len(self.told))
        for text, part in zip(self.told, ("1 packets", "2 packets", "the engine threw: row"), strict=True):
            self.assertTrue(text.startswith(part), text)

    def test_enduring(self) -> None:
        """What is thrown is told, but output that waits is for the caller."""
        with self.aside.enduring("something"):
            raise ZeroDivisionError("zero")
        self.assertIn("the engine threw at something: ZeroDivisionError: zero in test_faults.py", self.told[0])
        with self.assertRaises(OutputFailed), self.aside.enduring("something"):
            raise OutputFailed("full")


class ErrorTests(SynchronousTestCase):
    """What is no fault of the engine keeps its own meaning."""

    def test_refusalsPass(self) -> None:
        pair = Pair()

        def full(*arguments: Any) -> None:
            raise OperationError(Refusal.BUFFER_FULL, "no room")

        self.patch(pair.b.engine, "prepare", full)
        pair.b.tell(pair.prepare)
        self.assertEqual(Refusal.BUFFER_FULL, pair.b.refusal())
