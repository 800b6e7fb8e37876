"""
Packets made one by one: out of batches, and into batches.
"""

from __future__ import annotations

from openmb.errors import ProtocolError
from openmb.packets.batch import PacketBatch, joinBatches, packetBatch
from openmb.plugins.smartre.envelope import Envelope
from openmb.plugins.smartre.format import Message, parseMessage


def envelopeOf(batch: PacketBatch, index: int, network: int, header: int) -> Envelope:
    """Link header and IP header of a packet, C{network} and C{header} bytes."""
    begin = int(batch.offsets[index])
    return Envelope(batch.data[begin : begin + network + header].tobytes(), network, int(batch.link))


def messageAt(batch: PacketBatch, start: int, length: int) -> Message | None:
    """The message that lies at C{start} of the batch's data; None: it is none."""
    try:
        return parseMessage(batch.data[start : start + length].tobytes())
    except ProtocolError:
        return None


def inserted(batch: PacketBatch, more: list[tuple[int, bytes, int]]) -> PacketBatch:
    """The batch, with packets in front of those at some places: place, packet, stamp."""
    if not more:
        return batch
    parts, begin = [], 0
    for place, packet, stamp in sorted(more):
        parts += [batch.select(slice(begin, place)), packetBatch([packet], [stamp], link=batch.link)]
        begin = place
    return joinBatches([*parts, batch.select(slice(begin, len(batch)))])


def appended(batch: PacketBatch, packets: list[bytes], stamp: int) -> PacketBatch:
    """The batch, and then C{packets}."""
    if not packets:
        return batch
    more = packetBatch(packets, [stamp] * len(packets), link=batch.link)
    return joinBatches([batch, more]) if len(batch) else more
