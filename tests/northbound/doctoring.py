"""What the tests of C{openmb doctor} share."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.northbound.doctor.finding import Finding, Level

_NOBODY = 65534


class DoctorCase(SynchronousTestCase):
    """A short directory, since sockets must fit, and ways to look for a line."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="doctor-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.folder.chmod(0o755)

    def has(self, findings: Iterable[Finding], level: Level, *words: str) -> None:
        """Some line of C{level} holds all C{words}."""
        found = list(findings)
        lines = [f"{each.subject}: {each.text}" for each in found if each.level is level]
        self.assertTrue(any(all(word in line for word in words) for line in lines), found)

    def worst(self, findings: Iterable[Finding]) -> Level:
        """The level of the worst line."""
        levels = [each.level for each in findings]
        return max(levels, key=[Level.OK, Level.WARNING, Level.WRONG].index)


@contextmanager
def unprivileged(folder: Path, rights: int = 5) -> Iterator[None]:
    """Only this may be done in C{folder} (4 read, 2 write, 1 enter), whoever runs this, and nothing as root."""
    before = folder.stat().st_mode & 0o777
    folder.chmod(rights * 0o111)
    user = os.geteuid()
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(before)


class Answering(threading.Thread):
    """Listens on a local socket and says the same to everybody."""

    def __init__(self, path: Path, answer: bytes) -> None:
        super().__init__(daemon=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        path.chmod(0o600)
        self.server.listen()
        self.answer = answer
        self.start()

    def run(self) -> None:
        """Until the socket is closed."""
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            with client, suppress(OSError):  # whoever asked may have heard enough
                client.recv(1000)
                client.sendall(self.answer)
