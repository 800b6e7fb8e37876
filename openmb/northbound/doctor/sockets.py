"""
Checks of local sockets: the controller's and the switch's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openmb.northbound.doctor.asking import PATIENCE, Unanswered, ask
from openmb.northbound.doctor.finding import Finding, Findings, Level, ok, warning, wrong
from openmb.rpc.unix import PATH_LIMIT
from openmb.state.advice import restricting


def checkSocket(path: Path, patience: float = PATIENCE) -> Findings:
    """The controller's local socket."""
    problems = list(_checkPath(path))
    yield from problems
    if any(problem.level is Level.WRONG for problem in problems):
        return
    if not path.exists():
        yield warning(path, "nobody listens here: is the controller started ('twistd openmb'), with this --socket?")
    elif not stat.S_ISSOCK(path.stat().st_mode):
        yield wrong(path, "this is no socket: give --socket another name")
    else:
        if path.stat().st_mode & 0o077:
            yield wrong(path, f"others can give orders to the controller: {restricting(path, '600')}")
        yield from _askController(path, patience)


def _askController(path: Path, patience: float) -> Findings:
    try:
        answer = ask(path, "operations", patience)
    except Unanswered as problem:
        if problem.somebody:
            yield wrong(path, f"{problem}: is this the controller's socket, and is the controller busy or stopped?")
        else:
            yield wrong(path, f"{problem}: start the controller (it replaces the socket), or remove the file")
        return
    match answer:
        case {"middleboxes": [*boxes], "underWay": [*moves]}:
            names = ", ".join(str(box.get("name")) for box in boxes if isinstance(box, dict)) or "none"
            yield ok(path, f"the controller answers; middleboxes connected: {names}; moves under way: {len(moves)}")
            yield from (warning(path, str(problem)) for problem in _list(answer.get("problems")))
        case _:
            yield wrong(path, "what answers is no controller: give the right --socket")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def checkSwitch(folder: Path, names: Sequence[str], patience: float = PATIENCE) -> Findings:
    """The embedded switch, and whether the ports called C{names} are there and in use."""
    path = folder / "control.sock"
    problems = list(_checkPath(path))
    yield from problems
    if any(problem.level is Level.WRONG for problem in problems):
        return
    try:
        answer = ask(path, "ports", patience)
    except Unanswered as problem:
        yield wrong(path, f"{problem}: start 'twistd openmb-switch --directory {folder}'")
        return
    match answer:
        case [*found] if all(isinstance(port, dict) and "name" in port for port in found):
            ports = {port["name"]: port for port in found}
            yield ok(folder, f"the switch answers; ports: {', '.join(sorted(ports)) or 'none'}")
            yield from (_checkPort(folder, name, ports) for name in names)
            yield from _checkRoutes(folder, ports, patience)
        case _:
            yield wrong(path, "what answers is no switch: give the right --switch")


def _checkRoutes(folder: Path, ports: Mapping[str, Mapping[str, Any]], patience: float) -> Findings:
    """Do routes lead to where somebody is, and do all packets find one?"""
    try:
        routes = ask(folder / "control.sock", "routes", patience)
    except Unanswered as problem:
        yield wrong(folder, f"it does not tell its routes: {problem}")
        return
    match routes:
        case []:
            yield warning(folder, "there are no routes, packets go nowhere: set one with 'openmb route'")
        case [*found]:
            for port in sorted(_leading(found)):
                if port in ports and not ports[port].get("connected"):
                    yield warning(folder, f"a route leads to port {port}, and nobody is connected there")
        case _:
            yield wrong(folder, "what answers is no switch: give the right --switch")
    for name, counts in ports.items():
        if unrouted := counts.get("unrouted"):
            yield warning(folder, f"nobody took {unrouted} packets from port {name}: see 'openmb routes'")


def _leading(routes: Sequence[Any]) -> set[str]:
    """The ports to which C{routes} lead."""
    found: set[str] = set()
    for route in routes:
        match route:
            case {"path": [*path], "egress": egress}:
                found.update(port for port in (*path, egress) if isinstance(port, str))
    return found


def _checkPort(folder: Path, name: str, ports: Mapping[str, Mapping[str, Any]]) -> Finding:
    if name not in ports:
        return wrong(folder, f"no port {name}: start the switch with '--port {name}'")
    if not ports[name].get("connected"):
        return warning(folder, f"nobody is connected to port {name}: is that middlebox started, with this --switch?")
    if dropped := ports[name].get("dropped"):
        return warning(folder, f"port {name} has dropped {dropped} packets while nobody was there")
    return ok(folder, f"somebody is connected to port {name}")


def _checkPath(path: Path) -> Findings:
    """Can there be a socket at C{path}?"""
    length = len(os.fsencode(path.absolute()))
    if length > PATH_LIMIT:
        yield wrong(path, f"{length} bytes are too long for a socket's path ({PATH_LIMIT}): choose a shorter directory")
        return
    folder = path.parent
    if not folder.is_dir():
        yield wrong(folder, f"no such directory: 'mkdir -p -m 700 {folder}', or give another one")
        return
    mode = folder.stat().st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        yield warning(folder, f"others can put a socket of their own in here: {restricting(folder, 'go-w')}")
    if not path.exists() and not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        yield wrong(folder, "no socket can be made here: 'chown' it to the user of the service")
