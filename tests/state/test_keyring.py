"""Keyrings: files, their modes, rotation."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.state.keyring import Keyring

_GOLDEN = f"# mine\n\nkind bro\ncurrent 7\nkey 1 {'11' * 32}\nkey 7 {'aB' * 32}\n"
_WRONG = {
    "": "one line 'kind'",
    "kind bro\n": "one line 'kind' and one line 'current'",
    f"kind bro\nkind prads\ncurrent 1\nkey 1 {'11' * 32}\n": "one line 'kind'",
    f"kind bro\ncurrent 1\ncurrent 1\nkey 1 {'11' * 32}\n": "one line 'current'",
    f"kind bro\ncurrent 2\nkey 1 {'11' * 32}\n": "current key 2 is not in it",
    f"kind bro\ncurrent 1\nkey 1 {'11' * 31}\n": "line 3: not understood",
    f"kind bro\ncurrent 1\nkey 1 {'11' * 31}xx\n": "line 3",
    f"kind bro\ncurrent 1\nkey 1 {'11' * 32}\nkey 1 {'22' * 32}\n": "line 4",
    f"kind bro\ncurrent 1\nkey -1 {'11' * 32}\n": "line 3",
    f"kind bro\ncurrent 1\nkey 1 {'11' * 32}\nkey 4294967296 {'22' * 32}\n": "out of range",
    "kind bro extra\n": "line 1",
    "password secret\n": "line 1",
}


class KeyringTests(SynchronousTestCase):
    """The keyring as a value."""

    def test_generate(self) -> None:
        """New keyrings have one key, each another."""
        one, other = Keyring.generate("bro"), Keyring.generate("bro")
        self.assertEqual((one.kind, one.current, list(one.keys)), ("bro", 1, [1]))
        self.assertNotEqual(one.keys[1], other.keys[1])

    def test_rotation(self) -> None:
        """A rotated keyring seals with a new key, keeps the old one, and can drop it."""
        old = Keyring.generate("bro")
        new = old.rotated()
        self.assertEqual((new.current, new.keys[1]), (2, old.keys[1]))
        self.assertEqual(list(new.without(1).keys), [2])
        self.assertRaises(ConfigurationError, new.without, 2)

    def test_stagedRotation(self) -> None:
        """A key can be spread before it is used."""
        old = Keyring.generate("bro")
        spread = old.extended()
        self.assertEqual((spread.current, sorted(spread.keys)), (1, [1, 2]))
        self.assertEqual(spread.using(2).current, 2)
        self.assertRaises(ConfigurationError, old.using, 2)

    def test_noSecretInText(self) -> None:
        """Neither C{repr} nor an error shows a key."""
        keyring = Keyring("bro", {1: b"\x41" * 32}, 1)
        self.assertNotIn("AAAA", repr(keyring))
        error = self.assertRaises(ConfigurationError, Keyring, "bro", {1: b"\x41" * 31}, 1)
        self.assertNotIn("AAAA", str(error))

    def test_unchangeable(self) -> None:
        """Nobody can slip a key into it."""
        keys = {1: bytes(32)}
        keyring = Keyring("bro", keys, 1)
        keys[2] = bytes(32)
        self.assertEqual(list(keyring.keys), [1])

    def test_refused(self) -> None:
        """Names that are none."""
        for kind in ("", "a b", "#", "a\nkey"):
            self.assertRaises(ConfigurationError, Keyring, kind, {1: bytes(32)}, 1)


class FileTests(SynchronousTestCase):
    """The keyring as a file."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "bro.keys"

    def _write(self, text: str | bytes, mode: int = 0o600) -> None:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.path.chmod(mode)

    def test_golden(self) -> None:
        """A known file."""
        self._write(_GOLDEN)
        self.assertEqual(Keyring.load(self.path), Keyring("bro", {1: b"\x11" * 32, 7: b"\xab" * 32}, 7))

    def test_roundTrip(self) -> None:
        """What was saved is loaded, and only its owner can read it, whatever the umask."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        keyring = Keyring.generate("bro").rotated()
        keyring.save(self.path)
        keyring.save(str(self.path))
        self.assertEqual(Keyring.load(str(self.path)), keyring)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual([entry.name for entry in self.path.parent.iterdir()], ["bro.keys"])

    def test_readableByOthers(self) -> None:
        """A file that others can read or write is refused, and the error says what to do."""
        for mode in (0o640, 0o604, 0o620, 0o602, 0o610, 0o777):
            self._write(_GOLDEN, mode)
            error = self.assertRaises(ConfigurationError, Keyring.load, self.path)
            self.assertIn("chmod 600", str(error))
            self.assertIn(f"{mode:04o}", str(error))

    def test_wrong(self) -> None:
        """Files that make no sense, each with its reason and without its secrets."""
        for text, reason in _WRONG.items():
            self._write(text)
            error = self.assertRaises(ConfigurationError, Keyring.load, self.path)
            self.assertIn(reason, str(error), text)
            self.assertNotIn("1111", str(error))

    def test_unreadable(self) -> None:
        """No file, a folder, bytes that are no text."""
        self.assertIn("No such file", str(self.assertRaises(ConfigurationError, Keyring.load, self.path)))
        self.assertRaises(ConfigurationError, Keyring.load, self.path.parent)
        self._write(b"\xff\xfe")
        self.assertIn("not text", str(self.assertRaises(ConfigurationError, Keyring.load, self.path)))

    def test_unwritable(self) -> None:
        """A folder that does not exist."""
        error = self.assertRaises(ConfigurationError, Keyring.generate("bro").save, self.path / "deeper")
        self.assertIn("cannot be written", str(error))
