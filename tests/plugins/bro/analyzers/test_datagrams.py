"""DHCP, NTP and SNMP: what confirms, what violates, and that nothing throws."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.analyzer import Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.dhcp import DHCPAnalyzer
from openmb.plugins.bro.analyzers.ntp import NTPAnalyzer
from openmb.plugins.bro.analyzers.snmp import SNMPAnalyzer
from tests.plugins.bro.analyzers.datagramwire import Datagram, ber, checkHostile, dhcp, findingsOf, snmp, snmpPDU

YES, NO, TURN = Sign.CONFIRMED, Sign.VIOLATED, Sign.TURNED
DISCOVER = b"\x35\x01\x01"


class DHCPTests(SynchronousTestCase):
    """Options up to the last, a cookie, a type."""

    def found(self, *datagrams: bytes) -> list[list[object]]:
        return [list(each) for each in findingsOf(DHCPAnalyzer, [(True, data) for data in datagrams])]

    def test_confirms(self) -> None:
        self.assertEqual([[YES], []], self.found(dhcp(DISCOVER + b"\xff"), dhcp(DISCOVER + b"\xff" + bytes(60))))

    def test_noType(self) -> None:
        """It violates before it confirms; and again with the next one."""
        lacking = dhcp(b"\x0c\x02ab\xff")
        self.assertEqual([[NO, YES], [NO]], self.found(lacking, lacking))
        self.assertEqual([[NO, YES]], self.found(dhcp(b"\x35\x01\x00\xff")))

    def test_firstTypeCounts(self) -> None:
        self.assertEqual([[NO, YES]], self.found(dhcp(b"\x35\x01\x00\x35\x01\x05\xff")))

    def test_cookie(self) -> None:
        self.assertEqual([[NO]], self.found(dhcp(DISCOVER + b"\xff", b"\x63\x82\x53\x64")))

    def test_short(self) -> None:
        message = dhcp(DISCOVER + b"\xff")
        for size in range(240):
            self.assertEqual([[NO]], self.found(message[:size]))

    def test_end(self) -> None:
        """An option that is cut off violates; that the last one is missing does not, nor what comes after it."""
        for options in (b"\x35", b"\x35\x01", b"\x0c", b"\x0c\x03ab", b"\x01\x04abc", b"\x3d\x00", b"\x51\x02ab"):
            self.assertEqual([[NO]], self.found(dhcp(DISCOVER + options)), options)
        self.assertEqual([[YES]], self.found(dhcp(DISCOVER)))
        self.assertEqual([[YES]], self.found(dhcp(DISCOVER + b"\xff\x0c\xff")))

    def test_sizes(self) -> None:
        """Sizes that Zeek knows better than the length: a mask has four bytes, a list whole addresses."""
        self.assertEqual([[YES]], self.found(dhcp(b"\x01\x00\x0c\x0c\x0c\x0c" + DISCOVER + b"\xff")))
        self.assertEqual([[YES]], self.found(dhcp(b"\x03\x07abcd" + DISCOVER + b"\xff")))
        self.assertEqual([[YES]], self.found(dhcp(bytes(9) + DISCOVER + b"\xff")))

    def test_relay(self) -> None:
        """Sub-options end with the option, and must not be longer."""
        self.assertEqual([[YES]], self.found(dhcp(DISCOVER + b"\x52\x07\x01\x02ab\x02\x01c\xff")))
        self.assertEqual([[NO]], self.found(dhcp(DISCOVER + b"\x52\x03\x01\x02ab\xff")))

    def test_hostile(self) -> None:
        options = b"\x01\x04abcd\x03\x08abcdefgh\x0c\x03abc\x3d\x07\x01abcdef\x51\x04\0\0\0x\x52\x03\x01\x01a"
        checkHostile(self, DHCPAnalyzer, [(True, dhcp(DISCOVER + options + b"\xff"))], 1)


class NTPTests(SynchronousTestCase):
    """Modes and their sizes."""

    def one(self, data: bytes, originator: bool = True) -> list[object]:
        return list(findingsOf(NTPAnalyzer, [(originator, data)])[0])

    def test_standard(self) -> None:
        for mode in (1, 2, 3, 5):
            for version in (1, 4):
                first = bytes((version << 3 | mode,))
                self.assertEqual([YES], self.one(first + bytes(47)))
                self.assertEqual([NO], self.one(first + bytes(46)))
                for code in (4, 20, 24):
                    self.assertEqual([YES], self.one(first + bytes(47 + code)))

    def test_extensions(self) -> None:
        """What is longer than a code is a field with two lengths inside."""
        first = b"\x23" + bytes(47)
        field = struct.pack(">BBHHLLL", 2, 1, 32, 1, 0, 0, 3) + b"abc" + struct.pack(">L", 1) + b"s"
        self.assertEqual([YES], self.one(first + field.ljust(32, b"\0")))
        self.assertEqual([YES], self.one(first + field.ljust(32, b"\0") * 2 + bytes(24)))
        self.assertEqual([NO], self.one(first + field.ljust(31, b"\0")))
        self.assertEqual([NO], self.one(first + b"\xff" * 40))

    def test_control(self) -> None:
        header = b"\x16\x02" + bytes(8) + b"\x00\x04"
        self.assertEqual([YES], self.one(header + b"abcd"))
        self.assertEqual([YES], self.one(header + b"abcd" + bytes(12)))
        self.assertEqual([NO], self.one(header + b"abc"))
        self.assertEqual([NO], self.one(header[:11]))

    def test_private(self) -> None:
        self.assertEqual([YES], self.one(b"\x17\x00\x03\x2a" + bytes(4)))
        self.assertEqual([YES], self.one(b"\x17\x00\x03\x2a\x10\x02ab"))
        self.assertEqual([NO], self.one(b"\x17\x00\x03\x2a\x10\x03ab"))
        self.assertEqual([NO], self.one(b"\x17\x80\x03\x2a\x00\x00" + bytes(19)))
        self.assertEqual([YES], self.one(b"\x17\x80\x03\x2a\x00\x00" + bytes(20)))

    def test_other(self) -> None:
        self.assertEqual([YES], self.one(b"\x20"))
        self.assertEqual([NO], self.one(b""))

    def test_turns(self) -> None:
        """A server that opens, or a client that answers, turns the roles: each direction once."""
        client, server = b"\x23" + bytes(47), b"\x24" + bytes(47)
        run: list[Datagram] = [(True, server), (True, server), (False, client), (False, client)]
        self.assertEqual([[YES, TURN], [], [TURN], []], findingsOf(NTPAnalyzer, run))
        self.assertEqual([[YES], []], findingsOf(NTPAnalyzer, [(True, client), (False, server)]))

    def test_violatesLater(self) -> None:
        self.assertEqual(
            [[YES], [NO], [NO], []], findingsOf(NTPAnalyzer, [(True, x) for x in (b"\0", b"", b"", b"\0")])
        )

    def test_hostile(self) -> None:
        field = struct.pack(">BBHHLLL", 2, 1, 32, 1, 0, 0, 3) + b"abc" + struct.pack(">L", 1) + b"s    "
        examples = [b"\x23" + bytes(47), b"\x24" + bytes(47) + field, b"\x16\x02" + bytes(10), b"\x17" + bytes(9)]
        checkHostile(self, NTPAnalyzer, [(True, data) for data in examples], 2)


class SNMPTests(SynchronousTestCase):
    """Tags and lengths; the responder confirms."""

    def both(self, data: bytes) -> list[list[object]]:
        """As the originator sends it, and as the responder does."""
        return [list(findingsOf(SNMPAnalyzer, [(who, data)])[0]) for who in (True, False)]

    def test_versions(self) -> None:
        for version in (0, 1):
            for tag in (0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xA6, 0xA7, 0xA8):
                self.assertEqual([[], [YES]], self.both(snmp(snmpPDU(tag), version)))

    def test_trap(self) -> None:
        fields = ber(6, b"\x2b\x06") + ber(0x40, b"abcd") + ber(2, b"\6") + ber(2, b"\1") + ber(0x43, b"\1\2")
        self.assertEqual([[], [YES]], self.both(snmp(ber(0xA4, fields + ber(0x30, b"")))))
        self.assertEqual([[NO], [YES, NO]], self.both(snmp(ber(0xA4, fields.replace(b"\x40", b"\x41")))))

    def test_three(self) -> None:
        def message(scoped: bytes, flags: bytes = b"\4") -> bytes:
            head = ber(0x30, ber(2, b"\1") + ber(2, b"\5\0") + ber(4, flags) + ber(2, b"\3"))
            return ber(0x30, ber(2, b"\3") + head + ber(4, b"security") + scoped)

        plain = ber(0x30, ber(4, b"engine") + ber(4, b"") + snmpPDU())
        self.assertEqual([[], [YES]], self.both(message(plain)))
        self.assertEqual([[NO], [NO]], self.both(message(ber(0x30, ber(4, b"engine") + ber(5, b"")))))
        self.assertEqual([[], [YES]], self.both(message(ber(4, b"encrypted"))))
        self.assertEqual([[], [YES]], self.both(message(ber(7, b"what?"))))
        self.assertEqual([[NO], [NO, YES]], self.both(message(plain, b"\4\4")))

    def test_unknownVersion(self) -> None:
        self.assertEqual([[], [YES]], self.both(snmp(b"\xff" * 9, version=2)))

    def test_unknownPDU(self) -> None:
        """Any tag, but the length must be readable: the rows of the generated capture turn on this."""
        self.assertEqual([[], [YES]], self.both(snmp(b"\x77\x05")))
        self.assertEqual([[NO], [YES, NO]], self.both(snmp(b"\x77\x85\1\2\3\4")))
        self.assertEqual([[NO], [YES, NO]], self.both(snmp(b"\x77")))

    def test_lengths(self) -> None:
        """That of a sequence is not looked at, that of a value is, and an integer has at most nine bytes."""
        good = snmp(snmpPDU())
        self.assertEqual([[], [YES]], self.both(b"\x30\x05" + good[2:]))
        self.assertEqual([[], [YES]], self.both(b"\x30\x80" + good[2:]))
        self.assertEqual([[NO], [YES, NO]], self.both(good[:-1]))
        self.assertEqual([[NO], [YES, NO]], self.both(good + b"\0"))
        for size, ends in ((9, [[], [YES]]), (10, [[NO], [NO]])):
            self.assertEqual(ends, self.both(ber(0x30, ber(2, bytes(size)) + ber(4, b"public") + snmpPDU())))

    def test_longLengths(self) -> None:
        """A length of more than eight bytes wraps round."""
        self.assertEqual([[], [YES]], self.both(b"\x30\x03\x02\x89" + bytes(8) + b"\x01\x00\x04\x00\x77\x00"))
        self.assertEqual([[NO], [NO]], self.both(b"\x30\x03\x02\x88" + b"\xff" * 8 + b"\x00"))

    def test_hostile(self) -> None:
        checkHostile(self, SNMPAnalyzer, [(False, snmp(snmpPDU())), (True, snmp(snmpPDU(0xA5), 1))], 3)


class DumpTests(SynchronousTestCase):
    """The format itself."""

    def test_vectors(self) -> None:
        analyzer = NTPAnalyzer(Surroundings(tcp=False))
        self.assertEqual(b"\1\0", analyzer.dump())
        analyzer.data(True, b"\x24" + bytes(47), 1)
        self.assertEqual(b"\1\3", analyzer.dump())

    def test_refused(self) -> None:
        for kind, most in ((NTPAnalyzer, 7), (SNMPAnalyzer, 1), (DHCPAnalyzer, 1)):
            for first in range(256):
                for flags in (0, most):
                    self.accepts(kind, bytes((first, flags)), first == 1)
            for flags in range(256):
                self.accepts(kind, bytes((1, flags)), flags <= most)
            for data in (b"", b"\1", b"\1\0\0"):
                self.accepts(kind, data, False)

    def accepts(self, kind: type[NTPAnalyzer | SNMPAnalyzer | DHCPAnalyzer], data: bytes, expected: bool) -> None:
        if expected:
            self.assertEqual(data, kind.load(data, Surroundings()).dump())
        else:
            self.assertRaises(OperationError, kind.load, data, Surroundings())

    def test_names(self) -> None:
        kinds = (NTPAnalyzer, SNMPAnalyzer, DHCPAnalyzer)
        self.assertEqual([Service.NTP, Service.SNMP, Service.DHCP], [kind.service for kind in kinds])
        self.assertEqual([0, 0, 0], [kind(Surroundings()).skip(True) for kind in kinds])
