"""
TLS 1.3 for both ends, certificates on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from openmb.errors import ConfigurationError, OperationError, Refusal
from openmb.ratelimitedlog import RateLimitedLog
from openmb.southbound.certificates import Credentials, Identity, controllerHost, identityOf
from openmb.southbound.link import Transport, addressOf, hostOf
from openmb.southbound.live import LiveCredentials
from openmb.southbound.verification import checkUse, describe, whose
from openmb.wire.formats import End
from openmb.wire.messages import Hello


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """
    The controller's end: takes any certificate of the authority that is not revoked; see L{admitByCertificate}.
    """

    def __init__(self, credentials: Credentials | LiveCredentials, log: RateLimitedLog | None = None) -> None:
        self._log = log or _ownLog()
        self._contexts = _Contexts(credentials, SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)

    def _verify(self, connection: SSL.Connection, certificate: X509, error: int, depth: int, sound: int) -> bool:
        """Called by OpenSSL for each certificate of the chain; must not raise.  Says whose was not taken, and why."""
        problem = describe(error) if not sound else None if depth else self._contexts.objection(certificate)
        if problem is not None:
            _refuse(self._log, connection, certificate, problem)
        return problem is None

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection that waits for a client."""
        return self._contexts.connection(tlsProtocol)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """The middlebox's end: the certificate must be that of the controller C{controller}."""

    def __init__(
        self, credentials: Credentials | LiveCredentials, controller: str, log: RateLimitedLog | None = None
    ) -> None:
        self._controller, self._log = controller, log or _ownLog()
        self._contexts = _Contexts(credentials, SSL.VERIFY_PEER, self._verify)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection that asks for the controller by name."""
        connection = self._contexts.connection(tlsProtocol)
        connection.set_tlsext_host_name(controllerHost(self._controller).encode("ascii"))
        return connection

    def _verify(self, connection: SSL.Connection, certificate: X509, error: int, depth: int, sound: int) -> bool:
        """Called by OpenSSL for each certificate of the chain, the peer's own (depth 0) last; must not raise."""
        problem = describe(error) if not sound else None if depth else self._problem(certificate)
        if problem is not None:
            _refuse(self._log, connection, certificate, problem)
        return problem is None

    def _problem(self, certificate: X509) -> str | None:
        """What is against a certificate that the authority has signed."""
        try:
            self._check(certificate)
        except ConfigurationError as error:
            return str(error)
        except (VerificationError, CertificateError, ValueError, x509.InvalidVersion) as error:
            return f"it is not that of {controllerHost(self._controller)} ({error!r})"
        return None

    def _check(self, certificate: X509) -> None:
        shown = certificate.to_cryptography()
        if (identity := identityOf(shown)) != Identity(End.CONTROLLER, self._controller):
            raise ConfigurationError(f"it is not that of controller {self._controller}, but of {identity}")
        verify_certificate_hostname(shown, controllerHost(self._controller))
        checkUse(shown, End.CONTROLLER)
        if (objection := self._contexts.objection(certificate)) is not None:
            raise ConfigurationError(objection)


def admitByCertificate(hello: Hello, transport: Transport) -> None:
    """
    A middlebox may only register under the name and kind of its certificate.

    @raise OperationError: C{hello} says something else, or there is no such certificate.
    """
    certificate = transport.getPeerCertificate()
    if certificate is None:
        raise OperationError(Refusal.NOT_AUTHORISED, "no certificate")
    try:
        shown = certificate.to_cryptography()
        checkUse(shown, End.MIDDLEBOX)
        identity = identityOf(shown)
    except (ConfigurationError, ValueError, x509.InvalidVersion) as error:
        raise OperationError(Refusal.NOT_AUTHORISED, str(error)) from error
    claimed = Identity(End.MIDDLEBOX, hello.name, hello.kind)
    if identity != claimed:
        raise OperationError(Refusal.NOT_AUTHORISED, f"HELLO of {claimed} with the certificate of {identity}")


def _ownLog() -> RateLimitedLog:
    """For whoever makes single connections."""
    return RateLimitedLog(Logger("openmb.southbound"), time.monotonic)


def _refuse(log: RateLimitedLog, connection: SSL.Connection, certificate: X509, problem: str) -> None:
    """Say which certificate is not taken, who showed it, and why."""
    transport = connection.get_app_data().transport
    log.warn(
        "a certificate is not taken: {whose}, shown by {peer}: {problem}",
        hostOf(transport),
        whose=whose(certificate),
        peer=addressOf(transport),
        problem=problem,
    )


class _Contexts:
    """The TLS context after the credentials as they are now."""

    def __init__(self, credentials: Credentials | LiveCredentials, verify: int, callback: Callable[..., bool]) -> None:
        self._live = credentials if isinstance(credentials, LiveCredentials) else None
        self._verify, self._callback = verify, callback
        self._generation = self._live.generation if self._live is not None else 0
        self._context = self._make(self._live.current if self._live is not None else credentials)  # type: ignore[arg-type]

    def connection(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new connection; L{_refuse} finds C{protocol} in it."""
        connection = SSL.Connection(self.current(), None)
        connection.set_app_data(protocol)
        return connection

    def current(self) -> SSL.Context:
        """For a new connection."""
        if self._live is not None:
            self._live.refresh()
            if self._live.generation != self._generation:
                self._context = self._make(self._live.current)
                self._generation = self._live.generation
        return self._context

    def objection(self, certificate: X509) -> str | None:
        """Why a certificate that is otherwise sound must not be trusted."""
        return None if self._live is None else self._live.objection(certificate.to_cryptography())

    def _make(self, credentials: Credentials) -> SSL.Context:
        context = _context(credentials)
        context.set_verify(self._verify, self._callback)
        return context


def _context(credentials: Credentials) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(credentials.certificate)
    context.use_privatekey(credentials.key)
    context.check_privatekey()
    store = context.get_cert_store()
    if store is None:
        raise ConfigurationError("OpenSSL gives no certificate store")
    for authority in credentials.authorities:
        store.add_cert(X509.from_cryptography(authority))
    return context
