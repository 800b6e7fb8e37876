"""
C{openmb doctor}: what is wrong with a deployment, and what to do about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click

from openmb.northbound.doctor.credentials import checkCertificates, checkKeyrings
from openmb.northbound.doctor.finding import Finding, Findings, Level
from openmb.northbound.doctor.places import (
    checkController,
    checkJournal,
    checkMachine,
    checkRoom,
    checkSocket,
    checkSwitch,
)

_PATH = click.Path(path_type=Path)


def examine(
    certificates: Path | None,
    names: tuple[str, ...],
    keys: tuple[Path, ...],
    switch: Path | None,
    journal: Path | None,
    socket: Path | None,
    controller: str | None,
    controllerName: str,
    logs: tuple[Path, ...],
) -> Iterator[Finding]:
    """Everything that the options name, and the machine."""
    kinds: dict[str, str] = {}
    parts: list[Findings] = [checkMachine()]
    if certificates is not None:
        parts.append(checkCertificates(certificates, names, kinds))
    if keys:
        parts.append(checkKeyrings(keys, kinds))
    if journal is not None:
        parts.append(checkJournal(journal))
    if switch is not None:
        parts.append(checkSwitch(switch, [name for name in names if name != controllerName]))
    if controller is not None:
        own = next((name for name in names if name != controllerName), None)
        parts.append(checkController(controller, certificates, own, controllerName))
    if socket is not None:
        parts.append(checkSocket(socket))
    parts += [checkRoom(folder, "logs") for folder in logs]
    return chain.from_iterable(parts)


@click.command("doctor", short_help="What is wrong with a deployment, and what to do about it.")
@click.option("--certificates", type=_PATH, help="directory of the certificates")
@click.option("--name", "names", multiple=True, help="whose certificate and port must be there (may be repeated)")
@click.option("--keys", multiple=True, type=_PATH, help="a keyring (may be repeated, to compare them)")
@click.option("--switch", type=_PATH, help="directory of the embedded switch")
@click.option("--journal", type=_PATH, help="journal of the controller")
@click.option("--socket", type=_PATH, help="local socket of the controller")
@click.option("--controller", help="host:port where middleboxes connect")
@click.option("--controller-name", default="controller", show_default=True, help="its name, as in its certificate")
@click.option("--logs", multiple=True, type=_PATH, help="directory for logs (may be repeated)")
@click.option("--json", "asJSON", is_flag=True, help="one JSON object a line")
def command(
    certificates: Path | None,
    names: tuple[str, ...],
    keys: tuple[Path, ...],
    switch: Path | None,
    journal: Path | None,
    socket: Path | None,
    controller: str | None,
    controller_name: str,
    logs: tuple[Path, ...],
    asJSON: bool,
) -> int:
    """
    Look at everything that the options name, change nothing, and say what is wrong and what to do about it.

    Give the options that the services get. Exit status 1 if something is wrong, 0 if there are at most warnings.
    """
    found = list(examine(certificates, names, keys, switch, journal, socket, controller, controller_name, logs))
    for finding in found:
        if asJSON:
            click.echo(json.dumps({"level": finding.level.value, "subject": finding.subject, "text": finding.text}))
        else:
            click.echo(f"{finding.level.value:7}  {finding.subject}: {finding.text}")
    return int(any(finding.level is Level.WRONG for finding in found))
