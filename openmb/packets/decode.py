"""
Decoding: from a batch of packets to what each of them says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets import decodekernel as kernel
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.fragments import FragmentLimits, Reassembler, Whole
from openmb.packets.headers import HEADERS, Decoded, Kind, Status
from openmb.packets.loads import plainArrays

#: Before all stamps.
_NEVER = np.iinfo(np.int64).min

_fillHeaders: Any = kernel.fillHeaders


@dataclass(frozen=True, slots=True)
class DecodeCounts:
    """
    What a decoder met since it was made.

    @ivar packets: all of them.
    @ivar ignored: not IP.
    @ivar malformed: an IP header that is cut off, impossible, or of a wrong checksum.
    @ivar markers: drain markers.
    @ivar fragments: packets that were part of a datagram.
    @ivar reassembled: datagrams put together from these.
    @ivar expired: datagrams given up because the rest did not come in time.
    @ivar evicted: datagrams given up for want of room.
    @ivar refused: fragments that cannot be part of any datagram.
    @ivar badHeaderChecksums: IPv4 headers of a wrong checksum (also counted as malformed).
    @ivar badChecksums: transport checksums that are wrong.
    @ivar badTransports: transport headers that are cut off or impossible.
    @ivar truncated: packets of which fewer bytes were captured than their length field says.
    """

    packets: int
    ignored: int
    malformed: int
    markers: int
    fragments: int
    reassembled: int
    expired: int
    evicted: int
    refused: int
    badHeaderChecksums: int
    badChecksums: int
    badTransports: int
    truncated: int


class Decoder:
    """
    Decodes batches of packets and puts datagrams together from their fragments.

    Network time never goes back: a packet's C{clock} is the latest stamp up to it. The stamps of a switch never go back
    either, and there each packet's own stamp is the clock, whatever else this decoder has seen: so a packet has the
    same clock at every instance that meets it.

    @param checksums: verify the IPv4 header checksum and the transport checksums.
    @param reassemble: put datagrams together; otherwise fragments stay fragments.
    @param limits: what the reassembly may keep, and how long.
    @param ordered: the stamps of the source never go back; False for a capture, whose stamps may.
    """

    def __init__(
        self,
        checksums: bool = True,
        reassemble: bool = True,
        limits: FragmentLimits | None = None,
        ordered: bool = True,
    ) -> None:
        self._checksums = checksums
        self._reassembler = Reassembler(limits or FragmentLimits()) if reassemble else None
        self._tally = np.zeros(kernel.TALLY_LENGTH, np.int64)
        self._packets = 0
        self._fragments = 0
        self._ordered = ordered
        self._latest = _NEVER

    def decode(self, batch: PacketBatch) -> Decoded:
        """
        Decode C{batch}; batches come in the order of the packets.

        @return: as many entries as packets.  Where a fragment completed a datagram the entry is that of the whole
            datagram, with C{Status.REASSEMBLED}; then the result's C{packets} are a copy with the datagrams at the end
            of C{data}.  Where it has a fragment of another datagram inside, in a tunnel, that is not complete, the
            entry is that fragment's.
        """
        headers = np.zeros(len(batch), HEADERS)
        fragments = self._fill(batch, headers, self._tally)
        self._packets += len(batch)
        self._fragments += fragments
        if fragments and self._reassembler is not None:
            batch = self._reassemble(self._reassembler, batch, headers)
        headers["clock"] = headers["stamp"] if self._ordered else self._networkTime(headers["stamp"])
        return Decoded(batch, headers)

    def _networkTime(self, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each packet the latest stamp up to it, that of earlier batches included."""
        clock: NDArray[np.int64] = np.maximum(np.maximum.accumulate(stamps), self._latest)
        if len(clock):
            self._latest = int(clock[-1])
        return clock

    def _fill(self, batch: PacketBatch, headers: NDArray[Any], tally: NDArray[np.int64]) -> int:
        return int(_fillHeaders(*plainArrays(batch), int(batch.link), self._checksums, headers, tally))

    def _reassemble(self, reassembler: Reassembler, batch: PacketBatch, headers: NDArray[Any]) -> PacketBatch:
        """Feed the fragments to the reassembly; put what became whole in the place of the completing fragment."""
        found = reassembler.addAll(batch, headers, partial(self._decodeOne, batch.link))
        if not found:
            return batch
        where = np.array([whole.place for whole in found], np.intp)
        batch = _replacePackets(batch, where, [whole.packet for whole in found])
        rows = np.zeros(len(where), HEADERS)
        self._fill(batch.select(where), rows, self._tally)
        _remark(rows, found)
        headers[where] = rows
        return batch

    def _decodeOne(self, link: int, packet: bytes) -> Any:
        """The headers of one packet, which is not counted."""
        row = np.zeros(1, HEADERS)
        self._fill(packetBatch([packet], [0], link), row, np.zeros_like(self._tally))
        return row[0]

    @property
    def counts(self) -> DecodeCounts:
        """What was met so far."""
        tally = self._tally.tolist()
        store = self._reassembler
        return DecodeCounts(
            packets=self._packets,
            ignored=tally[Kind.IGNORED],
            malformed=tally[Kind.MALFORMED],
            markers=tally[Kind.MARKER],
            fragments=self._fragments,
            reassembled=store.completed if store else 0,
            expired=store.expired if store else 0,
            evicted=store.evicted if store else 0,
            refused=store.refused if store else 0,
            badHeaderChecksums=tally[kernel.BAD_HEADER_CHECKSUMS],
            badChecksums=tally[kernel.BAD_CHECKSUMS],
            badTransports=tally[kernel.BAD_TRANSPORTS],
            truncated=tally[kernel.TRUNCATIONS],
        )


def _remark(rows: NDArray[Any], found: list[Whole]) -> None:
    """Note in the headers of datagrams what their bytes do not say."""
    rows["status"] |= np.uint8(Status.REASSEMBLED)
    for row, whole in zip(rows, found, strict=True):
        if not whole.waits:
            row["fragment_id"] = whole.identification
        if whole.tunnelled and not row["status"] & Status.TUNNELLED:
            row["outer"] = row["network"]
            row["status"] |= Status.TUNNELLED


def _replacePackets(batch: PacketBatch, where: NDArray[np.intp], datagrams: list[bytes]) -> PacketBatch:
    """A copy of C{batch} with other bytes for the packets at C{where}, kept behind those of all the others."""
    own = batch.compact()
    sizes = np.fromiter(map(len, datagrams), np.uint32, len(datagrams))
    offsets, lengths, wire = own.offsets.copy(), own.lengths.copy(), own.wire.copy()
    offsets[where] = len(own.data) + np.cumsum(sizes, dtype=np.int64) - sizes
    lengths[where] = sizes
    wire[where] = sizes
    data = np.concatenate([own.data, np.frombuffer(b"".join(datagrams), np.uint8)])
    return PacketBatch(data, offsets, lengths, wire, own.stamps, own.link)
