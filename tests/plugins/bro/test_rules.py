"""States, histories, sizes and timers of single connections, rule by rule."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.decode import Decoder
from openmb.plugins.bro.reporting.connections import tcpState
from openmb.plugins.bro.tracking.states import EndpointState
from tests.plugins.bro.running import Row, end, makeBro, readLog, runBatch
from tests.plugins.bro.wire import ACK, BEGIN, CLIENT, FIN, RST, SERVER, SYN, Script, icmp, ip, tcp, udp


class RuleTests(SynchronousTestCase):
    """What the tests of this page share."""

    def rows(self, script: Script) -> list[Row]:
        """conn.log of these packets."""
        return runBatch(Path(self.mktemp()), script.batch)

    def check(self, script: Script, **expected: str) -> None:
        """The packets make one row with these fields."""
        rows = self.rows(script)
        self.assertEqual(len(rows), 1, rows)
        self.assertEqual({name: rows[0][name] for name in expected}, expected)


class HistoryTests(RuleTests):
    """Letters and conn_state of TCP."""

    def test_normalClose(self) -> None:
        script = Script().handshake().client(ACK, 1001, 5001, b"hello").server(ACK, 5001, 1006, b"hi")
        script.client(FIN | ACK, 1006, 5003).server(FIN | ACK, 5003, 1007).client(ACK, 1007, 5004)
        # the last ACK comes after both ends have closed: it is counted, but does not prolong the connection
        self.check(
            script,
            conn_state="SF",
            history="ShADdFf",
            orig_bytes="5",
            resp_bytes="2",
            orig_pkts="5",
            duration="0.060000",
        )

    def test_rejected(self) -> None:
        self.check(Script().client(SYN, 1000).server(RST | ACK, 0, 1001), conn_state="REJ", history="Sr")

    def test_unanswered(self) -> None:
        self.check(Script().client(SYN, 1000), conn_state="S0", history="S", duration="-", orig_bytes="-")

    def test_openConnection(self) -> None:
        self.check(Script().handshake(), conn_state="S1", history="ShA")

    def test_abortedByOriginator(self) -> None:
        self.check(Script().handshake().client(RST, 1001), conn_state="RSTO", history="ShAR")

    def test_abortedByResponder(self) -> None:
        self.check(Script().handshake().server(RST, 5001), conn_state="RSTR", history="ShAr")

    def test_halfOpenAbort(self) -> None:
        self.check(Script().client(SYN, 1000).client(RST, 1001), conn_state="RSTOS0", history="SR")

    def test_halfClosed(self) -> None:
        self.check(Script().handshake().client(FIN | ACK, 1001, 5001), conn_state="S2", history="ShAF")

    def test_halfClosedByResponder(self) -> None:
        self.check(Script().handshake().server(FIN | ACK, 5001, 1001), conn_state="S3", history="ShAf")

    def test_noAnswerToFin(self) -> None:
        self.check(Script().client(SYN, 1000).client(FIN, 1001), conn_state="SH", history="SF")

    def test_midstream(self) -> None:
        script = Script().client(ACK, 1001, 5001, b"abc").server(ACK, 5001, 1004, b"de")
        self.check(script, conn_state="OTH", history="Dd", orig_bytes="3", resp_bytes="2")

    def test_synAckFirst(self) -> None:
        """A SYN-ACK makes its sender the originator, until data shows that it is not."""
        script = Script().server(SYN | ACK, 5000, 1001).client(ACK, 1001, 5001).client(ACK, 1001, 5001, b"x")
        self.check(script, history="^hAD", **{"id.orig_h": CLIENT, "id.resp_h": SERVER}, orig_pkts="2", resp_pkts="1")

    def test_reordered(self) -> None:
        """SYN-ACK and SYN in the wrong order: the roles turn."""
        script = Script().server(SYN | ACK, 5000, 1001).client(SYN, 1000).client(ACK, 1001, 5001)
        self.check(script, conn_state="S1", **{"id.orig_h": CLIENT})

    def test_likelyServerPort(self) -> None:
        script = Script(port=443).server(ACK, 5001, 1001, b"data")
        self.check(script, history="^d", conn_state="OTH", **{"id.orig_h": CLIENT, "id.resp_p": "443"})

    def test_onceOnly(self) -> None:
        script = Script().handshake()
        for place in range(4):
            script.client(ACK, 1001 + place, 5001, b"x")
        self.check(script, history="ShAD")

    def test_retransmissionsScaled(self) -> None:
        """The letter comes with the 1st, 10th and 100th time."""
        script = Script().handshake().client(ACK, 1001, 5001, b"x")
        for _ in range(100):
            script.client(ACK, 1001, 5001, b"x")
        self.check(script, history="ShADTTT", orig_bytes="1")

    def test_badChecksum(self) -> None:
        script = Script().handshake().client(ACK, 1001, 5001, b"x", isBad=True)
        self.check(script, history="ShAC", orig_bytes="0", orig_pkts="2", duration="0.020000")

    def test_checksumsOff(self) -> None:
        script = Script().handshake().client(ACK, 1001, 5001, b"x", isBad=True)
        rows = runBatch(Path(self.mktemp()), script.batch, checksums=False)
        self.assertEqual([(row["history"], row["orig_bytes"]) for row in rows], [("ShAD", "1")])

    def test_zeroWindow(self) -> None:
        self.check(Script().handshake().server(ACK, 5001, 1001, window=0), history="ShAaw")

    def test_flagCombinations(self) -> None:
        self.check(Script().client(SYN | FIN, 1000), history="Q")
        self.check(Script().client(FIN | RST, 1000), history="I")

    def test_repeatedSyn(self) -> None:
        """The same SYN again is a retransmission of nothing; its letter stays alone."""
        self.check(Script(step=1.0).client(SYN, 1000).client(SYN, 1000), history="S", orig_pkts="2")

    def test_synWithData(self) -> None:
        self.check(Script().client(SYN, 1000, data=b"abcd"), history="ST")

    def test_longHistory(self) -> None:
        """What does not fit is left out, nothing else suffers."""
        script = Script().handshake()
        for place in range(200):
            script.client(RST, 1001 + place)
        rows = self.rows(script)
        self.assertEqual(len(rows[0]["history"]), 128)
        self.assertEqual(rows[0]["orig_pkts"], "202")

    def test_rejectNeedsEmptiness(self) -> None:
        reset = EndpointState.RESET
        self.assertEqual(tcpState(reset, reset, True, "SRr"), "REJ")
        self.assertEqual(tcpState(reset, reset, False, "SRr"), "RSTR")
        self.assertEqual(tcpState(EndpointState.PARTIAL, reset, False, "Dr"), "RSTRH")


class SizeTests(RuleTests):
    """Bytes, gaps, and the wrap of sequence numbers."""

    def test_gap(self) -> None:
        """Acknowledged but never seen: missed; what lies behind the hole is delivered."""
        script = Script().handshake().client(ACK, 1011, 5001, b"y" * 10).server(ACK, 5001, 1021)
        self.check(script, history="ShADaG", missed_bytes="10", orig_bytes="20")

    def test_filledHole(self) -> None:
        script = Script().handshake().client(ACK, 1011, 5001, b"y" * 10).client(ACK, 1001, 5001, b"x" * 10)
        self.check(script.server(ACK, 5001, 1021), history="ShADTa", missed_bytes="0", orig_bytes="20")

    def test_noGapWhenPartial(self) -> None:
        script = Script().client(ACK, 1001, 5001, b"abc").server(ACK, 5001, 1100)
        self.check(script, missed_bytes="0", history="Da", orig_bytes="99")

    def test_ackedOnly(self) -> None:
        """Acknowledgements count bytes that were never seen."""
        self.check(Script().handshake().server(ACK, 5001, 1501), orig_bytes="500", missed_bytes="500")

    def test_wrap(self) -> None:
        """Sequence numbers pass zero."""
        start = 0xFFFFFFF0
        script = Script().client(SYN, start).server(SYN | ACK, 5000, start + 1)
        for place in range(0, 100, 10):
            script.client(ACK, start + 1 + place, 5001, b"z" * 10).server(ACK, 5001, start + 11 + place)
        self.check(script, orig_bytes="100", missed_bytes="0", history="ShDa")

    def test_unacknowledgedFlood(self) -> None:
        """16 KiB above a hole without any acknowledgement: reassembly stops, later gaps are not counted."""
        script = Script().handshake()
        for place in range(20):
            script.client(ACK, 1101 + 1000 * place, 5001, b"f" * 1000)
        script.server(ACK, 5001, 1101)
        self.check(script, missed_bytes="0", orig_bytes="20100")

    def test_manyHoles(self) -> None:
        """Each hole that an acknowledgement passes over is one gap; the letter is scaled."""
        script = Script().handshake().server(ACK, 5001, 1002)
        for place in range(20):
            script.client(ACK, 1012 + 20 * place, 5001, b"h" * 10)
        script.server(ACK, 5001, 1402)
        self.check(script, missed_bytes="201", history="ShAaGDG")

    def test_dataWithFin(self) -> None:
        script = Script().handshake().client(FIN | ACK, 1001, 5001, b"bye").server(FIN | ACK, 5001, 1005)
        self.check(script, orig_bytes="3", conn_state="SF", history="ShAFf")


class TimerTests(RuleTests):
    """When a connection ends: told by a second row for what comes later."""

    def count(self, script: Script) -> int:
        return len(self.rows(script))

    def test_attempt(self) -> None:
        """An unanswered SYN ends after 5 s, not before."""
        early = Script().client(SYN, 1000).client(SYN, 1000, at=4.999999)
        late = Script().client(SYN, 1000).client(SYN, 1000, at=5)
        self.assertEqual((self.count(early), self.count(late)), (1, 2))

    def test_inactivity(self) -> None:
        for pause, rows in ((299.9, 1), (300, 2)):
            script = Script().handshake()
            script.client(ACK, 1001, 5001, b"x", at=0.02 + pause)
            self.assertEqual(self.count(script), rows, pause)

    def test_interactive(self) -> None:
        """A shell may be idle for an hour."""
        for pause, rows in ((3599, 1), (3600, 2)):
            script = Script(port=23).handshake()
            self.assertEqual(self.count(script.client(ACK, 1001, 5001, b"x", at=0.02 + pause)), rows, pause)

    def test_closeDelay(self) -> None:
        for pause, rows in ((4.99, 1), (5.0, 2)):
            script = Script().handshake().client(FIN | ACK, 1001, 5001).server(FIN | ACK, 5001, 1002)
            self.assertEqual(self.count(script.client(ACK, 1002, 5002, at=0.04 + pause)), rows, pause)

    def test_datagrams(self) -> None:
        for pause, rows in ((59.9, 1), (60, 2)):
            script = Script().add(udp(CLIENT, 7000, SERVER, 7001, b"x"))
            self.assertEqual(self.count(script.add(udp(CLIENT, 7000, SERVER, 7001, b"x"), at=pause)), rows, pause)

    def test_nameService(self) -> None:
        """Checked 10 s after it began: idle for 9 s it ends, otherwise it is checked again after 10 s."""
        message = b"\0\1\1\0" + bytes(8)
        for second, third, rows in ((0.5, 10.0, 2), (0.5, 9.9, 1), (2.0, 15.0, 1), (2.0, 20.0, 2)):
            script = Script()
            for at in (0.0, second, third):
                script.add(udp(CLIENT, 7000, SERVER, 53, message), at=at)
            self.assertEqual(self.count(script), rows, (second, third))

    def test_reuse(self) -> None:
        """A SYN with another number replaces an open connection, the same one does not."""
        self.assertEqual(self.count(Script().handshake().client(SYN, 9000)), 2)
        self.assertEqual(self.count(Script().handshake().client(SYN, 1000)), 1)

    def test_reuseAfterClose(self) -> None:
        script = Script().handshake().client(FIN | ACK, 1001, 5001).client(SYN, 1000)
        self.assertEqual(self.count(script), 2)

    def test_strayPacket(self) -> None:
        """A packet of bad checksum makes a connection that an expire check removes: 11 s after it began."""
        for pause, rows in ((10.9, 1), (11.0, 2)):
            script = Script().client(ACK, 1001, 5001, b"x", isBad=True).client(ACK, 1001, 5001, b"x", at=pause)
            self.assertEqual(self.count(script), rows, pause)

    def test_otherFlowsDoNotMatter(self) -> None:
        """Whether a sweep ran in between changes nothing."""
        script = Script().handshake().client(ACK, 1001, 5001, b"x", at=290.0)
        busy = Script().handshake()
        for at in range(1, 290):
            busy.add(udp("10.9.9.9", 7000, SERVER, 7001, b"x"), at=float(at))
        busy.client(ACK, 1001, 5001, b"x", at=290.0)
        alone = self.rows(script)
        together = [row for row in self.rows(busy) if row["proto"] == "tcp"]
        self.assertEqual(together, alone)

    def test_sweepGrace(self) -> None:
        """A sweep takes records only when they have been over for the grace."""
        folder = Path(self.mktemp())
        middlebox = makeBro(folder, grace=30.0)
        middlebox.process(Decoder().decode(Script().client(SYN, 1000).batch), None)
        for seconds, rows in ((34, 0), (41, 1)):
            middlebox.advance(BEGIN + seconds * 1_000_000_000)
            middlebox.flush()
            self.assertEqual(len(readLog(folder / "conn.log")), rows)

    def test_fullTable(self) -> None:
        """More flows than there is room for: the longest idle are reported early, none is lost."""
        folder = Path(self.mktemp())
        middlebox = makeBro(folder, maximumFlows=64)
        script = Script(step=0.001)
        for port in range(1000):
            script.add(udp(CLIENT, 10000 + port, SERVER, 7001, b"x"))
        middlebox.process(Decoder().decode(script.batch), None)
        end(middlebox)
        rows = readLog(folder / "conn.log")
        self.assertEqual(len({row["id.orig_p"] for row in rows}), 1000)
        self.assertEqual(len(rows), 1000)


class DatagramTests(RuleTests):
    """UDP, ICMP and other protocols."""

    def test_udp(self) -> None:
        script = Script().add(udp(CLIENT, 7000, SERVER, 7001, b"abc")).add(udp(SERVER, 7001, CLIENT, 7000, b"de"))
        self.check(script, conn_state="SF", history="Dd", orig_bytes="3", resp_bytes="2", orig_ip_bytes="31")

    def test_udpFromServer(self) -> None:
        script = Script().add(udp(SERVER, 161, CLIENT, 7000, b"abc"))
        self.check(script, conn_state="SHR", history="^d", **{"id.orig_h": CLIENT})

    def test_udpBadChecksum(self) -> None:
        script = Script().add(udp(CLIENT, 7000, SERVER, 7001, b"abc", isBad=True))
        self.check(script, conn_state="OTH", history="C", orig_pkts="0", duration="-")

    def test_dnsReplyFirst(self) -> None:
        reply = b"\0\1\x81\x80" + bytes(8)
        self.check(Script().add(udp(SERVER, 53, CLIENT, 53, reply)), history="D^", conn_state="S0", orig_pkts="1")

    def test_dnsOpcode(self) -> None:
        message = b"\0\1\x11\0" + bytes(8)
        script = Script().add(udp(CLIENT, 7000, SERVER, 53, message)).add(udp(CLIENT, 7000, SERVER, 53, message))
        self.check(script, history="DX")

    def test_ntpReplyFirst(self) -> None:
        self.check(Script().add(udp(SERVER, 123, CLIENT, 123, b"\x24" + bytes(47))), history="D^")

    def test_broadcastDoesNotTurn(self) -> None:
        self.check(Script().add(udp(SERVER, 67, "255.255.255.255", 68, b"x")), history="D", **{"id.orig_h": SERVER})

    def test_echo(self) -> None:
        script = Script().add(icmp(CLIENT, SERVER, 8, 0)).add(icmp(SERVER, CLIENT, 0, 0))
        self.check(
            script, **{"id.orig_p": "8", "id.resp_p": "0"}, proto="icmp", orig_bytes="4", resp_bytes="4", history="-"
        )

    def test_unreachable(self) -> None:
        """One-way messages have a row of their own for each direction."""
        script = Script().add(icmp(CLIENT, SERVER, 3, 1)).add(icmp(SERVER, CLIENT, 3, 1))
        self.assertEqual(sorted(row["id.orig_h"] for row in self.rows(script)), sorted([CLIENT, SERVER]))

    def test_otherProtocol(self) -> None:
        script = Script().add(ip(CLIENT, SERVER, 89, bytes(20))).add(ip(SERVER, CLIENT, 89, bytes(20)))
        self.check(script, proto="unknown_transport", orig_bytes="0", ip_proto="89", orig_pkts="1", resp_pkts="1")

    def test_tunnelsMakeNoRow(self) -> None:
        script = Script()
        for protocol in (2, 4, 41, 47, 59):
            script.add(ip(CLIENT, SERVER, protocol, tcp(CLIENT, 1, SERVER, 2, SYN, 1)))
        self.assertEqual(self.rows(script), [])

    def test_cutOffHeader(self) -> None:
        self.assertEqual(self.rows(Script().add(ip(CLIENT, SERVER, 6, bytes(19)))), [])

    def test_nanosecondsDoNotShow(self) -> None:
        """Stamps that differ by less than a microsecond are one time."""
        script = Script().add(udp(CLIENT, 7000, SERVER, 7001, b"x")).add(udp(CLIENT, 7000, SERVER, 7001, b"x"), at=0.0)
        script.stamps[1] += 999
        self.check(script, duration="-", ts="1700000000.000000", orig_pkts="2")
