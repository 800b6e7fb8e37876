"""
Traffic of the benchmark's own: as many flows as wanted, of mixed kinds, with right checksums; the same every time.

Seven of ten flows are plain TCP, two UDP, one HTTP in which, at any time, about every second connection waits for the
answer to its request.  If one wants, every second UDP flow is DNS.  Everything is made by the matrix: one row a packet,
one matrix for each kind and step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import LinkType, PacketBatch, joinBatches
from openmb.packets.pcap import PcapHeader, writeRecords

CLIENT, SERVER = 0, 1
#: 1 January 2024, in nanoseconds.
EPOCH = 1_704_067_200_000_000_000
#: Flows that are handled together.
GROUP = 4096

_SYN, _ACK, _FIN, _PUSH = 2, 16, 1, 8
_REQUEST = b"GET /item/00000000 HTTP/1.1\r\nHost: www.example.test\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + 20 * b"."
#: An id, the rest of a header, a name (with the flow's number), A, IN; an answer has one record more.
_NAME = b"\x0chost00000000\x07example\x04test\0\0\1\0\1"
_QUERY = b"\0\0\1\0\0\1\0\0\0\0\0\0" + _NAME
_REPLY = b"\0\0\x81\x80\0\1\0\1\0\0\0\0" + _NAME + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
_PLAIN, _DATAGRAM, _WEB, _LOOKUP = range(4)
_MIX = np.array([_PLAIN, _PLAIN, _DATAGRAM, _PLAIN, _WEB, _PLAIN, _DATAGRAM, _PLAIN, _PLAIN, _PLAIN], np.uint8)
#: Of which of ten flows datagrams are DNS, if that is asked for.
_ASKING = 6
_PORTS = np.array([9000, 5000, 80, 53])
_SIZES = np.array([200, 120])

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]


class Traffic:
    """
    C{flows} flows and their packets.

    @param gap: nanoseconds between two packets.
    @param first: number of the first flow: its addresses and its kind follow from its number.
    @param queries: there is DNS; each such flow has always a query, or two, without an answer.
    @ivar made: packets made so far.
    """

    def __init__(self, flows: int, gap: int = 20_000, seed: int = 1, first: int = 0, queries: bool = False) -> None:
        index = first + np.arange(flows, dtype=np.int64)
        self.flows, self.made = flows, 0
        self._gap = gap
        self._kind = _MIX[index % len(_MIX)]
        if queries:
            self._kind[index % len(_MIX) == _ASKING] = _LOOKUP
        self._address = np.stack([0x0A000001 + index // 16, 0xC0A80001 + index % 200])
        self._port = np.stack([40000 + index % 16, _PORTS[self._kind]])
        self._sequence = np.random.default_rng(seed).integers(0, 1 << 32, (2, flows), np.int64)
        self._round = 0

    def opening(self) -> Iterator[PacketBatch]:
        """Every flow begins: handshakes, one datagram each way, and a request that waits for its answer."""
        for group in self._groups():
            streams, datagrams, web, lookups = self._split(group)
            yield self._stamped(
                [
                    self._segments(streams, CLIENT, _SYN, _nothing(streams)),
                    self._segments(streams, SERVER, _SYN | _ACK, _nothing(streams)),
                    self._segments(streams, CLIENT, _ACK, _nothing(streams)),
                    self._datagrams(datagrams, CLIENT),
                    self._datagrams(datagrams, SERVER),
                    self._segments(web, CLIENT, _ACK | _PUSH, _numbered(_REQUEST, web)),
                    *(self._datagrams(lookups, CLIENT, _asking(_QUERY, lookups, number)) for number in (0, 1)),
                ]
            )

    def round(self) -> Iterator[PacketBatch]:
        """One packet of every flow: answers and data of the servers and of the clients, turn by turn."""
        side = SERVER if self._round % 2 == 0 else CLIENT
        number, form = (self._round // 2, _REPLY) if side == SERVER else (self._round // 2 + 2, _QUERY)
        self._round += 1
        for group in self._groups():
            streams, datagrams, web, lookups = self._split(group)
            plain = np.setdiff1d(streams, web, assume_unique=True)
            pages = _repeated(_ANSWER, len(web)) if side == SERVER else _numbered(_REQUEST, web)
            parts = [
                self._segments(plain, side, _ACK | _PUSH, np.full((len(plain), _SIZES[side]), 0x78, np.uint8)),
                self._datagrams(datagrams, side),
                self._segments(web, side, _ACK | _PUSH, pages),
                self._datagrams(lookups, side, _asking(form, lookups, number)),
            ]
            order = np.argsort(np.concatenate([plain, datagrams, web, lookups]), kind="stable")
            yield self._stamped(parts, order)

    def closing(self) -> Iterator[PacketBatch]:
        """Every TCP connection is closed by both sides; requests that waited are answered before."""
        for group in self._groups():
            streams, _, web, _ = self._split(group)
            parts = []
            if self._round % 2 == 0:
                parts.append(self._segments(web, SERVER, _ACK | _PUSH, _repeated(_ANSWER, len(web))))
            for side, flags in ((CLIENT, _FIN | _ACK), (SERVER, _FIN | _ACK), (CLIENT, _ACK)):
                parts.append(self._segments(streams, side, flags, _nothing(streams)))
            yield self._stamped(parts)

    @property
    def ending(self) -> int:
        """How many packets L{closing} would make now."""
        streams, _, web, _ = self._split(np.arange(self.flows))
        return 3 * len(streams) + (len(web) if self._round % 2 == 0 else 0)

    def _groups(self) -> Iterator[Numbers]:
        for start in range(0, self.flows, GROUP):
            yield np.arange(start, min(start + GROUP, self.flows))

    def _split(self, group: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """TCP flows, UDP flows without meaning, those of the TCP flows that speak HTTP, and DNS."""
        kind = self._kind[group]
        streams = group[(kind != _DATAGRAM) & (kind != _LOOKUP)]
        return streams, group[kind == _DATAGRAM], group[kind == _WEB], group[kind == _LOOKUP]

    def _stamped(self, parts: list[PacketBatch], order: NDArray[np.intp] | None = None) -> PacketBatch:
        batch = joinBatches(parts)
        if order is not None:
            batch = batch.select(order)
        stamps = EPOCH + self._gap * (self.made + np.arange(len(batch), dtype=np.int64))
        self.made += len(batch)
        return PacketBatch(batch.data, batch.offsets, batch.lengths, batch.wire, stamps, batch.link)

    def _segments(self, flows: Numbers, side: int, flags: int, payload: Bytes) -> PacketBatch:
        """One TCP segment of each of C{flows}."""
        acknowledged = self._sequence[1 - side, flows] if flags & _ACK else np.zeros(len(flows), np.int64)
        header = np.zeros((len(flows), 20), np.uint8)
        self._putPorts(header, flows, side)
        _put(header, 4, 4, self._sequence[side, flows])
        _put(header, 8, 4, acknowledged)
        header[:, 12], header[:, 13] = 0x50, flags
        _put(header, 14, 2, np.full(len(flows), 65000))
        used = payload.shape[1] + (1 if flags & (_SYN | _FIN) else 0)
        self._sequence[side, flows] = (self._sequence[side, flows] + used) & 0xFFFFFFFF
        return self._frames(flows, side, 6, np.concatenate([header, payload], axis=1), 16)

    def _datagrams(self, flows: Numbers, side: int, payload: Bytes | None = None) -> PacketBatch:
        """One datagram of each of C{flows}; without C{payload} it holds 60 zeros."""
        if payload is None:
            payload = np.zeros((len(flows), 60), np.uint8)
        body = np.concatenate([np.zeros((len(flows), 8), np.uint8), payload], axis=1)
        self._putPorts(body, flows, side)
        _put(body, 4, 2, np.full(len(flows), body.shape[1]))
        return self._frames(flows, side, 17, body, 6)

    def _putPorts(self, header: Bytes, flows: Numbers, side: int) -> None:
        _put(header, 0, 2, self._port[side, flows])
        _put(header, 2, 2, self._port[1 - side, flows])

    def _frames(self, flows: Numbers, side: int, protocol: int, body: Bytes, checksum: int) -> PacketBatch:
        """Ethernet frames around transport headers whose checksum, at byte C{checksum}, is still to be filled in."""
        count, size = body.shape
        head = np.zeros((count, 34), np.uint8)
        head[:, 12], head[:, 14], head[:, 22], head[:, 23] = 8, 0x45, 64, protocol
        _put(head, 16, 2, np.full(count, 20 + size))
        _put(head, 26, 4, self._address[side, flows])
        _put(head, 30, 4, self._address[1 - side, flows])
        _put(head, 24, 2, _complement(_wordSum(head[:, 14:])))
        _put(body, checksum, 2, _complement(_wordSum(head[:, 26:]) + protocol + size + _wordSum(body)))
        lengths = np.full(count, 34 + size, np.uint32)
        offsets = np.arange(count, dtype=np.int64) * (34 + size)
        data = np.concatenate([head, body], axis=1).reshape(-1)
        return PacketBatch(data, offsets, lengths, lengths.copy(), np.zeros(count, np.int64), LinkType.ETHERNET)


def _nothing(flows: Numbers) -> Bytes:
    return np.zeros((len(flows), 0), np.uint8)


def _repeated(text: bytes, count: int) -> Bytes:
    return np.tile(np.frombuffer(text, np.uint8), (count, 1))


def _numbered(text: bytes, flows: Numbers) -> Bytes:
    """C{text} for each flow, with the flow's number where it has eight zeros."""
    rows, start = _repeated(text, len(flows)), text.index(b"00000000")
    for place in range(8):
        rows[:, start + place] += (flows // 10 ** (7 - place) % 10).astype(np.uint8)
    return rows


def _asking(form: bytes, flows: Numbers, number: int) -> Bytes:
    """A query of each flow, or the reply to it, by the query's number."""
    messages = _numbered(form, flows)
    _put(messages, 0, 2, flows * 16 + number)
    return messages


def _put(rows: Bytes, start: int, size: int, values: Numbers) -> None:
    """Write one big-endian number of C{size} bytes into each row."""
    for place in range(size):
        rows[:, start + place] = (values >> (8 * (size - 1 - place))) & 0xFF


def _wordSum(rows: Bytes) -> Numbers:
    """The sum of each row's big-endian 16-bit words."""
    sums: Numbers = rows[:, 0::2].sum(axis=1, dtype=np.int64) * 256 + rows[:, 1::2].sum(axis=1, dtype=np.int64)
    return sums


def _complement(sums: Numbers) -> Numbers:
    """The Internet checksum (RFC 1071) that belongs to sums of words."""
    for _ in range(2):
        sums = (sums & 0xFFFF) + (sums >> 16)
    sums = ~sums & 0xFFFF
    return np.where(sums == 0, 0xFFFF, sums)


def packetsOf(flows: int, packets: int) -> Iterator[PacketBatch]:
    """A whole history of C{flows} flows of about C{packets} packets: opening, rounds, closing."""
    traffic = Traffic(flows)
    yield from traffic.opening()
    while traffic.made + traffic.ending < packets:
        yield from traffic.round()
    yield from traffic.closing()


class CaptureWriter:
    """Writes batches to a capture file with nanosecond stamps."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(PcapHeader(LinkType.ETHERNET, nanoseconds=True, bigEndian=False).build())

    def write(self, batch: PacketBatch) -> None:
        """Add packets."""
        self._file.write(writeRecords(batch, nanoseconds=True))

    def close(self) -> None:
        """The capture is complete."""
        self._file.close()


def writeCapture(path: Path, flows: int, packets: int) -> int:
    """Write the history of L{packetsOf} to a capture file; how many packets there are."""
    writer, count = CaptureWriter(path), 0
    for batch in packetsOf(flows, packets):
        writer.write(batch)
        count += len(batch)
    writer.close()
    return count
