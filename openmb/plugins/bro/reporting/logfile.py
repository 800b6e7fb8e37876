"""
A log as a file: rows wait until they are flushed, then the operating system has them, each exactly once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from openmb.errors import OutputFailed
from openmb.plugins.bro.reporting.logs import Column, JSONFormat, TSVFormat, Value

_BLOCK = 1 << 16


class LogFile:
    """
    One log; the file is made with the first row that is flushed, or at the end, so that no older one is left there.

    @param directory: None: rows are counted and dropped.
    @param append: go on with a log that is there, as a service does that is started again.
    """

    def __init__(
        self, directory: Path | None, path: str, columns: tuple[Column, ...], asJSON: bool, append: bool = False
    ) -> None:
        self._again = append
        self._file = None if directory is None else directory / f"{path}.log"
        self._format = (JSONFormat if asJSON else TSVFormat)(path, columns)
        self._rows: list[str] = []
        self._unwritten = b""  # what the operating system has not taken yet, to the byte
        self._descriptor: int | None = None
        self._written = self._lines = 0  # rows that are written; lines since then, those that are no rows below 0
        self._ended = False
        self.count = 0

    def writeAll(self, rows: list[list[Value]]) -> None:
        """Take some rows, or, if one of them cannot be formatted, none."""
        if self._file is not None:
            self._rows += [self._format.row(values) for values in rows]
        self.count += len(rows)

    @property
    def waiting(self) -> int:
        """How many rows the operating system does not have, or not whole."""
        return 0 if self._file is None else self.count - self._written - max(self._lines, 0)

    def _frame(self, text: str) -> None:
        """Lines that are no rows; every row so far is either written or comes after them."""
        self._written, self._lines = self.count - len(self._rows), -text.count("\n")
        self._unwritten += text.encode()

    def flush(self) -> None:
        """
        Hand all rows to the operating system.

        @raise OutputFailed: it does not take them; they are kept, and the next call goes on where this one stopped.
        """
        if self._rows:
            if self._descriptor is None:
                self._open()
            self._unwritten += "".join(self._rows).encode()
            self._rows.clear()
        while self._unwritten and self._descriptor is not None:
            try:
                taken = os.write(self._descriptor, self._unwritten)
            except OSError as error:
                raise self._failure(error) from error
            self._lines += self._unwritten.count(b"\n", 0, taken)
            self._unwritten = self._unwritten[taken:]

    def _open(self) -> None:
        assert self._file is not None
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self._again else os.O_TRUNC)
        try:
            if self._again and self._file.is_file():
                dropPartOfLine(self._file)
            self._descriptor = os.open(self._file, flags, 0o666)
        except OSError as error:
            raise self._failure(error) from error
        self._again = True  # rows that come after the end, if ever, join the others
        self._ended = False
        self._frame(self._format.header(time.time()))

    def _failure(self, error: OSError) -> OutputFailed:
        return OutputFailed(f"{self._file}: {error.strerror}, {self.waiting} rows are not written")

    def close(self) -> None:
        """
        Flush, write what stands after the rows, and close the file; may be called again.

        @raise OutputFailed: as L{flush}; what is left is written by the next call.
        """
        self.flush()
        if self._descriptor is None and self._file is not None and not self._again:
            self._open()
        if self._descriptor is None:
            return
        if not self._ended:
            self._ended = True
            self._frame(self._format.footer(time.time()))
        self.flush()
        os.close(self._descriptor)
        self._descriptor = None


def dropPartOfLine(file: Path) -> None:
    """Cut off the part of a row at the end of C{file}: a process left it there that was killed, or had no room."""
    with file.open("r+b") as log:
        size = end = log.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - _BLOCK)
            log.seek(begin)
            place = log.read(end - begin).rfind(b"\n")
            if place >= 0:
                end = begin + place + 1
                break
            end = begin
        if end < size:
            log.truncate(end)
