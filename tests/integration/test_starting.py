"""Real services that cannot start say so in one line and end; those that can say once that they are ready."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from openmb.demo.deployment import Deployment, temporaryDeployment
from openmb.demo.processes import Child, Children, IDemoReactor
from tests.integration.services import RunningServices

LOOP = cast(IDemoReactor, cast(Any, reactor))
#: The three ways of running a service: C{twist}, C{twistd --nodaemon}, C{twistd}.
TWIST = ("-m", "twisted")
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")
PATIENCE = 120.0


class StartingCase(TestCase):
    """A deployment without anything that runs."""

    timeout = 300
    kind = "bro"

    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.deployment: Deployment = stack.enter_context(temporaryDeployment(self.kind, ("bro1",)))
        self.root = self.deployment.root
        (self.root / "out").mkdir()
        self.children = Children(LOOP, self.root / "out")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.children.stopAll()))

    def runners(self) -> dict[str, tuple[str, ...]]:
        """The interpreter's arguments before those of the service, for each way of running it."""
        files = ("--pidfile", str(self.root / "pid"), "--logfile", str(self.root / "log"))
        return {
            "twist": TWIST,
            "twistd -n": (*TWISTD, "--nodaemon", "--pidfile", ""),
            "twistd": (*TWISTD, *files),
        }

    def controller(self, *more: str) -> list[str]:
        return [*self.deployment.controllerArguments(), *more]

    def switch(self, *more: str) -> list[str]:
        return [*self.deployment.switchArguments(("in", "bro1")), *more]

    def middlebox(self, *more: str) -> list[str]:
        return self.deployment.middleboxArguments("bro1", *more)


class FailingTests(StartingCase):
    """One line on standard error, status 1, whatever runs the service."""

    async def fails(self, words: list[str], reason: str) -> None:
        """The service that C{words} start ends with this reason, however it is run."""
        for name, runner in self.runners().items():
            out, err, status = await getProcessOutputAndValue(
                sys.executable, (*runner, *words), env=dict(os.environ), path=str(self.root)
            )
            said = err.decode()
            self.assertEqual((1, 1), (status, said.count("\n")), f"{name}: {said}")
            self.assertIn(reason, said, name)
            self.assertNotIn(b"Traceback", out, name)
        self.assertFalse((self.root / "pid").exists())

    async def test_controllersPortIsTaken(self) -> None:
        """Somebody listens there; nobody is told that the controller were ready, and it leaves no socket."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            await self.fails(self.controller("--port", str(port)), f"cannot listen on 127.0.0.1:{port}")
        self.assertFalse(self.deployment.announce.exists())
        self.assertFalse(self.deployment.socket.exists())

    async def test_controllersInterface(self) -> None:
        """No address of this machine, or no address at all."""
        await self.fails(self.controller("--interface", "192.0.2.1"), "cannot listen on 192.0.2.1:0")
        await self.fails(self.controller("--interface", "no.such.invalid"), "cannot listen on no.such.invalid:0")

    async def test_controllersSocketIsTaken(self) -> None:
        """The local socket belongs to somebody who lives."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.deployment.socket))
            other.listen()
            await self.fails(self.controller(), "another process listens on")

    async def test_announceCannotBeWritten(self) -> None:
        """Nobody would ever learn that it is ready: any service says so at once."""
        nowhere = ("--announce", str(self.root / "no" / "such"))
        self.deployment.announce.write_text("7790\n")
        for words in (self.controller(*nowhere), self.switch(*nowhere), self.announcing("no/such")):
            await self.fails(words, "cannot write")

    async def test_failsLate(self) -> None:
        """What fails only after everything else was started ends the service too, and nobody waits for ever."""
        # a name that a file can have, but not the draft that is written beside it
        late = self.root / ("l" * 250)
        for name, runner in self.runners().items():
            words = (*runner, *self.switch("--announce", str(late)))
            _, err, status = await getProcessOutputAndValue(
                sys.executable, words, env=dict(os.environ), path=str(self.root)
            )
            self.assertEqual(1, status, name)
            self.assertIn(b"cannot write", err, name)
            self.assertEqual(2 if name == "twistd" else 1, err.count(b"\n"), err)  # twistd names its log, too

    async def test_switch(self) -> None:
        """A directory that others can enter; a port's socket that somebody has.  Nothing is left behind."""
        self.deployment.switch.mkdir(mode=0o755)
        await self.fails(self.switch(), "others can enter")
        self.deployment.switch.chmod(0o700)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.deployment.switch / "bro1.sock"))
            other.listen()
            await self.fails(self.switch(), "another process listens on")
        self.assertEqual(["bro1.sock"], [path.name for path in self.deployment.switch.iterdir()])

    async def test_middlebox(self) -> None:
        """No keyring; logs that cannot be written."""
        self.deployment.announce.write_text("7790\n")
        logs = str(self.root / "logs")
        self.deployment.keys.rename(self.root / "elsewhere")
        await self.fails(self.middlebox("--logs", logs), "bro.keys")

    def announcing(self, name: str) -> list[str]:
        """A middlebox that announces; the kind's options come last."""
        words = self.middlebox("--logs", str(self.root / "logs"))
        return [words[0], "--announce", str(self.root / name), *words[1:]]


