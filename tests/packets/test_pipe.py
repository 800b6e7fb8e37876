"""Captures on pipes and sockets give the same packets as files, and clear errors."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import CaptureError
from openmb.packets.batch import joinBatches, packetBatch
from openmb.packets.capture import openCapture
from openmb.packets.stream import PcapStreamWriter

PACKETS = packetBatch([b"one" * 20, b"two" * 300, b"three" * 5], [1_000, 2_000, 3_000])


def stream() -> bytes:
    """A pcap stream of the packets."""
    writer = PcapStreamWriter(1)
    return writer.header() + writer.records(PACKETS)


class PipeTests(SynchronousTestCase):
    """See the module."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp())

    def fifo(self, data: bytes) -> None:
        """A named pipe into which a thread writes C{data}."""
        os.mkfifo(self.place)
        writer = threading.Thread(target=lambda: self.place.write_bytes(data))
        writer.start()
        self.addCleanup(writer.join, 5)

    def test_namedPipe(self) -> None:
        self.fifo(stream())
        capture = openCapture(self.place)
        read = joinBatches(list(capture.batches()))
        self.assertEqual([read.packet(i) for i in range(3)], [PACKETS.packet(i) for i in range(3)])
        self.assertEqual(read.stamps.tolist(), PACKETS.stamps.tolist())
        self.assertEqual(capture.remarks, [])

    def test_compressed(self) -> None:
        """It is said what unpacks it."""
        for pack, program in ((gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")):
            self.place = Path(self.mktemp())
            self.fifo(pack(stream() * 9))
            error = self.assertRaises(CaptureError, list, openCapture(self.place).batches())
            self.assertIn(f"'{program} -dc'", str(error))
            file = Path(self.mktemp())
            file.write_bytes(pack(stream()))
            self.assertIn(f"'{program} -dc {file} |", str(self.assertRaises(CaptureError, openCapture, file)))

    def test_socket(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.place))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(stream())

        server = threading.Thread(target=serve)
        server.start()
        self.addCleanup(server.join, 5)
        self.assertEqual(sum(map(len, openCapture(self.place).batches(limit=1))), 3)

    def test_cutOff(self) -> None:
        """A last record that is cut off is left out, and said."""
        self.fifo(stream()[:-2])
        capture = openCapture(self.place)
        self.assertEqual(sum(map(len, capture.batches())), 2)
        self.assertEqual(len(capture.remarks), 1)

    def test_garbage(self) -> None:
        for data in (b"x" * 100, b"", b"\xd4\xc3\xb2\xa1"):
            with self.subTest(data=data):
                self.place = Path(self.mktemp())
                self.fifo(data)
                capture = openCapture(self.place)
                self.assertRaises(CaptureError, list, capture.batches())
