"""
Compiles the kernels of the kind C{smartre}.
"""

from __future__ import annotations

from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.smartre import decoding, encoding, hashing, secondstage, store
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.encoder import EncoderEnd
from openmb.plugins.smartre.settings import Role, SmartreSettings

#: An Ethernet frame with 64 bytes of payload over UDP, with a right header checksum.
_FRAME = bytes(12) + bytes.fromhex("0800 4500005c000000004011668f0a0000010a000002 0001000200480000".replace(" ", ""))


def warmUp() -> None:
    """Send a packet twice, through an encoder and a decoder."""
    secondstage.warmUp()
    # of clones and forks; packets wait while they are made
    for each in (store, encoding, decoding, hashing):
        each.warmUp()
    few = SmartreSettings(Role.ENCODER, slots=64, entries=64, gated=False)
    encoder, decoder = EncoderEnd(few), DecoderEnd(few)
    read = Decoder(checksums=False, reassemble=False)
    frame = _FRAME + bytes(64)
    batch: PacketBatch = encoder.forwarded(read.decode(packetBatch([frame, frame], [0, 0])))
    decoder.forwarded(read.decode(batch))
