"""The bench's own traffic: right checksums, whole connections, the same every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.bench.traffic import EPOCH, Traffic, packetsOf, writeCapture
from openmb.demo.verdict import readLog
from openmb.packets.batch import joinBatches
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.settings import BroSettings


class TrafficTests(SynchronousTestCase):
    """Packets of many flows."""

    def test_checksums(self) -> None:
        """No packet is malformed or has a wrong checksum."""
        decoder = Decoder()
        for batch in packetsOf(50, 500):
            decoder.decode(batch)
        counts = decoder.counts
        self.assertEqual((counts.ignored, counts.malformed, counts.badChecksums, counts.badTransports), (0, 0, 0, 0))
        self.assertGreaterEqual(counts.packets, 450)

    def test_deterministic(self) -> None:
        """Two histories are the same to the last byte."""
        one, other = (joinBatches(list(packetsOf(30, 200))).compact() for _ in range(2))
        self.assertTrue(np.array_equal(one.data, other.data) and np.array_equal(one.stamps, other.stamps))

    def test_stamps(self) -> None:
        """Stamps rise by the gap."""
        stamps = joinBatches(list(Traffic(20, gap=7).opening())).stamps
        self.assertEqual(stamps.tolist(), [EPOCH + 7 * place for place in range(len(stamps))])

    def test_round(self) -> None:
        """A round has one packet of every flow."""
        traffic = Traffic(20)
        list(traffic.opening())
        decoded = Decoder().decode(joinBatches(list(traffic.round())))
        self.assertEqual(len(decoded), 20)
        self.assertEqual(np.count_nonzero(decoded.headers["kind"] == Kind.UDP), 4)

    def test_queries(self) -> None:
        """If wanted, one of the two UDP flows of ten asks for names; each answer is to one query, some have none."""
        folder = Path(self.mktemp())
        folder.mkdir()
        bro, decoder, traffic = BroMiddlebox(BroSettings(logs=folder)), Decoder(), Traffic(40, queries=True)
        for step in (traffic.opening, traffic.round, traffic.round, traffic.round, traffic.closing):
            for batch in step():
                bro.process(decoder.decode(batch), None)
        bro.finish()
        dns = readLog(folder / "dns.log")
        codes = dict(Counter(zip(dns.column("trans_id"), dns.column("rcode_name"), strict=True)))
        flows = range(6, 40, 10)
        wanted = {(str(flow * 16 + each), "NOERROR" if each < 2 else "-"): 1 for flow in flows for each in range(3)}
        self.assertEqual(codes, wanted)
        self.assertEqual(set(dns.column("query")), {f"host{flow:08}.example.test" for flow in flows})
        counts = decoder.counts
        self.assertEqual((counts.malformed, counts.badChecksums, counts.badTransports), (0, 0, 0))
        services = Counter(readLog(folder / "conn.log").column("service"))
        self.assertEqual(services, {"-": 32, "http": 4, "dns": 4})

    def test_connections(self) -> None:
        """A Bro sees every connection begin and end, and an answer to every request."""
        folder = Path(self.mktemp())
        folder.mkdir()
        bro, decoder = BroMiddlebox(BroSettings(logs=folder)), Decoder()
        for batch in packetsOf(40, 400):
            bro.process(decoder.decode(batch), None)
        bro.finish()
        conn, http = readLog(folder / "conn.log"), readLog(folder / "http.log")
        self.assertEqual((len(conn.rows), set(conn.column("conn_state"))), (40, {"SF"}))
        self.assertEqual(set(http.column("status_code")), {"200"})
        self.assertEqual(len(set(http.column("uid"))), 4)

    def test_capture(self) -> None:
        """What is written can be read again."""
        path = Path(self.mktemp())
        count = writeCapture(path, 10, 60)
        self.assertEqual(sum(len(batch) for batch in openCapture(path).batches()), count)
