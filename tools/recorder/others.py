"""Everything that is not HTTP: names, shells, scans, echoes and fragments."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

from tools.recorder.plan import ECHO_PORT, GHOSTS, LATE_ZONE, Draw, Parties

COMMANDS = ("uname -a", "seq 300", "sleep 4; echo done", "for i in 1 2 3 4 5 6; do date; sleep 1; done")


async def program(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a program to its end, whatever it says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    await process.wait()


async def dig(draw: Draw, parties: Parties) -> None:
    """A question of dig's, over UDP or TCP, sometimes for what does not exist."""
    name = draw.random.choice(("host{}", "host{}", "absent{}", "text{}")).format(draw.random.randrange(1, 10))
    kind = draw.random.choice(("A", "A", "AAAA", "TXT", "MX"))
    extra = draw.random.choice(([], [], ["+tcp"], ["+noedns"]))
    switches = ["-b", parties.client, "+tries=1", "+time=2", *extra]
    await program("dig", f"@{parties.server}", *switches, f"{name}.example.test", kind)


def question(name: str, number: int) -> bytes:
    """A DNS query for an address, with the recursion-desired bit (RFC 1035, section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


async def datagram(parties: Parties, port: int, *payloads: bytes) -> None:
    """Send datagrams from one socket and wait for as many answers, at most a second for each."""
    family = socket.AF_INET6 if ":" in parties.server else socket.AF_INET
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        connection.bind((parties.client, 0))
        connection.connect((parties.server, port))
        for payload in payloads:
            await loop.sock_sendall(connection, payload)
            try:
                await asyncio.wait_for(loop.sock_recv(connection, 65535), 1.0)
            except (TimeoutError, ConnectionRefusedError):
                return


async def lookup(draw: Draw, parties: Parties) -> None:
    """The two questions of an ordinary stub resolver, or one."""
    names = [f"host{draw.random.randrange(1, 120)}.example.test" for _ in range(draw.random.randrange(1, 3))]
    await datagram(parties, 53, *(question(name, draw.random.randrange(65536)) for name in names))


async def lateLookup(draw: Draw, parties: Parties) -> None:
    """A few questions at once whose answers take seconds, and come in another order."""
    names = [f"{draw.random.randrange(300, 4000)}.host{draw.random.randrange(1, 1000)}.{LATE_ZONE}" for _ in range(3)]
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        connection.bind((parties.client, 0))
        connection.connect((parties.server, 53))
        for name in names:
            await loop.sock_sendall(connection, question(name, draw.random.randrange(65536)))
        for _ in names:
            await asyncio.wait_for(loop.sock_recv(connection, 65535), 6.0)


async def echo(draw: Draw, parties: Parties) -> None:
    """UDP echo with a datagram that must be cut into fragments."""
    await datagram(parties, ECHO_PORT, draw.random.randbytes(draw.random.randrange(1600, 3600)))


async def closedUDP(draw: Draw, parties: Parties) -> None:
    """A datagram to a port where nobody listens: an ICMP error comes back."""
    await datagram(parties, draw.random.choice((161, 514, 5060)), b"is anybody there?")


async def ping(draw: Draw, parties: Parties) -> None:
    """A few echo requests, some of them larger than a frame."""
    size = draw.random.choice(("56", "56", "56", "56", "1800", "3000"))
    await program("ping", "-n", "-c", "3", "-i", "0.4", "-s", size, "-I", parties.client, parties.server)


async def shell(draw: Draw, parties: Parties, folder: Path) -> None:
    """A session of OpenSSH: a working login with a command, a wrong key, or wrong passwords."""
    way = draw.random.choice(("good", "good", "wrong", "password"))
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "ConnectTimeout=5"]
    if way == "password":
        options += ["PubkeyAuthentication=no", "NumberOfPasswordPrompts=2"]
    else:
        options += [f"IdentityFile={folder}/{way}_key", "BatchMode=yes"]
    command = draw.random.choice(
        ("uname -a", "seq 300", "sleep 4; echo done", "for i in 1 2 3 4 5 6; do date; sleep 1; done")
    )
    switches = [word for option in options for word in ("-o", option)]
    askpass = {"SSH_ASKPASS": f"{folder}/askpass", "SSH_ASKPASS_REQUIRE": "force"}
    target = f"root@{parties.server}"
    await program("ssh", "-F", "none", "-b", parties.client, *switches, target, command, environment=askpass)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - ((total & 0xFFFF) + (total >> 16))


def synSegment(source: str, sourcePort: int, target: str, port: int, sequence: int) -> bytes:
    """An IPv4 packet with a lone SYN; the kernel fills in length, id and checksum of the IP header."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    fields = (sourcePort, port, sequence, 0, 0x60, 0x02, 1024)
    options = b"\x02\x04\x05\xb4"
    blank = struct.pack("!HHIIBBHHH", *fields, 0, 0) + options
    total = checksum(ends + struct.pack("!HH", 6, len(blank)) + blank)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 48, 6, 0) + ends
    return header + struct.pack("!HHIIBBHHH", *fields, total, 0) + options


async def scan(draw: Draw, parties: Parties) -> None:
    """
    A few half-open probes.  From a ghost nobody answers the SYN-ACK; from a client's address its kernel, which knows
    nothing of it, answers with a RST.
    """
    source = draw.random.choice((*GHOSTS, parties.client))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as connection:
        for port in draw.random.sample((21, 22, 23, 25, 80, 110, 143, 443, 3306, 8080), 4):
            sequence = draw.random.randrange(1 << 32)
            packet = synSegment(source, draw.random.randrange(33000, 60000), parties.server, port, sequence)
            connection.sendto(packet, (parties.server, 0))
            await asyncio.sleep(0.05)
