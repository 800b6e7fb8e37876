"""
Everything that is neither HTTP nor DNS: TLS, SSH, SMTP, FTP with its data connections, NTP, SNMP, random bytes, scans.
"""

from __future__ import annotations

import random
import struct

from openmb.bench.web.talk import CLIENT, SERVER, Talk
from openmb.bench.web.truth import Truth

_BANNER = b"SSH-2.0-OpenSSH_9.6\r\n"
_ALGORITHMS = (
    "diffie-hellman-group14-sha256", "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256",
    "none", "none", "", "",
)  # fmt: skip
_MAIL = (
    "EHLO client.example.test", "250-mx.example.test\r\n250 PIPELINING", "MAIL FROM:<a@example.test>", "250 ok",
    "RCPT TO:<b@example.test>", "250 ok", "DATA", "354 go on",
    "Subject: hello\r\n\r\nA few lines\r\nof text.\r\n.", "250 taken", "QUIT", "221 bye",
)  # fmt: skip


def _handshake(kind: int, body: bytes) -> bytes:
    """A TLS record with one handshake message."""
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    return _record(22, message)


def _record(kind: int, data: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(data).to_bytes(2, "big") + data


def _helloExtensions(name: bytes) -> bytes:
    entry = struct.pack("!BH", 0, len(name)) + name
    listed = struct.pack("!H", len(entry)) + entry
    body = struct.pack("!HH", 0, len(listed)) + listed
    return struct.pack("!H", len(body)) + body


def tls(talk: Talk, truth: Truth) -> None:
    """Hellos, the end of the handshake, and records that nobody can read."""
    chance = talk.chance
    random32, session = chance.randbytes(32), b"\x20" + chance.randbytes(32)
    suites = struct.pack("!HHHH", 6, 0xC02F, 0xC030, 0x009E) + b"\x01\x00"
    extensions = _helloExtensions(b"www%d.example.test" % chance.randrange(400))
    talk.open()
    talk.say(CLIENT, _handshake(1, b"\x03\x03" + random32 + session + suites + extensions))
    hello = _handshake(2, b"\x03\x03" + random32[::-1] + session + b"\xc0\x2f\x00")
    talk.say(SERVER, hello + _record(20, b"\x01") + _record(22, chance.randbytes(40)))
    talk.say(CLIENT, _record(20, b"\x01") + _record(22, chance.randbytes(40)))
    for _ in range(chance.randrange(1, 4)):
        talk.say(CLIENT, _record(23, chance.randbytes(chance.randrange(50, 600))))
        talk.say(SERVER, _record(23, chance.randbytes(chance.randrange(100, 6000))))
        talk.acknowledge(CLIENT)
    talk.close()
    truth.conn.append(talk.row("ssl", "SF"))


def _packet(chance: random.Random, body: bytes) -> bytes:
    """An SSH packet (RFC 4253, section 6) in the clear."""
    padding = 4 + (-(len(body) + 9)) % 8
    return struct.pack("!IB", 1 + len(body) + padding, padding) + body + chance.randbytes(padding)


def _counted(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


def ssh(talk: Talk, truth: Truth) -> None:
    """Versions, a key exchange, and encrypted packets."""
    chance = talk.chance
    offer = b"\x14" + chance.randbytes(16) + b"".join(_counted(each.encode()) for each in _ALGORITHMS) + bytes(5)
    talk.open()
    for side in (SERVER, CLIENT):
        talk.say(side, _BANNER)
    for side in (CLIENT, SERVER):
        talk.say(side, _packet(chance, offer))
    talk.say(CLIENT, _packet(chance, b"\x1e" + _counted(b"\x01" + chance.randbytes(255))))
    answer = b"\x1f" + _counted(chance.randbytes(51)) + _counted(b"\x01" + chance.randbytes(255))
    talk.say(SERVER, _packet(chance, answer + _counted(chance.randbytes(83))) + _packet(chance, b"\x15"))
    talk.say(CLIENT, _packet(chance, b"\x15"))
    for _ in range(chance.randrange(3, 15)):
        talk.say(CLIENT, chance.randbytes(64))
        talk.say(SERVER, chance.randbytes(128))
    talk.close()
    truth.conn.append(talk.row("ssh", "SF"))


def smtp(talk: Talk, truth: Truth) -> None:
    """One mail."""
    talk.open()
    talk.say(SERVER, b"220 mx.example.test ESMTP\r\n")
    for place, line in enumerate(_MAIL):
        talk.say(SERVER if place % 2 else CLIENT, line.encode() + b"\r\n")
    talk.close()
    truth.conn.append(talk.row("smtp", "SF"))


def ftp(talk: Talk, truth: Truth, data: Talk) -> None:
    """A control connection that agrees on C{data}, which follows its answer to PASV."""
    chance = talk.chance
    place = ",".join(str(each) for each in (*data.ends.server, *divmod(data.ends.serverPort, 256)))
    talk.open()
    talk.say(SERVER, b"220 ready\r\n")
    for question, answer in (
        ("USER anonymous", "331 password"),
        ("PASS guest", "230 in"),
        ("PASV", f"227 Entering Passive Mode ({place})"),
    ):
        talk.say(CLIENT, question.encode() + b"\r\n")
        talk.say(SERVER, answer.encode() + b"\r\n")
    data.now = talk.now
    data.open()
    talk.now = data.now
    talk.say(CLIENT, b"RETR file\r\n")
    talk.say(SERVER, b"150 here it comes\r\n")
    data.now = talk.now
    data.say(SERVER, chance.randbytes(chance.randrange(200, 8000)))
    data.close()
    talk.now = data.now
    for side, line in ((SERVER, b"226 done\r\n"), (CLIENT, b"QUIT\r\n"), (SERVER, b"221 bye\r\n")):
        talk.say(side, line)
    talk.close()
    truth.conn += [talk.row("ftp", "SF"), data.row("ftp-data", "SF")]


def ntp(talk: Talk, truth: Truth) -> None:
    """A client and its server, version 4."""
    talk.datagram(CLIENT, b"\x23" + bytes(39) + talk.chance.randbytes(8))
    talk.datagram(SERVER, b"\x24\x02\x06\xec" + bytes(8) + talk.chance.randbytes(36))
    truth.conn.append(talk.row("ntp", "SF"))


def _tagged(tag: int, *parts: bytes) -> bytes:
    """A short BER element."""
    body = b"".join(parts)
    return bytes([tag, len(body)]) + body


def _snmp(kind: int, number: int, value: bytes) -> bytes:
    name = _tagged(6, bytes.fromhex("2b06010201010100"))
    bindings = _tagged(0x30, _tagged(0x30, name, value))
    head = _tagged(2, struct.pack("!I", number)) + 2 * _tagged(2, b"\0")
    return _tagged(0x30, _tagged(2, b"\x01"), _tagged(4, b"public"), _tagged(kind, head, bindings))


def snmp(talk: Talk, truth: Truth) -> None:
    """A get of one variable, and its value."""
    number = talk.chance.getrandbits(30)
    talk.datagram(CLIENT, _snmp(0xA0, number, _tagged(5)))
    talk.datagram(SERVER, _snmp(0xA2, number, _tagged(4, b"a router")))
    truth.conn.append(talk.row("snmp", "SF"))


def stream(talk: Talk, truth: Truth) -> None:
    """TCP with random bytes; the first of each side is zero, with which no signature begins."""
    talk.open()
    for _ in range(talk.chance.randrange(2, 9)):
        for side in (CLIENT, SERVER):
            talk.say(side, b"\0" + talk.chance.randbytes(talk.chance.randrange(10, 1000)))
    talk.close()
    truth.conn.append(talk.row("-", "SF"))


def datagrams(talk: Talk, truth: Truth) -> None:
    """UDP with random bytes."""
    for _ in range(talk.chance.randrange(1, 5)):
        for side in (CLIENT, SERVER):
            talk.datagram(side, b"\0" + talk.chance.randbytes(talk.chance.randrange(10, 400)))
    truth.conn.append(talk.row("-", "SF"))


def scan(talk: Talk, truth: Truth) -> None:
    """A SYN to a port where nobody answers, or that is closed."""
    isRefused = talk.chance.random() < 0.3
    talk.probe(isRefused)
    truth.conn.append(talk.row("-", "REJ" if isRefused else "S0"))
