"""Every fault that `openmb doctor` knows, made for real, and what it says of it."""

from __future__ import annotations

import json
import os
import resource
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.journal import SQLiteJournal
from openmb.northbound.commands.doctor import command
from openmb.northbound.doctor.credentials import checkCertificates, checkKeyrings
from openmb.northbound.doctor.finding import Finding, Level
from openmb.northbound.doctor.places import (
    checkController,
    checkJournal,
    checkMachine,
    checkRoom,
    checkSocket,
    checkSwitch,
)
from openmb.operations.journal import Entry, Step
from openmb.southbound.certificates import makeAuthority, makeCertificate
from openmb.southbound.keys import makeKeyring, rotateKeyring
from openmb.state.keyring import Keyring
from openmb.wire.formats import End
from openmb.wire.messages import Peer


class DoctorCase(SynchronousTestCase):
    """A short directory, since sockets must fit, and ways to look for a line."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="doctor-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def has(self, findings: Iterable[Finding], level: Level, *words: str) -> None:
        """Some line of C{level} holds all C{words}."""
        found = list(findings)
        lines = [f"{each.subject}: {each.text}" for each in found if each.level is level]
        self.assertTrue(any(all(word in line for word in words) for line in lines), found)

    def worst(self, findings: Iterable[Finding]) -> Level:
        levels = [each.level for each in findings]
        return max(levels, key=[Level.OK, Level.WARNING, Level.WRONG].index)


class CertificateTests(DoctorCase):
    """Certificates and their keys."""

    def setUp(self) -> None:
        super().setUp()
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.CONTROLLER, "controller")
        makeCertificate(self.folder, End.MIDDLEBOX, "bro1", "bro")
        (self.folder / "authority.key").unlink()
        self.kinds: dict[str, str] = {}

    def look(self, *names: str, now: datetime | None = None) -> list[Finding]:
        return list(checkCertificates(self.folder, names, self.kinds, now))

    def test_well(self) -> None:
        self.assertEqual(Level.OK, self.worst(self.look()))
        self.assertEqual({"bro1": "bro"}, self.kinds)
        self.has(self.look("bro1"), Level.OK, "bro1.pem: middlebox bro1 of kind bro, valid until")

    def test_noDirectory(self) -> None:
        self.has(checkCertificates(self.folder / "x", (), {}), Level.WRONG, "no such directory", "openmb certs")

    def test_writable(self) -> None:
        self.folder.chmod(0o777)
        self.has(self.look(), Level.WRONG, "others can write here", "chmod go-w")

    def test_missing(self) -> None:
        self.has(self.look("bro7"), Level.WRONG, "bro7.pem", "make it with 'openmb certs'")

    def test_noAuthority(self) -> None:
        (self.folder / "authority.pem").write_text("nonsense")
        self.has(self.look(), Level.WRONG, "authority.pem: cannot be used")

    def test_onlyAuthority(self) -> None:
        other = self.folder / "other"
        makeAuthority(other)
        found = list(checkCertificates(other, (), {}))
        self.has(found, Level.WARNING, "only an authority")
        self.has(found, Level.WARNING, "authority.key: whoever has it")

    def test_authorityKeyForAll(self) -> None:
        other = self.folder / "other"
        makeAuthority(other)
        (other / "authority.key").chmod(0o644)
        self.has(checkCertificates(other, (), {}), Level.WRONG, "authority.key: others can read it", "chmod 600")

    def test_otherAuthority(self) -> None:
        other = self.folder / "other"
        makeAuthority(other)
        (self.folder / "authority.pem").write_bytes((other / "authority.pem").read_bytes())
        self.has(self.look("bro1"), Level.WRONG, "bro1.pem: another authority has signed it")

    def test_leafAsAuthority(self) -> None:
        (self.folder / "authority.pem").write_bytes((self.folder / "bro1.pem").read_bytes())
        self.has(self.look(), Level.WRONG, "authority.pem: this is no authority's certificate")

    def test_renamed(self) -> None:
        for ending in ("pem", "key"):
            (self.folder / f"bro1.{ending}").rename(self.folder / f"bro2.{ending}")
        self.has(self.look("bro2"), Level.WRONG, "it is that of middlebox bro1 of kind bro, not of bro2")

    def test_keyForAll(self) -> None:
        (self.folder / "bro1.key").chmod(0o640)
        self.has(self.look(), Level.WRONG, "bro1.key can be read by others", "chmod 600")

    def test_otherKey(self) -> None:
        (self.folder / "bro1.key").write_bytes((self.folder / "controller.key").read_bytes())
        self.has(self.look(), Level.WRONG, "bro1", "is not the key of")

    def test_dates(self) -> None:
        now = datetime.now(UTC)
        self.has(self.look(now=now + timedelta(days=820)), Level.WARNING, "bro1.pem: expires on")
        self.has(self.look(now=now + timedelta(days=900)), Level.WRONG, "bro1.pem: expired on")
        self.has(self.look(now=now - timedelta(days=2)), Level.WRONG, "valid only from", "clock")


class KeyringTests(DoctorCase):
    """Keyring files."""

    def ring(self, name: str, kind: str = "bro") -> Path:
        makeKeyring(self.folder / name, kind)
        return self.folder / name

    def test_well(self) -> None:
        one = self.ring("one")
        Keyring.load(one).save(self.folder / "two")
        found = list(checkKeyrings([one, self.folder / "two"], {"bro1": "bro"}))
        self.assertEqual(Level.OK, self.worst(found))
        self.has(found, Level.OK, "1 keys for bro, number 1 seals")

    def test_unusable(self) -> None:
        one = self.ring("one")
        one.chmod(0o644)
        self.has(checkKeyrings([one, self.folder / "none"], {}), Level.WRONG, "can be used by others", "chmod 600")
        self.has(checkKeyrings([one, self.folder / "none"], {}), Level.WRONG, "none", "cannot be read")

    def test_different(self) -> None:
        self.has(checkKeyrings([self.ring("one"), self.ring("two")], {}), Level.WRONG, "two: its keys are not those")

    def test_halfRotated(self) -> None:
        one = self.ring("one")
        rotateKeyring(one)
        ring = Keyring.load(one)
        ring.using(1).save(self.folder / "two")
        self.has(checkKeyrings([one, self.folder / "two"], {}), Level.WARNING, "two: seals with another key than")

    def test_otherKind(self) -> None:
        one = self.ring("one", "prads")
        self.has(checkKeyrings([one], {"bro1": "bro"}), Level.WRONG, "it is for prads, but the certificates are of bro")


class Answering(threading.Thread):
    """Listens on a local socket and gives one answer to each connection."""

    def __init__(self, path: Path, answer: bytes) -> None:
        super().__init__(daemon=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        path.chmod(0o600)
        self.server.listen()
        self.answer = answer
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            with client:
                client.recv(1000)
                client.sendall(self.answer)


class SocketTests(DoctorCase):
    """Local sockets: the controller's and the switch's."""

    def answering(self, name: str, result: Any) -> Path:
        path = self.folder / name
        thread = Answering(path, json.dumps({"id": 1, "result": result}).encode() + b"\n")
        self.addCleanup(thread.server.close)
        return path

    def test_well(self) -> None:
        path = self.answering("a", {"middleboxes": [{"name": "bro1"}], "underWay": [], "over": []})
        self.has(checkSocket(path), Level.OK, "the controller answers; middleboxes connected: bro1; 0 moves")

    def test_rights(self) -> None:
        path = self.answering("a", {"middleboxes": [], "underWay": [], "over": []})
        path.chmod(0o666)
        self.has(checkSocket(path), Level.WRONG, "others can give orders", "chmod 600")

    def test_nobody(self) -> None:
        self.has(checkSocket(self.folder / "a"), Level.WARNING, "nobody listens here", "twistd openmb")

    def test_stale(self) -> None:
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(self.folder / "a"))
        (self.folder / "a").chmod(0o600)
        self.has(checkSocket(self.folder / "a"), Level.WRONG, "nobody answers", "remove the file")

    def test_noSocket(self) -> None:
        (self.folder / "a").write_text("")
        self.has(checkSocket(self.folder / "a"), Level.WRONG, "this is no socket")

    def test_otherProtocol(self) -> None:
        thread = Answering(self.folder / "a", b"220 mail ready\n")
        self.addCleanup(thread.server.close)
        self.has(checkSocket(self.folder / "a"), Level.WRONG, "another protocol")

    def test_longPath(self) -> None:
        self.has(checkSocket(self.folder / ("x" * 100)), Level.WRONG, "too long for a socket's path")
        self.has(checkSwitch(self.folder / ("x" * 100), ()), Level.WRONG, "too long for a socket's path")

    def test_noDirectory(self) -> None:
        self.has(checkSocket(self.folder / "x" / "a"), Level.WRONG, "no such directory", "mkdir")

    def test_switch(self) -> None:
        ports = [{"name": "bro1", "connected": True, "dropped": 0}, {"name": "bro2", "connected": False, "dropped": 0}]
        self.answering("control.sock", [*ports, {"name": "bro3", "connected": True, "dropped": 7}])
        found = list(checkSwitch(self.folder, ("bro1", "bro2", "bro3", "bro4")))
        self.has(found, Level.OK, "ports: bro1, bro2, bro3")
        self.has(found, Level.WARNING, "nobody is connected to port bro2")
        self.has(found, Level.WARNING, "port bro3 has dropped 7 packets")
        self.has(found, Level.WRONG, "no port bro4", "--port bro4")

    def test_noSwitch(self) -> None:
        self.has(checkSwitch(self.folder, ()), Level.WRONG, "there is no socket", "twistd openmb-switch --directory")


class ControllerTests(DoctorCase):
    """Where middleboxes connect."""

    def setUp(self) -> None:
        super().setUp()
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.CONTROLLER, "controller")
        makeCertificate(self.folder, End.MIDDLEBOX, "bro1", "bro")

    def listening(self, name: str | None) -> str:
        """A port where the owner of a certificate listens, or somebody who speaks no TLS."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def serve() -> None:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                if name is None:
                    client.sendall(b"220 mail ready\r\n")
                    return
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
                try:
                    with context.wrap_socket(client, server_side=True) as secured:
                        secured.recv(1)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    def look(self, place: str, **more: str) -> list[Finding]:
        return list(checkController(place, self.folder, "bro1", **more))

    def test_well(self) -> None:
        self.has(self.look(self.listening("controller")), Level.OK, "controller controller listens")

    def test_otherName(self) -> None:
        found = self.look(self.listening("controller"), controller="c2")
        self.has(found, Level.WRONG, "controller controller listens there, not controller c2")

    def test_middlebox(self) -> None:
        self.has(self.look(self.listening("bro1")), Level.WRONG, "127.0.0.1")

    def test_otherAuthority(self) -> None:
        place = self.listening("controller")
        other = self.folder / "other"
        makeAuthority(other)
        (self.folder / "authority.pem").write_bytes((other / "authority.pem").read_bytes())
        self.has(self.look(place), Level.WRONG, "its certificate does not verify", "authority.pem")

    def test_noTLS(self) -> None:
        self.has(self.look(self.listening(None)), Level.WRONG, "no TLS 1.3 there")

    def test_nobody(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            place = f"127.0.0.1:{server.getsockname()[1]}"
        self.has(self.look(place), Level.WRONG, "nobody listens there")

    def test_nonsense(self) -> None:
        for place in ("here", "1.2.3.4:x", ":", "a:99999"):
            self.has(self.look(place), Level.WRONG, "must be host:port")

    def test_portOnly(self) -> None:
        self.has(checkController(self.listening("controller"), None, None), Level.OK, "somebody listens")

    def test_noCertificate(self) -> None:
        (self.folder / "bro1.key").unlink()
        self.has(self.look(self.listening("controller")), Level.WRONG, "check the certificates of bro1")


class PlacesTests(DoctorCase):
    """Journal, logs, machine."""

    def journal(self, step: Step) -> Path:
        journal = SQLiteJournal(self.folder / "j")
        journal.write(Entry(1, step, Peer("a", bytes(16)), Peer("b", bytes(16)), "tcp", bytes(16), reason="aborted"))
        journal.close()
        return self.folder / "j"

    def test_journal(self) -> None:
        self.has(checkJournal(self.journal(Step.CLOSED)), Level.OK, "every operation in it is over")
        self.has(checkJournal(self.folder / "none"), Level.OK, "the journal can be written")

    def test_unfinished(self) -> None:
        self.has(checkJournal(self.journal(Step.COMMIT)), Level.WARNING, "1 operations are not over")

    def test_journalInUse(self) -> None:
        path = self.journal(Step.CLOSED)
        journal = SQLiteJournal(path)
        self.addCleanup(journal.close)
        journal.write(Entry(2, Step.OPEN, Peer("a", bytes(16)), Peer("b", bytes(16)), "tcp", bytes(16)))
        self.has(checkJournal(path), Level.WARNING, "1 operations are not over")
        journal.write(Entry(2, Step.CLOSED, Peer("a", bytes(16)), Peer("b", bytes(16)), "tcp", bytes(16)))
        self.has(checkJournal(path), Level.OK, "every operation in it is over")

    def test_strangeJournal(self) -> None:
        path = self.journal(Step.CLOSED)
        path.chmod(0o644)
        self.has(checkJournal(path), Level.WRONG, "others can read it")
        path.write_bytes(b"something else " * 20)
        self.has(checkJournal(path), Level.WRONG, "is not a journal")

    def test_room(self) -> None:
        self.assertNotEqual(Level.WRONG, self.worst(checkRoom(self.folder, "logs")))
        self.has(checkRoom(self.folder / "new", "logs"), Level.WARNING, "no such directory yet", "mkdir -p")
        for free, level in ((10 << 20, Level.WRONG), (500 << 20, Level.WARNING), (5 << 30, Level.OK)):
            with mock.patch("shutil.disk_usage") as usage:
                usage.return_value.free = free
                self.assertEqual(level, self.worst(checkRoom(self.folder, "logs")))

    def test_noRights(self) -> None:
        with mock.patch("os.access", return_value=False):
            self.has(checkRoom(self.folder, "logs"), Level.WRONG, "logs cannot be written here", "chown")
            self.has(checkRoom(self.folder / "new", "logs"), Level.WRONG, "it cannot be made in")
            self.has(checkMachine(), Level.WARNING, "NUMBA_CACHE_DIR")

    def test_machine(self) -> None:
        self.assertNotEqual(Level.WRONG, self.worst(checkMachine()))
        self.has(checkMachine(86400.0), Level.WRONG, "it is 1970-01-02 here")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        self.has(checkMachine(), Level.WARNING, "the limit is 256", "ulimit -n")


class CommandTests(DoctorCase):
    """The command line."""

    def run_(self, *words: object) -> tuple[int, str]:
        ran = CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)
        return ran.return_value, ran.output

    def test_everything(self) -> None:
        """All options together, on a deployment without processes."""
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.MIDDLEBOX, "bro1", "bro")
        makeKeyring(self.folder / "keys", "bro")
        status, said = self.run_(
            *("--certificates", self.folder, "--name", "bro1", "--keys", self.folder / "keys", "--logs", self.folder),
            *("--journal", self.folder / "j", "--switch", self.folder, "--socket", self.folder / "s"),
            *("--controller", "127.0.0.1:1"),
        )
        self.assertEqual(1, status)
        for words in ("wrong    127.0.0.1:1: nobody listens", "ok       ", "warning  ", "twistd openmb-switch"):
            self.assertIn(words, said)

    def test_status(self) -> None:
        self.assertEqual(0, self.run_("--logs", self.folder)[0])
        self.assertEqual(1, self.run_("--keys", self.folder / "none")[0])

    def test_json(self) -> None:
        status, said = self.run_("--json", "--keys", self.folder / "none")
        lines = [json.loads(line) for line in said.splitlines()]
        self.assertEqual(1, status)
        self.assertEqual({"level", "subject", "text"}, set(lines[0]))
        self.assertIn("wrong", {line["level"] for line in lines})

    def test_changesNothing(self) -> None:
        makeAuthority(self.folder)
        makeKeyring(self.folder / "keys", "bro")
        before = {path: path.read_bytes() for path in self.folder.iterdir()}
        self.run_("--certificates", self.folder, "--keys", self.folder / "keys", "--journal", self.folder / "j")
        self.assertEqual(before, {path: path.read_bytes() for path in self.folder.iterdir()})
        self.assertNotIn("j", os.listdir(self.folder))
