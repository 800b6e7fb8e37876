"""How many packets come at once changes nothing: what analysers find counts from the same packet on."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.decode import Decoder
from tests.plugins.bro.analyzers.dnswire import query, reply
from tests.plugins.bro.running import runDecoded, sortedRows
from tests.plugins.bro.speaking import Speaker, sideBySide

_ODD = 0x1000  # an opcode that nobody follows
_VERSIONS = (
    b"SSH-2.0-a\r\n",
    b"SSH-2.0-b\n",
    b"SSH-1.99-c\r\n",
    b"SSH-1.5-d\n",
    b"SSH-2.0-e\r",
    b"hello\r\nSSH-2.0-f\r\n",
)
_COMMANDS = (b"USER a", b"PASV", b"PORT 10,0,0,3,7,%d", b"EPRT |1|10.0.0.4|5000|", b"LIST", b"x" * 700, b"NOOP")
_CODES = (b"331 name", b"227 Entering (192,0,2,80,20,%d)", b"229 ok (|||6000|)", b"250-one\r\n250 two", b"150 data")


def _framed(dice: random.Random, message: bytes) -> bytes:
    return struct.pack("!H", len(message) + (dice.random() < 0.03)) + message


def _dns(dice: random.Random, speaker: Speaker) -> None:
    for identifier in range(dice.randrange(4)):
        asked = [
            query(identifier, flags=_ODD if dice.random() < 0.1 else 0x0100) for _ in range(dice.choice((1, 1, 3)))
        ]
        if dice.random() < 0.1:
            asked.append(reply(identifier=identifier))
        speaker.say(0, b"".join(_framed(dice, each) for each in asked))
        answer = reply(identifier=identifier, flags=0x8180 | (_ODD if dice.random() < 0.1 else 0))
        speaker.say(1, _framed(dice, answer) * dice.choice((0, 1, 1, 2)))


def _packet(dice: random.Random) -> bytes:
    body = b"\x04" + dice.choice((b"\x14", b"\x15", b"\x1e")) + dice.randbytes(dice.choice((20, 300, 900)))
    return struct.pack("!I", len(body) if dice.random() < 0.9 else 1 << 28) + body


def _ssh(dice: random.Random, speaker: Speaker) -> None:
    for side in (0, 1) if dice.random() < 0.5 else (1, 0):
        speaker.say(side, dice.choice(_VERSIONS[:2] if dice.random() < 0.7 else _VERSIONS))
    for _ in range(dice.randrange(8)):
        speaker.say(dice.randrange(2), b"".join(_packet(dice) for _ in range(dice.choice((1, 1, 2)))))


def _lines(dice: random.Random, speaker: Speaker) -> None:
    speaker.say(1, b"220 ready\r\n")
    for _ in range(dice.randrange(8)):
        side = dice.randrange(2)
        line = dice.choice((_COMMANDS, _CODES)[side])
        speaker.say(side, (line % dice.randrange(3) if b"%d" in line else line) + b"\r\n")


_TALKS = ((53, _dns), (53, _dns), (22, _ssh), (2222, _ssh), (21, _lines), (25, _lines), (5121, _lines), (1792, _lines))


def connection(dice: random.Random, number: int) -> list[bytes]:
    """The packets of one connection: of DNS, SSH, FTP, mail or what looks like one of them."""
    port, talk = dice.choice(_TALKS)
    speaker = Speaker(dice, number, port)
    talk(dice, speaker)
    return speaker.close()


class UrgencyTests(SynchronousTestCase):
    """Random connections of the protocols whose analysers change how packets are counted."""

    def test_batches(self) -> None:
        """All logs are those of packets that came one by one; limits, roles and services were at stake."""
        folder, letters, services = Path(self.mktemp()), 0, set()
        for seed in range(60):
            dice = random.Random(seed)
            packets = Decoder(checksums=False).decode(
                sideBySide(dice, [connection(dice, number) for number in range(12)], dice.choice((0, 0.02)))
            )
            runDecoded(folder / f"{seed}", [packets])
            runDecoded(folder / f"{seed}-1", [packets.select(slice(i, i + 1)) for i in range(len(packets))])
            wanted = sortedRows(folder / f"{seed}-1")
            self.assertEqual(sortedRows(folder / f"{seed}"), wanted, f"seed {seed}")
            for row in wanted["conn.log"]:
                letters += any("X" in field and set(field) <= set("SHADFRCGTWIQshadfrcgtwiqX^") for field in row)
                services.add(row[7])
        self.assertGreater(letters, 20)
        self.assertLessEqual({"dns", "ssh", "ftp", "ftp-data", "smtp"}, services | {"ftp-data"})
