"""HTTP connections that stay open: replies pending, requests half sent, downloads that drip, slow readers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from tools.recorder.plan import HOST, Draw, Parties
from tools.recorder.web import connected, get, page


def remaining(until: float) -> float:
    """Seconds until a moment of the event loop's clock."""
    return until - asyncio.get_running_loop().time()


async def patient(draw: Draw, parties: Parties, until: float) -> None:
    """Asks for what takes seconds, again and again: nearly always a reply is pending."""
    while remaining(until) > 0:
        async with connected(parties) as exchange:
            for _ in range(draw.random.randrange(1, 5)):
                if remaining(until) > 0:
                    await exchange.ask(get(f"/slow/{draw.random.randrange(1500, 4500)}"))
        await asyncio.sleep(draw.between(0.0, 0.2))


async def hesitant(draw: Draw, parties: Parties, until: float) -> None:
    """Sends half of the request line or of the header, waits, and sends the rest."""
    while remaining(until) > 0:
        async with connected(parties) as exchange:
            for _ in range(draw.random.randrange(1, 4)):
                request = get(page(draw), "Accept: text/html")
                places = (6, 12, request.index("HTTP") + 3, request.index("Host") + 5, len(request) - 3)
                cut = draw.random.choice(places)
                exchange.send(request[:cut])
                await asyncio.sleep(draw.between(1.0, 3.5))
                exchange.send(request[cut:])
                await exchange.reply()
                await asyncio.sleep(draw.between(0.0, 0.2))


async def uploading(draw: Draw, parties: Parties, until: float) -> None:
    """Posts bodies whose halves are seconds apart."""
    while remaining(until) > 0:
        async with connected(parties) as exchange:
            body = "y" * draw.random.randrange(400, 2400)
            half = len(body) // 2
            exchange.send(f"POST /form HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n{body[:half]}")
            await asyncio.sleep(draw.between(1.0, 4.0))
            exchange.send(body[half:])
            await exchange.reply()


async def steady(draw: Draw, parties: Parties, until: float) -> None:
    """One connection for all the time, with a request now and then."""
    async with connected(parties) as exchange:
        while remaining(until) > 0:
            await exchange.ask(get(page(draw)))
            await asyncio.sleep(min(draw.between(0.5, 3.5), max(0.0, remaining(until))))


async def dripping(draw: Draw, parties: Parties, until: float) -> None:
    """Downloads that the server sends slowly; the last one is cut off when time is up."""
    while remaining(until) > 0:
        async with connected(parties) as exchange:
            exchange.send(get(f"/drip/file{draw.random.randrange(4)}.bin"))
            try:
                await asyncio.wait_for(exchange.reply(), max(0.1, remaining(until)))
            except TimeoutError:
                exchange.reset()


async def slowReader(draw: Draw, parties: Parties) -> None:
    """A big download by a client with a small window that reads a little at a time."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    connection.bind((parties.client, 0))
    loop = asyncio.get_running_loop()
    with connection:
        await loop.sock_connect(connection, (parties.server, 80))
        await loop.sock_sendall(connection, get("/big.bin", "Connection: close").encode("ascii"))
        while await loop.sock_recv(connection, 4000):  # noqa: ASYNC110 (slowness is what this is for)
            await asyncio.sleep(draw.between(0.1, 0.6))


async def bulk(draw: Draw, parties: Parties) -> None:
    """A big download at full speed."""
    async with connected(parties) as exchange:
        await exchange.ask(get("/big.bin"))


Holder = Callable[[Draw, Parties, float], Awaitable[None]]
# how many of each for each server, and when they begin and end
HOLDERS: tuple[tuple[Holder, int, float, float], ...] = (
    (patient, 6, 3.0, 57.0),
    (patient, 14, 15.0, 45.0),
    (hesitant, 4, 3.0, 57.0),
    (hesitant, 12, 15.0, 45.0),
    (uploading, 5, 14.0, 46.0),
    (steady, 8, 1.0, 58.0),
    (dripping, 4, 16.0, 46.0),
)
