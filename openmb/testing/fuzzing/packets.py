"""
Mutated packets through decoding, the Bro tracker and PRADS, at the edge of memory that may not be touched.

As a program (C{python -m openmb.testing.fuzzing.packets}) it says whether index checks are on, which a canary proves:
with C{NUMBA_BOUNDSCHECK=1} and a cache of their own the kernels check every index.  Either way the last byte of each
batch lies directly before a protected page: a read beyond it ends the process.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import random
import sys
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.settings import BroSettings
from openmb.plugins.prads.homenets import DEFAULT as EVERYWHERE
from openmb.plugins.prads.homenets import parseHomes
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.plugins.prads.settings import PradsSettings
from openmb.plugins.prads.signatures.tcp import FILES, parseSystems
from openmb.plugins.prads.tasks import DEFAULT, Does
from openmb.plugins.prads.tracker import Rules
from openmb.plugins.prads.warming import noSignatures
from openmb.testing.fuzzing.campaign import resident
from openmb.testing.fuzzing.canary import canaryRaises
from openmb.testing.fuzzing.packettargets import REQUESTS, WORDS
from openmb.testing.fuzzing.texttargets import SYSTEMS
from openmb.testing.simulation.traffic import ACK, PSH, SYN, Endpoints, address, makeTraffic

#: Packets of a batch; one in a hundred batches has a single packet, so that every byte of it is near the edge.
BATCH = 4096
#: Packets of each batch that are decoded alone too.
ALONE = 64
PAGE = mmap.PAGESIZE
_SIZE = 16 << 20


class GuardedMemory:
    """Memory that ends at a page which may be neither read nor written."""

    def __init__(self, size: int = _SIZE) -> None:
        self._map = mmap.mmap(-1, size + PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        library = ctypes.CDLL(None, use_errno=True)
        if library.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self._memory = np.frombuffer(self._map, np.uint8, size)

    def place(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of C{data} whose end is the end of the memory."""
        target = self._memory[len(self._memory) - len(data) :]
        target[:] = data
        return target

    def beyond(self) -> int:
        """Read the byte after the end: the process does not survive it."""
        return int(ctypes.c_ubyte.from_address(self._memory.ctypes.data + len(self._memory)).value)


def goodPackets(seed: int) -> PacketBatch:
    """Conversations of several kinds, and HTTP that is worth spoiling."""
    rng = random.Random(seed)
    traffic = makeTraffic(rng, 30.0, 150, ["10.1.0.1", "10.1.0.2"])
    frames, stamps = list(traffic.packets), [int(time * 1e9) for time in traffic.times]
    for number in range(120):
        ends = Endpoints(address("10.9.0.1"), 2000 + number, address("10.9.0.2"), rng.choice((80, 80, 22, 8080)))
        text = rng.choice(REQUESTS) + rng.choice(WORDS)
        cut = rng.randrange(1, len(text))
        base = stamps[-1] + number * 1000
        for client, flags, sequence, data in (
            (True, SYN, 1, b""),
            (False, SYN | ACK, 1, b""),
            (True, ACK | PSH, 2, text[:cut]),
            (True, ACK | PSH, 2 + cut, text[cut:]),
            (False, ACK | PSH, 2, rng.choice(REQUESTS)),
        ):
            frames.append(ends.segment(client, flags, sequence, 2, data))
            stamps.append(base)
    order = np.argsort(np.array(stamps), kind="stable")
    return packetBatch([frames[place] for place in order], [stamps[place] for place in order])


def pradsRules() -> Rules:
    """All that PRADS can look for, with few signatures of systems."""
    systems, named = parseSystems([(name, SYSTEMS) for name in FILES.values()])
    signatures = replace(noSignatures(), systems=systems, named=named)
    return Rules.of(signatures, DEFAULT | Does.MAC | Does.STRAY_ACK, parseHomes(EVERYWHERE))


