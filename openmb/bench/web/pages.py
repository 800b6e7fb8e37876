"""
HTTP connections: requests kept alive or pipelined, bodies of every framing, and what can happen on the way.
"""

from __future__ import annotations

import functools
import gzip
import random
from dataclasses import dataclass

from openmb.bench.web.talk import CLIENT, NONE, SERVER, Mishaps, Talk
from openmb.bench.web.truth import Truth, seconds

_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101", "curl/8.5.0", "Wget/1.21.4", "apt-http/2.7 (bench)")
_KINDS = ("sized", "chunked", "gzip", "head", "post", "continue", "redirect", "missing", "unchanged")
_WEIGHTS = (40, 16, 16, 4, 10, 3, 5, 3, 3)
#: How much larger the bodies of successes can be than this many bytes.
_LARGEST = 4700


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, its answer, and the values of its row that follow from them."""

    method: str
    host: str
    uri: str
    agent: str
    head: bytes
    upload: bytes
    reply: bytes
    replyBody: int
    status: str
    message: str
    waits: bool = False
    isSized: bool = False


@functools.cache
def _text() -> bytes:
    words = random.Random(7)
    return b" ".join(b"%x" % words.getrandbits(words.randrange(4, 40)) for _ in range(20_000))


@functools.cache
def _packed(number: int) -> tuple[bytes, int]:
    """A compressed body and its length when unpacked."""
    plain = _text()[number * 700 : number * 700 + 900 + number * 90]
    return gzip.compress(plain, mtime=0), len(plain)


def _body(chance: random.Random, largest: int = _LARGEST) -> bytes:
    start = chance.randrange(80_000)
    return _text()[start : start + int(largest * chance.random() ** 1.5)]


def _chunked(chance: random.Random, body: bytes) -> bytes:
    parts, place = [], 0
    while place < len(body):
        size = chance.randrange(1, 1800)
        part = body[place : place + size]
        parts.append(b"%x\r\n%s\r\n" % (len(part), part))
        place += size
    return b"".join(parts) + b"0\r\n\r\n"


def _answer(status: str, fields: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\nServer: bench\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n{fields}\r\n".encode() + body


def _success(chance: random.Random, kind: str) -> tuple[bytes, int]:
    """A reply with status 200, and how long its body is once all wrappings are off."""
    if kind == "gzip":
        packed, length = _packed(chance.randrange(40))
        if chance.random() < 0.5:
            fields = "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
            return _answer("200 OK", fields, _chunked(chance, packed)), length
        return _answer("200 OK", f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n", packed), length
    body = _body(chance)
    if kind == "chunked":
        return _answer("200 OK", "Transfer-Encoding: chunked\r\n", _chunked(chance, body)), len(body)
    whole = b"" if kind == "head" else body
    return _answer("200 OK", f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n", whole), len(whole)


def _reply(chance: random.Random, kind: str) -> tuple[bytes, int, str, str]:
    """The answer to a request of this kind: bytes, length of its body, status, text."""
    if kind == "redirect":
        return _answer("302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n"), 0, "302", "Found"
    if kind == "missing":
        return _answer("404 Not Found", "Content-Length: 9\r\n", b"not found"), 9, "404", "Not Found"
    if kind == "unchanged":
        return _answer("304 Not Modified", 'ETag: "1"\r\n'), 0, "304", "Not Modified"
    reply, length = _success(chance, kind)
    return reply, length, "200", "OK"


def makeExchange(chance: random.Random, kind: str, host: str, agent: str) -> Exchange:
    """A request of this kind with its answer."""
    method = {"head": "HEAD", "post": "POST", "continue": "POST"}.get(kind, "GET")
    uri = f"/{kind}/{chance.getrandbits(24):x}?q={chance.randrange(1000)}"
    upload = _body(chance, 2500) + b"." if method == "POST" else b""
    extra = f"Content-Length: {len(upload)}\r\n" if upload else ""
    extra += "Expect: 100-continue\r\n" if kind == "continue" else ""
    head = f"{method} {uri} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{extra}\r\n".encode()
    reply, length, status, message = _reply(chance, kind)
    isSized = kind in ("sized", "post")
    return Exchange(method, host, uri, agent, head, upload, reply, length, status, message, kind == "continue", isSized)


def _mishaps(chance: random.Random, exchange: Exchange) -> Mishaps:
    """Two answers of a hundred have one; bytes are lost only where the length says what they were."""
    place = chance.random()
    if place < 0.004 and exchange.isSized:
        return Mishaps(lost=True)
    return Mishaps(swapped=place < 0.012, repeated=0.012 <= place < 0.02) if place < 0.02 else NONE


def _noted(talk: Talk, truth: Truth, exchange: Exchange, depth: int, stamp: int) -> None:
    """The row of an exchange whose request line came at C{stamp}."""
    info = ("100", "Continue") if exchange.waits else ("-", "-")
    values = (exchange.method, exchange.host, exchange.uri, "1.1", exchange.agent)
    lengths = (str(len(exchange.upload)), str(exchange.replyBody))
    row = (seconds(stamp), *talk.ends.texts, str(depth), *values, *lengths, exchange.status, exchange.message, *info)
    truth.http.append(row)


def _serve(talk: Talk, exchange: Exchange) -> None:
    talk.wait(30_000)
    talk.say(SERVER, exchange.reply, _mishaps(talk.chance, exchange))
    talk.acknowledge(CLIENT)


def _one(talk: Talk, truth: Truth, exchange: Exchange, depth: int) -> None:
    """A request and, after it, its answer."""
    first = len(talk.frames)
    if exchange.waits:
        talk.say(CLIENT, exchange.head)
        talk.say(SERVER, b"HTTP/1.1 100 Continue\r\n\r\n")
        talk.say(CLIENT, exchange.upload)
    else:
        talk.say(CLIENT, exchange.head + exchange.upload)
    _noted(talk, truth, exchange, depth, talk.frames[first][0])
    _serve(talk, exchange)


def _pipelined(talk: Talk, truth: Truth, exchanges: list[Exchange]) -> None:
    """All requests in one go, several in a segment; then all answers."""
    first = len(talk.frames)
    talk.say(CLIENT, b"".join(each.head for each in exchanges), size=60_000)
    for depth, exchange in enumerate(exchanges, 1):
        _noted(talk, truth, exchange, depth, talk.frames[first][0])
    talk.say(SERVER, b"".join(each.reply for each in exchanges))
    talk.acknowledge(CLIENT)


def web(talk: Talk, truth: Truth) -> None:
    """An HTTP connection of one to five requests."""
    chance = talk.chance
    host, agent = f"www{chance.randrange(400)}.example.test", chance.choice(_AGENTS)
    talk.open()
    count = chance.choice((1, 1, 2, 3, 3, 5))
    if chance.random() < 0.08:
        kinds = chance.choices(("sized", "chunked", "gzip", "head", "unchanged"), k=count + 1)
        _pipelined(talk, truth, [makeExchange(chance, kind, host, agent) for kind in kinds])
    else:
        for depth, kind in enumerate(chance.choices(_KINDS, _WEIGHTS, k=count), 1):
            talk.wait(200_000)
            _one(talk, truth, makeExchange(chance, kind, host, agent), depth)
    talk.close()
    truth.conn.append(talk.row("http", "SF"))
