"""Certificates, keys, and who may read them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.southbound.certificates import (
    Identity,
    controllerHost,
    identityOf,
    loadCredentials,
    makeAuthority,
    makeCertificate,
)
from openmb.southbound.keys import makeKeyring, rotateKeyring
from openmb.state.keyring import Keyring
from openmb.wire.formats import End


class CertificateTests(SynchronousTestCase):
    """Making and loading certificates."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        makeAuthority(self.directory)

    def test_identities(self) -> None:
        makeCertificate(self.directory, End.MIDDLEBOX, "bro1", "bro")
        makeCertificate(self.directory, End.CONTROLLER, "main")
        for name, identity in (
            ("bro1", Identity(End.MIDDLEBOX, "bro1", "bro")),
            ("main", Identity(End.CONTROLLER, "main")),
        ):
            self.assertEqual(identityOf(loadCredentials(self.directory, name).certificate), identity)

    def test_namesInTheCertificates(self) -> None:
        makeCertificate(self.directory, End.MIDDLEBOX, "bro1", "bro")
        makeCertificate(self.directory, End.CONTROLLER, "main")
        names = {}
        for name in ("bro1", "main"):
            certificate = loadCredentials(self.directory, name).certificate
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names[name] = [each.value for each in extension.value]
        self.assertEqual(names["bro1"], ["openmb:middlebox/bro/bro1"])
        self.assertEqual(names["main"], ["openmb:controller/main", controllerHost("main")])

    def test_curveAndValidity(self) -> None:
        makeCertificate(self.directory, End.MIDDLEBOX, "bro1", "bro")
        credentials = loadCredentials(self.directory, "bro1")
        self.assertIsInstance(credentials.key.curve, ec.SECP256R1)
        for certificate in (credentials.certificate, credentials.authority):
            self.assertEqual(certificate.not_valid_after_utc - certificate.not_valid_before_utc, timedelta(days=825))
        credentials.certificate.verify_directly_issued_by(credentials.authority)

    def test_filesArePrivate(self) -> None:
        makeCertificate(self.directory, End.MIDDLEBOX, "bro1", "bro")
        for path in self.directory.iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path.name)

    def test_nothingIsOverwritten(self) -> None:
        makeCertificate(self.directory, End.MIDDLEBOX, "bro1", "bro")
        before = {path: path.read_bytes() for path in self.directory.iterdir()}
        for attempt in (
            lambda: makeAuthority(self.directory),
            lambda: makeCertificate(self.directory, End.MIDDLEBOX, "bro1", "bro"),
            lambda: makeCertificate(self.directory, End.CONTROLLER, "bro1"),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                attempt()
            self.assertIn("exists already", str(caught.exception))
        self.assertEqual({path: path.read_bytes() for path in self.directory.iterdir()}, before)

    def test_namesThatCannotBe(self) -> None:
        for role, name, kind in (
            (End.MIDDLEBOX, "../x", "bro"),
            (End.MIDDLEBOX, "..", "bro"),
            (End.MIDDLEBOX, "", "bro"),
            (End.MIDDLEBOX, "x" * 65, "bro"),
            (End.MIDDLEBOX, "bro1", "a/b"),
            (End.MIDDLEBOX, "bro1", "x" * 33),
            (End.MIDDLEBOX, "bro1", ""),
            (End.CONTROLLER, "main", "bro"),
            (End.CONTROLLER, "authority", ""),
        ):
            with self.assertRaises(ConfigurationError, msg=(role, name, kind)):
                makeCertificate(self.directory, role, name, kind)
        self.assertEqual(len(list(self.directory.iterdir())), 2)

    def test_noAuthority(self) -> None:
        with self.assertRaises(ConfigurationError) as caught:
            makeCertificate(Path(self.mktemp()), End.CONTROLLER, "main")
        self.assertIn("openmb certs", str(caught.exception))

    def test_keyThatOthersCanRead(self) -> None:
        makeCertificate(self.directory, End.CONTROLLER, "main")
        for mode in (0o640, 0o604):
            os.chmod(self.directory / "main.key", mode)
            with self.assertRaises(ConfigurationError) as caught:
                loadCredentials(self.directory, "main")
            self.assertIn("chmod 600", str(caught.exception))

    def test_keyOfAnother(self) -> None:
        for name in ("one", "two"):
            makeCertificate(self.directory, End.CONTROLLER, name)
        (self.directory / "one.key").write_bytes((self.directory / "two.key").read_bytes())
        with self.assertRaises(ConfigurationError):
            loadCredentials(self.directory, "one")

    def test_damagedFiles(self) -> None:
        makeCertificate(self.directory, End.CONTROLLER, "main")
        for suffix in ("key", "pem"):
            path = self.directory / f"main.{suffix}"
            good = path.read_bytes()
            path.write_bytes(b"nonsense")
            with self.assertRaises(ConfigurationError) as caught:
                loadCredentials(self.directory, "main")
            self.assertIn(path.name, str(caught.exception))
            path.write_bytes(good)

    def test_certificatesThatAreNotOurs(self) -> None:
        with self.assertRaises(ConfigurationError):
            identityOf(x509.load_pem_x509_certificate((self.directory / "authority.pem").read_bytes()))


class KeyringTests(SynchronousTestCase):
    """Making and rotating keyrings."""

    def test_make(self) -> None:
        path = Path(self.mktemp())
        keyring = makeKeyring(path, "bro")
        self.assertEqual(Keyring.load(path), keyring)
        self.assertEqual((keyring.kind, len(keyring.keys)), ("bro", 1))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_neverOverTheOld(self) -> None:
        path = Path(self.mktemp())
        keyring = makeKeyring(path, "bro")
        with self.assertRaises(ConfigurationError):
            makeKeyring(path, "bro")
        self.assertEqual(Keyring.load(path), keyring)

    def test_kindThatCannotBe(self) -> None:
        for kind in ("", "a b", "../x", "x" * 33):
            with self.assertRaises(ConfigurationError):
                makeKeyring(Path(self.mktemp()), kind)

    def test_rotate(self) -> None:
        path = Path(self.mktemp())
        old = makeKeyring(path, "bro")
        new = rotateKeyring(path)
        self.assertEqual(Keyring.load(path), new)
        self.assertNotEqual(new.current, old.current)
        self.assertEqual(new.keys[old.current], old.keys[old.current])
