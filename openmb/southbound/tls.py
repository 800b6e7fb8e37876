"""
TLS 1.3 for both ends, certificates on both sides.
"""

from __future__ import annotations

from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from openmb.errors import ConfigurationError, OperationError, Refusal
from openmb.southbound.certificates import Credentials, Identity, controllerHost, identityOf
from openmb.southbound.link import Transport
from openmb.wire.formats import End
from openmb.wire.messages import Hello

_log = Logger()


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """The controller's end: takes any certificate of the authority; L{admitByCertificate} looks closer."""

    def __init__(self, credentials: Credentials) -> None:
        self._context = _context(credentials)
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection that waits for a client."""
        return SSL.Connection(self._context, None)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """The middlebox's end: the certificate must be that of the controller C{controller}."""

    def __init__(self, credentials: Credentials, controller: str) -> None:
        self._controller = controller
        self._context = _context(credentials)
        self._context.set_verify(SSL.VERIFY_PEER, self._verify)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection that asks for the controller by name."""
        connection = SSL.Connection(self._context, None)
        connection.set_tlsext_host_name(controllerHost(self._controller).encode("ascii"))
        return connection

    def _verify(self, connection: SSL.Connection, certificate: X509, error: int, depth: int, sound: int) -> bool:
        """Called by OpenSSL for each certificate of the chain, the peer's own (depth 0) last; must not raise."""
        if not sound or depth:
            return bool(sound)
        try:
            self._check(certificate)
        except (VerificationError, CertificateError, ConfigurationError) as problem:
            _log.warn(
                "the certificate shown is not that of controller {controller}: {problem!r}",
                controller=self._controller,
                problem=problem,
            )
            return False
        return True

    def _check(self, certificate: X509) -> None:
        shown = certificate.to_cryptography()
        verify_certificate_hostname(shown, controllerHost(self._controller))
        if (identity := identityOf(shown)) != Identity(End.CONTROLLER, self._controller):
            raise ConfigurationError(f"it is that of {identity}")


def admitByCertificate(hello: Hello, transport: Transport) -> None:
    """
    A middlebox may only register under the name and kind of its certificate.

    @raise OperationError: C{hello} says something else, or there is no such certificate.
    """
    certificate = transport.getPeerCertificate()
    if certificate is None:
        raise OperationError(Refusal.BAD_REQUEST, "no certificate")
    try:
        identity = identityOf(certificate.to_cryptography())
    except ConfigurationError as error:
        raise OperationError(Refusal.BAD_REQUEST, str(error)) from error
    claimed = Identity(End.MIDDLEBOX, hello.name, hello.kind)
    if identity != claimed:
        raise OperationError(Refusal.BAD_REQUEST, f"HELLO of {claimed} with the certificate of {identity}")


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
    store.add_cert(X509.from_cryptography(credentials.authority))
    return context
