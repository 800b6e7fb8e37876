"""
Moves in the middle of everything that an application says: the logs do not show where.

Each cut is after a segment that ends inside a request line, a header, a body, a chunk's size, between pipelined
requests, or inside a message of DNS over TCP; the packets right after it are re-processed at the destination.
"""

from __future__ import annotations

import random
import re
import struct
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.bench.web import names, others, pages
from openmb.bench.web.talk import CLIENT, NONE, SEGMENT, Ends, Mishaps, Talk
from openmb.bench.web.truth import Truth
from openmb.packets.batch import LinkType, joinBatches
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.packets.pcap import PcapHeader
from openmb.state.headers import HeaderFieldList
from tests.plugins.bro.running import makeBro, readLog, runDecoded
from tests.plugins.bro.test_split import moveAt

LOGS = ("conn.log", "http.log", "dns.log")
START, EVENTS, EACH = 1_704_067_200_000_000, 25, 14
Rows = dict[str, list[tuple[str, ...]]]
#: What the bytes of one direction look like when they stop in the middle of it; the first that fits.
PLACES = (
    ("request line", CLIENT, re.compile(rb"(?:\A|\n)[A-Z]{1,7}(?: [^\r\n]*)?\Z")),
    ("between requests", CLIENT, re.compile(rb"[^\n]\r\n\r\n\Z")),
    ("header of a request", CLIENT, re.compile(rb"\n[A-Z][-a-zA-Z]+:[^\r\n]*\Z")),
    ("chunk size", 1, re.compile(rb"\n[0-9a-f]{1,4}\r?\Z")),
    ("header of a reply", 1, re.compile(rb"\n[A-Z][-a-zA-Z]+:[^\r\n]*\Z")),
    ("body", 1, re.compile(rb"[^\r\n]\Z")),
)


class Finely(Talk):
    """A talk in small segments."""

    def say(self, side: int, data: bytes, mishaps: Mishaps = NONE, size: int = SEGMENT) -> None:
        super().say(side, data, mishaps, min(size, self.chance.choice((3, 11, 29, 90))))


def conversations() -> list[tuple[int, Talk]]:
    """HTTP of every sort, DNS over TCP and UDP, FTP and mail, with their ports, all at the same time."""
    made: list[tuple[int, Talk]] = []

    def talk(port: int, tcp: bool = True) -> Talk:
        number = len(made)
        ends = Ends(bytes([10, 1, 0, 1 + number]), 4000 + number, bytes([192, 0, 2, 1]), port)
        made.append((port, Finely(ends, START + number * 1000, random.Random(number), tcp)))
        return made[-1][1]

    truth = Truth()
    for _ in range(9):
        pages.web(talk(80), truth)
    _pipeline(talk(80), truth)
    for _ in range(4):
        names.lookUpByStream(talk(53), truth)
        names.lookUp(talk(53, False), truth)
    others.ftp(talk(21), truth, talk(30001))
    others.smtp(talk(25), truth)
    return made


def _pipeline(talk: Talk, truth: Truth) -> None:
    talk.open()
    kinds = ("sized", "chunked", "head", "gzip")
    requests = [pages.makeExchange(talk.chance, kind, "www.example.test", "bench") for kind in kinds]
    for each in requests:
        talk.say(CLIENT, each.head)
    for each in requests:
        talk.say(1, each.reply)
    talk.close()


def placeOf(port: int, side: int, text: bytes) -> str:
    """Where in the protocol one direction stands after C{text}."""
    if port == 53:
        return "DNS over TCP" if _isInside(text) else "other"
    if port != 80:
        return "other"
    return next((name for name, of, pattern in PLACES if of == side and pattern.search(text[-400:])), "other")


def _isInside(text: bytes) -> bool:
    while len(text) >= 2 and len(text) >= 2 + struct.unpack("!H", text[:2])[0]:
        text = text[2 + struct.unpack("!H", text[:2])[0] :]
    return bool(text)


class AppMoveTests(SynchronousTestCase):
    """One run over two middleboxes against one over one."""

    def setUp(self) -> None:
        self.folder, self.count = Path(self.mktemp()), 0
        self.folder.mkdir()
        frames = []
        for port, talk in conversations():
            said = [b"", b""]
            for stamp, frame in talk.frames:
                side = CLIENT if frame[26:30] == talk.ends.client else 1
                payload = frame[54:] if talk.tcp else b""
                said[side] += payload
                frames.append((stamp, frame, placeOf(port, side, said[side]) if payload else "other"))
        frames.sort()
        self.places = [place for _, _, place in frames]
        self.packets = self._decoded([(stamp, frame) for stamp, frame, _ in frames])

    def _decoded(self, frames: list[tuple[int, bytes]]) -> Decoded:
        path = self.folder / "capture"
        records = (struct.pack("<IIII", *divmod(at, 10**6), len(frame), len(frame)) + frame for at, frame in frames)
        header = PcapHeader(LinkType.ETHERNET, nanoseconds=False, bigEndian=False).build()
        path.write_bytes(header + b"".join(records))
        return Decoder().decode(joinBatches(list(openCapture(path).batches())))

    def _fresh(self) -> Path:
        self.count += 1
        return self.folder / str(self.count)

    def _rows(self, *folders: Path) -> Rows:
        """Every row of every log, in every column."""
        return {
            name: sorted(tuple(row.values()) for folder in folders for row in readLog(folder / name)) for name in LOGS
        }

    def _single(self) -> Rows:
        folder = self._fresh()
        runDecoded(folder, [self.packets])
        return self._rows(folder)

    def _moved(self, cut: int, flows: HeaderFieldList) -> Rows:
        first, second = self._fresh(), self._fresh()
        a, b = makeBro(first), makeBro(second)
        moveAt(a, b, self.packets, flows, cut, EVENTS, 64)
        return self._rows(first, second)

    def _cuts(self) -> dict[int, str]:
        """For each sort of place the same number of cuts, spread over the capture."""
        found: dict[int, str] = {}
        for name in (*(name for name, _, _ in PLACES), "DNS over TCP"):
            places = [number + 1 for number, place in enumerate(self.places) if place == name]
            for number in range(EACH):
                found.setdefault(places[number * len(places) // EACH], name)
        return found

    def _try(self, flows: HeaderFieldList, cuts: dict[int, str]) -> None:
        wanted = self._single()
        self.assertGreater(min(len(wanted[name]) for name in LOGS), 10)
        for cut, place in cuts.items():
            found = self._moved(cut, flows)
            for name in LOGS:
                self.assertEqual(found[name], wanted[name], f"{name}, moved after packet {cut}: {place}")

    def test_everything(self) -> None:
        """All flows move, at more than 50 places, in the middle of everything."""
        cuts = self._cuts()
        self.assertGreaterEqual(len(cuts), 50)
        self.assertGreaterEqual(min(Counter(cuts.values()).values()), 4, Counter(cuts.values()))
        self._try(HeaderFieldList(), cuts)

    def test_someFlows(self) -> None:
        """Only web connections move, the others stay."""
        self._try(HeaderFieldList.parse("tcp,tp_dst=80"), dict(list(self._cuts().items())[::8]))
