"""What a Bro middlebox announces while it happens, held against what its logs say."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.announcing import ANNOUNCEMENTS, Announcer
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.state.announcements import Announced
from openmb.state.flowkey import FLOW_KEY
from openmb.state.headers import EVERYTHING
from tests.plugins.bro.running import Row, end, makeBro, readLog
from tests.plugins.bro.test_services import GET, OK, C, S, hello, talk
from tests.plugins.bro.wire import BEGIN, CLIENT, SERVER, SYN, Script, udp

QUERY = bytes.fromhex("abcd01000001000000000000") + b"\x01a\x02bc\0" + b"\0\x01\0\x01"
ANSWER = bytes.fromhex("abcd81800001000100000000") + QUERY[12:] + bytes.fromhex("c00c000100010000003c000401020304")
FIELDS = {each.name: [field.name for field in each.fields] for each in ANNOUNCEMENTS}


def decoded(packets: PacketBatch) -> Decoded:
    return Decoder().decode(packets)


def lookUp() -> PacketBatch:
    """One name, asked for and answered 20 ms later."""
    packets = [udp(CLIENT, 5353, SERVER, 53, QUERY), udp(SERVER, 53, CLIENT, 5353, ANSWER)]
    return packetBatch(packets, [BEGIN, BEGIN + 20_000_000], link=LinkType.RAW)


class AnnouncingTests(SynchronousTestCase):
    """One middlebox with a listener."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.middlebox = makeBro(self.folder)
        self.heard: list[Announced] = []

    def listen(self, *names: str) -> None:
        self.middlebox.listen(frozenset(names or FIELDS), self.heard.extend)

    def feed(self, packets: PacketBatch) -> None:
        self.middlebox.process(decoded(packets), None)

    def said(self, name: str) -> list[dict[str, object]]:
        """The fields of each event of one name; all are as declared."""
        known = {each.name: each for each in ANNOUNCEMENTS}
        for event in self.heard:
            self.assertTrue(known[event.name].fits(event.values), event)
            self.assertEqual(FLOW_KEY.itemsize, len(event.key))
        return [dict(zip(FIELDS[name], each.values, strict=True)) for each in self.heard if each.name == name]

    def log(self, name: str) -> list[Row]:
        end(self.middlebox)
        return readLog(self.folder / f"{name}.log")

    def assertAgree(self, event: dict[str, object], row: Row) -> None:
        """The event says what the row says, field by field."""
        for name, value in event.items():
            text = row.get(name, row.get(f"id.{name}"))
            shown = "-" if value is None else f"{value:.6f}" if isinstance(value, float) else str(value)
            self.assertEqual(text, shown, name)

    def test_web(self) -> None:
        """A request: the service when it is recognised, the request when it is answered, the connection in the end."""
        self.listen()
        packets = talk(Script(port=8000), (C, GET), (S, OK)).batch
        for place in range(len(packets)):
            self.feed(packets.select(slice(place, place + 1)))
        self.assertEqual(["http"], [each["service"] for each in self.said("service-found")])
        self.assertEqual([], self.said("connection-removed"))
        (request,) = self.said("http-request")
        (row,) = self.log("http")
        self.assertAgree(request, row)
        (removed,) = self.said("connection-removed")
        (row,) = readLog(self.folder / "conn.log")
        self.assertAgree(removed, row)
        self.assertEqual(["service-found", "http-request", "connection-removed"], [each.name for each in self.heard])
        self.assertEqual({row["uid"]}, {str(each.values[0]) for each in self.heard})
        self.assertEqual(sorted(each.stamp for each in self.heard), [each.stamp for each in self.heard])

    def test_names(self) -> None:
        self.listen()
        self.feed(lookUp())
        (row,) = self.log("dns")
        (query,) = self.said("dns-query")
        self.assertAgree(query, row)
        self.assertEqual((0.02, "NOERROR"), (query["rtt"], query["rcode_name"]))

    def test_unanswered(self) -> None:
        """Unset fields are unset; a service found in the last moment is told too."""
        self.listen()
        self.feed(talk(Script(port=9000), (C, hello())).batch)
        self.feed(packetBatch([udp(CLIENT, 7, SERVER, 7777, b"x")], [BEGIN + 1], link=LinkType.RAW))
        rows = self.log("conn")
        removed = self.said("connection-removed")
        self.assertEqual(2, len(rows))
        for event, row in zip(removed, rows, strict=True):
            self.assertAgree(event, row)
        self.assertEqual([None], [each["duration"] for each in removed if each["resp_p"] == 7777])
        found = sorted(str(each["service"]) for each in self.said("service-found"))
        self.assertEqual(sorted(row["service"] for row in rows if row["service"] != "-"), found)

    def test_onlyWhatIsWanted(self) -> None:
        """Each event alone, and in the end none."""
        for name in FIELDS.keys() - {"notice"}:
            middlebox = makeBro(Path(self.mktemp()))
            heard: list[Announced] = []
            middlebox.listen(frozenset({name}), heard.extend)
            middlebox.process(decoded(talk(Script(port=8000), (C, GET), (S, OK)).batch), None)
            middlebox.process(decoded(lookUp()), None)
            end(middlebox)
            self.assertEqual({name}, {each.name for each in heard})

    def test_nobodyListens(self) -> None:
        """Then nothing stands between tracker and logs: nothing can cost anything."""
        self.assertIs(self.middlebox.logs, self.middlebox._own._output)
        self.listen()
        self.assertIsInstance(self.middlebox._own._output, Announcer)
        self.middlebox.listen(frozenset(), self.heard.extend)
        self.assertIs(self.middlebox.logs, self.middlebox._own._output)
        self.assertIsNone(self.middlebox._own._found)

    def test_moved(self) -> None:
        """A service that the source has announced is not announced again by the destination; what that finds is."""
        destination, heard = BroMiddlebox(self.middlebox.settings), list[Announced]()
        destination.listen(frozenset(FIELDS), heard.extend)
        self.listen()
        packets = talk(Script(port=8000), (C, GET), (S, OK)).batch
        half = 5
        self.feed(packets.select(slice(0, half)))
        destination.prepare(1, EVERYTHING)
        for batches in self.middlebox.getPerflow(EVERYTHING, 1, 64):
            for batch in batches:
                destination.putPerflow(1, batch)
        self.middlebox.delPerflow(1, EVERYTHING)
        destination.commit(1)
        destination.process(decoded(packets.select(slice(half, len(packets)))), None)
        destination.finish()
        names = [each.name for each in [*self.heard, *heard]]
        self.assertEqual(["service-found", "http-request", "connection-removed"], names)
        self.assertTrue(self.heard and heard)

    def test_reprocessed(self) -> None:
        self.listen()
        self.middlebox.prepare(1, EVERYTHING)
        self.middlebox.reprocess(1, decoded(talk(Script(port=8000), (C, GET), (S, OK)).batch))
        self.middlebox.commit(1)
        self.assertEqual([], self.heard)

    def test_listenerThatThrows(self) -> None:
        """Rows are written once all the same, and the fault is told."""

        def throw(events: object) -> None:
            raise ZeroDivisionError

        self.middlebox.listen(frozenset(FIELDS), throw)
        processed = self.middlebox.process(decoded(talk(Script(port=8000), (C, GET), (S, OK)).batch), None)
        self.assertEqual(2, len(processed.failed))
        self.middlebox.listen(frozenset(), self.heard.extend)
        self.assertEqual((1, 1), (len(self.log("conn")), len(readLog(self.folder / "http.log"))))

    def test_attempt(self) -> None:
        """A SYN without answer is removed by time alone, and announced then."""
        self.listen("connection-removed")
        self.feed(Script().client(SYN, 1000).batch)
        self.middlebox.advance(BEGIN + 3600 * 10**9)
        self.assertEqual(["S0"], [each["conn_state"] for each in self.said("connection-removed")])


