"""
Captures that flow: a pcap stream on standard input, a named pipe or a UNIX socket.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from openmb.errors import CaptureError, ProtocolError
from openmb.packets.batch import PacketBatch
from openmb.packets.stream import PcapStreamReader, StreamLimits

#: Bytes asked for at a time.
CHUNK = 1 << 20


class PipeCapture:
    """
    A pcap stream that is read as it comes; see C{openmb.packets.capture.Capture}.

    @param read: gives at most so many bytes, waiting for at least one; none at the end.
    """

    def __init__(self, path: Path, read: Callable[[int], bytes]) -> None:
        self.path = path
        self.remarks: list[str] = []
        self._read = read

    def batches(self, limit: int = 4096) -> Iterator[PacketBatch]:
        """See C{openmb.packets.capture.Capture.batches}."""
        reader = PcapStreamReader(StreamLimits(batch=limit))
        try:
            while data := self._read(CHUNK):
                yield from reader.feed(data)
        except ProtocolError as error:
            raise CaptureError(f"{self.path}: {error}") from error
        except OSError as error:
            raise CaptureError(f"cannot read {self.path}: {error.strerror or error}") from error
        if reader.header is None:
            raise CaptureError(f"{self.path}: the stream ended before a capture's header")
        if reader.pending:
            self.remarks.append(f"the last record is cut off: {reader.pending} bytes of it were left out")


def openPipe(path: Path) -> PipeCapture | None:
    """
    The stream at C{path}: C{-} for standard input, a named pipe, or a UNIX socket; None when it is none of these.

    @raise CaptureError: it cannot be opened.
    """
    if str(path) == "-":
        return PipeCapture(Path("standard input"), lambda size: os.read(0, size))
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISFIFO(mode):
            descriptor = os.open(path, os.O_RDONLY)
            return PipeCapture(path, lambda size: os.read(descriptor, size))
        if stat.S_ISSOCK(mode):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            return PipeCapture(path, connection.recv)
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}") from error
    return None
