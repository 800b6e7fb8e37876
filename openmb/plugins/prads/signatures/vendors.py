"""
Who made a network card: the vendors of C{mac.sig}, found through buckets as PRADS does, odd hits included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

BUCKETS = 19963
#: Above the bucket of a prefix so many more are looked through when that one has no answer.
FURTHER = 255
VENDOR = 127
LINE = re.compile(rb"\s*([0-9A-Fa-f]{1,2}(?:[-:,][0-9A-Fa-f]{1,2}){0,5})(?:/(\d+))?\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first C{bits} of C{octets} belong to C{vendor}."""

    octets: bytes
    bits: int
    vendor: bytes

    def covers(self, address: bytes) -> bool:
        """Whether an address of six bytes begins so."""
        rest = 48 - self.bits
        own = int.from_bytes(self.octets.ljust(6, b"\0"), "big")
        return (own ^ int.from_bytes(address, "big")) >> rest == 0


def parsePrefix(line: bytes) -> Prefix | None:
    """The prefix of a line, None for one that is empty, a comment, or none."""
    found = LINE.match(line)
    if found is None:
        return None
    octets = bytes(int(octet, 16) for octet in re.split(rb"[-:,]", found[1]))
    bits = int(found[2]) if found[2] else 8 * len(octets)
    return Prefix(octets, bits, found[3][:VENDOR]) if bits <= 48 else None


def bucketOf(octets: bytes) -> int:
    """The bucket of a prefix of whole octets."""
    total = 0
    for place, octet in enumerate(octets):
        total ^= octet << (24, 16, 8)[place % 3]
    return total % BUCKETS


class Vendors:
    """
    The table of prefixes.

    @param data: of the file; it is read when somebody asks for the first time.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    @cached_property
    def _buckets(self) -> dict[int, list[Prefix]]:
        buckets: dict[int, list[Prefix]] = {}
        for line in self._data.split(b"\n"):
            prefix = parsePrefix(line)
            if prefix is not None:
                buckets.setdefault(bucketOf(prefix.octets), []).append(prefix)
        return buckets

    def find(self, address: bytes) -> bytes | None:
        """The vendor of an address of six bytes, or None."""
        return self._below(address, 6)

    def _below(self, address: bytes, octets: int) -> bytes | None:
        if octets == 0:
            return None
        bucket = bucketOf(address[:octets])
        found = self._within(bucket, address) or self._below(address, octets - 1)
        if found is not None:
            return found
        further = range(bucket + 1, min(bucket + 1 + FURTHER, BUCKETS))
        return next((vendor for place in further if (vendor := self._within(place, address))), None)

    def _within(self, bucket: int, address: bytes) -> bytes | None:
        return next((prefix.vendor for prefix in self._buckets.get(bucket, ()) if prefix.covers(address)), None)
