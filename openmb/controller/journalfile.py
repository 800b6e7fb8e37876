"""
The file of a journal: whose it is, which version, and who may use it.

One controller at a time: it holds a lock on the file that is inherited when a service puts itself into the background
(C{flock}; SQLite's own locks end there, and whenever the process closes the file).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from openmb.errors import ConfigurationError
from openmb.safefiles import checkDirectory, checkFile, openToWrite

#: In the file's header: "OMBj", so that no other SQLite file passes for a journal.
APPLICATION = 0x4F4D426A
VERSION = 5
_HEADER = 100
#: What SQLite puts beside a database.
_BESIDE = ("-journal", "-wal", "-shm")


def examine(path: Path, version: int = VERSION) -> None:
    """
    Look at the file's header without opening it as a database, which could change it.

    @raise ConfigurationError: not a journal, of a newer version, or others can use it.
    """
    try:
        head = _headOf(path)
        if head:
            _checkHead(path, head, version)
        checkFile(path, private=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"journal {path} cannot be used: {error.strerror}") from error


def _headOf(path: Path) -> bytes:
    """The first bytes; a pipe is not waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read(_HEADER) or b""


def _checkHead(path: Path, head: bytes, version: int) -> None:
    if len(head) < _HEADER or not head.startswith(b"SQLite format 3\0"):
        raise ConfigurationError(f"{path} is not a journal: give --journal another name")
    found, application = int.from_bytes(head[60:64], "big"), int.from_bytes(head[68:72], "big")
    if application != APPLICATION:
        raise ConfigurationError(f"{path} is the database of another program: give --journal another name")
    if found > version:
        raise ConfigurationError(tooNew(path, found, version))


class JournalLock:
    """
    The file, made if it is not there, for one controller alone until L{release}.

    @raise ConfigurationError: another controller has it, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = _open(path)
        except OSError as error:
            raise ConfigurationError(f"journal {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise ConfigurationError(inUse(path)) from error

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


def _open(path: Path) -> int:
    """The file, usable for this user alone (it holds the secrets of markers and sessions), its name durable."""
    checkDirectory(path.parent)
    for ending in _BESIDE:
        checkFile(path.with_name(path.name + ending), private=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return openToWrite(path, private=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return descriptor


def explain(path: Path, error: sqlite3.Error) -> str:
    """What SQLite says, and what to do."""
    if "locked" in str(error):
        return inUse(path)
    return f"journal {path} cannot be used: {error}"


def tooNew(path: Path, found: int, version: int) -> str:
    """It is not for this version."""
    return (
        f"journal {path} was written by a newer OpenMB (version {found}, this one knows {version}): "
        "run that one, or let it finish its operations and start with a new journal"
    )


def inUse(path: Path) -> str:
    """Somebody else has it."""
    return f"journal {path} is in use by another controller: stop it first, or give this one a journal of its own"


def readOnly(path: Path) -> sqlite3.Connection:
    """
    The journal at C{path}, to be read only, also while a controller writes there.

    With no log beside it the file is taken as immutable: SQLite would otherwise make files of its own meanwhile.
    """
    logged = any(path.with_name(f"{path.name}-{ending}").exists() for ending in ("wal", "journal"))
    mode = "mode=ro" if logged else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", timeout=0.2, uri=True)
