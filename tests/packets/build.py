"""
Packets made by hand, byte by byte with struct, with right checksums; nothing here uses the code under test.
"""

from __future__ import annotations

import ipaddress
import struct

MACS = bytes.fromhex("020000000002020000000001")
CLIENT, SERVER = "10.1.2.3", "192.0.2.80"
CLIENT6, SERVER6 = "2001:db8::1", "2001:db8:0:1::50"


def internetSum(data: bytes) -> int:
    """The checksum of RFC 1071, the slow and obvious way."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    form = "!HH" if first.version == 4 else "!II"
    return (
        first.packed
        + second.packed
        + struct.pack(form, *((protocol, length) if first.version == 4 else (length, protocol)))
    )


def tcp(
    payload: bytes = b"",
    *,
    ports: tuple[int, int] = (40000, 80),
    sequence: int = 1000,
    acknowledgement: int = 2000,
    flags: int = 0x18,
    window: int = 8192,
    options: bytes = b"",
    between: tuple[str, str] = (CLIENT, SERVER),
    spoil: int = 0,
    offset: int | None = None,
) -> bytes:
    words = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledgement, words << 4, flags, window, 0, 0) + options
    check = internetSum(pseudo(*between, 6, len(head) + len(payload)) + head + payload) ^ spoil
    return head[:16] + struct.pack("!H", check) + head[18:] + payload


def udp(
    payload: bytes = b"",
    *,
    ports: tuple[int, int] = (5353, 53),
    between: tuple[str, str] = (CLIENT, SERVER),
    check: int | None = None,
    length: int | None = None,
) -> bytes:
    size = 8 + len(payload) if length is None else length
    head = struct.pack("!HHHH", *ports, size, 0)
    if check is None:
        check = internetSum(pseudo(*between, 17, size) + head + payload) or 0xFFFF
    return head[:6] + struct.pack("!H", check) + payload


def icmp(kind: int, code: int, payload: bytes = b"", between: tuple[str, str] | None = None) -> bytes:
    """ICMP, or ICMPv6 when C{between} gives the addresses for the pseudo header."""
    body = struct.pack("!BBHI", kind, code, 0, 0x00010002) + payload
    check = internetSum((pseudo(*between, 58, len(body)) if between else b"") + body)
    return body[:2] + struct.pack("!H", check) + body[4:]


def ip4(
    payload: bytes,
    protocol: int = 6,
    *,
    between: tuple[str, str] = (CLIENT, SERVER),
    identification: int = 7,
    fragment: int = 0,
    options: bytes = b"",
    total: int | None = None,
    spoil: int = 0,
) -> bytes:
    words = 5 + len(options) // 4
    size = words * 4 + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, size, identification, fragment, 64, protocol, 0)
    head += ipaddress.ip_address(between[0]).packed + ipaddress.ip_address(between[1]).packed + options
    return head[:10] + struct.pack("!H", internetSum(head) ^ spoil) + head[12:] + payload


def ip6(
    payload: bytes,
    following: int = 6,
    *,
    between: tuple[str, str] = (CLIENT6, SERVER6),
    length: int | None = None,
) -> bytes:
    size = len(payload) if length is None else length
    addresses = ipaddress.ip_address(between[0]).packed + ipaddress.ip_address(between[1]).packed
    return struct.pack("!IHBB", 6 << 28, size, following, 64) + addresses + payload


def fragment6(data: bytes, following: int, place: int, more: bool, identification: int = 99) -> bytes:
    """An IPv6 fragment header and its data; C{place} in bytes."""
    return struct.pack("!BBHI", following, 0, place | more, identification) + data


def ethernet(payload: bytes, kind: int = 0x0800) -> bytes:
    return MACS + struct.pack("!H", kind) + payload


def address(text: str) -> tuple[int, int]:
    """High and low half of the 128-bit form of an address."""
    found = ipaddress.ip_address(text)
    number = int(found) | (0xFFFF << 32 if found.version == 4 else 0)
    return number >> 64, number & (1 << 64) - 1
