"""
Making and changing the keyring file of a kind.

The keyring goes to every middlebox of the kind and never to the controller.
"""

from __future__ import annotations

from pathlib import Path

from openmb.errors import ConfigurationError, InvalidOption
from openmb.state.keyring import Keyring
from openmb.wire.fields import KIND_LIMIT, NAME_PATTERN


def makeKeyring(path: Path, kind: str) -> Keyring:
    """
    Write a keyring with one new key for C{kind} to C{path}, readable by its owner alone.

    @raise InvalidOption: the kind cannot be one.
    @raise ConfigurationError: the file is there already, or the file cannot be written.
    """
    if not NAME_PATTERN.fullmatch(kind) or len(kind) > KIND_LIMIT:
        raise InvalidOption(f"{kind!r} cannot be a kind: letters, digits, '.', '_' and '-' only")
    if path.exists():
        raise ConfigurationError(f"{path} exists already: to change the key without a gap, rotate it")
    keyring = Keyring.generate(kind)
    keyring.save(path)
    return keyring


def rotateKeyring(path: Path) -> Keyring:
    """
    Add a new key to the keyring at C{path} and make it the current one; the old keys still open what they sealed.

    @raise ConfigurationError: the file cannot be read, is readable by others, or cannot be written.
    """
    keyring = Keyring.load(path).rotated()
    keyring.save(path)
    return keyring
