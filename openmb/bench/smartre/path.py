"""
The whole path in line, as a codec: packets in, encoded packets between, packets out; parsing and framing included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from openmb.bench.smartre.codecs import Stopwatch
from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.plugins.smartre.payloads import payloadsOf
from openmb.plugins.smartre.plugin import SmartreDecoder, SmartreEncoder
from openmb.plugins.smartre.settings import Role, SmartreSettings

_SETTINGS = SmartreSettings(Role.ENCODER, gated=False)


class InLine:
    """
    Both ends, fed with the batches of a data set; payloads are only looked at in the end.

    @param dictionary: of the second stage, None: there is none.
    """

    def __init__(self, batches: Sequence[PacketBatch], dictionary: Path | None = None) -> None:
        self._batches = batches
        self._parser = Decoder(checksums=False, reassemble=False)
        settings = replace(_SETTINGS, secondStage=dictionary is not None, dictionary=dictionary)
        self.encoder = SmartreEncoder(settings)
        self._decoder = SmartreDecoder(replace(settings, role=Role.DECODER))
        self._size = 0
        self._between: list[PacketBatch] = []
        self._out: list[PacketBatch] = []

    @property
    def carried(self) -> int:
        """Bytes of payload that travelled, shims and announcements included, of those that an encoder looks at."""
        row = self.encoder.statistics[0]
        return int(row["payload_out"]) - (int(row["payload_in"]) - self._size)

    def prepare(self, payloads: Sequence[bytes]) -> None:
        """See C{Codec}: they stand in the batches."""
        for store in (self.encoder.caches[0].encoder.store, self._decoder.cacheOf(0).decoder.store):
            store.payloads.fill(0)
        self._size = sum(map(len, payloads))

    def encode(self, watch: Stopwatch) -> None:
        """See C{Codec}."""
        self._between = [self._forwarded(self.encoder, batch, watch) for batch in self._batches]

    def decode(self, watch: Stopwatch) -> None:
        """See C{Codec}."""
        self._out = [self._forwarded(self._decoder, batch, watch) for batch in self._between]

    def _forwarded(self, end: SmartreEncoder | SmartreDecoder, batch: PacketBatch, watch: Stopwatch) -> PacketBatch:
        with watch:
            forward = end.process(self._parser.decode(batch), None).forward
        assert forward is not None  # an in-line kind forwards
        return replace(forward, data=forward.data.copy())

    def decoded(self) -> list[bytes]:
        """See C{Codec}: the payloads, and where a packet differs from what went in, something else."""
        payloads: list[bytes] = []
        for before, after in zip(self._batches, self._out, strict=True):
            payloads += payloadsOf(self._parser.decode(after)) if _octets(before) == _octets(after) else [b""]
        return payloads


def _octets(batch: PacketBatch) -> list[bytes]:
    ends = batch.offsets + batch.lengths
    return [batch.data[begin:end].tobytes() for begin, end in zip(batch.offsets.tolist(), ends.tolist(), strict=True)]
