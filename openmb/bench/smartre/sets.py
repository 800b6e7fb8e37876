"""
What codecs are measured with: packets of a capture, or of half redundant bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.bench.traffic import EPOCH
from openmb.errors import CaptureError
from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.plugins.smartre.payloads import payloadsOf

#: Packets of a batch on the in-line path, and payloads that are encoded at once.
BATCH, AT_ONCE = 256, 64
#: Of the synthetic set: bytes of a payload, share of them that was sent before, shortest run, packets they are out of.
SIZE, SHARE, SHORTEST, WITHIN = 1400, 0.5, 64, 32_768
_SERVER, _RECEIVER = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))


@dataclass(frozen=True, slots=True)
class DataSet:
    """
    One set.

    @ivar batches: the packets, as a middlebox gets them; C{payloads}: what an encoder looks at in them.
    """

    name: str
    batches: tuple[PacketBatch, ...]
    payloads: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return sum(map(len, self.payloads))


def synthetic(packets: int, seed: int = 1, name: str = "synthetic") -> DataSet:
    """
    Payloads of 1,400 bytes, half of them in runs out of the last 32,768 packets: of 64 to 1,400 bytes, the logarithm of
    their length uniform, from any place to any place; the rest is chance.
    """
    rng = np.random.default_rng(seed)
    made = np.empty((packets, SIZE), np.uint8)
    for number in range(packets):
        made[number] = _payload(rng, made[max(0, number - WITHIN) : number])
    payloads = [row.tobytes() for row in made]
    return DataSet(name, tuple(_framed(payloads)), tuple(payloads))


def _payload(rng: np.random.Generator, before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    payload = np.frombuffer(rng.bytes(SIZE), np.uint8).copy()
    at = 0
    while len(before) and at < SIZE - SHORTEST:
        run = min(int(np.exp(rng.uniform(np.log(SHORTEST), np.log(SIZE)))), SIZE - at)
        if rng.random() < SHARE:
            start = int(rng.integers(SIZE - run + 1))
            payload[at : at + run] = before[rng.integers(len(before)), start : start + run]
        at += run
    return payload


def _framed(payloads: Sequence[bytes]) -> list[PacketBatch]:
    """Each as a TCP segment over IPv4 and Ethernet."""
    frames = [frameOf(number, payload) for number, payload in enumerate(payloads)]
    return [_batchOf(frames[place : place + BATCH], place) for place in range(0, len(frames), BATCH)]


def frameOf(number: int, payload: bytes, receiver: bytes = _RECEIVER) -> bytes:
    """A TCP segment over IPv4 and Ethernet, the checksum of its IP header right."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), number & 0xFFFF, 0x4000, 64, 6, 0) + _SERVER + receiver
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    check = struct.pack(">H", 0xFFFF - ((total & 0xFFFF) + (total >> 16)))
    tcp = struct.pack(">HHIIBBHHH", 80, 40_000, number * SIZE & 0xFFFFFFFF, 0, 0x50, 0x18, 8192, 0, 0)
    return bytes(12) + b"\x08\x00" + head[:10] + check + head[12:] + tcp + payload


def _batchOf(frames: Sequence[bytes], first: int) -> PacketBatch:
    lengths = np.fromiter(map(len, frames), np.uint32, len(frames))
    offsets = np.cumsum(lengths, dtype=np.int64) - lengths
    stamps = EPOCH + 10_000 * np.arange(first, first + len(frames), dtype=np.int64)
    data = np.frombuffer(b"".join(frames), np.uint8)
    return PacketBatch(data, offsets, lengths, lengths.copy(), stamps, LinkType.ETHERNET)


def ofCapture(path: Path) -> DataSet:
    """
    The packets of a capture.

    @raise CaptureError: it cannot be read, or there is nothing in it to encode.
    """
    decoder = Decoder(checksums=False, reassemble=False)
    batches, payloads = [], []
    for batch in openCapture(path).batches(BATCH):
        batches.append(batch)
        payloads += payloadsOf(decoder.decode(batch))
    if not payloads:
        raise CaptureError(f"{path}: no payloads that an encoder would look at")
    return DataSet(path.stem, tuple(batches), tuple(payloads))
