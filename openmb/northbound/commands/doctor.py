"""
C{openmb doctor}: what is wrong with a deployment, and what to do about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from openmb.northbound.doctor.credentials import checkCertificates, checkKeyrings
from openmb.northbound.doctor.files import checkJournal, checkRoom
from openmb.northbound.doctor.finding import Finding, Findings, Level, wrong
from openmb.northbound.doctor.machine import checkMachine
from openmb.northbound.doctor.ports import checkController, checkListening
from openmb.northbound.doctor.sockets import checkSocket, checkSwitch

_PATH = click.Path(path_type=Path)


def examine(
    certificates: Path | None = None,
    names: tuple[str, ...] = (),
    keys: tuple[Path, ...] = (),
    switch: Path | None = None,
    journal: Path | None = None,
    socket: Path | None = None,
    listen: str | None = None,
    controller: str | None = None,
    controllerName: str = "controller",
    logs: tuple[Path, ...] = (),
) -> Iterator[Finding]:
    """Everything that the arguments name, and the machine."""
    kinds: dict[str, str] = {}
    boxes = [name for name in names if name != controllerName]
    yield from _guarded("machine", checkMachine())
    if certificates is not None:
        yield from _guarded(certificates, checkCertificates(certificates, names, kinds))
    if keys:
        yield from _guarded("keyrings", checkKeyrings(keys, kinds))
    if journal is not None:
        yield from _guarded(journal, checkJournal(journal))
    if switch is not None:
        yield from _guarded(switch, checkSwitch(switch, boxes))
    if listen is not None:
        yield from _guarded(listen, checkListening(listen))
    if controller is not None:
        own = boxes[0] if boxes else None
        yield from _guarded(controller, checkController(controller, certificates, own, controllerName))
    if socket is not None:
        yield from _guarded(socket, checkSocket(socket))
    for folder in logs:
        yield from _guarded(folder, checkRoom(folder, "logs"))


def _guarded(subject: object, findings: Findings) -> Findings:
    """What a check finds; that it may not look is a finding too."""
    try:
        yield from findings
    except OSError as error:
        place = error.filename or subject
        yield wrong(place, f"cannot be looked at ({error.strerror or error}): run this as the user of the service")


@click.command("doctor", short_help="What is wrong with a deployment, and what to do about it.")
@click.option("--certificates", type=_PATH, help="directory of the certificates")
@click.option("--name", "names", multiple=True, help="whose certificate and port must be there (may be repeated)")
@click.option("--keys", multiple=True, type=_PATH, help="a keyring (may be repeated, to compare them)")
@click.option("--switch", type=_PATH, help="directory of the embedded switch")
@click.option("--journal", type=_PATH, help="journal of the controller")
@click.option("--socket", type=_PATH, help="local socket of the controller")
@click.option("--listen", help="host:port where a controller that is not started yet is to listen")
@click.option("--controller", help="host:port where middleboxes connect to a controller that runs")
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
    listen: str | None,
    controller: str | None,
    controller_name: str,
    logs: tuple[Path, ...],
    asJSON: bool,
) -> int:
    """
    Look at everything that the options name, change nothing, and say what is wrong and what to do about it.

    Give the options that the services get, as the user that they run as. Exit status 1 if something is wrong, 0 if
    there are at most warnings.
    """
    found: list[Finding] = []
    arguments = certificates, names, keys, switch, journal, socket, listen, controller, controller_name, logs
    for finding in examine(*arguments):
        found.append(finding)
        if asJSON:
            click.echo(json.dumps({"level": finding.level.value, "subject": finding.subject, "text": finding.text}))
        else:
            click.echo(f"{finding.level.value:7}  {finding.subject}: {finding.text}")
    return int(any(finding.level is Level.WRONG for finding in found))