class UsageTests(SynchronousTestCase):
    """Bytes of records with their tails: exact for a few, reckoned for many."""

    def usage(self, middlebox: BroMiddlebox) -> tuple[int, int, bool]:
        supporting = middlebox.usage(EVERYTHING)[0]
        return supporting.records, supporting.bytes, supporting.estimated

    def exported(self, middlebox: BroMiddlebox) -> int:
        """What really travels of the supporting cell."""
        batches = [step[0] for step in middlebox.getPerflow(EVERYTHING, 1, 4096) if step]
        tails = sum(0 if batch.tails is None else len(batch.tails) for batch in batches)
        return sum(batch.records.size for batch in batches) + tails

    def fed(self, connections: int, sizes: int) -> BroMiddlebox:
        """Connections that each have a request under way, of differing lengths."""
        middlebox = BroMiddlebox(makeBro(Path(self.mktemp())).settings)
        for each in range(connections):
            script = Script(port=8000, clientPort=2000 + each)
            talk(script, (C, b"GET /" + b"x" * (each % sizes) + b" HTTP/1.1\r\nHost: a\r\n"), ends=False)
            middlebox.process(decoded(script.batch), None)
        return middlebox

    def test_few(self) -> None:
        """To the byte."""
        middlebox = self.fed(20, 20)
        records, size, isEstimated = self.usage(middlebox)
        self.assertEqual((20, False), (records, isEstimated))
        self.assertEqual(self.exported(middlebox), size)

    def test_many(self) -> None:
        """Within a few per cent, and it is said that it is an estimate."""
        middlebox = self.fed(600, 50)
        records, size, isEstimated = self.usage(middlebox)
        self.assertEqual((600, True), (records, isEstimated))
        self.assertAlmostEqual(1, size / self.exported(middlebox), 1)

    def test_none(self) -> None:
        middlebox = BroMiddlebox(makeBro(Path(self.mktemp())).settings)
        self.assertEqual((0, 0, False), self.usage(middlebox))
        middlebox.process(Decoder(checksums=False).decode(lookUp().select(slice(0, 0))), None)
        self.assertEqual((0, 0, False), self.usage(middlebox))
