"""Random HTTP connections: mostly ordinary, sometimes odd, in any segmentation, some segments swapped or lost."""

from __future__ import annotations

import gzip
import random
import zlib

from openmb.packets.batch import PacketBatch
from tests.plugins.bro.speaking import Speaker, sideBySide

_METHODS = (b"GET", b"GET", b"GET", b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PROPFIND", b"get")
_URIS = (
    b"/",
    b"/a%20b",
    b"/%zz",
    b"/%%",
    b"/x?y=1",
    b"/a\\b",
    b"/tail%",
    b"/" + b"long" * 80,
    b"/%41%42",
    b"/\xc3\xa9",
)
_CLIENT_FIELDS = (
    b"Host: a.example", b"host:b.example", b"User-Agent: Mozilla/5.0 (X11)", b"Referer: http://r/\t1", b"Origin: null",
    b"Accept: */*", b"Connection: keep-alive", b"Connection: close", b"Via: 1.1 p", b"X-Forwarded-For: 1.2.3.4",
    b"Upgrade-Insecure-Requests: 1", b"Upgrade: h2c", b"Authorization: Basic dTpw", b"Bad Name: x", b"Host: -",
    b"User-Agent: (empty)", b"Referer:", b" folded: line", b"(comment) Host: c", b"Cookie: a=b; c=\\d",
)  # fmt: skip
_SERVER_FIELDS = (
    b"Server: s", b"Content-Type: text/html", b"Content-Type: image/png", b"Connection: Keep-Alive", b"ETag: \"1\"",
    b"Via: 1.1 q", b"Content-Type: Multipart/mixed; boundary=b", b"Content-Type: message/rfc822", b"Connection: close",
    b"Connection: upgrade", b"Content-Range: bytes 0-4/10", b"Transfer-Encoding: identity", b"Content-Type: x",
)  # fmt: skip
_STATUSES = (
    b"200 OK", b"200 OK", b"200 OK", b"404 Not Found", b"304 Not Modified", b"204 No Content", b"302 Found", b"500 -",
    b"101 Switching Protocols", b"200 ", b"200", b"999 Odd\\One", b"99 Short",
)  # fmt: skip


def _some(dice: random.Random, fields: tuple[bytes, ...], odd: float) -> list[bytes]:
    """Some header fields; the first six of each tuple are ordinary."""
    found = [dice.choice(fields[:6]) for _ in range(dice.randrange(4))]
    if dice.random() < odd:
        found.append(dice.choice(fields))
    return found


def _request(dice: random.Random, odd: float) -> tuple[bytes, bytes]:
    """A request: its method, and all of it."""
    method = dice.choice(_METHODS[:8] if dice.random() > odd else _METHODS)
    uri = dice.choice(_URIS[:2] if dice.random() > odd else _URIS)
    version = b"1.1" if dice.random() > 0.1 else dice.choice((b"1.0", b"1.1", b"2.0", b"0.9"))
    lines = [b"%s %s HTTP/%s" % (method, uri, version), *_some(dice, _CLIENT_FIELDS, odd)]
    body = b""
    if method in (b"POST", b"PUT") or dice.random() < 0.03:
        body = dice.randbytes(dice.choice((0, 1, 40, 700, 3000)))
        lines.append(b"Content-Length: %d" % len(body))
    return method, b"\r\n".join(lines) + b"\r\n\r\n" + body


def _chunked(dice: random.Random, body: bytes) -> bytes:
    parts = []
    while body:
        size = dice.randrange(1, 900)
        part, body = body[:size], body[size:]
        parts.append(dice.choice((b"%x\r\n%s\r\n", b"%X\r\n%s\r\n", b"0%x\r\n%s\r\n")) % (len(part), part))
    end = (
        b"0\r\n\r\n" if dice.random() < 0.95 else dice.choice((b"0\r\nTrailer: x\r\n\r\n", b"0;ext\r\n\r\n", b"0\n\n"))
    )
    return b"".join(parts) + end


def _reply(dice: random.Random, method: bytes, odd: float) -> bytes:
    """A reply."""
    status = dice.choice(_STATUSES[:7] if dice.random() > odd else _STATUSES)
    lines = [b"HTTP/%s %s" % (b"1.1" if dice.random() > 0.1 else b"1.0", status), *_some(dice, _SERVER_FIELDS, odd)]
    plain = bytes(dice.choices(b"abc \r\n", k=dice.choice((0, 3, 300, 2500))))
    body = plain
    if dice.random() < 0.3:
        lines.append(b"Content-Encoding: %s" % dice.choice((b"gzip", b"deflate", b"br", b"x-gzip")))
        body = gzip.compress(plain, mtime=0) if dice.random() < 0.7 else zlib.compress(plain)
        if dice.random() < 0.1:
            body = body[: len(body) // 2] + b"damaged"
    framing = dice.random()
    if framing < 0.3:
        lines.append(b"Transfer-Encoding: chunked")
        body = _chunked(dice, body)
    elif framing < 0.93:
        lines.append(b"Content-Length: %d" % len(body))
    bodiless = method == b"HEAD" or status[:3] in (b"304", b"204", b"101")
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" if dice.random() < 0.07 else b""
    return interim + b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if bodiless else body)


def connection(dice: random.Random, number: int, odd: float = 0.08) -> list[bytes]:
    """The packets of one connection."""
    speaker = Speaker(dice, number, dice.choice((80, 80, 8080, 4444)))
    for _ in range(dice.randrange(5)):
        requests = [_request(dice, odd) for _ in range(1 if dice.random() < 0.8 else dice.randrange(2, 20))]
        speaker.say(0, b"".join(request for _, request in requests))
        speaker.say(1, b"".join(_reply(dice, method, odd) for method, _ in requests if dice.random() < 0.97))
    if dice.random() < 0.05:
        speaker.say(dice.randrange(2), dice.randbytes(20))
    return speaker.close()


def randomHTTP(seed: int, connections: int, odd: float = 0.08) -> PacketBatch:
    """The packets of several connections, which run side by side."""
    dice = random.Random(seed)
    return sideBySide(dice, [connection(dice, number, odd) for number in range(connections)])
