"""
All connections of a capture, mixed and in order of time; the same every time for one size and seed.
"""

from __future__ import annotations

import heapq
import itertools
import random
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from openmb.bench.web import names, others, pages
from openmb.bench.web.talk import Ends, Frame, Talk
from openmb.bench.web.truth import Truth
from openmb.packets.batch import LinkType
from openmb.packets.pcap import PcapHeader

#: 1 January 2024, in microseconds; and microseconds from one connection to the next, at most.
EPOCH, SPACING = 1_704_067_200_000_000, 20_000
#: As large as the capture that real Zeek's 57 s were measured with.
CONNECTIONS = 90_000

_Script = Callable[[Talk, Truth], None]
#: What is spoken, of a thousand connections how many, over TCP, and at which port. FTP (8, and 8 of data) is the rest.
_KINDS: tuple[tuple[_Script, int, bool, int], ...] = (
    (pages.web, 620, True, 80),
    (names.lookUp, 150, False, 53),
    (names.lookUpByStream, 10, True, 53),
    (others.tls, 60, True, 443),
    (others.ssh, 10, True, 22),
    (others.smtp, 14, True, 25),
    (others.ntp, 20, False, 123),
    (others.snmp, 15, False, 161),
    (others.stream, 35, True, 9001),
    (others.datagrams, 20, False, 40001),
    (others.scan, 30, True, 7001),
)
_CONTROL = 8
_RECORD = struct.Struct("<IIII")


class Mixture:
    """
    C{connections} connections; their packets come out of L{frames}, and what they mean goes into L{truth}.

    @ivar truth: complete when L{frames} has ended.
    """

    def __init__(self, connections: int = CONNECTIONS, seed: int = 1) -> None:
        self.truth = Truth()
        self._chance = random.Random(seed)
        self._connections, self._made = connections, 0

    def frames(self) -> Iterator[Frame]:
        """Every frame, in order of time."""
        waiting: list[tuple[int, int, bytes]] = []
        number, now = itertools.count(), EPOCH
        while self._made < self._connections:
            now += int(self._chance.random() * SPACING)
            while waiting and waiting[0][0] < now:
                yield self._next(waiting)
            for stamp, frame in self._connection(now):
                heapq.heappush(waiting, (stamp, next(number), frame))
        while waiting:
            yield self._next(waiting)

    def _next(self, waiting: list[tuple[int, int, bytes]]) -> Frame:
        stamp, _, frame = heapq.heappop(waiting)
        self.truth.packets += 1
        return stamp, frame

    def _connection(self, now: int) -> list[Frame]:
        """One connection, or two of FTP."""
        number = self._chance.randrange(sum(share for _, share, _, _ in _KINDS) + _CONTROL)
        for script, share, tcp, port in _KINDS:
            if number < share:
                talk = self._talk(now, tcp, port)
                script(talk, self.truth)
                return talk.frames
            number -= share
        talk, data = self._talk(now, True, 21), self._talk(now, True, self._chance.randrange(30000, 31000))
        data.ends = Ends(talk.ends.client, data.ends.clientPort, talk.ends.server, data.ends.serverPort)
        others.ftp(talk, self.truth, data)
        return talk.frames + data.frames

    def _talk(self, now: int, tcp: bool, port: int) -> Talk:
        """A connection with a client's port of its own."""
        number = self._made
        self._made += 1
        client = bytes([10, 1 + number // 40_000 % 250, number % 20, number // 20 % 200])
        server = bytes([192, 0, 2, 1 + self._chance.randrange(200)])
        return Talk(Ends(client, 20_000 + number % 40_000, server, port), now, self._chance, tcp)


def writeMixture(path: Path, connections: int, seed: int) -> Truth:
    """Write a capture; what its logs must say."""
    mixture = Mixture(connections, seed)
    with path.open("wb") as file:
        file.write(PcapHeader(LinkType.ETHERNET, nanoseconds=False, bigEndian=False).build())
        for stamp, frame in mixture.frames():
            file.write(_RECORD.pack(*divmod(stamp, 1_000_000), len(frame), len(frame)) + frame)
    return mixture.truth


def truthOf(connections: int, seed: int) -> Truth:
    """What the logs must say of the capture that L{writeMixture} makes."""
    mixture = Mixture(connections, seed)
    for _ in mixture.frames():
        pass
    return mixture.truth


if __name__ == "__main__":
    writeMixture(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
