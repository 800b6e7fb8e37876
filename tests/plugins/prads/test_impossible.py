"""Records that no PRADS can have written are refused before anything of their batch is stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.plugins.prads.hosts import Service
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.plugins.prads.records import HOST, LATEST, REPORTING, SUPPORTING
from openmb.plugins.prads.settings import PradsSettings
from openmb.plugins.prads.transfer import exportFlows, exportHosts, importBatch
from openmb.state.records import RecordBatch, recordBytes
from tests.plugins.prads.running import rules
from tests.plugins.prads.test_bounds import decoded, known


class ImpossibleTests(SynchronousTestCase):
    """Two connections and their hosts, one value of the second one changed."""

    def setUp(self) -> None:
        self.source = PradsMiddlebox(PradsSettings(), rules())
        self.source.process(decoded([known("10.0.0.1"), known("10.0.0.2")]), None)
        self.tracker = self.source._own
        self.destination = PradsMiddlebox(PradsSettings(), rules())._own
        self.supporting, self.reporting = exportFlows(self.tracker, self.tracker.table.slots())

    def importAll(self, *batches: RecordBatch) -> None:
        """As records come to a destination."""
        for batch in batches:
            importBatch(self.destination, batch)

    def refused(self, batch: RecordBatch) -> None:
        """The batch is refused, and rows and hosts are those from before."""
        before = self.destination.table.arrays.octets.copy(), len(self.destination.hosts.table)
        with self.assertRaises(OperationError) as caught:
            self.importAll(batch)
        self.assertIs(Refusal.BAD_REQUEST, caught.exception.refusal)
        self.assertEqual(before[0].tobytes(), self.destination.table.arrays.octets.tobytes())
        self.assertEqual(before[1], len(self.destination.hosts.table))

    def test_connections(self) -> None:
        for field, value in (("swapped", 2), ("check", 1), ("pending", 4)):
            rows = SUPPORTING.rows(self.supporting.records).copy()
            rows[field][1] = value
            self.refused(replace(self.supporting, records=recordBytes(rows)))
        self.assertEqual(0, len(self.destination.table))

    def test_reports(self) -> None:
        self.importAll(self.supporting)
        huge = np.uint64(1 << 63)
        for field, value in (
            ("number", 0),
            ("number", huge),
            ("packets", huge),
            ("bytes", huge),
            ("start", -1),
            ("last", LATEST + 1),
        ):
            rows = REPORTING.rows(self.reporting.records).copy()
            rows[field][1] = value
            self.refused(replace(self.reporting, records=recordBytes(rows)))

    def hosts(self, **changed: object) -> RecordBatch:
        """All hosts; one of the last one's has a service with something changed."""
        slots = self.tracker.hosts.table.slots()
        service = Service(b"name", b"application", 2, 64, 1, 1)
        for name, value in changed.items():
            setattr(service, name, value)
        self.tracker.hosts.at(int(slots[-1])).services = {(80, 6): service}
        return exportHosts(self.tracker, slots)

    def test_services(self) -> None:
        self.importAll(self.hosts())
        self.assertEqual(2, len(self.destination.hosts.table))
        self.destination = PradsMiddlebox(PradsSettings(), rules())._own
        for name, value in (
            ("first", -1),
            ("last", LATEST + 1),
            ("role", 3),
            ("attempts", 65535),
            ("name", b"x" * 256),
            ("application", b"x" * 5000),
        ):
            self.refused(self.hosts(**{name: value}))

    def test_times(self) -> None:
        batch = self.hosts()
        rows = HOST.rows(batch.records).copy()
        rows["last"][-1] = LATEST + 1
        self.refused(replace(batch, records=recordBytes(rows)))