class PacketFuzzer:
    """
    @ivar packets: packets tried so far.
    @ivar alone: how many of them were decoded a second time, each alone at the edge.
    @ivar kinds: how many decoded packets there were of each kind.
    """

    def __init__(self, seed: int) -> None:
        self._dice = np.random.default_rng(seed)
        self._good = [goodPackets(seed + number) for number in range(4)]
        self._memory, self._small = GuardedMemory(), GuardedMemory(1 << 17)
        self.packets = self.alone = 0
        self.kinds = np.zeros(16, np.int64)
        self._rules = pradsRules()
        self._restart()

    def _restart(self) -> None:
        self._prads = PradsMiddlebox(PradsSettings(None, maximumFlows=8192), self._rules)
        self._engine = BroMiddlebox(BroSettings(maximumFlows=4096, grace=0.5, sweep=0.2, capacity=64))
        self._decoders = [Decoder(checksums=False), Decoder(checksums=True)]

    def step(self) -> None:
        """One batch."""
        if self._dice.random() < 0.01:
            self._restart()
        batch = self._mutated(1 if self._dice.random() < 0.01 else BATCH)
        checksums = bool(self._dice.random() < 0.1)
        decoded = self._decoders[int(checksums)].decode(batch)
        self.kinds += np.bincount(decoded.headers["kind"], minlength=16)[:16]
        self._engine.process(decoded, None)
        if failed := self._prads.process(decoded, None).failed:
            raise AssertionError(f"PRADS failed: {failed[0].reason}")
        self.packets += len(batch)
        self._oneByOne(batch, checksums)

    def _oneByOne(self, batch: PacketBatch, checksums: bool) -> None:
        """Some packets each alone, its end at the edge: what is said of it must not depend on what comes after it."""
        decoder = Decoder(checksums, reassemble=False)
        among = decoder.decode(batch).headers
        for place in self._dice.integers(0, len(batch), min(len(batch), ALONE)):
            single = batch.select(slice(place, place + 1)).compact()
            (header,) = decoder.decode(replace(single, data=self._small.place(single.data))).headers
            if header.tobytes() != among[place].tobytes():
                raise AssertionError(f"{header} alone, but {among[place]} among others: {bytes(single.data).hex()}")
            self.alone += 1

    def _mutated(self, count: int) -> PacketBatch:
        """Good packets in their order, some left out, some of their bytes changed, some cut off."""
        dice = self._dice
        good = self._good[int(dice.integers(len(self._good)))]
        chosen = np.sort(dice.integers(0, len(good), count))
        batch = good.select(chosen).compact()
        data, lengths = batch.data.copy(), batch.lengths.copy()
        # most changes in the headers, where they matter; a quarter of the packets stays as it is
        spoilt = np.repeat(np.arange(count), dice.poisson(1.4, count))
        reach = np.where(dice.random(len(spoilt)) < 0.8, np.minimum(lengths[spoilt], 60), lengths[spoilt])
        places = batch.offsets[spoilt] + (dice.random(len(spoilt)) * reach).astype(np.int64)
        edges = np.array([0, 1, 4, 5, 6, 0x11, 0x2F, 0x45, 0x4F, 0x60, 0x7F, 0x80, 0x86, 0xDD, 0xFF], np.uint8)
        values = np.where(
            dice.random(len(places)) < 0.5, dice.choice(edges, len(places)), dice.integers(0, 256, len(places))
        )
        data[places] = values.astype(np.uint8)
        cut = dice.random(count) < 0.1
        lengths[cut] = (dice.random(int(cut.sum())) * lengths[cut]).astype(np.uint32)
        # the last packet, cut off or not, ends where the memory does
        end = int(batch.offsets[-1] + lengths[-1])
        link = LinkType.ETHERNET if dice.random() < 0.8 else dice.choice(list(LinkType))
        wire = np.maximum(batch.wire, lengths)
        return replace(batch, data=self._memory.place(data[:end]), lengths=lengths, wire=wire, link=int(link))


def main() -> int:
    """Try so many packets; one line of JSON says what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checked", action="store_true", help="fail unless index checks are on")
    parser.add_argument("--beyond", action="store_true", help="read beyond the end, to show that it is noticed")
    options = parser.parse_args()
    checked = canaryRaises()
    if options.checked and not checked:
        print("the kernels do not check indices", file=sys.stderr)
        return 2
    if options.beyond:
        return GuardedMemory().beyond()
    fuzzer = PacketFuzzer(options.seed)
    fuzzer.step()
    began, early = time.perf_counter(), 0
    while fuzzer.packets < options.packets:
        fuzzer.step()
        early = early or (resident() if fuzzer.packets > options.packets / 5 else 0)
    told = {
        "packets": fuzzer.packets,
        "alone": fuzzer.alone,
        "seconds": time.perf_counter() - began,
        "checked": checked,
        "kinds": fuzzer.kinds.tolist(),
        "grown": resident() - (early or resident()),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
