"""
Targets of redundancy elimination: bodies and messages as a damaged path or an enemy delivers them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import numpy as np

from openmb.errors import ProtocolError
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder as Reader
from openmb.packets.headers import Decoded
from openmb.plugins.smartre.caches import DecodingCache
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.decoding import Decoder, Outcome
from openmb.plugins.smartre.encoder import EncoderEnd
from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.envelope import Envelope
from openmb.plugins.smartre.format import (
    Acknowledge,
    Answer,
    Fork,
    Forked,
    Message,
    Reason,
    Refuse,
    buildMessage,
    checkOf,
    isNewer,
    nearest,
    parseMessage,
)
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.plugins.smartre.store import PacketStore
from openmb.testing.fuzzing.target import Target
from openmb.testing.smartre.oracle import Body, OracleDecoder, OracleStore

#: Before a body: matches, bytes of the payload, low half of the id, checksum.
_HEAD = struct.Struct("<BHII")
_SLOTS, _EPOCH = 16, 5
_SETTINGS = SmartreSettings(Role.ENCODER, slots=_SLOTS, entries=1 << 8, feedback=True, mtu=65535)
#: Link and IP header of whatever is sent: Ethernet, IPv4.
_HEADER = bytes.fromhex("450000000000000040fd00000a0000010a000002")
_ENVELOPE = Envelope(bytes(12) + b"\x08\0" + _HEADER, 14, 1)
_UDP, _PROTOCOL_UDP = bytes.fromhex("0001000200000000"), 17


def _spoken() -> list[bytes]:
    """Payloads of which later ones repeat parts of earlier ones."""
    dice = random.Random(1)
    texts = [dice.randbytes(dice.randrange(64, 1500)) for _ in range(4)]
    return [*texts, *(b"".join(dice.choice(texts)[dice.randrange(900) :] for _ in range(3))[:1536] for _ in range(16))]


def _encoded(payloads: Sequence[bytes]) -> list[bytes]:
    """Each with its head, by an encoder that has seen all before it."""
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    encoder = Encoder(PacketStore(_SLOTS), 1 << 12, gated=False, sampling=8)
    made = encoder.encode(np.frombuffer(b"".join(payloads), np.uint8), np.cumsum(lengths) - lengths, lengths, _EPOCH)
    return [
        _HEAD.pack(made.matches[place], lengths[place], made.ids[place], made.checksums[place])
        + made.data[made.offsets[place] :][: made.lengths[place]].tobytes()
        for place in range(len(payloads))
    ]


def bodies() -> Target:
    """Bodies to a decoder that holds the packets before; the oracle must find the same."""
    payloads = _spoken()
    known = len(payloads) - 8
    store = PacketStore(_SLOTS)
    for place, payload in enumerate(payloads[:known]):
        store.insert(1 + place, payload)

    def run(data: bytes) -> None:
        if len(data) < _HEAD.size:
            return
        matches, length, id, checksum = _HEAD.unpack_from(data)
        # the body is the end of what the kernel is given
        whole, offset = np.frombuffer(data, np.uint8), np.array([_HEAD.size], np.int64)
        mine = Decoder(store.copy())
        found = mine.decode(
            whole,
            offset,
            len(data) - offset,
            np.array([id], np.uint64),
            np.array([matches], np.uint8),
            np.array([length], np.uint16),
            np.array([checksum], np.uint32),
            _EPOCH,
        )
        plain = OracleStore(_SLOTS)
        for place, payload in enumerate(payloads[:known]):
            plain.insert(1 + place, payload)
        expected = OracleDecoder(plain).decode(Body(id, matches, checksum, data[_HEAD.size :]), length, _EPOCH)
        outcome = Outcome(found.outcomes[0])
        payload = found.data[:length].tobytes() if outcome == Outcome.DECODED else b""
        missing = int(found.missing[0]) if outcome == Outcome.MISSING else 0
        if (outcome, payload, missing) != (expected.outcome, expected.payload, expected.missing):
            raise AssertionError(f"kernel: {outcome!r}, oracle: {expected.outcome!r}, or something else differs")
        if mine.store.payload(id) != plain.payload(id) or mine.store.next != plain.next:
            raise AssertionError("the stores differ")

    words = [b"\xff\x07", bytes(8), (1 << 33).to_bytes(8, "little"), b"\xff" * 8]
    return Target("bodies of smartre", run, (), _encoded(payloads)[known:], words)


def messages() -> Target:
    """
    What stands behind the IP header of a packet of the protocol, to both ends; with the right check behind it, too.

    A decoder must have of a fork what the plain codec has of it, and put nothing out that no host has sent.
    """
    payloads = _spoken()

    def run(data: bytes) -> None:
        for octets in (data, data + checkOf(data)):
            _toDecoder(payloads, octets)
            _toEncoder(payloads, octets)

    made: list[Message] = [
        Fork(1, 7, 0, _EPOCH, 10),
        Fork(1, 7, 2, _EPOCH, 3),
        Forked(1, 2, 0, 21, 20),
        Forked(1, 2, 0, 21, 9),
        Acknowledge(1, 2, 20, b"\xff\x0f" + bytes(62)),
        Refuse(1, 2, Reason.MISSING, 21, 12),
        Answer(0, _EPOCH, 12, 0, payloads[11]),
    ]
    seeds = [buildMessage(message)[:-4] for message in made]
    words = [bytes([1]), bytes([7, 0]), bytes([_EPOCH, 0]), b"\xff\xff", b"\xff\xff\xff\xff", bytes([10, 0, 0, 0])]
    return Target("messages of smartre", run, (), seeds, words)


def _toDecoder(payloads: Sequence[bytes], octets: bytes) -> None:
    """To one that holds all payloads in cache 0, and an old one in cache 1."""
    end = DecoderEnd(_SETTINGS)
    store, old = PacketStore(_SLOTS), PacketStore(_SLOTS)
    for place, payload in enumerate(payloads):
        store.insert(1 + place, payload)
    old.insert(5, b"old")
    end.caches.update({0: DecodingCache(Decoder(store), _EPOCH), 1: DecodingCache(Decoder(old), 3)})
    before = end.caches[1].decoder.store.ids.copy()
    out = end.process(_read([octets]), None).forward
    try:
        fork = parseMessage(octets)
    except ProtocolError:
        fork = None
    if isinstance(fork, Fork) and fork.cache == 1:
        _compareFork(fork, end.caches[1], payloads, before)
    known = {bytes(payload) for payload in payloads}
    for place in range(0 if out is None else len(out)):
        packet = out.packet(place) if out is not None else b""
        if packet[23:24] == bytes([_PROTOCOL_UDP]) and not any(packet.endswith(payload) for payload in known):
            raise AssertionError("a packet that nobody sent")


def _compareFork(fork: Fork, cache: DecodingCache, payloads: Sequence[bytes], before: object) -> None:
    """Has the cache what the plain codec has?"""
    plain, own = OracleStore(_SLOTS), OracleDecoder(OracleStore(_SLOTS))
    for place, payload in enumerate(payloads):
        plain.insert(1 + place, payload)
    isTaken = isNewer(fork.epoch, 3)
    if isTaken and fork.origin == 0 and fork.originEpoch == _EPOCH:
        own.takeOver(plain, nearest(fork.id, plain.next))
    elif not isTaken:
        own.store.insert(5, b"old")
    held = {int(id): cache.decoder.store.payload(int(id)) for id in cache.decoder.store.held()}
    if fork.epoch != 3 and held != {each.id: each.payload for each in own.store.ring.values()}:
        raise AssertionError(f"{fork}: the decoder holds {sorted(held)}")
    if cache.epoch != (fork.epoch if isTaken else 3):
        raise AssertionError(f"{fork}: the decoder's epoch is {cache.epoch}, it held {before!r}")


def _toEncoder(payloads: Sequence[bytes], octets: bytes) -> None:
    """To one that has sent all payloads, and has a fork."""
    end = EncoderEnd(_SETTINGS)
    sent = [_ENVELOPE.around(_UDP + payload, _PROTOCOL_UDP) for payload in payloads]
    end.process(_read(sent), None)
    end.caches.append(end.caches[0].duplicate(0, 2))
    end.process(_read([octets]), None)
    again = end.process(_read(sent), None).forward
    if again is None or len(again) < len(sent):
        raise AssertionError("packets are gone")


def _read(packets: Sequence[bytes]) -> Decoded:
    """As a host decodes; what is no packet yet is put behind an IP header."""
    whole = [packet if packet[:14] == _ENVELOPE.head[:14] else _ENVELOPE.around(packet) for packet in packets]
    return Reader(checksums=False, reassemble=False).decode(packetBatch(whole, range(len(whole))))
