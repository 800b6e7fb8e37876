"""More hosts than there may be: the longest unseen are forgotten, memory is bounded, those that stay are served."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.prads.hosts import FACTS_PER_HOST, MOST_FACTS
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.plugins.prads.settings import PradsSettings
from openmb.state.headers import HeaderFieldList
from tests.packets.build import ethernet, ip4, tcp, udp
from tests.plugins.prads.running import rules

SERVER, MOST = "192.0.2.80", 64
START = 1_700_000_000


def spoofed(number: int) -> bytes:
    """A SYN from a host of its own."""
    host = str(ipaddress.ip_address(0x0B000000 + number))
    between = (host, SERVER)
    return ethernet(ip4(tcp(flags=2, between=between, ports=(1024 + number % 60000, 80)), between=between))


def known(host: str = "10.0.0.1") -> bytes:
    """A question for names from a host that is seen again and again."""
    between = (host, SERVER)
    return ethernet(ip4(udp(b"x" * 20, between=between, ports=(4000, 53)), 17, between=between))


def decoded(packets: list[bytes], second: int = 0) -> Decoded:
    """The packets, a second apart."""
    stamps = [(START + second + place) * 1_000_000_000 for place in range(len(packets))]
    return Decoder(checksums=False, reassemble=False).decode(packetBatch(packets, stamps))


class HostBoundTests(SynchronousTestCase):
    """A flood of hosts."""

    def setUp(self) -> None:
        settings = PradsSettings(maximumHosts=MOST, maximumFlows=256)
        self.middlebox = PradsMiddlebox(settings, rules())
        self.hosts = self.middlebox._own.hosts

    def flood(self, count: int) -> None:
        """So many hosts, and every eighth packet one of a host that stays, in batches of 100."""
        packets = [known() if place % 8 == 0 else spoofed(place) for place in range(count)]
        for start in range(0, count, 100):
            processed = self.middlebox.process(decoded(packets[start : start + 100], start), None)
            self.assertEqual((), processed.failed)

    def test_bounded(self) -> None:
        self.flood(3000)
        self.assertLessEqual(len(self.hosts.table), MOST)
        self.assertLessEqual(len(self.hosts.known), MOST)
        self.assertEqual(2625 + 1, self.hosts.forgotten + len(self.hosts.table))
        self.assertLessEqual(len(self.hosts.seen), FACTS_PER_HOST * MOST + MOST_FACTS)

    def test_servedStill(self) -> None:
        """The host that is seen again and again is as known as ever."""
        self.flood(3000)
        key = np.array([[0, 0xFFFF0A000001]], np.uint64)
        slot = int(self.hosts.table.find(key)[0])
        self.assertGreaterEqual(slot, 0)
        self.assertEqual(START + 2992, self.hosts.table.rows["last"][slot])
        self.assertEqual(START, self.hosts.table.rows["first"][slot])
        self.assertEqual([(53, 17)], list(self.hosts.known[slot].services))

    def test_work(self) -> None:
        """A sixteenth of all hosts goes at once: constant work for each new host."""
        calls: list[int] = []
        real = self.hosts.forget

        def forget(wanted: int) -> None:
            calls.append(wanted)
            real(wanted)

        self.hosts.forget = forget  # type: ignore[method-assign]
        for number in range(2000):
            self.middlebox.process(decoded([spoofed(number)], number), None)
        self.assertLessEqual(len(calls), 2000 // (MOST // 16))

    def test_servicesBounded(self) -> None:
        """Of one host that shows ever more services the newest are known."""
        for port in range(MOST_FACTS + 100):
            self.hosts.reserve(1)
            self.hosts.serve(3, (port, 6), b"x", b"y", 2, 64, 1, self.middlebox._own.counters)
        self.assertEqual(
            (100, MOST_FACTS), (next(iter(self.hosts.known[3].services))[0], len(self.hosts.known[3].services))
        )

    def test_factsBounded(self) -> None:
        """Many services of many hosts together are bounded too."""
        for number in range(2 * MOST):
            self.middlebox.process(decoded([spoofed(number)], number), None)
            host = int(self.hosts.table.find(np.array([[0, 0xFFFF0B000000 + number]], np.uint64))[0])
            for port in range(200):
                self.hosts.serve(host, (port, 6), b"x", b"y", 2, 64, 1, self.middlebox._own.counters)
        self.hosts.reserve(1)
        facts = sum(len(host.services) + len(host.systems) for host in self.hosts.known.values())
        self.assertLessEqual(facts, FACTS_PER_HOST * MOST + MOST_FACTS)

    def test_forgottenDuringExport(self) -> None:
        """A host that is forgotten while connections are exported, and another in its slot: both go, as themselves."""
        destination = PradsMiddlebox(PradsSettings(maximumHosts=MOST), rules())
        self.middlebox.process(decoded([known("10.0.0.2"), known("10.0.0.3")]), None)
        destination.prepare(7, HeaderFieldList.parse("*"))
        steps: Iterator[object] = iter(self.middlebox.getPerflow(HeaderFieldList.parse("*"), 7, 1))
        seen = []
        for number, batches in enumerate(steps):
            for batch in batches:  # type: ignore[attr-defined]
                destination.putPerflow(7, batch)
                seen.append(len(batch.keys))
            self.hosts.forget(MOST)
            if number < 200:
                self.middlebox.process(decoded([spoofed(number)], number), None)
        destination.commit(7)
        keys = self.middlebox._own.table.keys[self.middlebox._own.table.slots()]
        self.assertGreater(sum(seen), 2)
        self.assertEqual(len(keys), len(destination._own.table))

    def test_commitNeverFails(self) -> None:
        """More hosts come with a move than may be known: the newest of them are."""
        source = PradsMiddlebox(PradsSettings(maximumHosts=1000), rules())
        packets = decoded([spoofed(number) for number in range(200)])
        source.process(packets, None)
        self.middlebox.configure({**self.middlebox.configuration.tree, "hosts/maximum": ("500",)})
        self.middlebox.prepare(7, HeaderFieldList.parse("*"))
        for batches in source.getPerflow(HeaderFieldList.parse("*"), 7, 64):
            for batch in batches:
                self.middlebox.putPerflow(7, batch)
        self.middlebox.configure({**self.middlebox.configuration.tree, "hosts/maximum": ("50",)})
        self.middlebox.commit(7)
        self.assertLessEqual(len(self.hosts.table), 50)

    def test_tooMuchAtOnce(self) -> None:
        """Provisional hosts beyond the bound are refused, and nothing of the batch is stored."""
        source = PradsMiddlebox(PradsSettings(maximumHosts=1000), rules())
        source.process(decoded([spoofed(number) for number in range(200)]), None)
        self.middlebox.prepare(7, HeaderFieldList.parse("*"))
        with self.assertRaises(OperationError):
            for batches in source.getPerflow(HeaderFieldList.parse("*"), 7, 256):
                for batch in batches:
                    self.middlebox.putPerflow(7, batch)
        self.assertLessEqual(len(self.middlebox._provisional[7].hosts.table), MOST)
