"""
Targets that an installation is made of: command lines, credentials, and what is asked on the local sockets.
"""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ObjectIdentifier
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python import usage

from openmb import tap
from openmb.controller.controller import Controller
from openmb.controller.registry import Session
from openmb.errors import ConfigurationError
from openmb.middlebox import tap as middlebox
from openmb.netctl.embedded import tap as switch
from openmb.netctl.embedded.service import SwitchService, SwitchSettings
from openmb.netctl.embedded.verbs import SwitchVerbs
from openmb.northbound.local import NorthboundVerbs
from openmb.operations.journal import MemoryJournal
from openmb.rpc.codec import Request, encode
from openmb.rpc.server import ServerFactory, Verb
from openmb.southbound.certificates import identityOfDER, loadCredentials, makeAuthority, makeCertificate
from openmb.state.taxonomy import Cell
from openmb.testing.fuzzing.controllers import SlowNetwork, failuresRaise
from openmb.testing.fuzzing.target import Target
from openmb.wire import messages as m
from openmb.wire.formats import End

LAYOUTS = (m.LayoutVersion(Cell.SUPPORTING_PER_FLOW, 1, 1),)


def services() -> Target:
    """The command lines of C{twistd openmb}, C{openmb-switch} and C{openmb-middlebox}."""

    def run(data: bytes) -> None:
        try:
            words = shlex.split(data.decode("utf-8", "replace"))
        except ValueError:
            return
        for make, settle in ((tap.Options, str), (switch.Options, switch.settingsOf), (middlebox.Options, _settle)):
            _parse(make(), words, settle)

    good = (
        b"-c certificates -s switch -p 7790 --journal j",
        b"--directory switch --stamps capture --queue 100 -g 2.5 -p a --port b",
        b"-n bro1 -c certificates -k ring -s switch --controller [::1]:77 --slice-time 2 --kept 10 bro --json",
    )
    words = [b" --", b"=", b"nan", b"inf", b"-1", b"1e400", b"''", b"\xd9\xa3", b" bro ", b"0x10", b"99999999999"]
    return Target("services", run, (), good, words)


def _settle(options: middlebox.Options) -> None:
    middlebox.placesOf(options)
    middlebox.settingsOf(options)


def _parse(options: usage.Options, words: list[str], settle: Callable[[Any], object]) -> None:
    if any(word.startswith(("--h", "--v")) for word in words):  # they print, and end the process
        return
    try:
        options.parseOptions(words)
        settle(options)
    except (usage.UsageError, ConfigurationError):
        return


