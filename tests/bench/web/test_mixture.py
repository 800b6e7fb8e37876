"""The mixture: right checksums, the promised shares, and what its maker says of it is so."""

from __future__ import annotations

import random
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.bench.web.check import checkLogs
from openmb.bench.web.mixture import Mixture, truthOf, writeMixture
from openmb.bench.web.names import lookUp, lookUpByStream
from openmb.bench.web.talk import CLIENT, SERVER, Ends, Mishaps, Talk
from openmb.bench.web.truth import CONN, DNS, HTTP, Truth
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.plugins.bro.analyzers.analyzer import Sign, Surroundings
from openmb.plugins.bro.analyzers.dns.analyzer import DNSAnalyzer
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.reporting.dnslog import DNS_COLUMNS, dnsValues
from openmb.plugins.bro.reporting.logs import TSVFormat
from tests.plugins.bro.running import decodeCapture, runDecoded

ENDS = Ends(bytes([10, 1, 0, 1]), 4000, bytes([192, 0, 2, 1]), 53)
HEADERS = {True: 14 + 20 + 20, False: 14 + 20 + 8}


class MixtureTests(SynchronousTestCase):
    """All of it."""

    def test_checksums(self) -> None:
        """No packet is malformed or has a wrong checksum, and none is lost on the way to the file."""
        path, decoder = Path(self.mktemp()), Decoder()
        truth = writeMixture(path, 150, 1)
        for batch in openCapture(path).batches():
            decoder.decode(batch)
        counts = decoder.counts
        self.assertEqual((counts.ignored, counts.malformed, counts.badChecksums, counts.badTransports), (0, 0, 0, 0))
        self.assertEqual(counts.packets, truth.packets)

    def test_deterministic(self) -> None:
        """One seed, one capture; another seed, another one."""
        one, same, other = (list(Mixture(60, seed).frames()) for seed in (3, 3, 4))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_order(self) -> None:
        """Time never goes back."""
        stamps = [stamp for stamp, _ in Mixture(200).frames()]
        self.assertEqual(stamps, sorted(stamps))

    def test_shares(self) -> None:
        """62 of a hundred connections are HTTP, a connection has about 12.6 packets; every kind is there."""
        truth = truthOf(3000, 1)
        services = [row[CONN.index("service")] for row in truth.conn]
        self.assertApproximates(services.count("http") / len(services), 0.62, 0.03)
        self.assertApproximates(truth.packets / len(services), 12.6, 0.7)
        kinds = {"http", "dns", "ssl", "ssh", "smtp", "ftp", "ftp-data", "ntp", "snmp", "-"}
        self.assertEqual(set(services), kinds)
        self.assertEqual({row[CONN.index("conn_state")] for row in truth.conn}, {"SF", "S0", "REJ"})
        self.assertEqual({row[HTTP.index("info_code")] for row in truth.http}, {"100", "-"})
        statuses = {row[HTTP.index("status_code")] for row in truth.http}
        self.assertEqual(statuses, {"200", "302", "304", "404"})
        self.assertEqual({row[DNS.index("proto")] for row in truth.dns}, {"udp", "tcp"})
        self.assertTrue(any(row[CONN.index("missed_bytes")] != "0" for row in truth.conn), "no gap")

    def test_logs(self) -> None:
        """A Bro's http.log is the truth in every row; of conn.log nothing but services can be in doubt."""
        path, folder = Path(self.mktemp()), Path(self.mktemp())
        truth = writeMixture(path, 700, 5)
        runDecoded(folder, decodeCapture(path, checksums=True))
        conn, http, _ = checkLogs(folder, truth)
        self.assertTrue(http.isComplete, http)
        self.assertEqual((conn.expected, conn.found), (700, 700))
        self.assertLessEqual({name for name, _ in conn.columns}, {"service"}, conn)


