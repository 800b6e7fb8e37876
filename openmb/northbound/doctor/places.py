"""
Checks of directories, sockets, ports, the journal, and of the machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import ssl
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openmb
from openmb.controller.journalfile import unfinishedIn
from openmb.errors import ConfigurationError, ProtocolError
from openmb.northbound.doctor.finding import Finding, Findings, ok, warning, wrong
from openmb.rpc.codec import Failure, LineReader, Request, Result, encode, parseAnswer
from openmb.southbound.certificates import Identity, controllerHost, identityOfDER
from openmb.wire.formats import End

#: Bytes of a UNIX socket's path that the operating system takes.
LONGEST_PATH = 107
#: Seconds that anybody may take to answer.
PATIENCE = 3.0
#: Bytes that should be free for logs and journal, and below which nothing works for long.
ROOMY, SCARCE = 1 << 30, 50 << 20


def checkSocket(path: Path) -> Findings:
    """The controller's local socket."""
    problem = _unusablePath(path)
    if problem is not None:
        yield problem
    elif not path.exists():
        yield warning(path, "nobody listens here: is the controller started ('twistd openmb'), with this --socket?")
    elif not stat.S_ISSOCK(path.stat().st_mode):
        yield wrong(path, "this is no socket: give --socket another name, or move that file away")
    else:
        if path.stat().st_mode & 0o077:
            yield wrong(path, f"others can give orders to the controller: run 'chmod 600 {path}'")
        answer = ask(path, "operations")
        if isinstance(answer, dict):
            boxes = ", ".join(each["name"] for each in answer["middleboxes"]) or "none"
            yield ok(path, f"the controller answers; middleboxes connected: {boxes}; {len(answer['underWay'])} moves")
        else:
            yield wrong(path, f"{answer}: start the controller, or remove the file if none is to run")


def checkSwitch(folder: Path, names: Sequence[str]) -> Findings:
    """The embedded switch, and whether the ports called C{names} are there and in use."""
    path = folder / "control.sock"
    problem = _unusablePath(path)
    if problem is not None:
        yield problem
        return
    answer = ask(path, "ports") if path.exists() else "there is no socket"
    if not isinstance(answer, list):
        yield wrong(path, f"{answer}: start 'twistd openmb-switch --directory {folder}'")
        return
    ports = {port["name"]: port for port in answer}
    yield ok(folder, f"the switch answers; ports: {', '.join(sorted(ports)) or 'none'}")
    for name in names:
        if name not in ports:
            yield wrong(folder, f"no port {name}: start the switch with '--port {name}'")
        elif not ports[name]["connected"]:
            yield warning(folder, f"nobody is connected to port {name}: is that middlebox started?")
        elif ports[name]["dropped"]:
            yield warning(folder, f"port {name} has dropped {ports[name]['dropped']} packets while nobody was there")


def _unusablePath(path: Path) -> Finding | None:
    length = len(os.fsencode(path.absolute()))
    if length > LONGEST_PATH:
        return wrong(
            path, f"{length} bytes are too long for a socket's path ({LONGEST_PATH}): choose a shorter directory"
        )
    if not path.parent.is_dir():
        return wrong(path.parent, "no such directory: make it ('mkdir -p -m 700'), or give another one")
    return None


