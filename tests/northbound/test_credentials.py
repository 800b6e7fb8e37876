"""C{openmb certs} and C{openmb keys} make files that the other parts accept."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.southbound.certificates import Identity, identityOf, loadCredentials
from openmb.state.keyring import Keyring
from openmb.wire.formats import End
from tests.northbound.test_cli import command


class CertificateTests(SynchronousTestCase):
    """C{openmb certs}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def _certs(self, *arguments: str) -> int:
        return command("certs", *arguments, "--directory", str(self.folder)).status

    def test_all(self) -> None:
        """An authority, a controller and a middlebox, each of which says who it is."""
        self.assertEqual(self._certs("authority"), 0)
        self.assertEqual(self._certs("controller"), 0)
        self.assertEqual(self._certs("middlebox", "bro", "bro1"), 0)
        found = [identityOf(loadCredentials(self.folder, name).certificate) for name in ("controller", "bro1")]
        self.assertEqual(found, [Identity(End.CONTROLLER, "controller"), Identity(End.MIDDLEBOX, "bro1", "bro")])

    def test_noAuthority(self) -> None:
        """Without an authority there is no certificate."""
        self.assertEqual(self._certs("controller"), 3)

    def test_notTwice(self) -> None:
        """Nothing is overwritten."""
        self.assertEqual(self._certs("authority"), 0)
        self.assertEqual(self._certs("authority"), 3)

    def test_badName(self) -> None:
        """A name that cannot stand in a certificate is refused."""
        self._certs("authority")
        self.assertEqual(self._certs("middlebox", "bro", "no/slashes"), 2)

    def test_renew(self) -> None:
        """The same name and kind, with another key; of nobody, or without the authority's key, nothing."""
        for words in (("authority",), ("middlebox", "bro", "bro1"), ("renew", "bro1")):
            before = {path.name: path.read_bytes() for path in self.folder.glob("*")} if self.folder.exists() else {}
            self.assertEqual(self._certs(*words), 0)
        found = loadCredentials(self.folder, "bro1")
        self.assertEqual(identityOf(found.certificate), Identity(End.MIDDLEBOX, "bro1", "bro"))
        self.assertEqual({"bro1.pem", "bro1.key"}, {n for n, data in before.items() if self._read(n) != data})
        self.assertEqual(self._certs("renew", "bro2"), 3)
        (self.folder / "authority.key").unlink()
        self.assertEqual(self._certs("renew", "bro1"), 3)

    def _read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def test_revoke(self) -> None:
        """Who was shut out is listed with the time, by name as long as the certificate is there."""
        for words in (("authority",), ("middlebox", "bro", "bro1"), ("middlebox", "bro", "bro2"), ("revoke", "bro1")):
            self.assertEqual(self._certs(*words), 0)
        serial = loadCredentials(self.folder, "bro1").certificate.serial_number
        said = command("certs", "revoked", "--directory", str(self.folder))
        self.assertEqual((said.status, said.output.count("\n")), (0, 1))
        self.assertRegex(said.output, rf"^20..-..-.. ..:.. UTC  {serial:x}  bro1$")
        self._certs("renew", "bro1")
        self.assertIn(f"{serial:x}  bro1", command("certs", "revoked", "--directory", str(self.folder)).output)
        (self.folder / "replaced" / f"{serial:x}.pem").unlink()
        self.assertIn(f"{serial:x}  -", command("certs", "revoked", "--directory", str(self.folder)).output)
        self.assertEqual(self._certs("revoke", "bro3"), 3)

    def test_damagedList(self) -> None:
        """A list that cannot be read is not replaced: whoever is on it would be let in again."""
        for words in (("authority",), ("middlebox", "bro", "bro1")):
            self._certs(*words)
        (self.folder / "authority.crl").write_bytes(b"nonsense")
        self.assertEqual((self._certs("revoke", "bro1"), self._certs("revoked")), (3, 3))
        self.assertEqual(b"nonsense", (self.folder / "authority.crl").read_bytes())


class KeyTests(SynchronousTestCase):
    """C{openmb keys}."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.assertEqual(command("keys", "new", "bro", str(self.file)).status, 0)

    def test_new(self) -> None:
        """A new keyring has one key and is private."""
        keyring = Keyring.load(self.file)
        self.assertEqual((keyring.kind, sorted(keyring.keys), keyring.current), ("bro", [1], 1))
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)

    def test_notTwice(self) -> None:
        """An existing keyring is not overwritten."""
        before = self.file.read_bytes()
        self.assertEqual(command("keys", "new", "bro", str(self.file)).status, 3)
        self.assertEqual(self.file.read_bytes(), before)

    def test_rotateAndDrop(self) -> None:
        """Rotation keeps the old key until it is dropped."""
        old = Keyring.load(self.file).keys[1]
        self.assertEqual(command("keys", "rotate", str(self.file)).status, 0)
        rotated = Keyring.load(self.file)
        self.assertEqual((rotated.current, rotated.keys[1]), (2, old))
        self.assertEqual(command("keys", "drop", str(self.file), "1").status, 0)
        self.assertEqual(list(Keyring.load(self.file).keys), [2])

    def test_twoSteps(self) -> None:
        """A new key is there before it is used; one that is not there cannot be used."""
        self.assertEqual(command("keys", "use", str(self.file), "2").status, 3)
        self.assertEqual(command("keys", "add", str(self.file)).status, 0)
        added = Keyring.load(self.file)
        self.assertEqual((sorted(added.keys), added.current), ([1, 2], 1))
        self.assertEqual(command("keys", "use", str(self.file), "2").status, 0)
        self.assertEqual(Keyring.load(self.file), added.using(2))

    def test_dropRefused(self) -> None:
        """The current key and keys that are not there cannot be dropped."""
        self.assertEqual(command("keys", "drop", str(self.file), "1").status, 3)
        self.assertEqual(command("keys", "drop", str(self.file), "7").status, 3)

    def test_readableByOthers(self) -> None:
        """A keyring that others can read is refused with one line."""
        self.file.chmod(0o644)
        ran = command("keys", "rotate", str(self.file))
        self.assertEqual((ran.status, ran.errors.count("\n")), (3, 1))
        self.assertIn("chmod 600", ran.errors)
