"""
What nginx and dnsmasq have behind them in the servers' namespace: a small HTTP server that answers late, a name server
that does, and a UDP echo.

C{/slow/MS} answers after that many milliseconds, C{/stream/N} sends N chunks a quarter of a second apart, and
everything else says how long the request's body was.  The address of C{MS.anything} is told after that many
milliseconds.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from tools.recorder.plan import BACKEND_PORT, ECHO_PORT, NAMES_PORT, SERVERS, SERVERS6


def reply(body: bytes) -> bytes:
    """A whole reply with C{body}."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def stream(writer: asyncio.StreamWriter, chunks: int) -> None:
    """A chunked reply that takes its time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(chunks):
        piece = b"part %d of %d\n" % (number + 1, chunks)
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0.25)
    writer.write(b"0\r\n\r\n")


async def bodyLength(reader: asyncio.StreamReader, head: bytes) -> int:
    """Read and count the body that C{head} announces by its length (nginx passes no chunked bodies on)."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(await reader.readexactly(int(value)))
    return 0


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection from nginx."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = await bodyLength(reader, head)
            _, kind, number = (head.split(b" ")[1] + b"/0").split(b"/")[:3]
            if kind == b"stream":
                await stream(writer, int(number))
            else:
                await asyncio.sleep(int(number) / 1000 if kind == b"slow" else 0.002)
                writer.write(reply(b"your body had %d bytes\n" % length))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


class Echo(asyncio.DatagramProtocol):
    """Sends every datagram back."""

    def connection_made(self, transport: Any) -> None:
        """Keep the way back."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Send it back."""
        self.transport.sendto(data, addr)


class LateNames(asyncio.DatagramProtocol):
    """Answers questions for addresses (RFC 1035, section 4.1) when their names say so."""

    def connection_made(self, transport: Any) -> None:
        """Keep the way back."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer later."""
        end = data.index(b"\0", 12) + 5
        label = data[13 : 13 + data[12]]
        head = data[:2] + struct.pack("!HHHHH", 0x8580, 1, 1, 0, 0)
        record = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 0, 4, 10, 9, 8, 200)
        asyncio.get_running_loop().call_later(
            int(label) / 1000, self.transport.sendto, head + data[12:end] + record, addr
        )


async def main() -> None:
    """Serve until stopped."""
    loop = asyncio.get_running_loop()
    for address in (*SERVERS, *SERVERS6):
        await loop.create_datagram_endpoint(Echo, local_addr=(address, ECHO_PORT))
    await loop.create_datagram_endpoint(LateNames, local_addr=("127.0.0.1", NAMES_PORT))
    server = await asyncio.start_server(serve, "127.0.0.1", BACKEND_PORT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
