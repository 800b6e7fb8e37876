"""
Checks of the journal, and of directories that something is written to.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from openmb.controller.journal import unfinishedIn
from openmb.controller.journalfile import examine
from openmb.errors import ConfigurationError
from openmb.northbound.doctor.finding import Findings, ok, warning, wrong
from openmb.state.advice import restricting

#: Bytes that should be free for logs and journal, and below which nothing works for long.
ROOMY, SCARCE = 1 << 30, 50 << 20


def _isJournal(path: Path) -> bool:
    try:
        examine(path)
    except ConfigurationError:
        return False
    return True


def checkJournal(path: Path) -> Findings:
    """The controller's journal; reads only."""
    yield from checkRoom(path.parent, "the journal")
    if not path.exists():
        return
    if path.stat().st_mode & 0o077:
        journal = _isJournal(path)
        yield wrong(path, f"others can use it, and forge drain markers: {restricting(path, '600', journal)}")
        if journal:
            return
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        yield wrong(path, "this user cannot write it: 'chown' it to the user of the controller, or run this as that")
        return
    try:
        unfinished = unfinishedIn(path)
    except ConfigurationError as error:
        yield wrong(path, str(error))
        return
    if unfinished:
        yield warning(
            path,
            f"operations that are not over: {unfinished}; they are under way, or settled when a controller starts",
        )
    else:
        yield ok(path, "every operation in it is over")


def checkRoom(folder: Path, what: str, roomy: int = ROOMY, scarce: int = SCARCE) -> Findings:
    """
    Can C{what} be written to C{folder}, and is there room for it?

    @param roomy: @param scarce: bytes that should, and must, be free.
    """
    if folder.exists() and not folder.is_dir():
        yield wrong(folder, f"it is no directory: name one for {what}, or move this file away")
        return
    if not folder.is_dir():
        parent = next(above for above in folder.absolute().parents if above.is_dir())
        if _writable(parent):
            yield warning(folder, f"no such directory yet: 'mkdir -p {folder}' makes it")
        else:
            yield wrong(
                folder, f"no such directory, and it cannot be made in {parent}: make it as root, and 'chown' it"
            )
        return
    if not _writable(folder):
        yield wrong(folder, f"{what} cannot be written here: 'chown' it to the user of the service")
        return
    free = shutil.disk_usage(folder).free
    if free < scarce:
        yield wrong(folder, f"only {free >> 20} MiB are free for {what}: make room; a full disk stops everything")
    elif free < roomy:
        yield warning(folder, f"only {free >> 20} MiB are free for {what}: make room in time")
    else:
        yield ok(folder, f"{what} can be written, {free >> 20} MiB are free")


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)
