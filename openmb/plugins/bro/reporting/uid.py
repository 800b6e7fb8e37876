"""
Connection ids: C{C} and 96 bits in base 62, as Zeek writes them.

Zeek draws them from a counter. Here they are a keyed hash of the connection's native key and start time, so that all
instances of a deployment, which share the hash's key, give a connection the same id. Two connections of one native
key that begin within one microsecond would share an id.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from openmb.errors import InvalidOption
from openmb.plugins.bro.reporting.uidkernel import DIGEST, seedOf

#: The hash key when none is given: right for off-line runs, where ids need only be unique, not unpredictable.
DEFAULT_KEY = b"openmb bro uid key 1"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LEAST, _MOST = 8, 64
_PERSON = b"openmb-bro-uid"


#: Two digits at a time, least significant first.
_PAIRS = tuple(low + high for high in _DIGITS for low in _DIGITS)


def base62(number: int) -> str:
    """Digits 0-9a-zA-Z, least significant first."""
    pairs = []
    while number >= 3844:
        number, pair = divmod(number, 3844)
        pairs.append(_PAIRS[pair])
    pairs.append(_PAIRS[number] if number >= 62 else _DIGITS[number])
    return "".join(pairs)


def readKey(text: str) -> bytes:
    """
    The hash key that an option names: hexadecimal digits, or a file that holds them.

    @raise InvalidOption: neither.
    """
    source = text
    if not set(text) <= set("0123456789abcdefABCDEF"):
        try:
            source = Path(text).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidOption(f"--uid-key: {text!r} is neither hexadecimal nor a readable file") from error
    try:
        key = bytes.fromhex(source)
    except ValueError as error:
        raise InvalidOption("--uid-key: the key must be hexadecimal digits") from error
    if not _LEAST <= len(key) <= _MOST:
        raise InvalidOption(f"--uid-key: the key must have {_LEAST} to {_MOST} bytes, not {len(key)}")
    return key


class ConnectionIDs:
    """
    Makes the ids of one deployment.

    @ivar identify: the id of the connection of a native key (40 bytes) that began at a time (microseconds).
    @ivar seed: what kernels that make ids begin with.
    """

    def __init__(self, key: bytes = DEFAULT_KEY) -> None:
        self.seed = seedOf(key, _PERSON)
        self._base = hashlib.blake2b(key=key, digest_size=DIGEST, person=_PERSON)
        # a connection's rows in several logs come soon after each other
        self.identify = lru_cache(maxsize=8192)(self._identify)

    def _identify(self, nativeKey: bytes, start: int) -> str:
        """The id of the connection of this key (40 bytes) that began at C{start} (microseconds)."""
        state = self._base.copy()
        state.update(nativeKey)
        state.update(start.to_bytes(8, "little", signed=True))
        digest = state.digest()
        return f"C{base62(int.from_bytes(digest[:4], 'big'))}{base62(int.from_bytes(digest[4:], 'big'))}"
