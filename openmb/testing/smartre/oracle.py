"""
The codec of docs/smartre.md in plain Python over bytes: what the kernels must agree with, byte for byte.

Nothing of it is shared with the kernels but the names of states and outcomes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from openmb.plugins.smartre.decoding import Outcome
from openmb.plugins.smartre.store import State

_ALL = (1 << 64) - 1
_K = 0x9E3779B97F4A7C15
_WINDOW, _GROUP = 32, 8


def _mix(value: int, word: int) -> int:
    value = (value ^ word) * _K & _ALL
    return value ^ (value >> 32)


def _words(data: bytes) -> list[int]:
    """Of 8 bytes, little-endian, the last one padded with zeros."""
    return [int.from_bytes(data[place : place + 8], "little") for place in range(0, len(data), 8)]


def hashOf(data: bytes, seed: int = 0) -> int:
    """C{H}."""
    start = seed ^ (len(data) * _K & _ALL)
    lanes = [_mix(start, lane + 1) for lane in range(4)]
    whole = len(data) // 32 * 32
    for place, word in enumerate(_words(data[:whole])):
        lanes[place % 4] = _mix(lanes[place % 4], word)
    value = lanes[0]
    for word in (*lanes[1:], *_words(data[whole:])):
        value = _mix(value, word)
    value = (value ^ (value >> 29)) * _K & _ALL
    return value ^ (value >> 32)


def checksumOf(payload: bytes, epoch: int, id: int) -> int:
    """Of a payload under its id."""
    return hashOf(payload, (epoch << 48 & _ALL) ^ id) & 0xFFFFFFFF


def forkMessage(cache: int, epoch: int, origin: int, originEpoch: int, id: int) -> bytes:
    """Message 6, from its magic to its check."""
    return _checked(struct.pack("<HBBHBHI", 0x4552, 6, cache, epoch, origin, originEpoch, id & 0xFFFFFFFF))


def forkedMessage(cache: int, epoch: int, origin: int, id: int, newest: int) -> bytes:
    """Message 7."""
    return _checked(struct.pack("<HBBHBII", 0x4552, 7, cache, epoch, origin, id & 0xFFFFFFFF, newest & 0xFFFFFFFF))


def _checked(body: bytes) -> bytes:
    return body + (hashOf(body) & 0xFFFFFFFF).to_bytes(4, "little")


def isBelow(id: int, other: int) -> bool:
    """Is C{id} before C{other}?"""
    return 0 < (other - id) & _ALL < 1 << 63


@dataclass
class Stored:
    """One slot."""

    id: int
    payload: bytes
    state: State = State.SENT


class OracleStore:
    """As L{openmb.plugins.smartre.store.PacketStore}."""

    def __init__(self, slots: int, slotBytes: int = 1536, first: int = 1) -> None:
        self.slots, self.slotBytes, self.next = slots, slotBytes, first
        self.ring: dict[int, Stored] = {}

    def insert(self, id: int, payload: bytes) -> None:
        """Unless the slot holds a newer packet."""
        held = self.ring.get(id % self.slots)
        if id != _ALL and not (held and 0 < (held.id - id) & _ALL < 1 << 63):
            self.ring[id % self.slots] = Stored(id, payload)
        if (id + 1 - self.next) & _ALL < 1 << 63:
            self.next = (id + 1) & _ALL

    def fork(self, id: int | None = None) -> OracleStore:
        """Another one that holds what this one holds below C{id}, or all of it."""
        other = OracleStore(self.slots, self.slotBytes, self.next if id is None else id)
        before = {slot: held for slot, held in self.ring.items() if isBelow(held.id, other.next)}
        other.ring = {slot: replace(held) for slot, held in before.items()}
        return other

    def find(self, id: int) -> Stored | None:
        """The packet of exactly this id."""
        held = self.ring.get(id % self.slots)
        return held if held and held.id == id else None

    def payload(self, id: int) -> bytes | None:
        """Its payload."""
        held = self.find(id)
        return held.payload if held else None


@dataclass(frozen=True)
class Body:
    """An encoded payload."""

    id: int
    matches: int
    checksum: int
    data: bytes


@dataclass(frozen=True)
class Match:
    """C{length} bytes from C{position} on are those of the packet C{source} from C{offset} on."""

    position: int
    length: int
    source: int
    offset: int


def markersOf(payload: bytes, sampling: int = 32) -> dict[int, int]:
    """Fingerprints by position: of the markers in the same 8 bytes the first one."""
    found: dict[int, int] = {}
    for group in range(0, len(payload) - _WINDOW + 1, _GROUP):
        for position in range(group, min(group + _GROUP, len(payload) - _WINDOW + 1)):
            if (_words(payload[position : position + 8])[0] * _K & _ALL) < (1 << 64) // sampling:
                found[position] = fingerprintOf(payload[position : position + _WINDOW])
                break
    return found


def fingerprintOf(window: bytes) -> int:
    """Of 32 bytes."""
    value = 0
    for word in _words(window):
        value = _mix(value, word)
    return value


@dataclass(frozen=True)
class Entry:
    """What the table says of a fingerprint."""

    id: int
    offset: int
    tag: int


class OracleEncoder:
    """As L{openmb.plugins.smartre.encoding.Encoder}."""

    def __init__(
        self,
        store: OracleStore,
        entries: int = 1 << 20,
        keepOldest: bool = True,
        gated: bool = True,
        sampling: int = 32,
    ) -> None:
        self.store, self.entries, self.sampling = store, entries, sampling
        self.keepOldest, self.gated = keepOldest, gated
        self.table: dict[int, Entry] = {}

    def encode(self, payloads: Sequence[bytes], epoch: int) -> list[Body]:
        """Each under the next id."""
        return [self._encode(payload, epoch) for payload in payloads]

    def mark(self, ids: Sequence[int], state: State) -> None:
        """Note what became of packets."""
        for id in ids:
            held = self.store.find(id)
            if held:
                held.state = state

    def fork(self) -> OracleEncoder:
        """One that goes on from here its own way; with the gate it refers to nothing that was there before."""
        other = OracleEncoder(self.store.fork(), self.entries, self.keepOldest, self.gated, self.sampling)
        other.table = dict(self.table)
        for held in other.store.ring.values():
            if self.gated and held.state == State.USABLE:
                held.state = State.SENT
        return other

    def confirm(self, before: OracleEncoder, id: int, newest: int) -> None:
        """A decoder has what C{before} held below C{id}; C{newest} is how far it had come."""
        for held in self.store.ring.values():
            if isBelow(held.id, id):
                old = before.store.find(held.id)
                if (newest - held.id) & _ALL >= self.store.slots:
                    held.state = State.LOST
                elif held.state == State.SENT and old and old.state == State.USABLE:
                    held.state = State.USABLE

    def rebuild(self) -> None:
        """Make the table anew."""
        self.table.clear()
        for held in sorted(self.store.ring.values(), key=lambda held: -((self.store.next - held.id) & _ALL)):
            if held.state != State.LOST:
                markers = markersOf(held.payload, self.sampling)
                kept = {place for place, finger in markers.items() if self._candidate(held.id, finger)}
                self._enter(held.id, markers, kept)

    def _encode(self, payload: bytes, epoch: int) -> Body:
        id = self.store.next
        matches, data = [], b""
        markers = markersOf(payload, self.sampling)
        candidates = {place: self._candidate(id, finger) for place, finger in markers.items()}
        kept, covered = {place for place, candidate in candidates.items() if candidate}, 0
        for position, candidate in candidates.items():
            if candidate is None or position < covered or (self.gated and candidate[0].state != State.USABLE):
                continue
            match = _grown(payload, position, covered, *candidate)
            if match is None:
                kept.discard(position)
                continue
            data += payload[covered : match.position]
            matches.append(_word(match, id, covered))
            covered = match.position + match.length
        body = b"".join(matches) + data + payload[covered:]
        self._enter(id, markers, kept)
        self.store.insert(id, payload)
        return Body(id, len(matches), checksumOf(payload, epoch, id), body)

    def _candidate(self, id: int, finger: int) -> tuple[Stored, int] | None:
        """The packet and offset that the table names for a fingerprint, if it is there and not lost."""
        entry = self.table.get(finger % self.entries)
        if entry is None or entry.tag != finger >> 43:
            return None
        delta = (id - entry.id) & 0xFFFFFFFF
        held = self.store.find((id - delta) & _ALL)
        usable = held is not None and 0 < delta < 1 << 31 and entry.offset + _WINDOW <= len(held.payload)
        return (held, entry.offset) if held and usable and held.state != State.LOST else None

    def _enter(self, id: int, markers: dict[int, int], kept: set[int]) -> None:
        for position, finger in reversed(markers.items()):
            if not (self.keepOldest and position in kept):
                entry = Entry(id & 0xFFFFFFFF, position, finger >> 43)
                self.table[finger % self.entries] = entry
                if entry == Entry(0, 0, 0):
                    del self.table[finger % self.entries]


def _grown(payload: bytes, position: int, covered: int, held: Stored, offset: int) -> Match | None:
    """The match around a window, as far as it goes; None: the window differs."""
    source, begin, start = held.payload, position, offset
    end, stop = position, offset
    while end < len(payload) and stop < len(source) and payload[end] == source[stop]:
        end, stop = end + 1, stop + 1
    if end - position < _WINDOW:
        return None
    while begin > covered and start > 0 and payload[begin - 1] == source[start - 1]:
        begin, start = begin - 1, start - 1
    return Match(begin, end - begin, held.id, start)


def _word(match: Match, id: int, covered: int) -> bytes:
    """A match as it travels."""
    parts = match.position - covered, match.offset << 11, (match.length - 1) << 22
    return (sum(parts) | ((id - match.source) & _ALL) << 33).to_bytes(8, "little")


@dataclass(frozen=True)
class Restored:
    """What became of a body."""

    outcome: Outcome
    payload: bytes = b""
    missing: int = 0


class OracleDecoder:
    """As L{openmb.plugins.smartre.decoding.Decoder}."""

    def __init__(self, store: OracleStore) -> None:
        self.store = store

    def takeOver(self, origin: OracleStore, id: int) -> None:
        """Have what C{origin} holds below C{id}; what is here already stays."""
        own, self.store = self.store, origin.fork(id)
        for held in own.ring.values():
            self.store.insert(held.id, held.payload)
        if isBelow(self.store.next, own.next):
            self.store.next = own.next

    def decode(self, body: Body, length: int, epoch: int) -> Restored:
        """One body of a payload of C{length} bytes."""
        words, literals = _words(body.data[: 8 * body.matches]), body.data[8 * body.matches :]
        if len(body.data) < 8 * body.matches or length > self.store.slotBytes:
            return Restored(Outcome.MALFORMED)
        payload, used, total, missing = b"", 0, 0, []
        for word in words:
            skipped, offset, run, delta = word & 2047, word >> 11 & 2047, (word >> 22 & 2047) + 1, word >> 33
            source = (body.id - delta) & _ALL
            held = self.store.payload(source)
            payload += literals[used : used + skipped]
            used, total = used + skipped, total + skipped + run
            if not delta or used > len(literals) or total > length or offset + run > self.store.slotBytes:
                return Restored(Outcome.MALFORMED)
            if held is None:
                missing.append(source)
            elif offset + run > len(held):
                return Restored(Outcome.MALFORMED)
            else:
                payload += held[offset : offset + run]
        if total + len(literals) - used != length:
            return Restored(Outcome.MALFORMED)
        if missing:
            return Restored(Outcome.MISSING, missing=missing[0])
        payload += literals[used:]
        if checksumOf(payload, epoch, body.id) != body.checksum:
            return Restored(Outcome.BAD_CHECKSUM)
        self.store.insert(body.id, payload)
        return Restored(Outcome.DECODED, payload)