class ReadyTests(StartingCase):
    """Said once, in a file and to the service manager."""

    def setUp(self) -> None:
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(self.root / "notify"))
        os.environ["NOTIFY_SOCKET"] = str(self.root / "notify")
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")

    def start(self, name: str, words: list[str]) -> Child:
        words = [words[0], "--announce", str(self.root / f"{name}.ready"), *words[1:]]
        return self.children.start(name, words)

    def told(self) -> bytes | None:
        """What the service manager was told last, or None."""
        try:
            return self.manager.recv(100)
        except BlockingIOError:
            return None

    async def ready(self, name: str) -> str:
        """Wait until it is ready and has said so twice, once in each way; what its file says."""
        file = self.root / f"{name}.ready"
        await self.children.until(f"{name}.ready", file.exists, PATIENCE)
        heard: list[bytes] = []
        await self.children.until("the word to the manager", lambda: heard or self._hear(heard), PATIENCE)
        self.assertEqual([b"READY=1"], heard)
        return file.read_text()

    def _hear(self, heard: list[bytes]) -> bool:
        told = self.told()
        heard.extend([told] if told is not None else [])
        return bool(heard)

    async def test_ready(self) -> None:
        """Each service, when it can be used and not before: a middlebox waits for the switch and the controller."""
        self.deployment.announce.write_text("1\n")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = str(probe.getsockname()[1])
        words = [word.replace("127.0.0.1:1", f"127.0.0.1:{port}") for word in self.middlebox("--logs", str(self.root))]
        middlebox = self.start("middlebox", words)
        await self.children.until("its wait", lambda: middlebox.said("until the switch is there"), PATIENCE)
        self.start("switch", self.switch())
        self.assertEqual(f"{self.deployment.switch}\n", await self.ready("switch"))
        self.assertFalse((self.root / "middlebox.ready").exists())
        words = self.controller("--port", port)
        words[words.index("--announce") + 1] = str(self.root / "controller.ready")
        self.children.start("controller", words)
        self.assertEqual(f"{port}\n", await self.ready("controller"))
        self.assertEqual("bro1\n", await self.ready("middlebox"))
        self.assertIsNone(self.told())

    async def test_inTheBackground(self) -> None:
        """C{twistd} returns when the controller listens; the daemon answers, and ends when it is told to."""
        _, err, status = await getProcessOutputAndValue(
            sys.executable, (*self.runners()["twistd"], *self.controller()), env=dict(os.environ), path=str(self.root)
        )
        process = int((self.root / "pid").read_text())
        self.addCleanup(_end, process)
        self.assertEqual((b"", 0), (err, status))
        self.assertTrue(self.deployment.announce.read_text().strip().isdecimal())
        self.assertEqual(b"READY=1", self.told())
        cli = ("-m", "openmb.northbound.cli", "status", "--socket", str(self.deployment.socket))
        _, err, status = await getProcessOutputAndValue(sys.executable, cli, env=dict(os.environ))
        self.assertEqual((b"", 0), (err, status))
        os.kill(process, signal.SIGTERM)
        await self.children.until("its end", lambda: not (self.root / "pid").exists(), PATIENCE)
        self.assertFalse(self.deployment.socket.exists())


class RelayTests(RunningServices):
    """A relay is ready when it hears everybody."""

    kind = "prads"
    names = ("prads1", "prads2")

    async def test_relay(self) -> None:
        """It says so once; without a controller it ends with one line."""
        await self.start()
        file = self.deployment.root / "relay.ready"
        cli = ("-m", "openmb.northbound.cli")
        words = ("relay", *self.names, "--announce", str(file), "--socket")
        self.children.start("relay", (*words, str(self.deployment.socket)), cli)
        await self.until("relay.ready", file.exists)
        self.assertEqual("prads1 prads2\n", file.read_text())
        _, err, status = await getProcessOutputAndValue(
            sys.executable, (*cli, *words, str(self.deployment.root / "none")), env=dict(os.environ)
        )
        self.assertEqual((1, 1), (status, err.count(b"\n")), err)


def _end(process: int) -> Deferred[None] | None:
    """Nothing goes on after the test."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return deferLater(cast(Any, LOOP), 0.1, lambda: None)
