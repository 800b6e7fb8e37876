"""Files that somebody else may have put where a service writes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.plugins.prads.output import ASSETS, Output
from openmb.rpc.unix import listenPrivately
from openmb.safefiles import UnsafeFile, checkDirectory, checkFile, openToWrite, replaceFile
from openmb.southbound.certificates import makeAuthority, makeCertificate, readKey
from openmb.southbound.revocation import LIST, revoke
from openmb.starting import Readiness, checkRunner
from openmb.state.keyring import Keyring
from openmb.wire.formats import End


class WritingTests(SynchronousTestCase):
    """In a directory of this test's own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "file"
        self.victim = self.folder / "victim"
        self.victim.write_bytes(b"precious")
        self.victim.chmod(0o600)

    def put(self, content: bytes, append: bool = True, private: bool = False) -> None:
        descriptor = openToWrite(self.path, append, private)
        os.write(descriptor, content)
        os.close(descriptor)

    def refused(self, words: str) -> None:
        """Opened or only looked at, public or private, to append or to begin anew; and nothing is changed."""
        before = self.victim.read_bytes()
        for private in (False, True):
            for append in (False, True):
                with self.assertRaisesRegex(UnsafeFile, words):
                    self.put(b"x", append, private)
            with self.assertRaisesRegex(UnsafeFile, words):
                checkFile(self.path, private)
        self.assertEqual(before, self.victim.read_bytes())

    def test_new(self) -> None:
        """Others cannot write what is made, whatever the umask; nor read what is private."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        for private, mode in ((False, 0o644), (True, 0o600)):
            checkFile(self.path)
            self.put(b"a", private=private)
            self.put(b"b", private=private)
            self.assertEqual((b"ab", mode), (self.path.read_bytes(), self.path.stat().st_mode & 0o7777))
            self.put(b"c", append=False, private=private)
            self.assertEqual(b"c", self.path.read_bytes())
            self.path.unlink()

    def test_links(self) -> None:
        """Symbolic links, to something or to nothing, and hard links."""
        self.path.symlink_to(self.victim)
        self.refused("file: it is a symbolic link, which is not followed")
        self.path.unlink()
        self.path.symlink_to(self.folder / "nothing")
        self.refused("it is a symbolic link")
        self.assertFalse((self.folder / "nothing").exists())
        self.path.unlink()
        os.link(self.victim, self.path)
        self.refused("it has a second name")

    def test_noFile(self) -> None:
        """Pipes, read or not, do not stop whoever opens them; nor do devices."""
        os.mkfifo(self.path)
        self.refused("it is no regular file")
        self.path.unlink()
        self.path.mkdir()
        with self.assertRaises(OSError):
            self.put(b"x")
        with self.assertRaisesRegex(UnsafeFile, "it is no regular file"):
            checkFile(self.path)

    def test_mode(self) -> None:
        """Others may not write it; what is private they may not even read."""
        self.path.write_bytes(b"")
        for mode, public, private in (
            (0o600, True, True),
            (0o644, True, False),
            (0o664, True, False),
            (0o666, False, False),
            (0o602, False, False),
        ):
            self.path.chmod(mode)
            for good, secret in ((public, False), (private, True)):
                if good:
                    self.put(b"x", private=secret)
                else:
                    with self.assertRaisesRegex(UnsafeFile, f"others can .* it .mode {mode:04o}.: .* 'chmod "):
                        self.put(b"x", private=secret)

    def test_owner(self) -> None:
        """A file that belongs to somebody else stays as it is."""
        if os.geteuid():
            raise self.skipTest("only root can give a file away")
        self.path.write_bytes(b"theirs")
        os.chown(self.path, 12345, 12345)
        self.refused("it belongs to user 12345, not to 0: run this as that user, or move")
        self.assertEqual(b"theirs", self.path.read_bytes())

    def test_directory(self) -> None:
        """Others who can write in a directory can change what its names mean, unless it is sticky, as /tmp is."""
        for mode, good in ((0o700, True), (0o755, True), (0o1777, True), (0o777, False)):
            self.folder.chmod(mode)
            if good:
                checkDirectory(self.folder)
            else:
                self.assertRaisesRegex(UnsafeFile, "others can write in it", checkDirectory, self.folder)
        self.assertRaisesRegex(UnsafeFile, "it is no directory", checkDirectory, self.victim)

    def test_secretsOfOthers(self) -> None:
        """A key or keyring that somebody else has put there is not used."""
        if os.geteuid():
            raise self.skipTest("only root can give a file away")
        keyring, key = self.folder / "bro.keys", self.folder / "authority.key"
        Keyring.generate("bro").save(keyring)
        makeAuthority(self.folder)
        for path, read in ((keyring, Keyring.load), (key, readKey)):
            read(path)
            os.chown(path, 12345, 12345)
            with self.assertRaisesRegex(ConfigurationError, "it belongs to user 12345, not to 0 or root"):
                read(path)

    def test_replace(self) -> None:
        """A link is replaced and what it leads to stays; what fails leaves nothing behind."""
        self.path.symlink_to(self.victim)
        replaceFile(self.path, b"new")
        self.assertEqual((b"new", b"precious"), (self.path.read_bytes(), self.victim.read_bytes()))
        self.assertFalse(self.path.is_symlink())
        self.path.unlink()
        self.path.mkdir()
        self.assertRaises(OSError, replaceFile, self.path, b"new")
        self.assertEqual(["file", "victim"], sorted(os.listdir(self.folder)))


class WritersTests(SynchronousTestCase):
    """Who writes does so by these; Bro's logs, set-aside captures and journals have tests of their own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.victim = self.folder / "victim"
        self.victim.write_bytes(b"precious")

    def tearDown(self) -> None:
        self.assertEqual(b"precious", self.victim.read_bytes())

    def test_prads(self) -> None:
        (self.folder / ASSETS).symlink_to(self.victim)
        for append in (False, True):
            with self.assertRaisesRegex(ConfigurationError, f"cannot write .*{ASSETS}: it is a symbolic link"):
                Output(self.folder, append)

    def test_announced(self) -> None:
        """Neither the file nor a draft of it beside it is followed."""
        for name in ("port", "port.new", ".port.new"):
            (self.folder / name).symlink_to(self.victim)
        Readiness(str(self.folder / "port"), {}).say("7790")
        self.assertEqual("7790\n", (self.folder / "port").read_text())

    def test_revocations(self) -> None:
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.MIDDLEBOX, "bro1", "bro")
        (self.folder / f".{LIST}.new").symlink_to(self.victim)
        revoke(self.folder, "bro1")
        self.assertTrue((self.folder / LIST).read_bytes().startswith(b"-----BEGIN X509 CRL"))

    def test_runnersFiles(self) -> None:
        """What twistd is told to write is looked at before it does so."""
        options = usage.Options()
        options["pidfile"], options["logfile"] = str(self.folder / "pid"), None
        checkRunner(options)
        (self.folder / "pid").symlink_to(self.victim)
        with self.assertRaisesRegex(ConfigurationError, "pid: it is a symbolic link"):
            checkRunner(options)
        options["pidfile"], options["logfile"] = "", str(self.folder / "pid")
        with self.assertRaisesRegex(ConfigurationError, "pid: it is a symbolic link"):
            checkRunner(options)

    def test_socketOfAnother(self) -> None:
        """What somebody else listens on, or has left, is not touched."""
        if os.geteuid():
            raise self.skipTest("only root can give a socket away")
        path = self.folder / "s"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(path))
        os.chown(path, 12345, 12345)
        with self.assertRaisesRegex(ConfigurationError, "belongs to user 12345: choose another path"):
            listenPrivately(MemoryReactor(), Path(os.path.relpath(path)), Factory())
        self.assertTrue(path.exists())
