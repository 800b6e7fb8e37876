"""An encoder, two decoders, and a switch that sends packets to one or the other by their destination."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.smartre.plugin import SmartreDecoder, SmartreEncoder
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.plugins.smartre.statistics import undecodable
from openmb.state.taxonomy import Cell
from openmb.testing.smartre.network import Fault, isToEncoder

SUPPORTING, BOTH = (Cell.SUPPORTING_SHARED,), (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)
#: Ends that talk to each other; ends that do not.
TALKING = SmartreSettings(Role.ENCODER, slots=1024, entries=1 << 14, feedback=True, mtu=1500, bypass=False)
SILENT = replace(TALKING, gated=False, feedback=False)
#: What goes where: destinations 10.0.1.x and 10.0.2.x.
PREFIXES = "10.0.1.0/24", "10.0.2.0/24"


class Fabric:
    """
    @ivar behind: which decoder each prefix's third octet goes to.
    @ivar came: packets at the far end, with how often each came.
    @ivar isFollowed: decoder 1 is a clone of decoder 0, and hears of every change.
    """

    def __init__(self, settings: SmartreSettings = TALKING, seed: int = 0) -> None:
        self.encoder = SmartreEncoder(settings)
        self.decoders = [SmartreDecoder(replace(settings, role=Role.DECODER)) for _ in range(2)]
        for place, each in enumerate(self.decoders):
            each.identify(f"d{place}", bytes(16))
        self.behind = {1: 0, 2: 0}
        self.onward, self.back, self.chance = Fault(), Fault(), random.Random(seed)
        self.came: Counter[bytes] = Counter()
        self.isFollowed, self._now = False, 1_000_000_000

    def configure(self, **entries: Sequence[object]) -> None:
        """Write some of the encoder's configuration, one after the other."""
        for key, values in entries.items():
            write(self.encoder, {key: values})

    def send(self, packets: list[bytes], size: int = 32, step: int = 100_000) -> None:
        """Send packets, C{size} at a time, and C{step} nanoseconds apart, and let all ends talk."""
        for begin in range(0, len(packets), size):
            some = packets[begin : begin + size]
            self._now += step * len(some)
            self._exchange(self._encoded(some))

    def wait(self, nanoseconds: int) -> None:
        """Time passes, and all ends get a packet that concerns none of them."""
        self._now += nanoseconds
        self._exchange(self._encoded([bytes(60)]))

    def route(self, prefix: int, place: int) -> None:
        """
        Send a prefix's packets another way.

        Without the gate what was not announced yet is announced first, since the decoder of the other way has not seen
        these packets.
        """
        if not self.encoder.settings.gated:
            self.wait(10_000_000)
        self.behind[prefix] = place

    def _encoded(self, packets: list[bytes]) -> list[bytes]:
        return packetsOf(self.encoder.process(self._read(packets), None).forward) if packets else []

    def _read(self, packets: list[bytes]) -> Decoded:
        return Decoder(checksums=False, reassemble=False).decode(packetBatch(packets, [self._now] * len(packets)))

    def _exchange(self, packets: list[bytes]) -> None:
        for _ in range(30):
            arrived = self.onward.carry(packets, self.chance)
            messages = []
            for place in range(2):
                # a packet of nobody's is for both: time passes
                mine = [each for each in arrived if each[12:14] != b"\x08\0" or self.behind[each[32]] == place]
                sent = self._decoded(place, mine)
                messages += [packet for packet in sent if isToEncoder(packet)]
                self.came.update(packet for packet in sent if not isToEncoder(packet) and packet != bytes(60))
            packets = self._encoded(self.back.carry(messages, self.chance))
            if not packets:
                return

    def _decoded(self, place: int, packets: list[bytes]) -> list[bytes]:
        if not packets:
            return []
        source, clone = self.decoders
        decoded = self._read(packets)
        processed = self.decoders[place].process(decoded, None)
        if place == 0 and self.isFollowed:
            if processed.shared is not None and processed.shared.any():
                clone.reprocess(1, self._read([packets[each] for each in np.flatnonzero(processed.shared)]))
            for batch in source.sharedChanges(1):
                clone.putShared(1, batch)
        return packetsOf(processed.forward)

    # -- what a controller does

    def beginClone(self) -> None:
        """The configuration and the cut of a clone, from decoder 0 to 1."""
        source, clone = self.decoders
        write(clone, source.configuration.under("*"))
        assert source.governing == clone.governing
        clone.prepareShared(1, SUPPORTING)
        for step in source.getShared(1, SUPPORTING, 3):
            for batch in step:
                clone.putShared(1, batch)
        self.isFollowed = True

    def finishClone(self) -> None:
        """The copy becomes decoder 1's own."""
        self.isFollowed = False
        self.decoders[1].commitShared(1)
        self.decoders[0].delShared(1)

    def mergeBack(self, cells: Sequence[Cell] = BOTH) -> None:
        """Everything that decoder 1 has to decoder 0."""
        source, destination = self.decoders[1], self.decoders[0]
        destination.prepareShared(2, cells)
        for step in source.takeShared(2, cells, 3):
            for batch in step:
                destination.putShared(2, batch)
        destination.commitShared(2)
        source.delShared(2)

    # -- what came of it

    def count(self, name: str, place: int | None = None) -> int:
        """A counter of one decoder or of both, as they count."""
        chosen = self.decoders if place is None else [self.decoders[place]]
        return sum(int(each.statistics[name][0]) for each in chosen)

    def accounts(self) -> tuple[int, int]:
        """Encoded packets that came to decoders, and what is known of them: decoded, recovered, dropped, held."""
        known = came = 0
        for each in self.decoders:
            row = each.statistics[0]
            known += int(row["decoded"]) + int(row["recovered"]) + undecodable(row)
            known += len(each.asking.holding) if each.asking is not None else 0
            came += int(row["encoded"]) + int(row["malformed"])
        return came, known


def write(end: SmartreEncoder | SmartreDecoder, entries: Mapping[str, Iterable[object]]) -> None:
    """As a host writes configuration."""
    end.configure(end.configuration.changed({key: tuple(map(str, values)) for key, values in entries.items()}))


def packetsOf(batch: PacketBatch | None) -> list[bytes]:
    """Its packets."""
    return [] if batch is None else [batch.packet(place) for place in range(len(batch))]


def contentsOf(end: SmartreDecoder) -> dict[int, dict[int, bytes | None]]:
    """Every packet in every cache."""
    stores = {number: cache.decoder.store for number, cache in end.caches.items()}
    return {number: {int(id): store.payload(int(id)) for id in store.held()} for number, store in stores.items()}
