"""
Keyrings: the secrets that the middleboxes of one kind share, and that the controller never has.

The file is text, one line for each thing: C{kind NAME}, C{current ID}, C{key ID HEX}; C{#} begins a comment line.

Rotation without a gap: add a new key that is not used yet (L{Keyring.extended}), bring the file to every middlebox of
the kind, then make the new key the current one (L{Keyring.using}) everywhere, and later drop the old one
(L{Keyring.without}).  L{Keyring.rotated} does the first two at once, for where nothing moves meanwhile.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from openmb.errors import ConfigurationError
from openmb.safefiles import checkOwner
from openmb.state.advice import restricting

KEY_SIZE = 32
_LARGEST_ID = (1 << 32) - 1
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Keyring:
    """
    @ivar kind: the kind of middlebox the keys are for.
    @ivar keys: 32 bytes for each key id (0 to 2**32 - 1).
    @ivar current: id of the key that new transfers are sealed with.
    """

    kind: str
    keys: Mapping[int, bytes] = field(repr=False)
    current: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", MappingProxyType(dict(self.keys)))
        if not re.fullmatch(r"[^\s#]+", self.kind):
            raise ConfigurationError(f"keyring: {self.kind!r} is no kind's name")
        if self.current not in self.keys:
            raise ConfigurationError(f"keyring for {self.kind}: the current key {self.current} is not in it")
        for identifier, key in self.keys.items():
            if not 0 <= identifier <= _LARGEST_ID:
                raise ConfigurationError(f"keyring for {self.kind}: key id {identifier} is out of range")
            if len(key) != KEY_SIZE:
                raise ConfigurationError(f"keyring for {self.kind}: key {identifier} is not of {KEY_SIZE} bytes")

    @classmethod
    def generate(cls, kind: str) -> Keyring:
        """A keyring with one new random key."""
        return cls(kind, {1: secrets.token_bytes(KEY_SIZE)}, 1)

    def extended(self) -> Keyring:
        """With a new random key under the next id, which opens but does not seal yet."""
        return Keyring(self.kind, {**self.keys, max(self.keys) + 1: secrets.token_bytes(KEY_SIZE)}, self.current)

    def using(self, identifier: int) -> Keyring:
        """
        With another current key.

        @raise ConfigurationError: the key is not in the keyring.
        """
        return Keyring(self.kind, self.keys, identifier)

    def rotated(self) -> Keyring:
        """With a new random key as the current one; the old keys still open what they sealed."""
        extended = self.extended()
        return extended.using(max(extended.keys))

    def without(self, identifier: int) -> Keyring:
        """
        Without an old key.

        @raise ConfigurationError: it is the current one.
        """
        return Keyring(self.kind, {name: key for name, key in self.keys.items() if name != identifier}, self.current)

    def save(self, path: str | Path) -> None:
        """
        Write the file, readable by its owner alone, as one step: whoever reads it finds the old or the new one, whole.

        @raise ConfigurationError: it cannot be written.
        """
        path = Path(path)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            try:
                _writePrivately(draft, self._text().encode())
                os.replace(draft, path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"keyring {path} cannot be written: {error.strerror}") from error

    def _text(self) -> str:
        lines = ["# OpenMB keyring: keep it secret, and the same on every middlebox of this kind"]
        lines += [f"kind {self.kind}", f"current {self.current}"]
        lines += [f"key {identifier} {key.hex()}" for identifier, key in sorted(self.keys.items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> Keyring:
        """
        Read the file.

        @raise ConfigurationError: it cannot be read, others can read it, or its content is wrong; says what to do.
        """
        text = _readPrivately(Path(path))
        kinds: list[str] = []
        currents: list[int] = []
        keys: dict[int, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            match line.split():
                case []:
                    pass
                case [word, *_] if word.startswith("#"):
                    pass
                case ["kind", kind]:
                    kinds.append(kind)
                case ["current", identifier] if _isNumber(identifier):
                    currents.append(int(identifier))
                case ["key", identifier, key] if _isNumber(identifier) and _isKey(key) and int(identifier) not in keys:
                    keys[int(identifier)] = bytes.fromhex(key)
                case _:
                    raise ConfigurationError(f"keyring {path}, line {number}: not understood (kind, current or key)")
        if len(kinds) != 1 or len(currents) != 1:
            raise ConfigurationError(f"keyring {path}: there must be one line 'kind' and one line 'current'")
        return cls(kinds[0], keys, currents[0])


def _isNumber(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,10}", text) is not None


def _isKey(text: str) -> bool:
    return re.fullmatch(rf"[0-9a-fA-F]{{{2 * KEY_SIZE}}}", text) is not None


def _writePrivately(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _readPrivately(path: Path) -> str:
    """The text of a regular file that only its owner can read."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"keyring {path} is not a file")
            checkOwner(path, status)
            text = file.read(_LARGEST_FILE).decode()
            if status.st_mode & 0o077:
                advice = restricting(path, "600", re.search(r"^kind \S+$", text, re.MULTILINE) is not None)
                raise ConfigurationError(
                    f"keyring {path} can be used by others (mode {status.st_mode & 0o777:04o}): "
                    f"{advice}; make a new key if somebody may have read it"
                )
            return text
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"keyring {path} cannot be read: {reason}") from error