class CheckTests(SynchronousTestCase):
    """The comparison fails when it has to."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        rows = [
            "\t".join(row) for row in (("1.0", "a", "1", "b", "2", "udp", "7"), ("2.0", "a", "1", "b", "2", "udp", "8"))
        ]
        names = "\t".join(("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "trans_id"))
        (self.folder / "dns.log").write_text("\n".join((f"#fields\t{names}", *rows)) + "\n", encoding="utf-8")

    def agreement(self, *identifiers: str) -> tuple[object, ...]:
        """Of dns.log, if these should be there."""
        ends = ("a", "1", "b", "2")
        rows: list[tuple[str, ...]] = [
            (f"{place}.0", *ends, "udp", each, *7 * ("-",)) for place, each in enumerate(identifiers, 1)
        ]
        found = checkLogs(self.folder, Truth(dns=rows))[2]
        return found.isComplete, found.expected, found.found, found.agreeing, found.columns

    def test_equal(self) -> None:
        self.assertEqual(self.agreement("7", "8"), (True, 2, 2, 2, ()))

    def test_different(self) -> None:
        self.assertEqual(self.agreement("7", "9"), (False, 2, 2, 1, (("trans_id", 1),)))

    def test_missing(self) -> None:
        self.assertEqual(self.agreement("7", "8", "9"), (False, 3, 2, 2, ()))

    def test_surplus(self) -> None:
        self.assertEqual(self.agreement("7"), (False, 1, 2, 1, ()))

    def test_nothing(self) -> None:
        """Nothing to compare is no agreement."""
        self.assertFalse(checkLogs(self.folder, Truth())[0].isComplete)


class TalkTests(SynchronousTestCase):
    """Single connections."""

    def talk(self, tcp: bool, seed: int = 1) -> Talk:
        return Talk(ENDS, 1_000_000, random.Random(seed), tcp)

    def payloads(self, talk: Talk) -> list[tuple[bool, bytes, int]]:
        """Direction, payload and stamp of each packet that has any."""
        size = HEADERS[talk.tcp]
        frames = [(frame[26:30] == ENDS.client, frame[size:], stamp) for stamp, frame in talk.frames]
        return [each for each in frames if each[1]]

    def test_mishaps(self) -> None:
        """Swapped, repeated and lost segments are what they are called."""
        data = bytes(range(250)) * 20
        for mishaps, starts in (
            (Mishaps(), [0, 1448, 2896, 4344]),
            (Mishaps(swapped=True), [0, 2896, 1448, 4344]),
            (Mishaps(repeated=True), [0, 1448, 2896, 4344, 4344]),
            (Mishaps(lost=True), [0, 2896, 4344]),
        ):
            talk = self.talk(True)
            talk.say(SERVER, data, mishaps)
            self.assertEqual([part for _, part, _ in self.payloads(talk)], [data[at : at + 1448] for at in starts])
            self.assertEqual(talk.row("-", "SF")[CONN.index("missed_bytes")], "1448" if mishaps.lost else "0")
            self.assertEqual(talk.row("-", "SF")[CONN.index("resp_bytes")], "5000")

    def test_names(self) -> None:
        """The DNS analyser finds the rows that the maker promised."""
        form = TSVFormat("dns", DNS_COLUMNS)
        for tcp, script in ((False, lookUp), (True, lookUpByStream)):
            for seed in range(60):
                talk, truth = self.talk(tcp, seed), Truth()
                script(talk, truth)
                found = self._found(talk)
                lines = [form.row(dnsValues(row, "uid", ENDS.texts))[:-1].split("\t") for row in found]
                named = [dict(zip((column.name for column in DNS_COLUMNS), line, strict=True)) for line in lines]
                rows = sorted(tuple(row[name] for name in DNS) for row in named)
                self.assertEqual(rows, sorted(truth.dns), f"seed {seed}")

    def _found(self, talk: Talk) -> list[DNSRow]:
        analyzer = DNSAnalyzer(Surroundings(talk.tcp, (ENDS.clientPort, ENDS.serverPort)))
        for fromClient, payload, stamp in self.payloads(talk):
            analyzer.data(fromClient, payload, stamp * 1000)
        analyzer.removed(talk.now * 1000)
        self.assertIn(Sign.CONFIRMED, analyzer.findings)
        return [finding for finding in analyzer.findings if isinstance(finding, DNSRow)]

    def test_direction(self) -> None:
        """Who speaks can be told from the ports."""
        talk = self.talk(False)
        talk.datagram(CLIENT, b"q")
        talk.datagram(SERVER, b"a")
        self.assertEqual([(side, data) for side, data, _ in self.payloads(talk)], [(True, b"q"), (False, b"a")])
