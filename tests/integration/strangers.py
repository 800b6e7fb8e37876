"""Who connects to a controller and should not: certificates that are wrong in one thing, and peers that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from openmb.demo.deployment import CONTROLLER
from openmb.southbound.certificates import Credentials, loadCredentials, makeCertificate, readKey
from openmb.southbound.tls import ClientTLS
from openmb.wire import messages as m
from openmb.wire.codec import encode
from openmb.wire.formats import End
from tests.integration.services import LOOP


def hello(name: str, kind: str = "bro") -> bytes:
    """The HELLO of a middlebox that remembers nothing."""
    return encode(m.Hello(1, 1, name, kind, name.encode().ljust(16, b"-"), bytes(32), (), ()))


class Stranger(Protocol):
    """
    Sends what it was given, then waits.

    @ivar received: what came back.
    @ivar gone: fires when the connection is lost.
    """

    transport: Any

    def __init__(self, *parts: bytes, thenClose: bool = False) -> None:
        self._parts, self._thenClose = parts, thenClose
        self.received, self.gone = b"", Deferred[None]()

    def connectionMade(self) -> None:
        for part in self._parts:
            self.transport.write(part)
        if self._thenClose:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)

    async def connect(self, port: int, creator: IOpenSSLClientConnectionCreator | None = None) -> Stranger:
        """Connect, with TLS if there is a C{creator}."""
        endpoint: Any = TCP4ClientEndpoint(cast(Any, LOOP), "127.0.0.1", port)
        if creator is not None:
            endpoint = wrapClientTLS(creator, endpoint)
        await endpoint.connect(Factory.forProtocol(lambda: self))
        return self


@implementer(IOpenSSLClientConnectionCreator)
class Anonymous:
    """Shows no certificate and trusts everybody."""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)


class OldTLS(ClientTLS):
    """Speaks TLS 1.2 at most."""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        return SSL.Connection(context, None)


class Wardrobe:
    """Certificates for strangers, made as those of C{folder} are, and wrong in one thing each."""

    def __init__(self, folder: Path, elsewhere: Path) -> None:
        self._folder, self._elsewhere = folder, elsewhere

    def own(self, name: str, kind: str = "bro") -> Credentials:
        """A good one."""
        if not (self._folder / f"{name}.pem").exists():
            makeCertificate(self._folder, End.MIDDLEBOX, name, kind)
        return loadCredentials(self._folder, name)

    def controllers(self) -> Credentials:
        """That of another controller."""
        makeCertificate(self._folder, End.CONTROLLER, "spare")
        return loadCredentials(self._folder, "spare")

    def foreign(self, name: str) -> Credentials:
        """The same name and kind, signed by another authority; it trusts the right one."""
        makeCertificate(self._elsewhere, End.MIDDLEBOX, name, "bro")
        shown = loadCredentials(self._elsewhere, name)
        return Credentials(shown.certificate, shown.key, self.own("bro1").authority)

    def dated(self, name: str, begins: timedelta, ends: timedelta) -> Credentials:
        """One of another time, counted from now."""
        good, now = self.own(name), datetime.now(UTC)
        old = good.certificate
        builder = x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer)
        builder = builder.public_key(good.key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + begins).not_valid_after(now + ends)
        for extension in old.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        made = builder.sign(readKey(self._folder / "authority.key"), hashes.SHA256())
        (self._folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        return loadCredentials(self._folder, name)


def asClient(credentials: Credentials, make: Callable[..., ClientTLS] = ClientTLS) -> ClientTLS:
    """Somebody who believes to talk to the right controller."""
    return make(credentials, CONTROLLER)
