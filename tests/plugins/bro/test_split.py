"""A connection that moves between two middleboxes is logged as if it never had: the logs together do not show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import joinBatches
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.state.headers import HeaderFieldList
from openmb.state.packing import packRecords, splitBatch, unpackRecords
from tests.plugins.bro.running import decodeCapture, end, makeBro, runDecoded, sortedRows
from tests.shared import needSharedFolder

OPERATION = 7
CASES = (
    "bro/scripts.base.protocols.http.http-pipelining",
    "bro/scripts.base.protocols.http.100-continue",
    "bro/opt.basic",
    "bro/core.tcp.large-file-reassembly",
    "bro/scripts.base.protocols.ssh.basic",
    "bro/scripts.base.protocols.ftp.ftp-ipv4",
    "bro/scripts.base.protocols.ftp.ftp-ipv6",
    "bro/scripts.base.protocols.http.http-methods",
    "bro/scripts.base.protocols.dhcp.dhcp-all-msg-types",
    "bro/scripts.base.protocols.dns.flip",
    "bro/scripts.base.protocols.pop3.basic",
    "ndpi/KakaoTalk_chat.pcap",
    "ndpi/ocs.pcap",
    "ndpi/rdp.pcap",
    "ndpi/reasm_crash_anon.pcapng",
    "ndpi/WebattackSQLinj.pcap",
)


def births(packets: Decoded, flows: HeaderFieldList) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """What the host passes while an operation is active: records of matching flows are born marked."""
    return np.where(flows.matchHeaders(packets.headers), np.uint64(OPERATION), np.uint64(0))


def export(source: BroMiddlebox, destination: BroMiddlebox, flows: HeaderFieldList, limit: int = 4096) -> None:
    """Export everything that matches, through the bytes that travel."""
    for batches in source.getPerflow(flows, OPERATION, limit):
        for batch in batches:
            for part in splitBatch(batch, 65536):
                destination.putPerflow(OPERATION, unpackRecords(*packRecords(part)))


def handOver(source: BroMiddlebox, destination: BroMiddlebox, flows: HeaderFieldList) -> None:
    """The end of a move."""
    source.freeze(flows, OPERATION)
    destination.commit(OPERATION)
    source.delPerflow(OPERATION, flows)
    source.thaw(OPERATION)


def moveAt(
    a: BroMiddlebox, b: BroMiddlebox, packets: Decoded, flows: HeaderFieldList, cut: int, events: int, limit: int
) -> None:
    """
    The packets through C{a}, from C{cut} on those of C{flows} through C{b}; the next C{events} are events.

    @param limit: slots that each step of the export looks at.
    """
    a.process(packets.select(slice(0, cut)), None)
    b.prepare(OPERATION, flows)
    export(a, b, flows, limit)
    during = packets.select(slice(cut, cut + events))
    marks = a.process(during, births(during, flows)).marks
    b.reprocess(OPERATION, during.select(marks == OPERATION))
    handOver(a, b, flows)
    rest = packets.select(slice(cut + events, len(packets)))
    isMatching = flows.matchHeaders(rest.headers)
    a.process(rest.select(~isMatching), None)
    b.process(rest.select(isMatching), None)
    end(a)
    end(b)


class SplitTests(SynchronousTestCase):
    """Moves at many places of real captures."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.count = 0
        self.settings: dict[str, object] = {}

    def _fresh(self) -> Path:
        self.count += 1
        return self.folder / str(self.count)

    def _capture(self, case: str) -> Decoded:
        """All packets of a case as one batch."""
        place = next((needSharedFolder() / "traces" / case).glob("*.pcap*"))
        decoded = decodeCapture(place)
        if len(decoded) == 1:
            return decoded[0]
        packets = joinBatches([one.packets for one in decoded])
        return Decoded(packets, np.concatenate([one.headers for one in decoded]))

    def _single(self, packets: Decoded) -> dict[str, list[tuple[str, ...]]]:
        folder = self._fresh()
        runDecoded(folder, [packets], **self.settings)
        return sortedRows(folder)

    def _moved(
        self, packets: Decoded, flows: HeaderFieldList, cut: int, events: int
    ) -> dict[str, list[tuple[str, ...]]]:
        """
        A has all packets up to C{cut + events}; matching ones after the export at C{cut} reach B as events; later
        matching packets go to B.
        """
        first, second = self._fresh(), self._fresh()
        a, b = makeBro(first, **self.settings), makeBro(second, **self.settings)
        moveAt(a, b, packets, flows, cut, events, 64)
        return sortedRows(first, second)

    def _cuts(self, packets: Decoded, count: int) -> list[int]:
        return sorted({int(place) for place in np.linspace(0, len(packets), count)})

    def _tryAll(self, case: str, flows: HeaderFieldList, count: int, events: int) -> None:
        packets = self._capture(case)
        wanted = self._single(packets)
        self.assertTrue(wanted["conn.log"])
        for cut in self._cuts(packets, count):
            found = self._moved(packets, flows, cut, events)
            self.assertEqual(found, wanted, f"{case} moved after {cut} packets and {events} events")

    def test_everything(self) -> None:
        """All flows move at once."""
        for case in CASES:
            self._tryAll(case, HeaderFieldList(), 12, 0)

    def test_events(self) -> None:
        """Packets between export and hand-over are re-processed at the destination, without output there."""
        for case in CASES:
            self._tryAll(case, HeaderFieldList(), 6, 40)

    def test_someFlows(self) -> None:
        """Only what a header field list selects moves."""
        for text in ("tcp,tp_dst=80", "udp", "nw_src=141.142.220.118"):
            self._tryAll("bro/opt.basic", HeaderFieldList.parse(text), 8, 25)

    def test_everyPacket(self) -> None:
        """Pipelined requests move after each packet, in the middle of lines and bodies."""
        for case in CASES[:2]:
            self._tryAll(case, HeaderFieldList(), 400, 0)

    def test_tunnel(self) -> None:
        """Flows inside a tunnel move by what they are inside, also where conn.log has rows of them."""
        variants: tuple[dict[str, object], ...] = ({}, {"tunnelled": True})
        for self.settings in variants:
            for text in ("*", "tcp", "udp", "tcp,tp_dst=443"):
                packets = self._capture("ndpi/6in4tunnel.pcap")
                wanted = self._single(packets)
                self.assertEqual(len(wanted["conn.log"]), 10 if self.settings else 0)
                self.assertEqual((len(wanted["http.log"]), len(wanted["dns.log"])), (1, 2))
                for cut in self._cuts(packets, 20):
                    for events in (0, 15):
                        found = self._moved(packets, HeaderFieldList.parse(text), cut, events)
                        self.assertEqual(found, wanted, f"{text} after {cut} packets and {events} events")

    def test_thereAndBack(self) -> None:
        """A second move brings the flows back."""
        packets = self._capture("ndpi/KakaoTalk_chat.pcap")
        wanted = self._single(packets)
        first, second = self._fresh(), self._fresh()
        a, b = makeBro(first), makeBro(second)
        thirds = [packets.select(slice(*pair)) for pair in ((0, 150), (150, 300), (300, len(packets)))]
        a.process(thirds[0], None)
        for source, destination, after in ((a, b, thirds[1]), (b, a, thirds[2])):
            destination.prepare(OPERATION, HeaderFieldList())
            export(source, destination, HeaderFieldList())
            handOver(source, destination, HeaderFieldList())
            destination.process(after, None)
        end(a)
        end(b)
        self.assertEqual(sortedRows(first, second), wanted)

    def test_outOfOrder(self) -> None:
        """Segments that wait for a hole to be filled move with their connection."""
        case = needSharedFolder() / "traces" / "bro" / "scripts.base.protocols.http.http-pipelining"
        original = decodeCapture(next(case.glob("*.pcap*")))[0].packets
        order = np.arange(len(original))
        order[10:-10:3], order[11:-9:3] = order[11:-9:3].copy(), order[10:-10:3].copy()
        shuffled = original.select(order)
        shuffled.stamps[:] = np.sort(original.stamps)
        packets = Decoder(checksums=False).decode(shuffled)
        wanted = self._single(packets)
        for cut in self._cuts(packets, 80):
            self.assertEqual(self._moved(packets, HeaderFieldList(), cut, 3), wanted, f"after {cut}")

    def test_aborted(self) -> None:
        """An aborted move leaves no trace."""
        packets = self._capture("bro/opt.basic")
        wanted = self._single(packets)
        first, second = self._fresh(), self._fresh()
        a, b = makeBro(first), makeBro(second)
        a.process(packets.select(slice(0, 300)), None)
        b.prepare(OPERATION, HeaderFieldList())
        export(a, b, HeaderFieldList())
        some = packets.select(slice(300, 500))
        b.reprocess(OPERATION, some)
        a.process(some, births(some, HeaderFieldList()))
        b.discard(OPERATION)
        a.unmark(OPERATION)
        a.process(packets.select(slice(500, len(packets))), None)
        end(a)
        end(b)
        self.assertEqual(sortedRows(first, second), wanted)

    def test_batching(self) -> None:
        """How the packets are cut into batches does not show."""
        for case in CASES:
            packets = self._capture(case)
            folder = self._fresh()
            parts = [packets.select(slice(start, start + 7)) for start in range(0, len(packets), 7)]
            runDecoded(folder, parts)
            self.assertEqual(sortedRows(folder), self._single(packets), case)
