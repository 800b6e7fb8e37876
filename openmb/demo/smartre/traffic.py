"""
Receivers that fetch pages from one server, some pages far more often than others.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

SERVER = "10.1.0.1"
#: Bytes of payload in a packet; pages, and their bytes at most; receivers in each half of the network.
SIZE, PAGES, LARGEST, RECEIVERS = 1400, 80, 60_000, 8
#: The network of the server, and the two halves of that of the receivers.
SERVERS, STAYING, MOVING = "10.1.0.0/24", "10.2.0.0/25", "10.2.0.128/25"


def frames(seed: int, count: int) -> list[bytes]:
    """So many packets of TCP over IPv4 and Ethernet: pages to receivers, several at a time."""
    chance = random.Random(seed)
    pages = [_page(chance) for _ in range(PAGES)]
    weights = [1 / place for place in range(1, PAGES + 1)]
    made: list[bytes] = []
    under: list[Iterator[bytes]] = []
    while len(made) < count:
        if len(under) < RECEIVERS:
            page = chance.choices(pages, weights)[0]
            under.append(_fetch(page, chance, len(made)))
        one = chance.choice(under)
        packet = next(one, None)
        if packet is None:
            under.remove(one)
        else:
            made.append(_framed(packet, len(made)))
    return made


def _page(chance: random.Random) -> bytes:
    words = [b"%x" % chance.getrandbits(chance.randrange(8, 40)) for _ in range(2000)]
    size = chance.randrange(2000, LARGEST)
    text = b""
    while len(text) < size:
        text += b"<p>" + b" ".join(chance.choices(words, k=12)) + b"</p>\n"
    return text


def _fetch(page: bytes, chance: random.Random, number: int) -> Iterator[bytes]:
    """The segments of one answer, each with its IP header, without id and checksum."""
    receiver = bytes((10, 2, 0, chance.randrange(RECEIVERS) + chance.choice((1, 129))))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Request: %d\r\n\r\n" % (len(page), number) + page
    port = 1024 + number % 60_000
    for place in range(0, len(answer), SIZE):
        payload = answer[place : place + SIZE]
        tcp = struct.pack(">HHIIBBHHH", 80, port, place + 1, 1, 0x50, 0x10, 8192, 0, 0)
        size = 40 + len(payload)
        head = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, 6, 0) + bytes((10, 1, 0, 1)) + receiver
        yield head + tcp + payload


def _framed(packet: bytes, number: int) -> bytes:
    """With an id of its own, so that no two packets are equal, and the checksum of its header."""
    head = bytearray(packet[:20])
    struct.pack_into(">H", head, 4, number & 0xFFFF)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", head, 10, 0xFFFF - ((total & 0xFFFF) + (total >> 16)))
    return bytes(12) + b"\x08\x00" + bytes(head) + packet[20:]