def ask(path: Path, verb: str) -> Any:
    """The answer to one request on a local socket; a text when there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(encode(Request(1, verb, {})))
            return _answer(client)
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except OSError as error:
        return f"nobody answers ({error.strerror or error})"


def _answer(client: socket.socket) -> Any:
    reader = LineReader()
    while data := client.recv(65536):
        for line in reader.feed(data):
            try:
                parsed = parseAnswer(line)
            except ProtocolError as error:
                return f"what answers speaks another protocol ({error})"
            if isinstance(parsed, Result):
                return parsed.result
            if isinstance(parsed, Failure):
                return parsed.reason
    return "the connection was closed"


def checkController(place: str, folder: Path | None, name: str | None, controller: str = "controller") -> Findings:
    """
    Where middleboxes connect: does somebody listen, and is it the controller?

    @param folder: certificates, without which only the port is looked at.
    @param name: whose certificate to show.
    """
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        yield wrong(place, "must be host:port, such as 127.0.0.1:7790")
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as client:
            if folder is None or name is None:
                yield ok(place, "somebody listens; give --certificates and --name to see who")
                return
            yield _meet(place, client, folder, name, controller)
    except ConnectionRefusedError:
        yield wrong(place, "nobody listens there: start the controller, or give the right --controller")
    except OSError as error:
        yield wrong(place, f"cannot be reached ({error.strerror or error}): check address, port and firewall")


def _meet(place: str, client: socket.socket, folder: Path, name: str, controller: str) -> Finding:
    """The hand-shake, with certificates on both sides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.check_hostname = ssl.TLSVersion.TLSv1_3, False
    try:
        context.load_verify_locations(folder / "authority.pem")
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        with context.wrap_socket(client, server_hostname=controllerHost(controller)) as secured:
            shown = identityOfDER(secured.getpeercert(binary_form=True) or b"")
    except ssl.SSLCertVerificationError as error:
        return wrong(
            place, f"its certificate does not verify ({error.verify_message}): is authority.pem the same there?"
        )
    except ssl.SSLError as error:
        return wrong(place, f"no TLS 1.3 there ({error.reason}): is this the controller's port?")
    except (OSError, ConfigurationError) as error:
        return wrong(place, f"{error}: check the certificates of {name}")
    if shown != Identity(End.CONTROLLER, controller):
        return wrong(place, f"{shown} listens there, not controller {controller}: give the right --controller-name")
    return ok(place, f"{shown} listens, and its certificate verifies")


def checkJournal(path: Path) -> Findings:
    """The controller's journal; reads only."""
    if not path.exists():
        yield from checkRoom(path.parent, "the journal")
        return
    if path.stat().st_mode & 0o077:
        yield wrong(path, f"others can read it, and forge drain markers: run 'chmod 600 {path}'")
    try:
        unfinished = unfinishedIn(path)
    except ConfigurationError as error:
        yield (warning if "in use" in str(error) else wrong)(path, str(error))
        return
    if unfinished:
        yield warning(
            path, f"{unfinished} operations are not over: the next controller that starts with it settles them"
        )
    else:
        yield ok(path, "a journal, and every operation in it is over")


def checkRoom(folder: Path, what: str) -> Findings:
    """Can C{what} be written to C{folder}, and is there room for it?"""
    if not folder.is_dir():
        parent = next((above for above in folder.absolute().parents if above.is_dir()), Path("/"))
        if os.access(parent, os.W_OK):
            yield warning(folder, f"no such directory yet: 'mkdir -p {folder}' makes it")
        else:
            yield wrong(
                folder, f"no such directory, and it cannot be made in {parent}: make it as root, and give it away"
            )
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield wrong(folder, f"{what} cannot be written here: 'chown' it to the user of the service")
        return
    free = shutil.disk_usage(folder).free
    if free < SCARCE:
        yield wrong(folder, f"{free >> 20} MiB are free for {what}: make room; a full disk stops the middlebox")
    elif free < ROOMY:
        yield warning(folder, f"only {free >> 20} MiB are free for {what}")
    else:
        yield ok(folder, f"{what} can be written, {free >> 30} GiB free")


def checkMachine(now: float | None = None) -> Findings:
    """What every service needs of the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        yield warning("open files", f"the limit is {soft}: 'ulimit -n {min(hard, 4096)}' before the service is started")
    else:
        yield ok("open files", f"up to {soft}")
    if (now or time.time()) < 1_700_000_000:
        yield wrong(
            "clock",
            f"it is {time.strftime('%Y-%m-%d', time.gmtime(now))} here: set the clock, or no certificate is valid",
        )
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", Path(openmb.__file__).parent))
    if os.access(cache, os.W_OK):
        yield ok("kernels", f"can be kept in {cache}")
    else:
        yield warning("kernels", f"cannot be kept in {cache}, so every start compiles them: set NUMBA_CACHE_DIR")
