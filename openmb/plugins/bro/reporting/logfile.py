"""
A log as a file: rows wait until they are flushed, then the operating system has them, each exactly once.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from itertools import chain, count, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OutputFailed
from openmb.plugins.bro.reporting.encoding import encodingOf
from openmb.plugins.bro.reporting.logs import Column, JSONFormat, TSVFormat, Value, stampText
from openmb.safefiles import checkFile, openToWrite


class LogFile:
    """
    One log; the file is made with the first row that is flushed, or at the end, so that no older one is left there.

    @param directory: None: rows are counted and dropped.
    @param append: go on with a log that is there, as a service does that is started again.
    @param rotation: microseconds after which rows come into a new file, and the other gets a name with its time; 0:
        never.
    @param level: of compression, 1 to 9; 0: none.
    @param sparse: without a row there is no file.
    """

    def __init__(
        self,
        directory: Path | None,
        path: str,
        columns: tuple[Column, ...],
        asJSON: bool,
        append: bool = False,
        rotation: int = 0,
        level: int = 0,
        sparse: bool = False,
    ) -> None:
        self._sparse = sparse
        self._again, self._rotation = append, rotation
        self._period: int | None = None  # of the rows that come now
        self._earlier: deque[tuple[list[bytes], int]] = deque()  # rows before them that are not written, with theirs
        self._encoding, self._path = encodingOf(level), path
        self._file = None if directory is None else directory / f"{path}.log{self._encoding.suffix}"
        self._format = (JSONFormat if asJSON else TSVFormat)(path, columns)
        self._rows: list[bytes] = []  # one or more whole rows each
        self._unwritten = b""  # what the operating system has not taken yet, to the byte
        self._descriptor: int | None = None
        self._written = self._lines = 0  # rows that are written; lines since then, those that are no rows below 0
        self._ended = False
        self.count = 0

    def writeAll(self, rows: list[list[Value]], times: Sequence[int] | None = None) -> None:
        """
        Take some rows, or, if one of them cannot be formatted, none.

        @param times: microseconds, by which logs are rotated; None: those in the first column.
        """
        if self._file is None:
            self.count += len(rows)
            return
        lines = [self._format.row(values).encode() for values in rows]
        self.writeLines(lines, [_timeOf(values) for values in rows] if times is None and self._rotation else times)

    def writeLines(self, lines: list[bytes], times: Sequence[int] | None) -> None:
        """Take rows that are formatted; C{times} as in L{writeAll}, needed only by logs that are rotated."""
        if self._file is not None:
            if self._rotation and times is not None:
                self._sort(lines, times)
            else:
                self._rows += lines
        self.count += len(lines)

    def writeBlock(self, block: bytes, ends: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        """Take rows that are formatted and lie in one block; C{ends}: the place behind each."""
        if self._rotation:
            places = [0, *ends.tolist()]
            self.writeLines([block[begin:end] for begin, end in pairwise(places)], times.tolist())
            return
        if self._file is not None:
            self._rows.append(block)
        self.count += len(ends)

    @property
    def takesText(self) -> bool:
        """Are its rows tab-separated, for who formats them himself, and does anybody read them?"""
        return self._file is not None and isinstance(self._format, TSVFormat)

    def _sort(self, lines: list[bytes], times: Sequence[int]) -> None:
        """Keep lines apart that come into different files; the time never goes back."""
        for line, now in zip(lines, times, strict=True):
            period = now // self._rotation
            if self._period is None:
                self._period = period
            if period > self._period:
                self._earlier.append((self._rows, self._period))
                self._rows, self._period = [], period
            self._rows.append(line)

    @property
    def waiting(self) -> int:
        """How many rows the operating system does not have, or not whole."""
        return 0 if self._file is None else self.count - self._written - max(self._lines, 0)

    def _frame(self, text: str) -> None:
        """Lines that are no rows; every row so far is either written or comes after them."""
        left = chain(self._rows, *(rows for rows, _period in self._earlier))
        self._written, self._lines = self.count - sum(row.count(b"\n") for row in left), -text.count("\n")
        self._unwritten += self._encoding.encode(text.encode())

    def flush(self) -> None:
        """
        Hand all rows to the operating system.

        @raise OutputFailed: it does not take them; they are kept, and the next call goes on where this one stopped.
        """
        while self._earlier:
            rows, period = self._earlier[0]
            self._write(rows)
            self._end()
            self._rename(period)
            self._earlier.popleft()
        self._write(self._rows)

    def _write(self, rows: list[bytes]) -> None:
        """Rows, and what was left before them; they are taken off the list as soon as they are among what is left."""
        if rows:
            if self._descriptor is None:
                self._open()
            self._unwritten += self._encoding.encode(b"".join(rows))
            rows.clear()
        while self._unwritten and self._descriptor is not None:
            try:
                taken = os.write(self._descriptor, self._unwritten)
            except OSError as error:
                raise self._failure(error) from error
            self._lines += self._encoding.written(self._unwritten, taken)
            self._unwritten = self._unwritten[taken:]

    def _open(self) -> None:
        assert self._file is not None
        try:
            checkFile(self._file)
            if self._again and self._file.is_file():
                self._encoding.mend(self._file)
            self._descriptor = openToWrite(self._file, append=self._again)
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
        if self._descriptor is None and self._file is not None and not (self._again or self._sparse):
            self._open()
        self._end()

    def _end(self) -> None:
        """Write what stands after the rows, and close the file."""
        if self._descriptor is None:
            return
        if not self._ended:
            self._ended = True
            self._frame(self._format.footer(time.time()))
        self._write([])
        os.close(self._descriptor)
        self._descriptor = None

    def _rename(self, period: int) -> None:
        """Give the file that was closed the name of its time."""
        assert self._file is not None
        stem = f"{self._path}.{stampText(period * self._rotation / 1_000_000)}"
        ends = (f"{end}.log{self._encoding.suffix}" for end in chain([""], (f"-{each}" for each in count(2))))
        names = (self._file.with_name(stem + end) for end in ends)
        try:
            self._file.rename(next(name for name in names if not name.exists()))
        except OSError as error:
            raise self._failure(error) from error


def _timeOf(values: list[Value]) -> int:
    first = values[0]
    return first if isinstance(first, int) else 0
