"""
The capture that an end writes when it runs alone.
"""

from __future__ import annotations

from pathlib import Path

from openmb.errors import CaptureError, OutputFailed
from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.stream import PcapStreamWriter


class CaptureOutput:
    """
    Writes packets to a capture of nanosecond stamps; the first tell the link type.

    @raise CaptureError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: PcapStreamWriter | None = None
        self._link = int(LinkType.ETHERNET)
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - written until the process ends
        except OSError as error:
            raise CaptureError(f"cannot write {path}: {error.strerror}") from error

    def write(self, batch: PacketBatch) -> None:
        """
        Append packets.

        @raise CaptureError: they are of another link type than the first, which one capture cannot hold.
        """
        writer = self._writer or self._begin(batch.link)
        if batch.link != self._link:
            raise CaptureError(f"{self._path}: packets of link type {batch.link} after some of type {self._link}")
        self._put(writer.records(batch))

    def _begin(self, link: int) -> PcapStreamWriter:
        self._link, self._writer = link, PcapStreamWriter(link)
        self._put(self._writer.header())
        return self._writer

    def _put(self, octets: bytes) -> None:
        try:
            self._file.write(octets)
        except OSError as error:
            raise CaptureError(f"cannot write {self._path}: {error.strerror}") from error

    def flush(self) -> None:
        """
        Hand all of it to the operating system.

        @raise OutputFailed: it does not take it.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise OutputFailed(f"{self._path}: {error.strerror}") from error

    def finish(self) -> None:
        """The end: a capture without packets has a header all the same."""
        if self._writer is None:
            self._begin(self._link)
        self.flush()
