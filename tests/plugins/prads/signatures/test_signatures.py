"""
Signature files of PRADS: the services, the vendors, and the whole folder.
"""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.plugins.prads.signatures.services import ServiceMatcher, parseService, parseServices
from openmb.plugins.prads.signatures.tables import Signatures
from openmb.plugins.prads.signatures.vendors import Vendors
from tests.plugins.prads.needing import missing

INSTALLED = Path("/etc/prads")


def installed() -> Signatures:
    """The signatures of the Debian package."""
    if not (INSTALLED / "tcp-service.sig").exists():
        raise missing("the Debian package prads is not installed")
    return Signatures.read(INSTALLED)


class ServiceTests(SynchronousTestCase):
    """One line, one text."""

    def said(self, line: bytes, payload: bytes) -> bytes | None:
        found = ServiceMatcher(parseServices(line)).match([payload]).get(0)
        return None if found is None else found[1]

    def test_text(self) -> None:
        """Application, version and information in their places."""
        line = rb"ssh,v/OpenSSH/$2/Protocol $1/,SSH-([.\d]+)-OpenSSH[_-](\S+)"
        self.assertEqual(self.said(line, b"SSH-2.0-OpenSSH_9.2\r\n"), b"OpenSSH 9.2 (Protocol 2.0)")

    def test_nul(self) -> None:
        """A capture ends at its first NUL."""
        self.assertEqual(self.said(rb"x,v/a/$1//,<(.*)>", b"<on\0e>"), b"a on")

    def test_missingGroup(self) -> None:
        """A group that the expression does not have is empty; PRADS crashes."""
        self.assertEqual(self.said(rb"x,v/a//$2/,<(.)>", b"<o>"), b"a ()")

    def test_commas(self) -> None:
        """An expression may have commas."""
        self.assertEqual(self.said(rb"x,v/a///,b{1,3},c", b"bb,c"), b"a")

    def test_long(self) -> None:
        """The text is cut."""
        text = self.said(rb"x,v/$1///,(.*)", b"y" * 600)
        self.assertEqual(text, b"y" * 511)

    def test_order(self) -> None:
        """The first line wins, wherever in the payload it is."""
        matcher = ServiceMatcher(parseServices(b"x,v/a///,late\ny,v/b///,early"))
        self.assertEqual(matcher.match([b"early late", b"early", b""]), {0: (0, b"a"), 1: (1, b"b")})

    def test_refused(self) -> None:
        """What Hyperscan cannot compile is found all the same, in its place."""
        matcher = ServiceMatcher(parseServices(b"x,v/a///,zz\ny,v/b///,(?P<q>.)(?(q)q|z)\nz,v/c///,.q"))
        self.assertEqual(matcher.match([b"aqzz", b"aq"]), {0: (0, b"a"), 1: (1, b"b")})

    def test_notLines(self) -> None:
        """Comments, empty lines and lines without an expression are no signatures."""
        self.assertEqual([parseService(line) for line in (b"", b"#x,v/a///,b", b"x,v/a///", b"x,v/a///,(")], [None] * 4)


class InstalledTests(SynchronousTestCase):
    """The files of the Debian package."""

    def test_counts(self) -> None:
        found = installed()
        self.assertEqual([len(found.servers), len(found.clients), len(found.datagrams)], [126, 11, 4])

    def test_sameAsSearchingOneByOne(self) -> None:
        """What is found all at once is what a search of each expression in turn finds."""
        found = installed()
        for signatures in (found.servers, found.clients, found.datagrams):
            matcher, numbers = ServiceMatcher(signatures), st.sampled_from(range(len(signatures)))
            texts = numbers.flatmap(lambda number: st.from_regex(signatures[number].expression))  # noqa: B023

            @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(texts)
            def check(payload: bytes) -> None:
                hits = (
                    (number, signature.text(hit))
                    for number, signature in enumerate(signatures)  # noqa: B023
                    if (hit := signature.expression.search(payload))
                )
                self.assertEqual(matcher.match([payload]), {0: next(hits)})  # noqa: B023

            check()

    def test_noise(self) -> None:
        """Noise matches as it does one by one."""
        signatures, source = installed().servers, random.Random(5)
        payloads = [source.randbytes(200) for _ in range(300)]
        expected = [
            next((number for number, one in enumerate(signatures) if one.expression.search(payload)), None)
            for payload in payloads
        ]
        answers = ServiceMatcher(signatures).match(payloads)
        self.assertEqual([answers[place][0] if place in answers else None for place in range(300)], expected)

    def test_vendor(self) -> None:
        vendors = installed().vendors
        self.assertEqual(vendors.find(bytes.fromhex("000000123456")), b"Xerox")
        self.assertEqual(vendors.find(bytes.fromhex("00000a123456")), b"OmronTatei")


class VendorTests(SynchronousTestCase):
    """Prefixes of network addresses."""

    def test_longest(self) -> None:
        """More octets win, and bits beyond whole octets count."""
        vendors = Vendors(b"00:11:22 Short # x\n00:11:22:33:40/36 Long\n#00:99:99 None\n")
        self.assertEqual(vendors.find(bytes.fromhex("001122334000")), b"Long")
        self.assertEqual(vendors.find(bytes.fromhex("001122500000")), b"Short")
        self.assertIsNone(vendors.find(bytes.fromhex("009999000000")))


class MissingTests(SynchronousTestCase):
    """A folder that is not there."""

    def test_missing(self) -> None:
        """It is told in one line which package has the files."""
        error = self.assertRaises(ConfigurationError, Signatures.read, Path(self.mktemp()))
        self.assertIn("Debian package prads", str(error))
        self.assertNotIn("\n", str(error))
