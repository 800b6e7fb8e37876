"""Local sockets that answer, and those that do not, and what C{openmb doctor} says of them."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from openmb.controller.controller import Controller
from openmb.interfaces import Route
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.embedded.port import PortClient, connectPort
from openmb.netctl.embedded.service import SwitchService, SwitchSettings
from openmb.northbound.doctor.asking import ask
from openmb.northbound.doctor.finding import Finding, Level
from openmb.northbound.doctor.sockets import checkSocket, checkSwitch
from openmb.northbound.local import NorthboundVerbs
from openmb.operations.journal import MemoryJournal
from openmb.rpc.server import ServerFactory
from openmb.rpc.unix import listenPrivately
from openmb.state.headers import HeaderFieldList
from tests.northbound.doctoring import Answering, DoctorCase, unprivileged

LOOP = cast(Any, reactor)


class RunningTests(TestCase, DoctorCase):
    """A real switch and a real controller's socket, asked from a thread of their own."""

    def setUp(self) -> None:
        DoctorCase.setUp(self)

    async def switch(self, *ports: str) -> SwitchService:
        service = SwitchService(SwitchSettings(self.folder / "switch", ports=ports), LOOP)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def lookAtSwitch(self, *names: str) -> list[Finding]:
        return await deferToThread(lambda: list(checkSwitch(self.folder / "switch", names)))

    async def test_controller(self) -> None:
        controller = Controller(EmbeddedNetwork(self.folder / "none", LOOP), MemoryJournal(), LOOP)
        path = self.folder / "openmb.sock"
        port = listenPrivately(LOOP, path, ServerFactory(NorthboundVerbs(controller).verbs, LOOP))
        self.addCleanup(port.stopListening)
        found = await deferToThread(lambda: list(checkSocket(path)))
        self.has(found, Level.OK, "the controller answers; middleboxes connected: none; moves under way: 0")
        self.assertEqual(Level.OK, self.worst(found))

    async def test_switchInstead(self) -> None:
        """The switch's socket, given as that of the controller."""
        await self.switch()
        path = self.folder / "switch" / "control.sock"
        found = await deferToThread(lambda: list(checkSocket(path)))
        self.has(found, Level.WRONG, "it answers", "is this the controller's socket")

    async def test_switch(self) -> None:
        service = await self.switch("bro1", "bro2")
        self.has(await self.lookAtSwitch("bro1"), Level.WARNING, "there are no routes")
        service.route(Route(HeaderFieldList(), ("bro2",)))
        client = PortClient(lambda batch: None)
        await connectPort(LOOP, self.folder / "switch", "bro1", client)
        self.addCleanup(client.abort)
        found = await self.lookAtSwitch("bro1", "bro2", "bro3")
        self.has(found, Level.OK, "the switch answers; ports: bro1, bro2")
        self.has(found, Level.OK, "somebody is connected to port bro1")
        self.has(found, Level.WARNING, "nobody is connected to port bro2")
        self.has(found, Level.WRONG, "no port bro3", "--port bro3")
        self.has(found, Level.WARNING, "a route leads to port bro2, and nobody is connected there")


class SocketTests(DoctorCase):
    """Sockets where nobody is, or somebody else."""

    def answering(self, name: str, answer: bytes) -> Path:
        path = self.folder / name
        thread = Answering(path, answer)
        self.addCleanup(thread.server.close)
        return path

    def result(self, name: str, result: Any) -> Path:
        return self.answering(name, json.dumps({"id": 1, "result": result}).encode() + b"\n")

    def test_middleboxes(self) -> None:
        path = self.result("a", {"middleboxes": [{"name": "bro1"}], "underWay": [{}], "over": []})
        self.has(checkSocket(path), Level.OK, "middleboxes connected: bro1; moves under way: 1")

    def test_problems(self) -> None:
        """What the controller finds wrong is a warning each."""
        path = self.result("a", {"middleboxes": [], "underWay": [], "problems": ["the switch is away", "and more"]})
        found = list(checkSocket(path))
        self.has(found, Level.WARNING, "the switch is away")
        self.has(found, Level.WARNING, "and more")

    def test_rights(self) -> None:
        path = self.result("a", {"middleboxes": [], "underWay": [], "over": []})
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
        path = self.answering("a", b"220 mail ready\n")
        self.has(checkSocket(path), Level.WRONG, "another protocol")

    def test_endlessLine(self) -> None:
        path = self.answering("a", b"x" * (1 << 21))
        self.has(checkSocket(path), Level.WRONG, "another protocol")

    def test_silence(self) -> None:
        self.has(checkSocket(self.answering("a", b"")), Level.WRONG, "it closes the connection")

    def test_noAnswer(self) -> None:
        """Somebody listens but is stopped: connections wait in the backlog for ever."""
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(self.folder / "a"))
            server.listen()
            (self.folder / "a").chmod(0o600)
            self.has(checkSocket(self.folder / "a", patience=0.1), Level.WRONG, "no answer within 0.1 s", "stopped?")

    def test_strangeAnswers(self) -> None:
        answer: object
        for number, answer in enumerate((None, 7, [], {}, {"middleboxes": 1, "underWay": []}, [1])):
            path = self.result(str(number), answer)
            self.has(checkSocket(path), Level.WRONG, "what answers is no controller")
            self.assertEqual(answer, ask(path, "operations"))

    def test_strangeSwitch(self) -> None:
        answer: object
        for number, answer in enumerate((None, 7, {}, [1], [{}])):
            folder = self.folder / str(number)
            folder.mkdir(0o700)
            self.result(f"{number}/control.sock", answer)
            self.has(checkSwitch(folder, ("a",)), Level.WRONG, "what answers is no switch")

    def test_dropped(self) -> None:
        """A switch that has dropped packets, as it says so."""
        self.result("control.sock", [{"name": "bro3", "connected": True, "dropped": 7}])
        self.has(checkSwitch(self.folder, ("bro3",)), Level.WARNING, "port bro3 has dropped 7 packets")

    def test_longPath(self) -> None:
        self.has(checkSocket(self.folder / ("x" * 100)), Level.WRONG, "too long for a socket's path")
        self.has(checkSwitch(self.folder / ("x" * 100), ()), Level.WRONG, "too long for a socket's path")

    def test_longestPath(self) -> None:
        """The limit is the operating system's own."""
        path = self.folder / "x"
        path = self.folder / ("x" * (108 - len(os.fsencode(path))))
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(path))
            self.assertRaises(OSError, server.bind, f"{path}x")
        self.has(checkSocket(path), Level.WRONG, "nobody answers")
        self.has(checkSocket(Path(f"{path}x")), Level.WRONG, "108 bytes are too long")

    def test_noDirectory(self) -> None:
        self.has(checkSocket(self.folder / "x" / "a"), Level.WRONG, "no such directory", "mkdir")

    def test_directoryForAll(self) -> None:
        self.folder.chmod(0o777)
        self.has(checkSocket(self.folder / "a"), Level.WARNING, "others can put a socket of their own", "chmod go-w")
        self.folder.chmod(0o1777)
        self.assertEqual(["nobody"], [each.text.split()[0] for each in checkSocket(self.folder / "a")])

    def test_noRights(self) -> None:
        with unprivileged(self.folder):
            self.has(checkSocket(self.folder / "a"), Level.WRONG, "no socket can be made here", "chown")

    def test_noSwitch(self) -> None:
        self.has(checkSwitch(self.folder, ()), Level.WRONG, "nobody answers", "twistd openmb-switch --directory")
