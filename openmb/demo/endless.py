"""
A capture without an end: the same conversations again and again, by other clients, later.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.errors import CaptureError
from openmb.packets.batch import LinkType, PacketBatch, joinBatches
from openmb.packets.capture import Capture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Status

#: Rounds that differ in their clients' addresses; later ones have the addresses of earlier ones, hours later.
ROUNDS = 230 * 120
#: Nanoseconds between the last packet of a round and the first of the next.
PAUSE = 50_000_000
_TCP, _UDP = 6, 17
#: Where the checksum stands in the transport header.
_CHECKSUM = {_TCP: 16, _UDP: 6}


class Endless:
    """
    A capture whose every round has clients of its own: 10.9.1.x and 10.9.2.x become other hosts of 10.0.0.0/8 in each.

    Checksums stay as right or wrong as they were; stamps rise from round to round; servers stay.

    @ivar stopping: set it, and the round under way is the last.
    @ivar span: nanoseconds from the first packet of one round to the first of the next.
    """

    def __init__(self, capture: Capture, checksums: bool = True) -> None:
        self.path: Path = capture.path
        self.remarks: list[str] = []
        self.stopping = False
        whole = joinBatches(list(capture.batches()))
        if whole.link != LinkType.ETHERNET or not len(whole):
            raise CaptureError(f"{capture.path}: only Ethernet captures can be repeated")
        self._whole = whole.compact()
        headers = Decoder(checksums=False, reassemble=False).decode(self._whole).headers
        self.span = int(self._whole.stamps.max() - self._whole.stamps.min()) + PAUSE
        self._clients, self._sums = _places(self._whole, headers)

    def batches(self, limit: int = 4096) -> Iterator[PacketBatch]:
        """See L{Capture.batches}."""
        number = 0
        while not self.stopping:
            whole = self.round(number)
            for start in range(0, len(whole), limit):
                yield whole.select(slice(start, start + limit))
            number += 1

    def round(self, number: int) -> PacketBatch:
        """One round; the same for the same number."""
        whole = self._whole
        data = whole.data.copy()
        network, block = 16 + number // 120 % 230, 2 * (number % 120)
        old = _words(data, self._clients)
        data[self._clients + 1] = network
        data[self._clients + 2] += block
        change = _words(data, self._clients) - old
        self._correct(data, change)
        stamps = whole.stamps + number * self.span
        return PacketBatch(data, whole.offsets, whole.lengths, whole.wire, stamps, whole.link)

    def _correct(self, data: NDArray[np.uint8], change: NDArray[np.int64]) -> None:
        """Bring the checksums up to date (RFC 1624): C{change} is by how much each address's words have grown."""
        places, which = self._sums
        total = np.zeros(len(places), np.int64)
        np.add.at(total, which[:, 0], change[which[:, 1]])
        old = data[places].astype(np.int64) * 256 + data[places + 1]
        new = (0xFFFF - old) + total % 0xFFFF
        for _ in range(2):
            new = (new & 0xFFFF) + (new >> 16)
        new = 0xFFFF - new
        data[places], data[places + 1] = new >> 8, new & 0xFF


def _words(data: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of the two 16-bit words of each address."""
    values = [data[places + byte].astype(np.int64) for byte in range(4)]
    return (values[0] + values[2]) * 256 + values[1] + values[3]


def _places(
    whole: PacketBatch, headers: NDArray[np.void]
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """
    Where the clients' addresses stand; and where checksums over them do, with C{int64[n, 2]}: which checksum, which
    address.
    """
    network = whole.offsets + headers["network"]
    has = (headers["kind"] <= 5) & (headers["kind"] > 0) & (headers["status"] & Status.IPV6 == 0)
    network = network[has & (headers["network"] + 20 <= whole.lengths)]
    lengths = (whole.offsets + whole.lengths)[has & (headers["network"] + 20 <= whole.lengths)]
    places, owners = _clientsOf(whole.data, network)
    sums = [network + 10]
    links = [np.stack([owners, np.arange(len(places))], axis=1)]
    transport = _transportSums(whole.data, network, lengths)
    of = np.flatnonzero(transport >= 0)
    position = np.full(len(network), -1, np.int64)
    position[of] = len(network) + np.arange(len(of))
    sums.append(transport[of])
    covered = position[owners] >= 0
    links.append(np.stack([position[owners[covered]], np.flatnonzero(covered)], axis=1))
    return places, (np.concatenate(sums), np.concatenate(links))


def _clientsOf(data: NDArray[np.uint8], network: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of all clients' addresses in IPv4 headers at C{network}, and in which header each stands."""
    both = np.concatenate([network + 12, network + 16])
    header = np.tile(np.arange(len(network)), 2)
    client = (data[both] == 10) & (data[both + 1] == 9) & np.isin(data[both + 2], (1, 2))
    return both[client], header[client]


def _transportSums(data: NDArray[np.uint8], network: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the transport checksum of each packet stands; -1: there is none."""
    first = ((data[network + 6] & 0x1F) == 0) & (data[network + 7] == 0)
    start = network + (data[network] & 0x0F).astype(np.int64) * 4
    found = np.full(len(network), -1, np.int64)
    for protocol, offset in _CHECKSUM.items():
        these = first & (data[network + 9] == protocol) & (start + offset + 2 <= ends)
        found[these] = start[these] + offset
    used = found >= 0
    used[used] &= (data[found[used]] != 0) | (data[found[used] + 1] != 0)
    return np.where(used, found, -1)
