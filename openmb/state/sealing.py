"""
Seals the packs of one direction of one operation, so that only the two middleboxes can read or make them.

AES-256-GCM under a key of its own for each transfer: HKDF-SHA256 (RFC 5869) of a key of the kind's keyring, a fresh
salt, and the transfer's context (who, to whom, which operation, what it does, with which cells and of which flows, and
a nonce of the destination, so that no transfer is taken twice).  The nonce is the frame's number, never used twice.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
from construct import Const, GreedyBytes, Int8ul, Int16ul, Int64ul, Prefixed, Struct
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from openmb.errors import SealBroken
from openmb.state.keyring import KEY_SIZE, Keyring
from openmb.state.packing import PACK_BYTES, packRecords, splitBatch, unpackRecords

__all__ = (
    "PACK_BYTES",
    "Keyring",
    "TransferOpener",
    "TransferSealer",
    "packRecords",
    "splitBatch",
    "transferContext",
    "unpackRecords",
)

SALT_SIZE = 32
#: Bytes that sealing adds.
TAG_SIZE = 16
_NONCE_SIZE = 12
_LARGEST_NUMBER = (1 << 8 * _NONCE_SIZE) - 1
_INFO = b"openmb transfer"
_Text = Prefixed(Int16ul, GreedyBytes)
_CONTEXT = Struct(
    "domain" / Const(b"openmb context 3"),
    "operation" / Int64ul * "operation id",
    "side" / Int8ul * "0: made by the source, 1: by the destination",
    "kind" / _Text * "kind of both middleboxes",
    "sourceName" / _Text,
    "sourceIncarnation" / _Text,
    "destinationName" / _Text,
    "destinationIncarnation" / _Text,
    "nonce" / _Text * "made by the destination for this transfer",
    "sort" / Int8ul * "what the operation does",
    "cells" / _Text * "the cells asked for, a byte each",
    "flows" / _Text * "the header field list, in its canonical form",
)


def transferContext(
    kind: str,
    operation: int,
    side: int,
    sourceName: str,
    sourceIncarnation: bytes,
    destinationName: str,
    destinationIncarnation: bytes,
    nonce: bytes,
    sort: int,
    cells: bytes,
    flows: str,
) -> bytes:
    """What one direction of one operation is bound to: 32 bytes, different if anything is."""
    fields = {
        "operation": operation,
        "side": side,
        "kind": kind.encode(),
        "sourceName": sourceName.encode(),
        "sourceIncarnation": sourceIncarnation,
        "destinationName": destinationName.encode(),
        "destinationIncarnation": destinationIncarnation,
        "nonce": nonce,
        "sort": sort,
        "cells": cells,
        "flows": flows.encode(),
    }
    return hashlib.sha256(_CONTEXT.build(fields)).digest()


def _cipher(key: bytes, salt: bytes, context: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_SIZE, salt, _INFO + context).derive(key))


def _octets(plain: bytes | memoryview | NDArray[Any]) -> bytes | memoryview:
    """C{plain} as the cipher takes it, without copying where it is contiguous."""
    if isinstance(plain, np.ndarray):
        return plain.tobytes() if not plain.size else memoryview(np.ascontiguousarray(plain).view(np.uint8).data)
    return plain


class TransferSealer:
    """
    Seals what one end of an operation sends.

    @ivar keyID: which key of the keyring; the other end must be told.
    @ivar salt: 32 random bytes; the other end must be told.
    """

    def __init__(self, keyring: Keyring, context: bytes) -> None:
        self.keyID = keyring.current
        self.salt = os.urandom(SALT_SIZE)
        self._cipher = _cipher(keyring.keys[self.keyID], self.salt, context)
        self._next = 0

    def seal(self, number: int, associated: bytes, plain: bytes | memoryview | NDArray[Any]) -> bytes:
        """
        Encrypt C{plain}, and authenticate it together with C{associated} and C{number}.

        @param number: above every number used so far.
        @raise ValueError: the number is not.
        """
        if not self._next <= number <= _LARGEST_NUMBER:
            raise ValueError(f"number {number} may have been used: the next is {self._next}")
        self._next = number + 1
        return self._cipher.encrypt(number.to_bytes(_NONCE_SIZE, "big"), _octets(plain), associated)


class TransferOpener:
    """
    Opens what the other end sealed.

    @raise SealBroken: the key is not in the keyring, or the salt is no salt.
    """

    def __init__(self, keyring: Keyring, keyID: int, salt: bytes, context: bytes) -> None:
        key = keyring.keys.get(keyID)
        if key is None:
            raise SealBroken(f"sealed with key {keyID}, which the keyring for {keyring.kind} does not have")
        if len(salt) != SALT_SIZE:
            raise SealBroken(f"a salt of {len(salt)} bytes where {SALT_SIZE} are due")
        self._cipher = _cipher(key, salt, context)

    def open(self, number: int, associated: bytes, sealed: bytes | memoryview) -> bytes:
        """
        What was sealed under C{number} with C{associated}.

        @raise SealBroken: altered, replayed under another number, re-labelled, or made for somebody else.
        """
        if not 0 <= number <= _LARGEST_NUMBER or len(sealed) < TAG_SIZE:
            raise SealBroken(f"frame {number} with {len(sealed)} sealed bytes cannot be genuine")
        try:
            return self._cipher.decrypt(number.to_bytes(_NONCE_SIZE, "big"), sealed, associated)
        except InvalidTag as error:
            raise SealBroken(f"frame {number} does not authenticate") from error
