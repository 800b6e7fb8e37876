"""
The traffic of one run: waves of flows that begin, talk and end while others are under way, none like any other.

Flows come in three classes, by their servers: those that always go to the first middlebox, those that always go to the
second, and those that move.  In each there are TCP, HTTP, UDP and DNS, so that every log has rows.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from openmb.bench.traffic import EPOCH, Traffic
from openmb.packets.batch import PacketBatch, packetBatch

#: Flows of a wave: one to each of the traffic's servers.
WAVE = 200
#: Waves at a time, packets from one's beginning to the next one's at least, and rounds of data in each.
TOGETHER, APART, ROUNDS = 3, 560, 3
#: Packets of one wave before those of the next get their turn.
TURN = 24
#: Nanoseconds of packet time between two packets, and from one run to the next: longer than every time-out.
GAP, BETWEEN = 10_000_000, 4 * 3600 * 1_000_000_000
#: The prefix of all servers of L{openmb.bench.traffic}, and the number of hosts to each class.
_SERVERS, _SHARE = 0xC0A80000, 64


class Class(enum.Enum):
    """Which way a flow goes."""

    FIRST = "first"
    SECOND = "second"
    MOVING = "moving"

    @property
    def flows(self) -> str:
        """Its flows as a header field list; the first middlebox gets everything that no other list takes."""
        return {
            Class.FIRST: "*",
            Class.SECOND: f"ip,nw_dst=192.168.0.{_SHARE}/26",
            Class.MOVING: f"ip,nw_dst=192.168.0.{2 * _SHARE}/26",
        }[self]

    @staticmethod
    def of(server: int) -> Class:
        """The class of the flows to a server, by its IPv4 address."""
        return {1: Class.SECOND, 2: Class.MOVING}.get((server - _SERVERS) // _SHARE, Class.FIRST)


class Waves:
    """
    The waves of one run.

    @param number: of the run; its flows and its stamps are its own.
    @ivar ending: set it, and no new wave begins; those under way come to their ends.
    """

    def __init__(self, number: int, waves: int = 1000) -> None:
        self.ending = False
        self._first, self._most = number * waves * WAVE, waves
        self._begin = EPOCH + number * BETWEEN
        self._made = self._begun = 0
        self._active: list[Iterator[PacketBatch]] = []

    def batches(self) -> Iterator[PacketBatch]:
        """Packets in the order in which they are to be sent, stamped."""
        while self._active or not self.ending:
            if not self.ending and len(self._active) < TOGETHER and self._made >= self._begun * APART:
                self._active.append(self._wave())
            for wave in tuple(self._active):
                batch = next(wave, None)
                if batch is None:
                    self._active.remove(wave)
                else:
                    yield self._stamped(batch)

    def last(self) -> PacketBatch:
        """A datagram of each class, hours later: whatever a middlebox still holds of this run, it reports then."""
        parts = [Traffic(WAVE, first=self._first + self._most * WAVE - WAVE).opening()]
        whole = next(iter(parts[0]))
        later = self._begin + BETWEEN // 2
        datagrams = [each for each in range(len(whole)) if whole.packet(each)[23] == 17]
        return packetBatch([whole.packet(each) for each in datagrams], [later + each for each in range(len(datagrams))])

    def _wave(self) -> Iterator[PacketBatch]:
        if self._begun >= self._most - 1:
            raise ValueError("a run has only so many waves")
        first = self._first + self._begun * WAVE
        traffic = Traffic(WAVE, first=first, seed=self._first + self._begun, queries=True)
        self._begun += 1
        return _turns(traffic)

    def _stamped(self, batch: PacketBatch) -> PacketBatch:
        stamps: NDArray[np.int64] = self._begin + GAP * (self._made + np.arange(len(batch), dtype=np.int64))
        self._made += len(batch)
        return PacketBatch(batch.data, batch.offsets, batch.lengths, batch.wire, stamps, batch.link)


def _turns(traffic: Traffic) -> Iterator[PacketBatch]:
    """A wave's whole life, a few packets at a time."""
    for step in (traffic.opening, *(traffic.round for _ in range(ROUNDS)), traffic.closing):
        for batch in step():
            for start in range(0, len(batch), TURN):
                yield batch.select(slice(start, start + TURN))
