"""
Targets of redundancy elimination: bodies as a damaged path or an enemy delivers them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import numpy as np

from openmb.plugins.smartre.decoding import Decoder, Outcome
from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.store import PacketStore
from openmb.testing.fuzzing.target import Target
from openmb.testing.smartre.oracle import Body, OracleDecoder, OracleStore

#: Before a body: matches, bytes of the payload, low half of the id, checksum.
_HEAD = struct.Struct("<BHII")
_SLOTS, _EPOCH = 16, 5


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
