"""
The options of this kind, on the command line of C{openmb run} and C{twistd openmb-middlebox}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.python import usage

from openmb.errors import ConfigurationError, InvalidOption
from openmb.plugins.bro.policies.settings import Policy, PolicySettings
from openmb.plugins.bro.reporting.locality import readNetworks
from openmb.plugins.bro.reporting.uid import DEFAULT_KEY, readKey
from openmb.plugins.bro.settings import BroSettings
from openmb.state.settings import VALUES_LIMIT


class BroOptions(usage.Options):
    """Options of a Bro middlebox."""

    optFlags = [
        ["no-checksums", "C", "Take packets whatever their checksums say."],
        ["append", None, "Go on with logs that are there (a service always does) instead of writing over them."],
        ["no-private-local", None, "Private and special addresses are not local unless --local-nets says so."],
        ["tunnelled-connections", None, "Write rows of conn.log for flows inside tunnels too; equal everywhere."],
        ["json", None, "Write logs as JSON lines instead of tab-separated values."],
    ]
    optParameters = [
        ["logs", None, None, "Directory for the logs, made if it is missing; without it nothing is written."],
        ["uid-key", None, None, "Key for connection ids: hexadecimal digits, or a file with them; equal everywhere."],
        ["local-nets", None, None, "Local networks besides the private ones, separated by commas; or a file; or none."],
        ["rotate", None, 0, "Seconds of packet time after which a log goes on in a new file; 0: never.", int],
        ["gzip", None, 0, "Compress logs, 1 (fast) to 9 (small); 0: not.", int],
        ["flush", None, 0.0, "Seconds that rows may wait in memory, where a crash loses them; 0: no batch.", float],
        [
            "policies",
            None,
            "",
            "What to do with ended connections, separated by commas: any of scan, known, ssh-guessing, stats, weird.",
        ],
        ["max-flows", None, 1 << 20, "Connections held at most.", int],
        ["grace", None, 5.0, "Seconds of packet time that an ended connection stays before a sweep removes it.", float],
    ]


def settingsOf(options: Any, append: bool = False) -> BroSettings:
    """
    What the options say.

    @param append: go on with files that are there, whatever the options say.
    @raise InvalidOption: a value that cannot be used.
    @raise ConfigurationError: a directory that cannot be made, or a file that cannot be read.
    """
    if not 1 <= options["max-flows"] <= 1 << 31:
        raise InvalidOption("--max-flows must be from 1 to 2147483648")
    if not 0 <= options["grace"] <= 1e6:
        raise InvalidOption("--grace must be from 0 to 1000000")
    if not 0 <= options["rotate"] <= 10**9:
        raise InvalidOption("--rotate must be from 0 to 1000000000")
    if not 0 <= options["gzip"] <= 9:
        raise InvalidOption("--gzip must be from 0 to 9")
    if not 0 <= options["flush"] <= 3600:
        raise InvalidOption("--flush must be from 0 to 3600")
    local = readNetworks(options["local-nets"], not options["no-private-local"])
    if len(local.networks) > VALUES_LIMIT:
        raise InvalidOption(f"--local-nets: more than {VALUES_LIMIT} networks")
    key = readKey(options["uid-key"]) if options["uid-key"] is not None else DEFAULT_KEY
    logs = None if options["logs"] is None else Path(options["logs"])
    if logs is not None:
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"--logs: {error}") from error
    return BroSettings(
        logs,
        bool(options["json"]),
        options["max-flows"],
        options["grace"],
        append=append or bool(options["append"]),
        uidKey=key,
        local=local,
        rotation=options["rotate"],
        level=options["gzip"],
        patience=options["flush"],
        tunnelled=bool(options["tunnelled-connections"]),
        policy=PolicySettings(_policies(options["policies"])),
    )


def _policies(text: str) -> frozenset[Policy]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return frozenset(Policy)
    known = {each.value: each for each in Policy}
    if unknown := [name for name in names if name not in known]:
        raise InvalidOption(f"--policies: no policy {unknown[0]!r}; there are {', '.join(known)}")
    return frozenset(known[name] for name in names)
