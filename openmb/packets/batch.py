"""
Batches of packets: one contiguous buffer, and arrays that say where each packet lies.

Everything that yields packets yields batches, so that the work for each packet can be done by kernels over arrays.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class LinkType(enum.IntEnum):
    """The link types that are decoded; the numbers are those of the pcap formats (LINKTYPE_*)."""

    NULL = 0
    ETHERNET = 1
    PPP = 9
    FDDI = 10
    RAW_BSD = 12
    PPP_SERIAL = 50
    RAW = 101
    IEEE802_11 = 105
    LINUX_SLL = 113
    IEEE802_11_RADIOTAP = 127
    IPV4 = 228
    IPV6 = 229
    NFLOG = 239
    LINUX_SLL2 = 276


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """
    C{n} packets of one link type.

    @ivar data: the bytes, C{uint8}, one dimension; packets need not lie side by side nor in order.
    @ivar offsets: C{int64[n]}, where each packet's captured bytes begin in C{data}.
    @ivar lengths: C{uint32[n]}, captured bytes.
    @ivar wire: C{uint32[n]}, bytes on the wire (at least C{lengths}).
    @ivar stamps: C{int64[n]}, the network's time stamps in nanoseconds since the epoch.
    @ivar link: the link type number; types that L{LinkType} does not name are decoded as raw IP.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.uint32]
    wire: NDArray[np.uint32]
    stamps: NDArray[np.int64]
    link: int

    def __len__(self) -> int:
        return len(self.offsets)

    def packet(self, index: int) -> bytes:
        """The captured bytes of one packet."""
        start = int(self.offsets[index])
        return self.data[start : start + int(self.lengths[index])].tobytes()

    def select(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> PacketBatch:
        """The packets at C{which} (indices, mask or slice), sharing C{data}."""
        return PacketBatch(
            self.data, self.offsets[which], self.lengths[which], self.wire[which], self.stamps[which], self.link
        )

    def compact(self) -> PacketBatch:
        """A copy whose C{data} holds only these packets, side by side in order."""
        ends = np.cumsum(self.lengths, dtype=np.int64)
        offsets = ends - self.lengths
        total = int(ends[-1]) if len(ends) else 0
        # position of every output byte in the input: start of its packet plus its place in the packet
        places = np.arange(total, dtype=np.int64) + np.repeat(self.offsets - offsets, self.lengths)
        return PacketBatch(
            self.data[places], offsets, self.lengths.copy(), self.wire.copy(), self.stamps.copy(), self.link
        )


def packetBatch(
    packets: Sequence[bytes],
    stamps: Sequence[int],
    link: int = LinkType.ETHERNET,
    wire: Sequence[int] | None = None,
) -> PacketBatch:
    """A batch of the given packets; C{stamps} in nanoseconds, C{wire} lengths are the captured ones unless given."""
    lengths = np.fromiter(map(len, packets), dtype=np.uint32, count=len(packets))
    return PacketBatch(
        np.frombuffer(b"".join(packets), dtype=np.uint8),
        np.cumsum(lengths, dtype=np.int64) - lengths,
        lengths,
        lengths.copy() if wire is None else np.asarray(wire, dtype=np.uint32),
        np.asarray(stamps, dtype=np.int64),
        int(link),
    )


def emptyBatch(link: int = LinkType.ETHERNET) -> PacketBatch:
    """A batch without packets."""
    return packetBatch((), (), link)


def joinBatches(batches: Sequence[PacketBatch]) -> PacketBatch:
    """One batch of all packets of C{batches} (same link type), in order."""
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return emptyBatch()
    parts = [batch.compact() for batch in batches]
    bases = np.cumsum([0] + [len(part.data) for part in parts])
    return PacketBatch(
        np.concatenate([part.data for part in parts]),
        np.concatenate([part.offsets + base for part, base in zip(parts, bases, strict=False)]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.wire for part in parts]),
        np.concatenate([part.stamps for part in parts]),
        parts[0].link,
    )
