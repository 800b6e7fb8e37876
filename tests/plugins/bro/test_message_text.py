"""Rows of http.log and dns.log as text are those that the format makes of their values, to the byte."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.analyzers.dns.names import NETBIOS_PORT, SRV
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.reporting.dnslog import DNS_COLUMNS, dnsValues
from openmb.plugins.bro.reporting.logs import TSVFormat
from openmb.plugins.bro.reporting.messagetext import queryLine, requestLine
from openmb.plugins.bro.reporting.output import HTTP_COLUMNS, columnsOf

HTTP, DNS = TSVFormat("http", HTTP_COLUMNS), TSVFormat("dns", DNS_COLUMNS)
TEXTS = st.one_of(
    st.none(),
    st.binary(max_size=8),
    st.sampled_from([b"", b"-", b"(empty)", b"--", b"a,b", b"a\\b", b"a\tb", b"\x7f", b"\xc3\xbc", b"\xc2\x85", b"#"]),
    st.from_regex(rb"[ -~]{0,20}", fullmatch=True),
)
SEVERAL = st.one_of(st.none(), st.lists(TEXTS.map(lambda text: text or b""), max_size=4).map(tuple))
COUNTS = st.integers(0, 1 << 70)
MAYBE = st.one_of(st.none(), COUNTS)
STAMPS = st.one_of(st.integers(0, 1 << 62), st.integers(-(1 << 62), 0))
REQUESTS = st.builds(
    HTTPRow, STAMPS, COUNTS, TEXTS, TEXTS, TEXTS, MAYBE, TEXTS, TEXTS, TEXTS, TEXTS, COUNTS, COUNTS, TEXTS, MAYBE,
    TEXTS, TEXTS, SEVERAL,
)  # fmt: skip
CODES = st.one_of(st.none(), st.integers(0, 15))
SHORT = st.one_of(st.none(), st.integers(0, 300), st.sampled_from([SRV, 65535]))
TRUTHS = st.booleans()
LIFETIMES = st.one_of(st.none(), st.lists(st.integers(0, (1 << 32) - 1), max_size=4).map(tuple))
QUERIES = st.builds(
    DNSRow, STAMPS, st.integers(0, 65535), TRUTHS, st.integers(0, 15),
    st.one_of(st.none(), st.integers(-(1 << 50), 1 << 50)), TEXTS, SHORT, SHORT, CODES,
    TRUTHS, TRUTHS, TRUTHS, TRUTHS, st.integers(0, 7), SEVERAL, LIFETIMES, TRUTHS,
)  # fmt: skip
PORTS = st.tuples(*(st.sampled_from([0, 53, NETBIOS_PORT, 65535]) for _ in range(2)))


class MessageTextTests(SynchronousTestCase):
    """Against the format."""

    @given(REQUESTS)
    @settings(max_examples=400, deadline=None)
    def test_requests(self, row: HTTPRow) -> None:
        values = [row.stamp // 1000, "Cid", "10.0.0.1", 1024, "::1", 80, *columnsOf(row)]
        self.assertEqual(HTTP.row(values).encode(), requestLine(row, b"Cid\t10.0.0.1\t1024\t::1\t80\t"))

    @given(QUERIES, PORTS)
    @settings(max_examples=400, deadline=None)
    def test_queries(self, row: DNSRow, ports: tuple[int, int]) -> None:
        values = dnsValues(row, "Cid", ("10.0.0.1", ports[0], "::1", ports[1]))
        connection = b"Cid\t10.0.0.1\t%d\t::1\t%d\t" % ports
        self.assertEqual(DNS.row(values).encode(), queryLine(row, connection, ports))
