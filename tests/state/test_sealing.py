"""Sealing: what was made for one place opens nowhere else, and no bit can change."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import SealBroken
from openmb.state.sealing import Keyring, TransferOpener, TransferSealer, transferContext

_WHO: tuple[Any, ...] = ("bro", 7, 0, "bro1", b"\x01" * 16, "bro2", b"\x02" * 16, b"\x0a" * 16, 0, b"\x02\x04", "udp")


class ContextTests(SynchronousTestCase):
    """C{transferContext}."""

    def test_golden(self) -> None:
        """The hash of the documented bytes."""
        plain = b"openmb context 3" + bytes.fromhex("0700000000000000 00")
        for part in (b"bro", b"bro1", b"\x01" * 16, b"bro2", b"\x02" * 16, b"\x0a" * 16):
            plain += bytes((len(part), 0)) + part
        plain += bytes.fromhex("00 0200 0204 0300") + b"udp"
        self.assertEqual(transferContext(*_WHO), hashlib.sha256(plain).digest())

    def test_everythingCounts(self) -> None:
        """Each part changes it, and no two ways to cut the same letters agree."""
        others: tuple[tuple[Any, ...], ...] = (
            ("prads", *_WHO[1:]),
            ("bro", 8, *_WHO[2:]),
            ("bro", 7, 1, *_WHO[3:]),
            (*_WHO[:3], "bro3", *_WHO[4:]),
            (*_WHO[:4], b"\x03" * 16, *_WHO[5:]),
            (*_WHO[:5], "bro4", *_WHO[6:]),
            (*_WHO[:6], b"\x04" * 16, *_WHO[7:]),
            (*_WHO[:7], b"\x0b" * 16, *_WHO[8:]),
            (*_WHO[:8], 1, *_WHO[9:]),
            (*_WHO[:9], b"\x03", _WHO[10]),
            (*_WHO[:10], "tcp"),
            (*_WHO[:3], "bro2", _WHO[6], "bro1", _WHO[4], *_WHO[7:]),
            ("brob", 7, 0, "ro1", *_WHO[4:]),
        )
        contexts = {transferContext(*who) for who in (_WHO, *others)}
        self.assertEqual(len(contexts), len(others) + 1)


class SealTests(SynchronousTestCase):
    """C{TransferSealer} and C{TransferOpener}."""

    def setUp(self) -> None:
        self.keyring = Keyring.generate("bro")
        self.context = transferContext(*_WHO)
        self.sealer = TransferSealer(self.keyring, self.context)
        self.opener = TransferOpener(self.keyring, self.sealer.keyID, self.sealer.salt, self.context)

    def test_construction(self) -> None:
        """AES-256-GCM, nonce = number, key = HKDF-SHA256(keyring's key, salt, "openmb transfer" + context)."""
        info = b"openmb transfer" + self.context
        key = HKDF(SHA256(), 32, self.sealer.salt, info).derive(self.keyring.keys[1])
        expected = AESGCM(key).encrypt(bytes(11) + b"\x05", b"plain", b"clear")
        self.assertEqual(self.sealer.seal(5, b"clear", b"plain"), expected)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.binary(), st.binary())))
    def test_roundTrip(self, frames: list[tuple[bytes, bytes]]) -> None:
        """What is sealed opens, in any order, and is 16 bytes longer."""
        self.setUp()
        sealed = [self.sealer.seal(number, *frame) for number, frame in enumerate(frames)]
        for number, (clear, plain) in reversed(list(enumerate(frames))):
            self.assertEqual(len(sealed[number]), len(plain) + 16)
            self.assertEqual(self.opener.open(number, clear, sealed[number]), plain)

    def test_arrays(self) -> None:
        """Arrays of any type and views are sealed as their bytes."""
        rows = np.zeros((3, 2), [("a", "<u2"), ("b", "u1")])
        rows["a"] = 0x0102
        plains: tuple[Any, ...] = (rows, rows[:, ::2], rows[:0], memoryview(b"view"))
        for number, plain in enumerate(plains):
            self.assertEqual(self.opener.open(number, b"", self.sealer.seal(number, b"", plain)), plain.tobytes())

    def test_neverTwice(self) -> None:
        """A number is not used again, nor one below it, nor one that is no number of 12 bytes."""
        self.sealer.seal(3, b"", b"one")
        for number in (3, 2, 0, -1, 1 << 96):
            self.assertRaises(ValueError, self.sealer.seal, number, b"", b"two")
        self.sealer.seal((1 << 96) - 1, b"", b"last")
        self.assertRaises(ValueError, self.sealer.seal, 1 << 96, b"", b"more")

    def test_everyBit(self) -> None:
        """A flipped bit anywhere, in the sealed part or in the clear part, is seen."""
        clear, sealed = b"cl", self.sealer.seal(0, b"cl", b"plain")
        for bit in range(8 * len(sealed)):
            flipped = bytearray(sealed)
            flipped[bit // 8] ^= 1 << bit % 8
            self.assertRaises(SealBroken, self.opener.open, 0, clear, bytes(flipped))
        for bit in range(8 * len(clear)):
            flipped = bytearray(clear)
            flipped[bit // 8] ^= 1 << bit % 8
            self.assertRaises(SealBroken, self.opener.open, 0, bytes(flipped), sealed)
        for cut in range(len(sealed)):
            self.assertRaises(SealBroken, self.opener.open, 0, clear, sealed[:cut])
        self.assertRaises(SealBroken, self.opener.open, 0, clear, sealed + b"\0")
        self.assertEqual(self.opener.open(0, clear, sealed), b"plain")

    def test_replayed(self) -> None:
        """It does not open under another number, even one that cannot be."""
        sealed = self.sealer.seal(0, b"", b"plain")
        for number in (1, 1 << 64, -1, 1 << 96):
            self.assertRaises(SealBroken, self.opener.open, number, b"", sealed)

    def test_misdelivered(self) -> None:
        """It does not open in another context, with another salt or another key."""
        sealed = self.sealer.seal(0, b"", b"plain")
        key, salt = self.sealer.keyID, self.sealer.salt
        who = (*_WHO[:5], "bro3", *_WHO[6:])
        elsewhere = transferContext(*who)
        for opener in (
            TransferOpener(self.keyring, key, salt, elsewhere),
            TransferOpener(self.keyring, key, bytes(32), self.context),
            TransferOpener(Keyring.generate("bro"), key, salt, self.context),
        ):
            self.assertRaises(SealBroken, opener.open, 0, b"", sealed)

    def test_rotation(self) -> None:
        """A rotated keyring opens what the old key sealed, until that is dropped; new transfers use the new key."""
        sealed = self.sealer.seal(0, b"", b"plain")
        rotated = self.keyring.rotated()
        opener = TransferOpener(rotated, self.sealer.keyID, self.sealer.salt, self.context)
        self.assertEqual(opener.open(0, b"", sealed), b"plain")
        self.assertEqual(TransferSealer(rotated, self.context).keyID, 2)
        error = self.assertRaises(SealBroken, TransferOpener, rotated.without(1), 1, self.sealer.salt, self.context)
        self.assertIn("key 1", str(error))

    def test_salt(self) -> None:
        """Each transfer has a salt of its own; a salt of another size is refused."""
        self.assertNotEqual(TransferSealer(self.keyring, self.context).salt, self.sealer.salt)
        self.assertRaises(SealBroken, TransferOpener, self.keyring, 1, b"short", self.context)
