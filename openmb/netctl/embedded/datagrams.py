"""
Fragments wait until their datagram is complete, so that no datagram is split over two paths.

As Linux does (C{nf_defrag}), but what is forwarded are the original fragments, back to back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import LinkType, joinBatches, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.fragments import FragmentLimits
from openmb.packets.headers import HEADERS, Decoded, Kind, Status

_KEY = ["source_high", "source_low", "destination_high", "destination_low", "fragment_id"]

#: What may wait at one port: as many datagrams, bytes, and nanoseconds.  30 s: C{net.ipv4.ipfrag_time} of Linux.
DEFAULT_LIMITS = FragmentLimits(datagrams=1024, bytes=4 << 20, age=30 * 1_000_000_000)

_FRAGMENT_COST = 256  # bytes of memory for a waiting fragment beside its contents

_Key = tuple[int, ...]


@dataclass(slots=True)
class _Waiting:
    """The fragments of one datagram so far."""

    since: int
    packets: list[bytes] = field(default_factory=list)
    wire: list[int] = field(default_factory=list)
    headers: list[NDArray[Any]] = field(default_factory=list)
    cost: int = 0

    def add(self, packet: bytes, wire: int, header: NDArray[Any]) -> int:
        self.packets.append(packet)
        self.wire.append(wire)
        self.headers.append(header)
        added = len(packet) + _FRAGMENT_COST
        self.cost += added
        return added

    def take(self, other: _Waiting) -> None:
        """Those of C{other} too, behind its own."""
        self.packets += other.packets
        self.wire += other.wire
        self.headers += other.headers
        self.cost += other.cost

    def release(self, stamp: int) -> Decoded:
        """All of them with one stamp, each with its own header."""
        stamps = [stamp] * len(self.packets)
        return Decoded(packetBatch(self.packets, stamps, LinkType.ETHERNET, self.wire), np.concatenate(self.headers))


class DatagramHold:
    """
    The fragments that wait at one port.

    When a datagram is complete is for the reassembly of L{openmb.packets} to say, which the middleboxes use too.

    @ivar given: incomplete datagrams that were let go, for their age or for want of room.
    """

    def __init__(self, limits: FragmentLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._reassembler = Decoder(checksums=False, reassemble=True, limits=limits)
        self._waiting: OrderedDict[_Key, _Waiting] = OrderedDict()
        self._cost = 0
        self.given = 0

    def __len__(self) -> int:
        """How many datagrams wait."""
        return len(self._waiting)

    @property
    def packets(self) -> int:
        """How many fragments wait."""
        return sum(len(datagram.packets) for datagram in self._waiting.values())

    def arrange(self, decoded: Decoded) -> Decoded:
        """
        Take the fragments out of C{decoded} and put completed datagrams in: all fragments of one where its last came,
        each with the headers of the whole datagram, so that its ports say where they go.

        Fragments that are let go incomplete keep their own headers, so that addresses and protocol say it.
        """
        places = np.flatnonzero(_canWait(decoded.headers))
        whole = self._reassembler.decode(decoded.packets.select(places)).headers
        pieces = list(self._tooOld(int(decoded.packets.stamps[0]))) if len(decoded) else []
        begin = 0
        for place, header in zip(places.tolist(), whole, strict=True):
            pieces.append(decoded.select(slice(begin, place)))
            pieces.extend(self._take(decoded, place, header))
            begin = place + 1
        pieces.append(decoded.select(slice(begin, None)))
        return _join(pieces)

    def expire(self, now: int) -> Decoded:
        """Let go what has waited too long at C{now}."""
        return _join(list(self._tooOld(now)))

    def flush(self, now: int) -> Decoded:
        """Let go everything."""
        return _join([self._giveUp(now) for _ in range(len(self._waiting))])

    def _take(self, decoded: Decoded, place: int, header: NDArray[Any]) -> Iterator[Decoded]:
        own = decoded.headers[place : place + 1].copy()
        stamp = int(decoded.packets.stamps[place])
        yield from self._tooOld(stamp)
        key: _Key = own[0][_KEY].item()
        datagram = self._waiting.setdefault(key, _Waiting(stamp))
        self._cost += datagram.add(decoded.packets.packet(place), int(decoded.packets.wire[place]), own)
        if header["status"] & Status.REASSEMBLED:
            inner: _Key = tuple(header[_KEY].item())
            if header["kind"] == Kind.FRAGMENT:
                self._hang(key, inner)
            else:
                yield self._complete(key, inner, stamp, header)
        while len(self._waiting) > self._limits.datagrams or self._cost > self._limits.bytes:
            yield self._giveUp(stamp)

    def _hang(self, key: _Key, inner: _Key) -> None:
        """A datagram is complete, but has a fragment of another inside: all of it waits for that one."""
        datagram = self._waiting.pop(key)
        self._waiting.setdefault(inner, _Waiting(datagram.since)).take(datagram)

    def _complete(self, key: _Key, inner: _Key, stamp: int, header: NDArray[Any]) -> Decoded:
        datagram = self._waiting.pop(inner) if inner in self._waiting else _Waiting(stamp)
        if key != inner:
            datagram.take(self._waiting.pop(key))
        self._cost -= datagram.cost
        released = datagram.release(stamp)
        released.headers[:] = header
        return released

    def _tooOld(self, now: int) -> Iterator[Decoded]:
        while self._waiting and now - next(iter(self._waiting.values())).since >= self._limits.age:
            yield self._giveUp(now)

    def _giveUp(self, now: int) -> Decoded:
        _, datagram = self._waiting.popitem(last=False)
        self._cost -= datagram.cost
        self.given += 1
        return datagram.release(now)


def hasFragments(headers: NDArray[Any]) -> bool:
    """Must a L{DatagramHold} see these packets?"""
    return bool((headers["kind"] == Kind.FRAGMENT).any())


def _canWait(headers: NDArray[Any]) -> NDArray[np.bool_]:
    """A fragment that was not captured whole can never be put together: it does not wait."""
    wanted: NDArray[np.bool_] = (headers["kind"] == Kind.FRAGMENT) & (headers["status"] & Status.TRUNCATED == 0)
    return wanted


def _join(pieces: list[Decoded]) -> Decoded:
    filled = [piece for piece in pieces if len(piece)]
    if len(filled) == 1:
        return filled[0]
    headers = [np.zeros(0, HEADERS), *(piece.headers for piece in filled)]
    return Decoded(joinBatches([piece.packets for piece in filled]), np.concatenate(headers))
