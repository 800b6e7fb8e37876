"""Two network namespaces joined by a veth pair without offloads: segments and checksums are as on a wire."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tools.recorder.plan import (
    CLIENT_DEVICE,
    CLIENT_SPACE,
    CLIENTS,
    CLIENTS6,
    GHOSTS,
    SERVER_DEVICE,
    SERVER_SPACE,
    SERVERS,
    SERVERS6,
)

OFFLOADS = ("tx", "rx", "sg", "tso", "gso", "gro")


def run(*command: str) -> str:
    """Run a program to its end and give what it printed; it must succeed."""
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


def inside(space: str, *command: str) -> list[str]:
    """The command line that runs C{command} in a namespace (as the same process, so that its id is the program's)."""
    return ["ip", "netns", "exec", space, *command]


def addDevice(space: str, device: str, addresses: tuple[str, ...]) -> None:
    """Give one end of the pair its addresses and bring it up without offloads."""
    run("ip", "-n", space, "link", "set", "lo", "up")
    run("ip", "-n", space, "link", "set", device, "addrgenmode", "none")
    for address in addresses:
        length, flags = ("64", ["nodad"]) if ":" in address else ("16", [])
        run("ip", "-n", space, "address", "add", f"{address}/{length}", "dev", device, *flags)
    run(*inside(space, "ethtool", "-K", device, *(word for name in OFFLOADS for word in (name, "off"))))
    run("ip", "-n", space, "link", "set", device, "up")


def deafen() -> None:
    """Let the servers reach the sources of half-open scans, which live nowhere: frames arrive, nobody answers."""
    shown = run("ip", "-n", CLIENT_SPACE, "-o", "link", "show", CLIENT_DEVICE).split()
    hardware = shown[shown.index("link/ether") + 1]
    for ghost in GHOSTS:
        run("ip", "-n", SERVER_SPACE, "neighbour", "add", ghost, "lladdr", hardware, "dev", SERVER_DEVICE)
    run(*inside(SERVER_SPACE, "sysctl", "-q", "-w", "net.ipv4.tcp_synack_retries=2"))


def removeSpace(space: str) -> None:
    """End whatever still runs in a namespace and delete it."""
    for process in run("ip", "netns", "pids", space).split():
        subprocess.run(["kill", process], check=False)
    run("ip", "netns", "delete", space)


@contextmanager
def privateNetwork() -> Iterator[None]:
    """The two namespaces, for as long as the context lasts."""
    made = []
    try:
        for space in (CLIENT_SPACE, SERVER_SPACE):
            run("ip", "netns", "add", space)
            made.append(space)
        peer = ("peer", "name", SERVER_DEVICE, "netns", SERVER_SPACE)
        run("ip", "link", "add", CLIENT_DEVICE, "netns", CLIENT_SPACE, "type", "veth", *peer)
        addDevice(CLIENT_SPACE, CLIENT_DEVICE, CLIENTS + CLIENTS6)
        addDevice(SERVER_SPACE, SERVER_DEVICE, SERVERS + SERVERS6)
        deafen()
        yield
    finally:
        for space in made:
            removeSpace(space)
