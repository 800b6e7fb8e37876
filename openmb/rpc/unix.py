"""
Private UNIX sockets: listening where nobody else's user can connect, and replacing what a dead process left behind.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime, IReactorUNIX
from twisted.internet.protocol import Factory

from openmb.errors import ConfigurationError

#: The longest path that fits into C{struct sockaddr_un} of Linux, without the final NUL (unix(7)).
PATH_LIMIT = 107


class ILocalReactor(IReactorTime, IReactorUNIX):
    """A reactor with a clock and UNIX sockets."""


def listenPrivately(reactor: IReactorUNIX, path: Path, factory: Factory[Any]) -> IListeningPort:
    """
    Listen on a UNIX socket at C{path} that only this user can connect to (mode 0600).

    A socket whose process is gone is replaced.

    @raise ConfigurationError: a live process listens there, something else stands there, or the path cannot be used.
    """
    _checkPath(path)
    _removeStale(path)
    try:
        with _umask(0o177):
            return reactor.listenUNIX(str(path), factory, mode=0o600)
    except (CannotListenError, OSError) as error:
        raise ConfigurationError(f"cannot listen on {path}: {error}") from error


def _checkPath(path: Path) -> None:
    if len(os.fsencode(path)) > PATH_LIMIT:
        reason = f"a UNIX socket's path has at most {PATH_LIMIT} bytes; use a shorter directory"
        raise ConfigurationError(f"{path}: {reason}")


def _removeStale(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"cannot use {path}: {error}") from error
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigurationError(f"{path} is in the way and is no socket; choose another path")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to user {status.st_uid}: choose another path")
    if _isLive(path):
        raise ConfigurationError(f"another process listens on {path}; stop it or choose another path")
    path.unlink(missing_ok=True)


def _isLive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(str(path))
    # a full backlog answers EAGAIN: somebody listens
    return code not in (errno.ECONNREFUSED, errno.ENOENT)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)
