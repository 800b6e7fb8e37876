"""
The options of this kind, on the command line of C{openmb run} and C{twistd openmb-middlebox}.

The short ones are those of the real program.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.python import usage

from openmb.errors import InvalidOption
from openmb.plugins.prads.homenets import DEFAULT as EVERYWHERE
from openmb.plugins.prads.settings import SIGNATURES, PradsSettings
from openmb.plugins.prads.tasks import DEFAULT, Does

_CHECKS = {
    "syn": Does.SYN,
    "synack": Does.SYNACK,
    "fin": Does.FIN,
    "rst": Does.RST,
    "stray-ack": Does.STRAY_ACK,
    "servers": Does.SERVERS,
    "clients": Does.CLIENTS,
    "datagrams": Does.DATAGRAMS,
    "mac": Does.MAC,
}


class PradsOptions(usage.Options):
    """Options of a PRADS middlebox."""

    optFlags = [
        ["mac", "M", "Look at ARP replies, and who made the network cards."],
        ["stray-ack", "A", "Look at fingerprints of packets that only acknowledge."],
        ["no-checks", "X", "Look at nothing but what the other flags name; connections are followed all the same."],
        ["syn", "S", "Look at fingerprints of SYNs (on, unless --no-checks)."],
        ["synack", "K", "The same of SYN-ACKs."],
        ["fin", "F", "The same of FINs."],
        ["rst", "R", "The same of RSTs."],
        ["servers", "T", "Search what servers say over TCP (on, unless --no-checks)."],
        ["clients", "t", "Search what clients say over TCP (on, unless --no-checks)."],
        ["datagrams", "U", "Look at services over UDP (on, unless --no-checks)."],
        ["append", None, "Go on with files that are there (a service always does) instead of writing over them."],
    ]
    optParameters = [
        ["logs", None, None, "Directory for the files, made if it is missing; without it nothing is written."],
        ["home-nets", "a", EVERYWHERE, "Home networks: only their hosts are looked at."],
        ["signatures", None, str(SIGNATURES), "Directory of the real program's signature files."],
        ["max-flows", None, 1 << 20, "Connections held at most.", int],
        ["max-hosts", None, 1 << 18, "Hosts known at most; those not seen for the longest time are forgotten.", int],
    ]


def settingsOf(options: Any, append: bool = False) -> PradsSettings:
    """
    What the options say.

    @param append: go on with files that are there, whatever the options say.
    @raise InvalidOption: a value that cannot be used.
    """
    if not 1 <= options["max-flows"] <= 1 << 31:
        raise InvalidOption("--max-flows must be from 1 to 2147483648")
    if not 1 <= options["max-hosts"] <= 1 << 31:
        raise InvalidOption("--max-hosts must be from 1 to 2147483648")
    does = Does(0) if options["no-checks"] else DEFAULT
    for name, check in _CHECKS.items():
        if options[name]:
            does |= check
    return PradsSettings(
        None if options["logs"] is None else Path(options["logs"]),
        Path(options["signatures"]),
        does,
        options["home-nets"],
        options["max-flows"],
        options["max-hosts"],
        append or bool(options["append"]),
    )
