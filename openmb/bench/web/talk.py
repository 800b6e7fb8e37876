"""
One connection as frames: Ethernet, IPv4, TCP or UDP, with right checksums.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

from openmb.bench.web.truth import ConnRow, seconds

CLIENT, SERVER = 0, 1
SEGMENT = 1448

_FIN, _SYN, _RST, _PUSH, _ACK = 1, 2, 4, 8, 16
_ETHERNET = bytes.fromhex("0200000000010200000000020800")
_NETWORK = struct.Struct("!HHIBBH4s4s")
_STREAM = struct.Struct("!HHIIHHHH")
_DATAGRAM = struct.Struct("!HHHH")
_TCP, _UDP = 6, 17

#: Microseconds since the epoch, and a frame.
Frame = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Ends:
    """Addresses (four bytes) and ports of client and server."""

    client: bytes
    clientPort: int
    server: bytes
    serverPort: int

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """As the logs show them."""
        return _dotted(self.client), str(self.clientPort), _dotted(self.server), str(self.serverPort)


@dataclass(frozen=True, slots=True)
class Mishaps:
    """
    What happens to a run of segments on its way.

    @ivar swapped: its second and third segments change places.
    @ivar repeated: its last segment comes twice.
    @ivar lost: its second segment was never seen, and yet is acknowledged.
    """

    swapped: bool = False
    repeated: bool = False
    lost: bool = False


NONE = Mishaps()


@dataclass(slots=True)
class Talk:
    """
    A connection that is being made up.

    @ivar now: microseconds since the epoch: when its latest packet was.
    """

    ends: Ends
    now: int
    chance: random.Random
    tcp: bool = True
    frames: list[Frame] = field(default_factory=list)
    _sequence: list[int] = field(default_factory=list)
    _sent: list[int] = field(default_factory=lambda: [0, 0])
    _packets: list[int] = field(default_factory=lambda: [0, 0])
    _missed: int = 0

    def __post_init__(self) -> None:
        self._sequence = [self.chance.getrandbits(32), self.chance.getrandbits(32)]

    def wait(self, most: int) -> None:
        """Up to C{most} microseconds pass."""
        self.now += 1 + int(self.chance.random() * most)

    def open(self) -> None:
        """The handshake."""
        self._segment(CLIENT, _SYN)
        self._segment(SERVER, _SYN | _ACK)
        self._segment(CLIENT, _ACK)

    def probe(self, isRefused: bool) -> None:
        """A SYN to which nobody answers, or that is refused."""
        self._segment(CLIENT, _SYN)
        if isRefused:
            self._segment(SERVER, _RST | _ACK)

    def acknowledge(self, side: int) -> None:
        """A segment without data."""
        self._segment(side, _ACK)

    def close(self) -> None:
        """Both sides end."""
        self._segment(CLIENT, _FIN | _ACK)
        self._segment(SERVER, _FIN | _ACK)
        self._segment(CLIENT, _ACK)

    def say(self, side: int, data: bytes, mishaps: Mishaps = NONE, size: int = SEGMENT) -> None:
        """Bytes in segments of at most C{size}; mishaps only if there are enough of them."""
        starts = list(range(0, len(data), size))
        if mishaps.swapped and len(starts) > 3:
            starts[1], starts[2] = starts[2], starts[1]
        first = self._sequence[side]
        for place, start in enumerate(starts):
            part = data[start : start + size]
            if mishaps.lost and place == 1 and len(starts) > 2:
                self._missed += len(part)
                continue
            self._segment(side, _ACK | _PUSH, part, first + start)
        if mishaps.repeated and starts:
            self._segment(side, _ACK | _PUSH, data[starts[-1] : starts[-1] + size], first + starts[-1])
        self._sequence[side] = first + len(data)
        self._sent[side] += len(data)

    def datagram(self, side: int, data: bytes) -> None:
        """One datagram."""
        source, target = self._ports(side)
        self._sent[side] += len(data)
        head = _DATAGRAM.pack(source, target, 8 + len(data), 0)
        self._frame(side, _UDP, head, data, 6)

    def row(self, service: str, state: str) -> ConnRow:
        """What conn.log must say of it."""
        stamps = (self.frames[0][0], self.frames[-1][0])
        sizes = [str(each) for each in self._sent] if stamps[1] > stamps[0] else ["-", "-"]
        counts = (str(self._missed), str(self._packets[CLIENT]), str(self._packets[SERVER]))
        protocol = "tcp" if self.tcp else "udp"
        return (seconds(stamps[0]), *self.ends.texts, protocol, service, sizes[0], sizes[1], state, *counts)

    def _ports(self, side: int) -> tuple[int, int]:
        ports = (self.ends.clientPort, self.ends.serverPort)
        return ports[side], ports[1 - side]

    def _segment(self, side: int, flags: int, data: bytes = b"", sequence: int | None = None) -> None:
        source, target = self._ports(side)
        number = self._sequence[side] if sequence is None else sequence
        acknowledged = self._sequence[1 - side] & 0xFFFFFFFF if flags & _ACK else 0
        head = _STREAM.pack(source, target, number & 0xFFFFFFFF, acknowledged, 0x5000 | flags, 65000, 0, 0)
        self._frame(side, _TCP, head, data, 16)
        if flags & (_SYN | _FIN):
            self._sequence[side] += 1

    def _frame(self, side: int, protocol: int, head: bytes, data: bytes, checksum: int) -> None:
        """Fill in both checksums: RFC 1071's sum is the number that the words make, modulo 65,535."""
        pair = (self.ends.client, self.ends.server) if side == CLIENT else (self.ends.server, self.ends.client)
        addresses, size = int.from_bytes(pair[0] + pair[1], "big"), len(head) + len(data)
        outer = (0x4500 + 20 + size + 0x4000 + (64 << 8 | protocol) + addresses) % 0xFFFF
        network = _NETWORK.pack(0x4500, 20 + size, 0x4000, 64, protocol, 0xFFFF - outer, *pair)
        words = int.from_bytes(head + data + b"\0" * (size & 1), "big")
        inner = 0xFFFF - (words + addresses + protocol + size) % 0xFFFF
        whole = head[:checksum] + inner.to_bytes(2, "big") + head[checksum + 2 :]
        self.wait(1500)
        self._packets[side] += 1
        self.frames.append((self.now, _ETHERNET + network + whole + data))


def _dotted(address: bytes) -> str:
    return ".".join(str(each) for each in address)
