"""known_hosts.log, known_services.log and stats.log."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.plugins.bro.policies.scanning import SCANNER, START, STEP, attempt, batchOf, feed, session, victim, watching
from tests.plugins.bro.running import end, readLog
from tests.plugins.bro.test_announcing import lookUp
from tests.plugins.bro.test_services import GET, OK, C, S, talk
from tests.plugins.bro.wire import SERVER, Script

_DAY = 86_400 * 10**9


class KnownTests(SynchronousTestCase):
    """One middlebox."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.middlebox = watching(self.folder)

    def rows(self, log: str) -> list[list[str]]:
        """What is written, without the stamps."""
        return [list(row.values())[1:] for row in readLog(self.folder / f"{log}.log")]

    def test_hosts(self) -> None:
        """Local ends of connections that opened, each once; remote ones and attempts are nothing."""
        feed(self.middlebox, batchOf(*(session(victim(each % 3), 80, START + each * STEP) for each in range(9))))
        feed(self.middlebox, batchOf(attempt(victim(9), 80, START + 10 * STEP)))
        end(self.middlebox)
        self.assertEqual([[victim(each)] for each in range(3)], self.rows("known_hosts"))

    def test_services(self) -> None:
        """What is recognised is named, what is not is empty; both ends of a connection are hosts."""
        feed(self.middlebox, talk(Script(port=8000), (C, GET), (S, OK)).batch)
        feed(self.middlebox, batchOf(session(victim(0), 4444, START + 100 * STEP)))
        feed(self.middlebox, lookUp())
        end(self.middlebox)
        found = sorted(self.rows("known_services"))
        self.assertEqual(
            [[victim(0), "4444", "tcp", "(empty)"], [SERVER, "53", "udp", "DNS"], [SERVER, "8000", "tcp", "HTTP"]],
            found,
        )

    def test_nextDay(self) -> None:
        """After a day it is news again."""
        for each in (0, _DAY // 2, _DAY + STEP):
            feed(self.middlebox, batchOf(session(victim(0), 80, START + each)))
        end(self.middlebox)
        self.assertEqual(2, len(self.rows("known_hosts")))
        self.assertEqual(2, len(self.rows("known_services")))

    def test_stats(self) -> None:
        """Counters of all that was logged, in one row, at the end; a second end writes no other."""
        feed(self.middlebox, talk(Script(port=8000), (C, GET), (S, OK)).batch)
        feed(self.middlebox, lookUp())
        feed(self.middlebox, batchOf(attempt(victim(9), 80, START, SCANNER)))
        end(self.middlebox)
        self.middlebox.finish()
        (row,) = readLog(self.folder / "stats.log")
        connections = readLog(self.folder / "conn.log")
        packets = sum(int(each["orig_pkts"]) + int(each["resp_pkts"]) for each in connections)
        octets = sum(int(each["orig_ip_bytes"]) + int(each["resp_ip_bytes"]) for each in connections)
        self.assertEqual([str(packets), str(octets)], [row["pkts"], row["ip_bytes"]])
        names = ("tcp_conns", "udp_conns", "established", "failed_attempts", "http_requests", "dns_queries", "notices")
        self.assertEqual(["2", "1", "1", "1", "1", "1", "0"], [row[name] for name in names])
