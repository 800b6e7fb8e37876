"""Compiles the kernels of this package."""

from __future__ import annotations

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.marker import buildMarker
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter


def warmUp() -> None:
    """Compile the kernels: write, read and decode a packet, with checksums and without."""
    writer = PcapStreamWriter(LinkType.ETHERNET)
    batch = packetBatch([buildMarker(1, bytes(16), 1, False)], [0])
    for read in PcapStreamReader().feed(writer.header() + writer.records(batch)):
        for checksums in (True, False):
            Decoder(checksums).decode(read)
