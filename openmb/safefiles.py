"""
Files that services write and keys that they read, in directories where others may have been before them.

Nothing is written through a symbolic link, into a file of somebody else, or into one that others can write.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from openmb.errors import ConfigurationError

#: Bits of a file's mode: what others may not have of a file that is written, and nobody of one that is private.
WRITTEN, PRIVATE = 0o002, 0o077

_LINK = "it is a symbolic link, which is not followed: remove it, or name the file itself"


class UnsafeFile(ConfigurationError, OSError):
    """
    A file is not what it should be: somebody else may have put it there.

    It is an C{OSError} too: who goes on when a file cannot be opened goes on in the same way.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.strerror = reason


def openToWrite(path: Path, append: bool = True, private: bool = False) -> int:
    """
    Open a regular file to read and write, made if it is not there (mode 0600 if C{private}, at most 0644 otherwise).

    @param append: keep what is in it and write behind that; otherwise it is emptied, after it was looked at.
    @param private: nobody else may read it either.
    @return: a descriptor.
    @raise UnsafeFile: it is a symbolic link or no regular file, has a second name, belongs to another user, or others
        can write it (if private: use it).
    @raise OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_APPEND if append else 0)
    try:
        descriptor = os.open(path, flags, 0o600 if private else 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeFile(path, _LINK) from error
        if error.errno == errno.ENXIO:
            raise UnsafeFile(path, "it is no regular file") from error
        raise
    try:
        _judge(path, os.fstat(descriptor), PRIVATE if private else WRITTEN)
        os.set_blocking(descriptor, True)
        if not append:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def checkFile(path: Path, private: bool = False) -> None:
    """
    As L{openToWrite}, without opening it; for what another library opens.  Nothing there is good, too.

    @raise UnsafeFile: as L{openToWrite}.
    @raise OSError: it cannot be looked at.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    _judge(path, status, PRIVATE if private else WRITTEN)


def checkDirectory(path: Path) -> None:
    """
    Is C{path} a directory in which nobody else can put something else in the place of our files?

    @raise UnsafeFile: it is not, or belongs to another user who is not root.
    @raise OSError: it cannot be looked at, or is not there.
    """
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeFile(path, "it is no directory")
    checkOwner(path, status)
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise UnsafeFile(path, f"others can write in it (mode {_mode(status)}): choose another directory")


def checkOwner(path: Path, status: os.stat_result) -> None:
    """
    Does what was found at C{path} belong to this user, or to root?

    @raise UnsafeFile: it does not.
    """
    if status.st_uid not in (os.geteuid(), 0):
        raise UnsafeFile(path, f"it belongs to user {status.st_uid}, not to {os.geteuid()} or root")


def replaceFile(path: Path, content: bytes) -> None:
    """
    Put a file (mode 0644 at most) in the place of C{path}, whole: whoever looks finds the old or the new one.  A
    symbolic link there is replaced, not followed.

    @raise OSError: it cannot be written.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(content)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _judge(path: Path, status: os.stat_result, forbidden: int) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise UnsafeFile(path, _LINK)
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile(path, "it is no regular file")
    if status.st_uid != os.geteuid():
        raise UnsafeFile(
            path, f"it belongs to user {status.st_uid}, not to {os.geteuid()}: run this as that user, or move it away"
        )
    if status.st_nlink > 1:
        raise UnsafeFile(path, "it has a second name (a hard link): move it away")
    if status.st_mode & forbidden:
        can = "use" if forbidden == PRIVATE else "write"
        advice = f"look whether somebody has, then run 'chmod {'600' if forbidden == PRIVATE else 'o-w'} {path}'"
        raise UnsafeFile(path, f"others can {can} it (mode {_mode(status)}): {advice}")


def _mode(status: os.stat_result) -> str:
    return f"{status.st_mode & 0o7777:04o}"
