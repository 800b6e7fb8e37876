"""The second stage: literals compressed, packet by packet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.packets.batch import packetBatch
from openmb.packets.capture import openCapture
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.secondstage import train
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.plugins.smartre.statistics import undecodable
from tests.plugins.smartre.ends import SETTINGS, contents, makeEnds, through
from tests.plugins.smartre.frames import ethernet, four, generate, tcp, udp
from tests.shared import sharedCaptures

_STAGED = replace(SETTINGS, secondStage=True)
_LINES = [
    b"GET /page/%d HTTP/1.1\r\nHost: www%d.example.test\r\nAccept: */*\r\n\r\n" % (n * 7919, n) for n in range(999)
]


class SecondStageTests(SynchronousTestCase):
    """With a dictionary and without."""

    def saved(self, chosen: SmartreSettings, lines: list[bytes]) -> int:
        """Send C{lines} there and back: how many bytes were saved."""
        batch = packetBatch([ethernet(four(tcp(line))) for line in lines], range(len(lines)))
        encoder, decoder = makeEnds(chosen)
        self.assertEqual(contents(through(decoder, through(encoder, [batch]))), contents([batch]))
        row = encoder.statistics[0]
        return int(row["payload_in"]) - int(row["payload_out"])

    def makeDictionary(self) -> Path:
        """A file of one."""
        path = Path(self.mktemp())
        path.write_bytes(train(_LINES, 4096))
        return path

    def test_saves(self) -> None:
        """More than without, and with a dictionary most."""
        pages = [b"".join(_LINES[begin : begin + 12]) for begin in range(0, 999, 37)]
        staged = self.saved(_STAGED, pages)
        self.assertGreater(staged, self.saved(SETTINGS, pages))
        self.assertGreater(self.saved(replace(_STAGED, dictionary=self.makeDictionary()), pages), staged)

    def test_captures(self) -> None:
        """Every capture there and back."""
        for batches in ([generate(7, 2000)], *(list(openCapture(path).batches()) for path in sharedCaptures())):
            encoder, decoder = makeEnds(_STAGED)
            self.assertEqual(contents(through(decoder, through(encoder, batches))), contents(batches))
            self.assertEqual(undecodable(decoder.statistics[0]), 0)

    def test_otherDictionary(self) -> None:
        """A decoder without the encoder's dictionary drops what it cannot decode, and counts it."""
        batch = packetBatch([ethernet(four(udp(line))) for line in _LINES[:50]], range(50))
        encoder, _ = makeEnds(replace(_STAGED, dictionary=self.makeDictionary()))
        decoder = DecoderEnd(replace(SETTINGS, role=Role.DECODER))
        back = contents(through(decoder, through(encoder, [batch])))
        self.assertGreater(undecodable(decoder.statistics[0]), 0)
        self.assertEqual(len(back) + undecodable(decoder.statistics[0]), 50)
        self.assertLessEqual(set(back), set(contents([batch])))

    def test_missingDictionary(self) -> None:
        self.assertRaises(ConfigurationError, makeEnds, replace(_STAGED, dictionary=Path(self.mktemp())))

    def test_nothingToLearn(self) -> None:
        self.assertRaises(ValueError, train, [b"x"])

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_damaged(self, data: st.DataObject) -> None:
        """Whatever is changed under way: what is decoded has a payload that was sent."""
        sent = [b"".join(_LINES[begin : begin + 5]) for begin in range(0, 60, 3)]
        encoder, decoder = makeEnds(replace(_STAGED, slots=64, entries=1024))
        encoded = next(through(encoder, [packetBatch([ethernet(four(udp(each))) for each in sent], range(len(sent)))]))
        packets = [encoded.packet(place) for place in range(len(encoded))]
        for _ in range(data.draw(st.integers(1, 4))):
            which = data.draw(st.integers(0, len(packets) - 1))
            place = data.draw(st.integers(34, len(packets[which]) - 1))
            changed = bytes([data.draw(st.integers(0, 255))])
            packets[which] = packets[which][:place] + changed + packets[which][place + 1 :]
        back = next(through(decoder, [packetBatch(packets, range(len(packets)))]))
        for place in range(len(back)):
            packet = back.packet(place)
            if packet[23] == 17:
                self.assertIn(packet[42:], sent)
