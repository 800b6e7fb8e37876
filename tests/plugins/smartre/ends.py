"""Encoder and decoder over captures, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from openmb.packets.batch import PacketBatch, joinBatches
from openmb.packets.decode import Decoder
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.encoder import EncoderEnd
from openmb.plugins.smartre.settings import Role, SmartreSettings

#: Small ones, without feedback.
SETTINGS = SmartreSettings(Role.ENCODER, slots=4096, entries=1 << 16, gated=False, mtu=65535)


def makeEnds(settings: SmartreSettings = SETTINGS) -> tuple[EncoderEnd, DecoderEnd]:
    """An encoder and a decoder."""
    return EncoderEnd(settings), DecoderEnd(replace(settings, role=Role.DECODER))


def through(end: EncoderEnd | DecoderEnd, batches: Iterable[PacketBatch]) -> Iterator[PacketBatch]:
    """What an end sends on for each batch."""
    read = Decoder(checksums=False, reassemble=False)
    for batch in batches:
        forward = end.process(read.decode(batch), None).forward
        assert forward is not None
        yield forward


def pieces(batch: PacketBatch, size: int) -> Iterator[PacketBatch]:
    """The batch in batches of C{size}."""
    for begin in range(0, len(batch), size):
        yield batch.select(slice(begin, begin + size))


def contents(batches: Iterable[PacketBatch]) -> list[tuple[int, int, int, bytes]]:
    """Link type, stamp, bytes on the wire and bytes of every packet."""
    return [
        (batch.link, int(batch.stamps[place]), int(batch.wire[place]), batch.packet(place))
        for batch in batches
        for place in range(len(batch))
    ]


def onlyOne(batches: Iterable[PacketBatch]) -> PacketBatch:
    """All packets as one batch."""
    return joinBatches(list(batches))
