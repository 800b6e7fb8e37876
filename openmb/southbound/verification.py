"""
What makes a certificate good for its end of a connection, and words for what does not.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509
from OpenSSL.crypto import Error as SSLError

from openmb.errors import ConfigurationError
from openmb.southbound.certificates import identityOf
from openmb.southbound.link import printable
from openmb.wire.formats import End

#: What OpenSSL's verification says in numbers (x509_vfy.h), in words that say what to do.
_ERRORS = {
    2: "its issuer is not the authority here: was it made by another one?",
    7: "its signature is wrong",
    9: "it is not valid yet: is the clock of one of the machines wrong?",
    10: "it has expired: renew it",
    18: "it is signed by itself, not by the authority",
    19: "it is signed by an authority that is not trusted here",
    20: "it is signed by an authority that is not trusted here",
    21: "it is signed by an authority that is not trusted here",
    24: "it is signed by a certificate that is no authority",
    25: "an authority above it allows no other authority below itself",
    26: "it was made for the other end: middleboxes and controllers have certificates of different use",
}
_PURPOSES = {End.CONTROLLER: ExtendedKeyUsageOID.SERVER_AUTH, End.MIDDLEBOX: ExtendedKeyUsageOID.CLIENT_AUTH}


def checkUse(certificate: x509.Certificate, end: End) -> None:
    """
    Is C{certificate} made for C{end}: its extended key usage, key usage and basic constraints, all of them there?

    OpenSSL looks at these too, but takes a certificate that does not have them for one that may do everything.

    @raise ConfigurationError: it is not; says why.
    """
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise ConfigurationError(f"a certificate that does not say what it is for: {error}") from error
    if constraints.ca or usage.key_cert_sign:
        raise ConfigurationError("a certificate of an authority, which must not be used by a service")
    if not usage.digital_signature or _PURPOSES[end] not in purposes:
        raise ConfigurationError(f"a certificate that was not made for a {end.value}")


def issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Has C{authority} signed C{certificate}?"""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def whose(certificate: X509) -> str:
    """Whom a certificate that may not be sound claims to speak for."""
    try:
        shown = certificate.to_cryptography()
        return printable(f"{identityOf(shown)}, signed by {shown.issuer.rfc4514_string()}")
    except (ConfigurationError, ValueError, x509.InvalidVersion):
        return f"nobody OpenMB knows ({_commonName(certificate)})"


def _commonName(certificate: X509) -> str:
    try:
        return printable(certificate.get_subject().CN or "no name")
    except (SSLError, UnicodeDecodeError):
        return "an unreadable name"


def describe(error: int) -> str:
    """What OpenSSL has against a certificate, in words."""
    return _ERRORS.get(error, f"error {error} of OpenSSL")
