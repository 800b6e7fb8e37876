"""
Checks of TCP ports: where middleboxes connect, and where the controller is to listen.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from openmb.errors import ConfigurationError
from openmb.northbound.doctor.asking import PATIENCE
from openmb.northbound.doctor.finding import Finding, Findings, ok, wrong
from openmb.southbound.certificates import Identity, controllerHost, identityOfDER, readAuthorities
from openmb.southbound.revocation import Revocations
from openmb.wire.formats import End

#: Seconds that a controller gets to refuse a certificate; it says nothing to one that it takes.
JUDGING = 2.0
#: State of a listening socket in C{/proc/net/tcp}.
_LISTENING = "0A"


def checkController(
    place: str, folder: Path | None, name: str | None, controller: str = "controller", judging: float = JUDGING
) -> Findings:
    """
    Where middleboxes connect: does somebody listen, is it the controller, and does it take the certificate?

    @param folder: certificates, without which only the port is looked at.
    @param name: whose certificate to show.
    @param judging: seconds to wait for it to object to the certificate.
    """
    address = _parse(place)
    if address is None:
        yield wrong(place, "must be host:port, such as 127.0.0.1:7790")
        return
    try:
        with socket.create_connection(address, PATIENCE) as client:
            if folder is None or name is None:
                yield ok(place, "somebody listens; give --certificates and --name of a middlebox to see who")
            else:
                yield _meet(place, client, folder, name, controller, judging)
    except ConnectionRefusedError:
        yield wrong(place, "nobody listens there: start the controller, or give the right --controller")
    except OSError as error:
        yield wrong(place, f"cannot be reached ({error.strerror or error}): check address, port and firewall")


def _parse(place: str) -> tuple[str, int] | None:
    host, _, port = place.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        return None
    return host.strip("[]"), int(port)


def _meet(place: str, client: socket.socket, folder: Path, name: str, controller: str, judging: float) -> Finding:
    """The hand-shake, with certificates on both sides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.check_hostname = ssl.TLSVersion.TLSv1_3, False
    try:
        context.load_verify_locations(folder / "authority.pem")
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    except OSError as error:
        return wrong(place, f"not tried, for want of certificates ({error}): see those of {name}")
    try:
        with context.wrap_socket(client, server_hostname=controllerHost(controller)) as secured:
            data = secured.getpeercert(binary_form=True) or b""
            shown = identityOfDER(data)
            if shown != Identity(End.CONTROLLER, controller):
                return wrong(
                    place, f"{shown} listens there, not controller {controller}: give the right --controller-name"
                )
            if (problem := _revoked(folder, shown, data)) is not None:
                return wrong(place, problem)
            secured.settimeout(judging)
            return _judged(place, secured, shown, name)
    except ssl.SSLCertVerificationError as error:
        return wrong(
            place, f"its certificate does not verify ({error.verify_message}): is authority.pem the same there?"
        )
    except ssl.SSLError as error:
        return wrong(place, f"no TLS 1.3 there ({error.reason}): is this the controller's port?")
    except (OSError, ConfigurationError) as error:
        return wrong(place, f"{error}: is this the controller's port?")


def _revoked(folder: Path, shown: Identity, data: bytes) -> str | None:
    """Is the certificate C{data} that is in use there on the list here?  It may be another than that on disk."""
    try:
        date = Revocations.load(folder, readAuthorities(folder)).of(x509.load_der_x509_certificate(data))
    except ConfigurationError as error:
        return f"is the certificate of {shown} revoked? {error}"
    if date is None:
        return None
    what = f"the certificate that {shown} uses was revoked on {date:%Y-%m-%d}"
    return f"{what}, and no middlebox takes it: run 'openmb certs renew {shown.name}', and bring the new one there"


def _judged(place: str, secured: ssl.SSLSocket, shown: Identity, name: str) -> Finding:
    """With TLS 1.3 the server judges the client's certificate after the client's hand-shake is over."""
    try:
        refused = not secured.recv(1)
        reason = "it closes the connection"
    except TimeoutError:
        refused = False
    except OSError as error:
        refused, reason = True, getattr(error, "reason", None) or str(error)
    if refused:
        return wrong(place, f"{shown} refuses the certificate of {name} ({reason}): its log says why")
    return ok(place, f"{shown} listens, its certificate verifies, and it does not refuse that of {name}")


def checkListening(place: str) -> Findings:
    """Where a controller that is not started yet is to listen: is the port free?"""
    address = _parse(place)
    if address is None:
        yield wrong(place, "must be host:port, such as 127.0.0.1:7790")
        return
    try:
        family, kind, _, _, whole = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(whole)
    except OSError as error:
        yield wrong(place, _cannotListen(error, address[1]))
    else:
        yield ok(place, "the port is free")


def _cannotListen(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        who = ", ".join(_listeners(port)) or "somebody"
        return f"{who} listens there already: stop it, or give the controller another --port"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root's rights: give the controller another --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "that is no address of this machine: give the controller another --interface"
    return f"nobody can listen there ({error.strerror or error}): check address and port"


def _listeners(port: int) -> Iterator[str]:
    """The processes that listen at C{port}, as far as this user may see them."""
    sought = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        if any(_target(link) in sought for link in _descriptors(process)):
            yield f"process {process.name} ({(process / 'comm').read_text().strip()})"


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _descriptors(process: Path) -> tuple[Path, ...]:
    try:
        return tuple((process / "fd").iterdir())
    except OSError:  # another user's, or over
        return ()


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""
