"""
pcapng captures, read block by block with python-pcapng; stamps keep every digit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pcapng
from pcapng import blocks
from pcapng.exceptions import PcapngException, TruncatedFile

from openmb.errors import CaptureError
from openmb.packets.batch import PacketBatch, packetBatch

_MAGIC = b"\n\r\r\n"
_BILLION = 1_000_000_000
_MICROSECONDS = 6
_LARGEST_STAMP = 2**63
#: What the library raises on blocks that are wrong in themselves, beside its own errors.
_WRONG_BLOCK = (PcapngException, ValueError, TypeError, LookupError, AttributeError, AssertionError, struct.error)


def isPcapng(start: bytes) -> bool:
    """Whether a file that begins with these bytes is pcapng."""
    return start[:4] == _MAGIC


@dataclass(frozen=True, slots=True)
class _Packet:
    link: int
    stamp: int
    data: bytes
    wire: int


@dataclass(slots=True)
class _Gathered:
    """Packets of one link type, on their way to a batch."""

    link: int
    packets: list[bytes] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    wire: list[int] = field(default_factory=list)

    def add(self, packet: _Packet) -> None:
        self.link = packet.link
        self.packets.append(packet.data)
        self.stamps.append(packet.stamp)
        self.wire.append(packet.wire)

    def batch(self) -> PacketBatch:
        return packetBatch(self.packets, self.stamps, self.link, self.wire)


class PcapngCapture:
    """A pcapng file; see L{openmb.packets.capture.Capture}."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remarks: list[str] = []

    def batches(self, limit: int = 4096) -> Iterator[PacketBatch]:
        """The packets; where the link type changes (interfaces of several types) a new batch begins."""
        gathered = _Gathered(-1)
        for packet in self._packets():
            if gathered.stamps and (packet.link != gathered.link or len(gathered.stamps) >= limit):
                yield gathered.batch()
                gathered = _Gathered(packet.link)
            gathered.add(packet)
        if gathered.stamps:
            yield gathered.batch()

    def _packets(self) -> Iterator[_Packet]:
        stamp = end = 0
        try:
            with open(self.path, "rb") as file:
                for block in pcapng.FileScanner(file):
                    end = file.tell()
                    if isinstance(block, blocks.BasePacketBlock):
                        packet = _readPacket(block, stamp)
                        stamp = packet.stamp
                        yield packet
                cutOff = file.tell() > end
        except TruncatedFile:
            cutOff = True
        except _WRONG_BLOCK as error:
            raise CaptureError(f"{self.path}: a block is wrong: {error or type(error).__name__}") from error
        except OSError as error:
            raise CaptureError(f"cannot read {self.path}: {error.strerror}") from error
        if cutOff:
            self.remarks.append(f"the last block, at byte {end}, is cut off and was left out")


def _readPacket(block: Any, before: int) -> _Packet:
    """The packet in a block; a simple packet block has no stamp and gets C{before}, that of the packet before."""
    stamp = before if isinstance(block, blocks.SimplePacket) else _readStamp(block)
    data = block.packet_data
    return _Packet(block.interface.link_type, stamp, data, max(block.packet_len, len(data)))


def _readStamp(block: Any) -> int:
    """A packet's stamp in nanoseconds, by the resolution and offset of its interface."""
    options = block.interface.options
    ticks = (block.timestamp_high << 32) | block.timestamp_low
    resolution = options["if_tsresol"][0] if "if_tsresol" in options else _MICROSECONDS
    units = 1 << (resolution & 127) if resolution & 128 else 10**resolution
    stamp = int(ticks * _BILLION // units)
    if "if_tsoffset" in options:
        stamp += options["if_tsoffset"] * _BILLION
    if not -_LARGEST_STAMP <= stamp < _LARGEST_STAMP:
        raise ValueError(f"time stamp of {stamp // _BILLION} seconds is out of range")
    return stamp
