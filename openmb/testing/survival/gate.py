"""
A gate between the harness and a controller: the controller says where it stands, and waits until it may go on.

Two named pipes in a directory; both sides hold both open for reading and writing, so that a death on either side breaks
nothing.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

from openmb.testing.survival.points import Point

#: Seconds that a controller waits at most: if the harness is gone, it goes on.
PATIENCE = 30.0
REACHED, GO, PLAN = "reached", "go", "plan"
_ROOM = 4096


class Gate:
    """
    The gate in C{directory}.

    @param make: make the pipes, as the harness does; otherwise they are there.
    """

    def __init__(self, directory: Path, make: bool = False) -> None:
        self._directory, self._closed = directory, False
        if make:
            directory.mkdir(mode=0o700)
            for name in (REACHED, GO):
                os.mkfifo(directory / name, 0o600)
        self._reached, self._go = (os.open(directory / name, os.O_RDWR | os.O_NONBLOCK) for name in (REACHED, GO))

    def close(self) -> None:
        """Let go of the pipes; once more does no harm."""
        if not self._closed:
            self._closed = True
            os.close(self._reached)
            os.close(self._go)

    # -- the harness

    def arm(self, point: Point) -> None:
        """The next move that begins stops at C{point}."""
        self._drain(self._reached)
        self._drain(self._go)
        draft = self._directory / "draft"
        draft.write_text(point.line(), encoding="ascii")
        draft.replace(self._directory / PLAN)

    def disarm(self) -> None:
        """No later move stops."""
        (self._directory / PLAN).unlink(missing_ok=True)

    def reached(self) -> bool:
        """Does a move stand at its point?  True once."""
        return bool(self._drain(self._reached))

    def release(self) -> None:
        """Let it go on."""
        os.write(self._go, b".")

    # -- the controller

    def plan(self) -> Point | None:
        """Where a move that begins now is to stop."""
        try:
            return Point.parse((self._directory / PLAN).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def stop(self, point: Point) -> None:
        """Say that C{point} is reached, and wait."""
        self.disarm()
        os.write(self._reached, point.line().encode("ascii"))
        if select.select([self._go], [], [], PATIENCE)[0]:
            os.read(self._go, 1)

    @staticmethod
    def _drain(pipe: int) -> bytes:
        try:
            return os.read(pipe, _ROOM)
        except BlockingIOError:
            return b""