def credentials(folder: Path) -> Target:
    """Files of certificates and keys: each input once as certificate, once as key, once as authority."""
    makeAuthority(folder)
    makeCertificate(folder, End.CONTROLLER, "good")
    files = {name: (folder / name).read_bytes() for name in ("good.pem", "good.key", "authority.pem")}
    others = (
        _pem(rsa.generate_private_key(65537, 1024)),
        _pem(ed25519.Ed25519PrivateKey.generate()),
        _pem(ec.generate_private_key(ec.SECP521R1())),
    )

    def run(data: bytes) -> None:
        refused: list[ConfigurationError] = []
        for name, good in files.items():
            (folder / name).write_bytes(data)
            try:
                loadCredentials(folder, "good")
            except ConfigurationError as error:
                refused.append(error)
            (folder / name).write_bytes(good)
        if len(refused) == len(files):
            raise refused[0]

    words = [b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", b"MII", b"=", b"\n", b"ENCRYPTED "]
    return Target("credentials", run, (ConfigurationError,), [*files.values(), *others], words)


def _pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificates() -> Target:
    """Certificates whose fields were altered (their signature is OpenSSL's affair): whom do they speak for?"""

    def run(data: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # about serial numbers
            identityOfDER(data)

    words = [
        *(b"openmb:middlebox/bro/", b"openmb:controller/", b"/", b"\x00", b"\x86\x10", b"\xa0\x03", b"%2f"),
        *(b"\xc3\xa9", b"\x30\x80", b"\x06\x03\x55\x1d\x11", b"\x87\x04\x0a\x00\x00\x01", b"\x82\x01a"),
    ]
    return Target("certificates", run, (ConfigurationError,), list(oddCertificates()), words)


def oddCertificates() -> Iterator[bytes]:
    """Certificates like those of C{openmb certs}, and some with odd subjectAltNames; always the same."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    template = x509.CertificateBuilder(
        x509.Name([]), x509.Name([]), key.public_key(), 1, datetime(2020, 1, 1), datetime(2040, 1, 1)
    )
    uri = x509.UniformResourceIdentifier
    for names in (
        *([uri("openmb:middlebox/bro/bro1")], [uri("openmb:controller/a"), x509.DNSName("a.controller.openmb")]),
        *([uri("openmb:controller/a"), uri("openmb:controller/b")], [uri("openmb:middlebox/a/b/c")], [uri("")]),
        *([uri("openmb:middlebox//x")], [uri("openmb:controller/%2e%2e")], [uri("openmb:controller/" + "x" * 4000)]),
        [x509.DNSName("*.controller.openmb"), uri("http://a/")],
        [x509.RFC822Name("a@b"), uri("openmb:controller/a\n")],
        [x509.RegisteredID(ObjectIdentifier("1.2.3")), x509.OtherName(ObjectIdentifier("1.2.3"), b"\x05\x00")],
        [x509.DirectoryName(x509.Name([])), uri("openmb:controller/a")],
    ):
        for critical in (False, True):
            yield _signed(template.add_extension(x509.SubjectAlternativeName(names), critical), key)
    yield _signed(template, key)


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def localSockets(folder: Path) -> Target:
    """Lines on the switch's socket and on the controller's: each is answered, by nothing unexpected."""

    def run(data: bytes) -> None:
        clock: Any = MemoryReactorClock()
        service = SwitchService(SwitchSettings(folder), clock)
        for name in "ab":
            service.addPort(name)
        controller = Controller(SlowNetwork(), MemoryJournal(), clock)
        for name in "ab":
            said = m.Hello(2, 2, name, "bro", bytes(16), bytes(32), LAYOUTS, ())
            controller.sessionOpened(Session(said, lambda message: None))
        with failuresRaise():
            for verbs in (SwitchVerbs(service).verbs, NorthboundVerbs(controller).verbs):
                _converse(verbs, clock, data)
            clock.pump([5.0] * 200)

    return Target(
        "local sockets", run, (), list(_requests()), [b'"', b"{", b"null", b"-1", b"1e3", b'"\\ud800"', b"\n"]
    )


def _converse(verbs: Mapping[str, Verb], clock: Any, data: bytes) -> None:
    protocol: Any = ServerFactory(verbs, clock).buildProtocol(None)
    transport: Any = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(data)
    for line in transport.value().splitlines():
        json.loads(line)
    protocol.connectionLost()


def _requests() -> Iterator[bytes]:
    route = {"flows": "tcp", "path": ["a"], "table": "monitor", "priority": 7, "egress": "b"}
    mark = {"operation": 5, "token": "00" * 16, "number": 1, "final": True, "ports": ["a", "b"]}
    move = {"source": "a", "destination": "b", "flows": "tcp"}
    asked: list[tuple[str, Mapping[str, Any]]] = [
        *(("addPort", {"name": "c"}), ("ports", {}), ("route", {"route": route}), ("routes", {}), ("mark", mark)),
        *(("unroute", {"route": route}), ("removePort", {"name": "b"}), ("middleboxes", {}), ("moveInternal", move)),
        *(("operations", {}), ("switchOver", {"operation": "7f", "table": "monitor", "priority": 1})),
        *(("abort", {"operation": "7f"}), ("stats", {"middlebox": "a", "flows": "udp"})),
        ("moveInternal", {**move, "route": {**route, "path": ["b"], "egress": None}}),
    ]
    lines = [encode(Request(number, verb, arguments)) for number, (verb, arguments) in enumerate(asked)]
    yield from lines
    yield b"".join(lines)
    yield b"".join(reversed(lines))
