"""
What to do about a file or directory that others can use: advice that does no harm.

C{chmod} is advised for what is this user's and is what it should be, and for nothing else: not for a directory that
others are meant to use (C{/tmp}), not for a file of somebody else's, nor for one that is something else altogether
(C{/etc/passwd}), for whoever follows advice follows it as root.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def restricting(path: Path, change: str, isExpected: bool = True) -> str:
    """
    How to keep others away from C{path}, as the end of a sentence.

    @param change: of the mode, as C{chmod} takes it.
    @param isExpected: a file's contents are those of a file of this sort.
    """
    try:
        status = path.lstat()
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link: name the file itself"
    if stat.S_ISDIR(status.st_mode):
        another = f"choose a directory of its own, such as {path / 'openmb'}"
        if status.st_mode & stat.S_ISVTX or len(path.absolute().parts) < 3:
            return f"others are meant to use it: {another}"
        if status.st_uid != os.geteuid():
            return f"it is not this user's: {another}"
    elif not isExpected:
        return "and it is no such file at all: name the right one"
    elif status.st_uid != os.geteuid():
        return "and it belongs to somebody else: have its owner change it, or name another one"
    return f"run 'chmod {change} {path}'"
