"""
How a service starts: it says once that it is ready, or ends with one line that says why it cannot be.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from openmb.errors import ConfigurationError, OpenMBError
from openmb.safefiles import checkFile, replaceFile

#: Where the service manager listens (sd_notify(3)).
MANAGER = "NOTIFY_SOCKET"


#: This process, or that which has put it into the background since.
_BEGAN = os.getpid()


@contextmanager
def mustStart(program: str) -> Iterator[None]:
    """
    What fails in here ends the process with status 1 and one line on standard error.

    The line goes to the descriptor: a runner that logs has put a log into the place of C{sys.stderr}.  A process in the
    background has no standard error any more: there the error is raised, for C{twistd} to tell the process that waits.
    (That one waits for ever for a child that ends in any other way.)
    """
    try:
        yield
    except (OpenMBError, OSError) as error:
        if os.getpid() != _BEGAN:
            raise
        os.write(2, f"{program}: {' '.join(str(error).split())}\n".encode())
        raise SystemExit(1) from error


def checkRunner(runner: Mapping[str, Any] | None) -> None:
    """
    Look at the files that twistd will write for this service, before it does.

    @param runner: twistd's own options, as far as there are any.
    @raise ConfigurationError: its pid file or its log is a link, or not this user's to write.
    """
    for name in ("pidfile", "logfile"):
        path = (runner or {}).get(name)
        if path and path != "-":
            checkFile(Path(path))


class Readiness:
    """
    Says that a service is ready, once: to whoever waits for a file, and to the service manager, if there is one.

    @param announce: the file (C{--announce}); None: nobody waits for one.
    @raise ConfigurationError: the file cannot be written.
    """

    log = Logger()

    def __init__(self, announce: str | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._announce = Path(announce).absolute() if announce else None
        self._manager = environment.get(MANAGER)
        self._said = False
        if self._announce is not None and self._announce.is_dir():
            raise ConfigurationError(f"cannot write {self._announce}: it is a directory")
        if self._announce is not None and not os.access(self._announce.parent, os.W_OK | os.X_OK):
            raise ConfigurationError(f"cannot write {self._announce}: make its directory first, or choose another one")

    def say(self, text: str) -> None:
        """
        It is ready; C{text} goes into the file, whole (whoever waits for it never finds half of it).

        @raise ConfigurationError: the file cannot be written.
        """
        if self._said:
            return
        self._said = True
        if self._announce is not None:
            _writeWhole(self._announce, f"{text}\n")
        if self._manager:
            self._notify(self._manager)

    def _notify(self, manager: str) -> None:
        address = f"\0{manager[1:]}" if manager.startswith("@") else manager
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(b"READY=1", address)
        except OSError as error:
            self.log.warn("cannot tell {manager} of being ready: {error}", manager=manager, error=error)


def _writeWhole(path: Path, text: str) -> None:
    try:
        replaceFile(path, text.encode())
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
