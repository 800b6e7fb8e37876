"""
DNS: questions and answers over UDP, and over TCP in segments that end anywhere.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

from openmb.bench.web.talk import CLIENT, SERVER, Talk
from openmb.bench.web.truth import Truth, seconds

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHHIH")
_TYPES = {"A": 1, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28, "SOA": 6}
_TO_QUESTION = 0xC00C


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question with its answer (none: nobody answers) and what the log says of it."""

    identifier: int
    name: str
    kind: str
    query: bytes
    reply: bytes
    code: str
    answers: str
    lifetimes: str


def _wire(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(kind: str, lifetime: int, data: bytes) -> bytes:
    return _RECORD.pack(_TO_QUESTION, _TYPES[kind], 1, lifetime, len(data)) + data


def _answer(chance: random.Random, kind: str) -> tuple[bytes, str]:
    """The data of one record and its text."""
    number = chance.randrange(1, 200)
    if kind == "AAAA":
        return bytes.fromhex("20010db8") + bytes(11) + bytes([number]), f"2001:db8::{number:x}"
    if kind == "MX":
        return b"\0\x0a" + _wire(f"mx{number}.example.test"), f"mx{number}.example.test"
    if kind == "TXT":
        text = f"key={number}"
        return bytes([len(text)]) + text.encode(), f"TXT {len(text)} {text}"
    if kind == "CNAME":
        return _wire(f"edge{number}.example.test"), f"edge{number}.example.test"
    return bytes([198, 51, 100, number]), f"198.51.100.{number}"


def makeLookup(chance: random.Random) -> Lookup:
    """A question and what comes of it: answers, no such name, or nothing at all."""
    identifier, name = chance.getrandbits(16), f"host{chance.getrandbits(20):x}.zone{chance.randrange(50)}.example.test"
    kind = chance.choices(("A", "AAAA", "MX", "TXT"), (60, 25, 8, 7))[0]
    question = _wire(name) + struct.pack("!HH", _TYPES[kind], 1)
    query = _HEADER.pack(identifier, 0x0100, 1, 0, 0, 0) + question
    fate = chance.random()
    if fate < 0.02:
        return Lookup(identifier, name, kind, query, b"", "-", "-", "-")
    if fate < 0.10:
        authority = _record("SOA", 60, _wire("ns.example.test") * 2 + bytes(20))
        reply = _HEADER.pack(identifier, 0x8183, 1, 0, 1, 0) + question + authority
        return Lookup(identifier, name, kind, query, reply, "NXDOMAIN", "-", "-")
    kinds = [kind] * chance.choice((1, 1, 2, 4))
    if kind in ("A", "AAAA") and chance.random() < 0.3:
        kinds.insert(0, "CNAME")
    found, lifetime = [(_answer(chance, each), each) for each in kinds], chance.randrange(1, 3600)
    records = b"".join(_record(each, lifetime, data) for (data, _), each in found)
    reply = _HEADER.pack(identifier, 0x8180, 1, len(found), 0, 0) + question + records
    texts = ",".join(text for (_, text), _ in found)
    return Lookup(identifier, name, kind, query, reply, "NOERROR", texts, ",".join([f"{lifetime}.000000"] * len(found)))


def _noted(talk: Talk, truth: Truth, lookup: Lookup, asked: int, answered: int) -> None:
    time = seconds(answered - asked) if lookup.answers != "-" else "-"
    names = (lookup.name, lookup.kind, lookup.code, lookup.answers, lookup.lifetimes, "F")
    protocol = "tcp" if talk.tcp else "udp"
    truth.dns.append((seconds(asked), *talk.ends.texts, protocol, str(lookup.identifier), time, *names))


def lookUp(talk: Talk, truth: Truth) -> None:
    """One question in a datagram."""
    lookup = makeLookup(talk.chance)
    talk.datagram(CLIENT, lookup.query)
    asked = talk.now
    if lookup.reply:
        talk.wait(20_000)
        talk.datagram(SERVER, lookup.reply)
    _noted(talk, truth, lookup, asked, talk.now)
    truth.conn.append(talk.row("dns", "SF" if lookup.reply else "S0"))


def lookUpByStream(talk: Talk, truth: Truth) -> None:
    """Questions over TCP one after the other; each comes whole, its answer in three pieces."""
    talk.open()
    for _ in range(talk.chance.choice((1, 2, 3))):
        lookup = makeLookup(talk.chance)
        talk.say(CLIENT, struct.pack("!H", len(lookup.query)) + lookup.query)
        asked = talk.now
        framed = struct.pack("!H", len(lookup.reply)) + lookup.reply
        if lookup.reply:
            talk.say(SERVER, framed, size=max(1, -(-len(framed) // 3)))
        _noted(talk, truth, lookup, asked, talk.now)
        talk.acknowledge(CLIENT)
    talk.close()
    truth.conn.append(talk.row("dns", "SF"))
