"""Traffic of scanners, and middleboxes that watch for it."""

from __future__ import annotations

from pathlib import Path

from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.policies.settings import Policy, PolicySettings
from tests.plugins.bro.running import makeBro
from tests.plugins.bro.wire import ACK, BEGIN, RST, SYN, tcp

SCANNER = "203.0.114.7"
EVERY = frozenset(Policy)
#: A quarter of a second, nanoseconds.
STEP = 250_000_000
#: Epochs begin at multiples of five minutes: so long before the next one begins.
START = BEGIN - BEGIN % (300 * 10**9) + 10**9


def victim(number: int) -> str:
    """An address that is scanned."""
    return f"10.1.{number // 200}.{1 + number % 200}"


def attempt(
    target: str, port: int, at: int, source: str = SCANNER, answer: str = "", sourcePort: int = 0
) -> list[tuple[bytes, int]]:
    """
    One connection that fails, and when its packets come.

    @param answer: what comes back: nothing, C{"reset"}, or C{"open"}, after which the scanner breaks off.
    """
    mine = sourcePort or 30_000 + at // STEP % 20_000
    packets = [(tcp(source, mine, target, port, SYN, 100), at)]
    if answer == "reset":
        packets.append((tcp(target, port, source, mine, RST | ACK, 0, 101), at + 1_000_000))
    elif answer == "open":
        packets.append((tcp(target, port, source, mine, SYN | ACK, 900, 101), at + 1_000_000))
        packets.append((tcp(source, mine, target, port, RST, 101), at + 2_000_000))
    return packets


def session(target: str, port: int, at: int, source: str = SCANNER) -> list[tuple[bytes, int]]:
    """A connection that opens, says something, and ends."""
    mine = 20_000 + at // STEP % 10_000
    steps = (
        tcp(source, mine, target, port, SYN, 100),
        tcp(target, port, source, mine, SYN | ACK, 900, 101),
        tcp(source, mine, target, port, ACK, 101, 901),
        tcp(source, mine, target, port, ACK, 101, 901, b"hello"),
        tcp(target, port, source, mine, ACK, 901, 106, b"yes"),
        tcp(source, mine, target, port, ACK | 1, 106, 904),
        tcp(target, port, source, mine, ACK | 1, 904, 107),
        tcp(source, mine, target, port, ACK, 107, 905),
    )
    return [(packet, at + place * 1_000_000) for place, packet in enumerate(steps)]


def batchOf(*parts: list[tuple[bytes, int]]) -> PacketBatch:
    """All packets, by time."""
    packets = sorted((packet for part in parts for packet in part), key=lambda each: each[1])
    return packetBatch([packet for packet, _ in packets], [stamp for _, stamp in packets], link=LinkType.RAW)


def sweep(count: int, port: int = 22, answer: str = "", first: int = 0, start: int = START) -> PacketBatch:
    """One port on C{count} addresses."""
    places = range(first, first + count)
    return batchOf(*(attempt(victim(each), port, start + each * STEP, answer=answer) for each in places))


def watching(folder: Path, **settings: object) -> BroMiddlebox:
    """A middlebox that follows every policy."""
    chosen = {"policies": EVERY, **settings}
    return makeBro(folder, policy=PolicySettings(**chosen))  # type: ignore[arg-type]


def feed(middlebox: BroMiddlebox, packets: PacketBatch) -> None:
    """Packets, and time until nothing is open any more."""
    middlebox.process(Decoder().decode(packets), None)
    if len(packets):
        middlebox.advance(int(packets.stamps.max()) + 60 * 10**9)
