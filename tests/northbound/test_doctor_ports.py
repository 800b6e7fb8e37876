"""Ports that answer, and those that do not, and what C{openmb doctor} says of them."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from openmb.controller.controller import Controller
from openmb.controller.southbound import ControllerReceiver
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.northbound.doctor.finding import Finding, Level
from openmb.northbound.doctor.ports import checkController, checkListening
from openmb.operations.journal import MemoryJournal
from openmb.southbound.certificates import loadCredentials, makeAuthority, makeCertificate, renewCertificate
from openmb.southbound.connection import Terms
from openmb.southbound.revocation import revoke
from openmb.southbound.server import ControllerFactory, listenSouthbound
from openmb.southbound.tls import admitByCertificate
from openmb.wire.formats import End
from tests.northbound.doctoring import DoctorCase, unprivileged

LOOP = cast(Any, reactor)


class ListeningTests(TestCase, DoctorCase):
    """The real southbound server, met from a thread of its own."""

    def setUp(self) -> None:
        DoctorCase.setUp(self)
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.CONTROLLER, "controller")
        makeCertificate(self.folder, End.MIDDLEBOX, "bro1", "bro")

    async def meet(self, certificates: Path, judging: float, revoked: str = "") -> list[Finding]:
        """What the doctor says of a controller here, shown the certificate of bro1 in C{certificates}."""
        controller = Controller(EmbeddedNetwork(self.folder / "none", LOOP), MemoryJournal(), LOOP)
        factory = ControllerFactory(
            Terms(), lambda link: ControllerReceiver(controller, link), LOOP, admitByCertificate
        )
        endpoint = TCP4ServerEndpoint(LOOP, 0, interface="127.0.0.1")
        port = await listenSouthbound(endpoint, factory, loadCredentials(self.folder, "controller"), LOOP)
        self.addCleanup(port.stopListening)
        if revoked:
            revoke(self.folder, revoked)
            renewCertificate(self.folder, revoked)
        place = f"127.0.0.1:{cast(Any, port).getHost().port}"
        return await deferToThread(lambda: list(checkController(place, certificates, "bro1", judging=judging)))

    async def test_taken(self) -> None:
        found = await self.meet(self.folder, 0.1)
        self.has(found, Level.OK, "controller controller listens", "does not refuse that of bro1")

    async def test_refused(self) -> None:
        """The certificate of another authority: only the server notices."""
        other = self.folder / "other"
        makeAuthority(other)
        makeCertificate(other, End.MIDDLEBOX, "bro1", "bro")
        (other / "authority.pem").write_bytes((self.folder / "authority.pem").read_bytes())
        found = await self.meet(other, 60.0)
        self.has(found, Level.WRONG, "controller controller refuses the certificate of bro1", "log says why")

    async def test_revoked(self) -> None:
        """The certificate of the controller, renewed on disk perhaps, but in use: found on the list."""
        found = await self.meet(self.folder, 60.0, revoked="controller")
        self.has(found, Level.WRONG, "the certificate that controller controller uses was revoked on")


class StrangerTests(DoctorCase):
    """Where middleboxes connect, others listen."""

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

    def look(self, place: str, controller: str = "controller") -> list[Finding]:
        return list(checkController(place, self.folder, "bro1", controller, 60.0))

    def test_otherName(self) -> None:
        found = self.look(self.listening("controller"), controller="c2")
        self.has(found, Level.WRONG, "controller controller listens there, not controller c2")

    def test_middlebox(self) -> None:
        """Its certificate is no server's."""
        self.has(self.look(self.listening("bro1")), Level.WRONG, "its certificate does not verify")

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
        self.has(self.look(self.listening("controller")), Level.WRONG, "not tried, for want of certificates", "bro1")


class FreePortTests(DoctorCase):
    """Where a controller is to listen."""

    def test_free(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            place = f"127.0.0.1:{server.getsockname()[1]}"
        self.has(checkListening(place), Level.OK, "the port is free")

    def test_leavesItFree(self) -> None:
        """Looking does not take it away."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        list(checkListening(f"127.0.0.1:{port}"))
        socket.create_server(("127.0.0.1", port)).close()

    def test_taken(self) -> None:
        """The process that listens there is named."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            place = f"127.0.0.1:{server.getsockname()[1]}"
            self.has(checkListening(place), Level.WRONG, f"process {os.getpid()} (", "listens there already", "--port")

    def test_otherMachine(self) -> None:
        self.has(checkListening("192.0.2.1:7790"), Level.WRONG, "no address of this machine", "--interface")

    def test_privileged(self) -> None:
        lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        if lowest < 2:
            raise SkipTest("on this machine everybody may listen at all ports")
        with unprivileged(self.folder):
            self.has(checkListening("127.0.0.1:1"), Level.WRONG, "root's rights", "--port")

    def test_nonsense(self) -> None:
        for place in ("here", "1.2.3.4:x", ":", "a:99999", "a:\u0663"):
            self.has(checkListening(place), Level.WRONG, "must be host:port")
