"""Hosts in network namespaces, whose only interface ends in this process."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.trial.unittest import SkipTest
from zope.interface import implementer

_SET_INTERFACE, _TUN, _NO_INFORMATION = 0x400454CA, 0x0001, 0x1000
_DEVICE = Path("/dev/net/tun")


@implementer(IReadDescriptor)
class Tunnel:
    """
    One host.

    @ivar receiver: takes each IP packet that it sends.
    @ivar sent: bytes that it sent.
    """

    def __init__(self, name: str, address: str, other: str) -> None:
        """@raise SkipTest: this machine, or this user, has no namespaces or tunnels."""
        self.name, self.address = name, address
        self.receiver: Callable[[bytes], object] = lambda packet: None
        self.sent = 0
        self._programs: list[subprocess.Popen[bytes]] = []
        self._file = -1
        try:
            self._make(other)
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise SkipTest(f"no namespaces or tunnels here: {error}") from error

    def _make(self, other: str) -> None:
        run("ip", "netns", "add", self.name)
        self._file = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._file, _SET_INTERFACE, struct.pack("16sH", self.name.encode(), _TUN | _NO_INFORMATION))
        run("ip", "link", "set", self.name, "netns", self.name)
        # else the kernel looks for routers, by packets that nobody here routes
        run(*self.enter("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"))
        inside = "ip", "-n", self.name
        run(*inside, "address", "add", self.address, "peer", other, "dev", self.name)
        run(*inside, "link", "set", self.name, "mtu", "1500", "up")
        run(*inside, "link", "set", "lo", "up")

    def enter(self, *words: str) -> tuple[str, ...]:
        """A command that runs on this host."""
        return shutil.which("ip") or "ip", "netns", "exec", self.name, *words

    def spawn(self, *words: str) -> None:
        """Run a program on this host until L{close}."""
        output = subprocess.DEVNULL
        self._programs.append(subprocess.Popen(self.enter(*words), stdout=output, stderr=output))

    def deliver(self, packets: Sequence[bytes]) -> None:
        """Packets for it."""
        for packet in packets:
            os.write(self._file, packet)

    def fileno(self) -> int:
        """See C{IReadDescriptor}."""
        return self._file

    def doRead(self) -> None:
        """See C{IReadDescriptor}."""
        packet = os.read(self._file, 65536)
        self.sent += len(packet)
        self.receiver(packet)

    def connectionLost(self, reason: object) -> None:
        """See C{IReadDescriptor}."""

    def logPrefix(self) -> str:
        """See C{IReadDescriptor}."""
        return self.name

    def close(self) -> None:
        """The host is gone."""
        for program in self._programs:
            program.kill()
            program.wait(20)
        if self._file >= 0:
            os.close(self._file)
        if (Path("/run/netns") / self.name).exists():
            run("ip", "netns", "delete", self.name)


def run(*words: str) -> None:
    """Run a command; what it says is part of the error."""
    subprocess.run(words, check=True, capture_output=True, timeout=20)


@asynccontextmanager
async def tunnels(reactor: Any, addresses: tuple[str, str]) -> AsyncIterator[tuple[Tunnel, Tunnel]]:
    """Two hosts that can reach each other by what their receivers do, and nobody else."""
    with ExitStack() as stack:
        made = []
        for place, (mine, other) in enumerate((addresses, addresses[::-1])):
            tunnel = Tunnel(f"omb{os.getpid() % 100000}-{place}", mine, other)
            stack.callback(tunnel.close)
            reactor.addReader(tunnel)
            stack.callback(reactor.removeReader, tunnel)
            made.append(tunnel)
        yield made[0], made[1]
