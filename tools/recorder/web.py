"""HTTP clients over plain sockets, for behaviour that finished programs do not offer."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tools.recorder.plan import HOST, Draw, Parties

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0)"
ODD_REQUESTS = (
    "HEAD /page7.html HTTP/1.1\r\n",
    "GET /nothing-here HTTP/1.1\r\n",
    "OPTIONS / HTTP/1.1\r\n",
    "GET /page9.html HTTP/1.1\r\nRange: bytes=10-99\r\n",
    "GET /page3.html HTTP/1.1\r\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
    "GET /stream/3 HTTP/1.1\r\n",
    "DELETE /page1.html HTTP/1.1\r\n",
    "BREW /coffee HTTP/1.1\r\n",
)


class Exchange:
    """One connection to a web server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, text: str) -> None:
        """Send C{text} as it is."""
        self.writer.write(text.encode("ascii"))

    async def reply(self, body: bool = True) -> None:
        """Read one reply, with its body unless it is the answer to a HEAD."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not body or b" 304 " in head.split(b"\r\n")[0]:
            return
        if b"transfer-encoding: chunked" in head:
            await self._reader.readuntil(b"\r\n0\r\n\r\n")
        elif b"content-length:" in head:
            await self._reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))

    async def ask(self, text: str) -> None:
        """Send a request and read its reply."""
        self.send(text)
        await self.reply(body=not text.startswith("HEAD"))

    def reset(self) -> None:
        """End the connection with a RST."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def connected(parties: Parties, port: int = 80) -> AsyncIterator[Exchange]:
    """A connection, closed at the end of the context."""
    reader, writer = await asyncio.open_connection(parties.server, port, local_addr=(parties.client, 0))
    try:
        yield Exchange(reader, writer)
    finally:
        writer.close()


def get(path: str, *lines: str) -> str:
    """The text of a GET request."""
    head = (f"GET {path} HTTP/1.1", f"Host: {HOST}", f"User-Agent: {AGENT}", *lines)
    return "".join(f"{line}\r\n" for line in head) + "\r\n"


def page(draw: Draw) -> str:
    """The path of a small page or image."""
    if draw.random.random() < 0.15:
        return f"/image{draw.random.randrange(6)}.png"
    return f"/page{draw.random.randrange(24)}.html"


async def single(draw: Draw, parties: Parties) -> None:
    """One request, then the server closes."""
    async with connected(parties, draw.random.choice((80, 80, 80, 8080))) as exchange:
        await exchange.ask(get(page(draw), "Connection: close"))


async def browse(draw: Draw, parties: Parties) -> None:
    """A few requests on one connection, with pauses."""
    async with connected(parties) as exchange:
        for _ in range(draw.random.randrange(2, 6)):
            await exchange.ask(get(page(draw)))
            await asyncio.sleep(draw.between(0.05, 0.9))


async def pipelined(draw: Draw, parties: Parties) -> None:
    """Several requests at once."""
    async with connected(parties) as exchange:
        count = draw.random.randrange(3, 7)
        exchange.send("".join(get(page(draw)) for _ in range(count)))
        for _ in range(count):
            await exchange.reply()


async def odd(draw: Draw, parties: Parties) -> None:
    """A method, header or status that is seldom met."""
    async with connected(parties) as exchange:
        await exchange.ask(f"{draw.random.choice(ODD_REQUESTS)}Host: {HOST}\r\n\r\n")


async def form(draw: Draw, parties: Parties) -> None:
    """A POST: its body after a pause, half of them in chunks."""
    body = "x" * draw.random.randrange(20, 900)
    async with connected(parties) as exchange:
        if draw.random.random() < 0.5:
            exchange.send(f"POST /form HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n")
            await asyncio.sleep(draw.between(0.0, 0.5))
            exchange.send(body)
        else:
            exchange.send(f"POST /form HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (body[:10], body[10:]):
                exchange.send(f"{len(piece):x}\r\n{piece}\r\n")
                await asyncio.sleep(draw.between(0.0, 0.3))
            exchange.send("0\r\n\r\n")
        await exchange.reply()


async def aborted(draw: Draw, parties: Parties) -> None:
    """A request whose client loses patience, with a RST."""
    async with connected(parties) as exchange:
        if draw.random.random() < 0.7:
            exchange.send(get(draw.random.choice(("/slow/900", "/drip/file0.bin", "/stream/9"))))
        await asyncio.sleep(draw.between(0.05, 0.6))
        exchange.reset()


async def refused(draw: Draw, parties: Parties) -> None:
    """A port where nobody listens."""
    try:
        async with connected(parties, draw.random.choice((81, 443, 3128, 8443))):
            raise RuntimeError("somebody listens where nobody should")
    except ConnectionRefusedError:
        return


async def curl(draw: Draw, parties: Parties) -> None:
    """curl, with one to three pages."""
    server = f"[{parties.server}]" if ":" in parties.server else parties.server
    pages = [f"http://{server}{page(draw)}" for _ in range(draw.random.randrange(1, 4))]
    command = ["curl", "-s", "-g", "--interface", parties.client, "-o", "/dev/null", *pages]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
