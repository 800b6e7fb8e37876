"""
Measures how many packets a second one embedded switch forwards: feeder, switch and receiver are a process each.

    python tools/bench_switch.py [--packets 2000000] [--size 500] [--rules 1] [--tables 1]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from openmb.interfaces import Route
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.packets.batch import packetBatch
from openmb.packets.stream import PcapStreamWriter
from openmb.state.headers import HeaderFieldList

BLOCK = 4096


def frame(index: int, size: int) -> bytes:
    """A UDP packet of C{size} bytes, of one of many flows."""
    total = size - 14
    address = struct.pack("!4sI", b"\x0a\x00\x00\x01", 0x0A010000 + index % 1000)
    header = struct.pack("!BBHHHBBH", 0x45, 0, total, index & 0xFFFF, 0, 64, 17, 0) + address
    transport = struct.pack("!HHHH", 1024 + index % 50000, 53, total - 20, 0)
    return bytes(12) + b"\x08\x00" + header + transport + bytes(total - 28)


def feed(path: str, packets: int, size: int) -> None:
    """Write C{packets} packets into a port as fast as it takes them."""
    batch = packetBatch([frame(i, size) for i in range(BLOCK)], [1_700_000_000_000_000_000 + i for i in range(BLOCK)])
    writer = PcapStreamWriter(1)
    block = writer.records(batch)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(path)
        peer.sendall(writer.header())
        for _ in range(packets // BLOCK):
            peer.sendall(block)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 16):
            pass


def drain(path: str, total: int, connected: multiprocessing.Queue[float]) -> None:
    """Read C{total} bytes from a port; report when connected and how many seconds it took from the first packet on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(path)
        connected.put(0.0)
        buffer = bytearray(1 << 20)
        total -= peer.recv_into(buffer, 24, socket.MSG_WAITALL)
        peer.recv(1, socket.MSG_PEEK)
        start = time.monotonic()
        while total > 0:
            got = peer.recv_into(buffer)
            if not got:
                raise SystemExit(f"the switch closed the connection; {total} bytes are missing")
            total -= got
    connected.put(time.monotonic() - start)


def runSwitch(directory: str) -> None:
    """The switch, until it is terminated; its use of the processor goes to standard output."""
    from twisted.internet import reactor as ownReactor

    from openmb.netctl.embedded.tap import Options, makeService

    options = Options()
    options.parseOptions(["--directory", directory, "--port", "in", "--port", "out0", "--port", "out1"])
    service = makeService(options)
    service.startService()
    ownReactor.run()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"switch: {used.ru_utime:.2f} s user, {used.ru_stime:.2f} s system, {used.ru_maxrss / 1024:.0f} MiB")


async def setRoutes(directory: Path, rules: int, tables: int) -> None:
    """Rules that do not match, and one for everything in each table."""
    network = EmbeddedNetwork(directory / "control.sock", reactor)  # type: ignore[arg-type]
    for number in range(rules - 1):
        flows = HeaderFieldList.parse(f"tcp,tp_dst={1000 + number}")
        await network.route(Route(flows, ("out0",), priority=200))
    for number in range(tables):
        await network.route(
            Route(HeaderFieldList.parse(""), (f"out{number}",), table=f"t{number}" if number else "monitor")
        )
    network.close()


def main() -> None:
    """Run it and print the rate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--rules", type=int, default=1)
    parser.add_argument("--tables", type=int, default=1, choices=(1, 2))
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        switch = context.Process(target=runSwitch, args=(folder,))
        switch.start()
        while not (directory / "out1.sock").exists() and switch.is_alive():
            time.sleep(0.05)
        done: Deferred[None] = Deferred.fromCoroutine(setRoutes(directory, arguments.rules, arguments.tables))
        done.addErrback(lambda failure: sys.stderr.write(failure.getTraceback()))
        done.addBoth(lambda _: reactor.stop())
        reactor.run()
        packets = arguments.packets // BLOCK * BLOCK
        times = measure(context, directory, packets, arguments)
        rate = f"{packets / times:,.0f} packets/s"
        print(f"{packets} packets of {arguments.size} bytes: {rate}, {os.cpu_count()} processors")
        switch.terminate()
        switch.join()


def measure(
    context: multiprocessing.context.SpawnContext, directory: Path, packets: int, arguments: argparse.Namespace
) -> float:
    """Seconds from the first packet received to the last."""
    queue: multiprocessing.Queue[float] = context.Queue()
    total = 24 + packets * (arguments.size + 16)
    for number in range(arguments.tables):
        context.Process(target=drain, args=(str(directory / f"out{number}.sock"), total, queue)).start()
    for _ in range(arguments.tables):
        queue.get()
    context.Process(target=feed, args=(str(directory / "in.sock"), packets, arguments.size)).start()
    return max(queue.get() for _ in range(arguments.tables))


if __name__ == "__main__":
    main()
