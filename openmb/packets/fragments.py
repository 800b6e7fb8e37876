"""
Putting IP datagrams together from their fragments.

The rules are Zeek's: datagrams are told apart by addresses and identification (not by protocol), the first copy of a
byte wins, the header is that of the fragment that arrived first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Kind, Status
from openmb.packets.tunnels import MOST_TUNNELS

_LARGEST = 65535
_PIECE_COST = 128  # bytes of memory for each piece beside its contents
_EXTENSIONS_AT = 40
_AUTHENTICATION = 51
_FIELDS = ["stamp", "status", "source_high", "source_low", "destination_high", "destination_low", "fragment_id"]

_Key = tuple[int, ...]

#: Decodes one packet of the link type at hand: an entry of C{HEADERS}.
DecodeOne = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class FragmentLimits:
    """
    What a reassembly may keep.

    @ivar datagrams: incomplete datagrams.
    @ivar bytes: their memory.
    @ivar age: nanoseconds of packet time after a datagram's first fragment.
    """

    datagrams: int = 4096
    bytes: int = 16 * 1024 * 1024
    age: int = 300 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Fragment:
    """One fragment: the IP header before it (without IPv6's fragment header), its place and its bytes."""

    header: bytes
    protocol: int
    start: int
    data: bytes
    more: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """
    A datagram that a fragment completed.

    @ivar place: of the fragment in its batch.
    @ivar packet: the fragment's link header, and the IP packet.
    @ivar identification: of its fragments.
    @ivar tunnelled: a fragment was inside a tunnel; the tunnel's own headers are not in C{packet}.
    @ivar waits: it holds a fragment of a datagram inside that is not complete yet.
    """

    place: int
    packet: bytes
    identification: int
    tunnelled: bool
    waits: bool


@dataclass(slots=True)
class _Datagram:
    """
    A datagram that is not complete yet.

    @ivar header: of the fragment that came first.
    @ivar protocol: next header of the fragment with offset 0.
    @ivar starts: where the pieces begin, ascending; they do not overlap.
    @ivar size: bytes of data, once the last fragment was seen.
    """

    created: int
    header: bytes
    protocol: int | None = None
    starts: list[int] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    covered: int = 0
    highest: int = 0
    ended: bool = False

    @property
    def isComplete(self) -> bool:
        return self.ended and self.covered == self.highest

    @property
    def cost(self) -> int:
        return self.covered + _PIECE_COST * (1 + len(self.pieces))

    def add(self, fragment: _Fragment) -> None:
        """Take what is new of a fragment."""
        if fragment.start == 0 and self.protocol is None:
            self.protocol = fragment.protocol
        end = fragment.start + len(fragment.data)
        self.highest = max(self.highest, end)
        self.ended |= not fragment.more
        at = fragment.start
        while at < end:
            index = bisect_right(self.starts, at)
            known = self.starts[index - 1] + len(self.pieces[index - 1]) if index else 0
            if known > at:
                at = known
                continue
            until = min(end, self.starts[index]) if index < len(self.starts) else end
            self.starts.insert(index, at)
            self.pieces.insert(index, fragment.data[at - fragment.start : until - fragment.start])
            self.covered += until - at
            at = until

    def build(self) -> bytes | None:
        """The whole IP packet, or None when it would exceed what a length field can say."""
        data = b"".join(self.pieces)
        isSix = self.header[0] >> 4 == 6
        if len(self.header) + len(data) - (_EXTENSIONS_AT if isSix else 0) > _LARGEST:
            return None
        if isSix:
            return _headerSix(self.header, len(data), self.protocol or 0) + data
        return _headerFour(self.header, len(data)) + data


def _headerFour(header: bytes, size: int) -> bytes:
    """An IPv4 header for C{size} bytes of data, not fragmented, with its checksum."""
    made = bytearray(header)
    made[2:4] = (len(header) + size).to_bytes(2, "big")
    made[6:8] = bytes((made[6] & 0xC0, 0))
    made[10:12] = bytes(2)
    total = int(np.frombuffer(made, ">u2").sum(dtype=np.int64))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    made[10:12] = (total ^ 0xFFFF).to_bytes(2, "big")
    return bytes(made)


def _headerSix(header: bytes, size: int, protocol: int) -> bytes:
    """An IPv6 header with its extension headers for C{size} bytes of data of C{protocol}."""
    made = bytearray(header)
    made[4:6] = (len(header) + size - _EXTENSIONS_AT).to_bytes(2, "big")
    link, kind, place = 6, header[6], _EXTENSIONS_AT
    while place < len(header):
        length = (header[place + 1] + 2) * 4 if kind == _AUTHENTICATION else (header[place + 1] + 1) * 8
        link, kind, place = place, header[place], place + length
    made[link] = protocol
    return bytes(made)


class Reassembler:
    """
    Holds incomplete datagrams, within limits.

    @ivar completed: datagrams put together.
    @ivar expired: given up, too old.
    @ivar evicted: given up, the oldest first, for want of room.
    @ivar refused: fragments that cannot be part of any datagram, and datagrams that came out too large.
    """

    def __init__(self, limits: FragmentLimits) -> None:
        self._limits = limits
        self._datagrams: OrderedDict[_Key, _Datagram] = OrderedDict()
        self._cost = 0
        self.completed = 0
        self.expired = 0
        self.evicted = 0
        self.refused = 0

    def addAll(self, batch: PacketBatch, headers: NDArray[Any], decode: DecodeOne) -> list[Whole]:
        """
        Take the fragments among the packets, in order, and those in tunnels inside what they complete.

        @return: the datagrams that were completed.
        """
        found: list[Whole] = []
        usable = (headers["kind"] == Kind.FRAGMENT) & (headers["status"] & Status.TRUNCATED == 0)
        for place in np.flatnonzero(usable).tolist():
            whole = self._addNested(place, headers[place], batch.packet(place), decode)
            if whole is not None:
                found.append(whole)
        return found

    def _addNested(self, place: int, row: Any, packet: bytes, decode: DecodeOne) -> Whole | None:
        """Add a fragment; if it completes a tunnel's packet with a fragment inside, that too."""
        whole, tunnelled = None, False
        for _ in range(MOST_TUNNELS + 1):
            data = self._add(row, _cutFragment(row, packet))
            if data is None:
                return whole
            tunnelled |= bool(row["status"] & Status.TUNNELLED)
            packet = packet[: outermost(row)] + data
            row, identification = decode(packet), int(row["fragment_id"])
            waits = bool(row["kind"] == Kind.FRAGMENT)
            whole = Whole(place, packet, identification, tunnelled, waits)
            if not waits:
                return whole
        return whole

    def _add(self, row: Any, fragment: _Fragment) -> bytes | None:
        if (fragment.more and not fragment.data) or fragment.start + len(fragment.data) > _LARGEST:
            self.refused += 1
            return None
        stamp, status, *rest = row[_FIELDS].item()
        key = (status & Status.IPV6, *rest)
        self._expire(stamp)
        datagram = self._find(key, stamp, fragment.header)
        before = datagram.cost
        datagram.add(fragment)
        self._cost += datagram.cost - before
        if not datagram.isComplete:
            self._evict()
            return None
        return self._finish(key, datagram)

    def _find(self, key: _Key, stamp: int, header: bytes) -> _Datagram:
        datagram = self._datagrams.get(key)
        if datagram is None:
            datagram = self._datagrams[key] = _Datagram(stamp, header)
            self._cost += datagram.cost
        return datagram

    def _finish(self, key: _Key, datagram: _Datagram) -> bytes | None:
        self._drop(key)
        whole = datagram.build()
        self.completed += whole is not None
        self.refused += whole is None
        return whole

    def _drop(self, key: _Key) -> None:
        self._cost -= self._datagrams.pop(key).cost

    def _expire(self, now: int) -> None:
        """Give up what is too old; datagrams stand in the order in which they began."""
        while self._datagrams:
            key, oldest = next(iter(self._datagrams.items()))
            if now - oldest.created < self._limits.age:
                return
            self._drop(key)
            self.expired += 1

    def _evict(self) -> None:
        while len(self._datagrams) > self._limits.datagrams or self._cost > self._limits.bytes:
            self._drop(next(iter(self._datagrams)))
            self.evicted += 1


def outermost(row: Any) -> int:
    """Where the outermost IP header of a decoded packet begins."""
    return int(row["outer"] if row["status"] & Status.TUNNELLED else row["network"])


def _cutFragment(row: Any, packet: bytes) -> _Fragment:
    """What the reassembly needs of a fragment, all of whose bytes were captured."""
    network, transport = int(row["network"]), int(row["transport"])
    header = packet[network : transport - 8 if row["status"] & Status.IPV6 else transport]
    return _Fragment(
        header,
        int(row["protocol"]),
        int(row["fragment_offset"]),
        packet[transport : transport + int(row["length"])],
        bool(row["more_fragments"]),
    )
