"""conn.log's service column, conversation by conversation: what real Zeek says of each of these."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.plugins.bro.running import end, makeBro, runBatch
from tests.plugins.bro.test_adapter import decoded
from tests.plugins.bro.wire import ACK, CLIENT, FIN, SERVER, SYN, Script, tcp, udp

C, S = "client", "server"
Turn = tuple[str, bytes]

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def hello(version: bytes = b"\x03\x03") -> bytes:
    """A complete ClientHello in one record."""
    body = version + bytes(32) + b"\0" + b"\0\x02\0\x2f" + b"\x01\0"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


ALERT = b"\x15\x03\x01\x00\x02\x02\x28"


def talk(script: Script, *turns: Turn, ends: bool = True) -> Script:
    """A handshake, what the two say, each piece acknowledged at once, and an orderly end."""
    script.handshake()
    places = {C: 1001, S: 5001}
    for who, data in turns:
        other = S if who == C else C
        say, answer = (script.client, script.server) if who == C else (script.server, script.client)
        say(ACK, places[who], places[other], data)
        places[who] += len(data)
        answer(ACK, places[other], places[who])
    if ends:
        script.client(FIN | ACK, places[C], places[S]).server(FIN | ACK, places[S], places[C] + 1)
        script.client(ACK, places[C] + 1, places[S] + 1)
    return script


class ServiceTests(SynchronousTestCase):
    """What the tests of this page share."""

    def service(self, port: int, *turns: Turn) -> str:
        """The service of a conversation with this port, whatever the segmentation of batches."""
        script = talk(Script(port=port), *turns)
        rows = runBatch(Path(self.mktemp()), script.batch)
        self.assertEqual(1, len(rows), rows)
        return rows[0]["service"]

    def check(self, expected: str, port: int, *turns: Turn) -> None:
        self.assertEqual(expected, self.service(port, *turns), (port, turns))


class WebTests(ServiceTests):
    """HTTP and TLS, on their ports and elsewhere."""

    def test_port(self) -> None:
        self.check("http", 80, (C, GET), (S, OK))
        self.check("http", 80, (C, GET))
        self.check("-", 80, (S, b"HTTP/1.1 200 OK\r\n\r\n"))

    def test_hello(self) -> None:
        """The hello alone, on any port, whole or in two packets."""
        self.check("ssl", 443, (C, hello()))
        self.check("ssl", 4444, (C, hello()))
        self.check("ssl", 443, (C, hello()[:20]), (C, hello()[20:]))
        self.check("-", 443, (C, hello()), (S, b"HTTP/1.1 400 Bad\r\n\r\n"))
        self.check("-", 443, (C, hello(b"\x09\x99")))

    def test_otherPorts(self) -> None:
        self.check("http", 443, (C, GET), (S, OK))
        self.check("ssl", 80, (C, hello()), (S, ALERT))
        self.check("http", 9000, (C, GET), (S, OK))

    def test_crossingChunk(self) -> None:
        """The chunk with which both have sent more than 1,024 bytes is still looked at, the next one is not."""
        long = b"GET / HTTP/1.1\r\nX: " + b"y" * 1100 + b"\r\n\r\n"
        self.check("http", 9000, (C, long), (S, OK))
        self.check("http", 9000, (C, b"FOO / HTTP/1.1\r\n\r\n"), (S, OK))
        self.check("-", 9000, (C, b"FOO / HTTP/1.1\r\nX: " + b"y" * 1100 + b"\r\n\r\n"), (S, OK))
        self.check("-", 9000, (C, b"z" * 1100), (C, GET))
        self.check("-", 9000, (C, b"zz\r\n" + GET))

    def test_violation(self) -> None:
        """A line that is no request takes the name away, until 10,240 bytes have been sent."""
        self.check("-", 80, (C, GET), (S, OK), (C, b"\x01\x02 nonsense\r\n"))
        big = b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + bytes(1000)
        body = [(S, bytes(1000))] * 11
        self.check("http", 80, (C, GET), (S, big), *body, (C, b"\x01\x02 nonsense\r\n"))

    def test_lastLine(self) -> None:
        """An unfinished line counts when its side has ended."""
        self.check("-", 80, (C, GET), (S, OK), (C, b"\x01\x02 nonsense"))


class MailTests(ServiceTests):
    """SMTP, POP3, IMAP."""

    def test_smtp(self) -> None:
        self.check("smtp", 25, (S, b"220 mail\r\n"), (C, b"EHLO x\r\n"))
        self.check("smtp", 25, (S, b"220 mail\r\n"), (C, b"QUIT\r\n"))
        self.check("smtp", 2525, (S, b"220 mail\r\n"), (C, b"EHLO x\r\n"))
        self.check("-", 25, (S, b"220 mail\r\n"))
        self.check("-", 25, (S, b"220 mail\r\n"), (C, b"BLAH\r\n"))

    def test_startTLS(self) -> None:
        begin = ((S, b"220 mail\r\n"), (C, b"EHLO x\r\n"), (S, b"250 STARTTLS\r\n"), (C, b"STARTTLS\r\n"))
        self.check("smtp,ssl", 25, *begin, (S, b"220 go\r\n"), (C, hello()))

    def test_pop3(self) -> None:
        self.check("pop3", 110, (S, b"+OK\r\n"), (C, b"USER a\r\n"), (S, b"+OK\r\n"))
        self.check("-", 110, (S, b"+OK\r\n"), (C, b"QUIT\r\n"), (S, b"+OK\r\n"))
        self.check("-", 110, (S, b"+OK\r\n"), (C, b"USER a\r\n"), (S, b"-ERR\r\n"))

    def test_imap(self) -> None:
        self.check("imap", 143, (S, b"* OK ready\r\n"))
        self.check("-", 1143, (S, b"* OK ready\r\n"))


class TransferTests(ServiceTests):
    """FTP and its data connections, SSH."""

    LOGIN = ((S, b"220 ftp\r\n"), (C, b"USER a\r\n"), (S, b"331 password\r\n"))

    def test_control(self) -> None:
        self.check("ftp", 21, *self.LOGIN)
        self.check("ftp", 2121, *self.LOGIN)
        self.check("-", 21, (S, b"220 ftp\r\n"))
        self.check("-", 2121, (S, b"220 ftp\r\n"), (C, b"USER a\r\n"))
        self.check("-", 2121, (S, b"junk\r\n"), *self.LOGIN)

    def test_versionsOnly(self) -> None:
        self.check("-", 22, (S, b"SSH-2.0-a\r\n"), (C, b"SSH-2.0-b\r\n"))

    def services(self, *turns: Turn, port: int = 21, cut: int = 4096) -> dict[str, str]:
        """The services of both connections, by responder's port, when a data connection to 192.0.2.80:4660 follows."""
        script = talk(Script(port=port), *turns, ends=False)
        script.add(tcp(CLIENT, 41000, SERVER, 4660, SYN, 1))
        script.add(tcp(SERVER, 4660, CLIENT, 41000, SYN | ACK, 7, 2))
        rows = runBatch(Path(self.mktemp()), script.batch)
        return {row["id.resp_p"]: row["service"] for row in rows}

    def test_passive(self) -> None:
        """A data connection that was agreed on has its name before it has data."""
        for port in (21, 2121):
            turns = (*self.LOGIN, (C, b"PASV\r\n"), (S, b"227 Entering (192,0,2,80,18,52)\r\n"))
            self.assertEqual({str(port): "ftp", "4660": "ftp-data"}, self.services(*turns, port=port))
        turns = (*self.LOGIN, (C, b"EPSV\r\n"), (S, b"229 Entering (|||4660|)\r\n"))
        self.assertEqual({"21": "ftp", "4660": "ftp-data"}, self.services(*turns))
        turns = (*self.LOGIN, (C, b"PASV\r\n"), (S, b"227 Entering (192,0,2,80,18,53)\r\n"))
        self.assertEqual({"21": "ftp", "4660": "-"}, self.services(*turns))

    def test_nothingLeft(self) -> None:
        """Whatever a data connection sends, nobody goes on with what was known of it when its place is taken again."""
        login = (*self.LOGIN, (C, b"PASV\r\n"), (S, b"227 Entering (192,0,2,80,18,52)\r\n"))
        for data in (b"\x80" * 1400, b"\x80" * 10, b"GET / HTTP/1.0\r\n\r\n", b""):
            script = talk(Script(port=21), *login, ends=False)
            script.add(tcp(CLIENT, 41000, SERVER, 4660, SYN, 1))
            script.add(tcp(SERVER, 4660, CLIENT, 41000, SYN | ACK, 7, 2))
            script.add(tcp(CLIENT, 41000, SERVER, 4660, ACK, 2, 8, data))
            script.add(tcp(SERVER, 4660, CLIENT, 41000, ACK, 8, 2 + len(data), b"\x90" * 10))
            bro = makeBro(Path(self.mktemp()))
            bro.process(decoded(script), None)
            for slot, conversation in bro._own.conversations.items():
                row = bro._own.table.rows[slot]
                self.assertEqual((1, 1), (bro._own.table.used[slot], row["inspect"]), data)
                self.assertEqual(row["services"].tolist()[: len(conversation.services)], conversation.services)
            end(bro)
            self.assertEqual({}, bro._own.conversations)

    def test_active(self) -> None:
        """The responder of the control connection opens the data connection."""
        script = talk(Script(port=21), *self.LOGIN, (C, b"PORT 10,0,0,1,18,52\r\n"), (S, b"200 ok\r\n"), ends=False)
        script.add(tcp(SERVER, 20, CLIENT, 4660, SYN, 1))
        script.add(tcp("10.9.9.9", 20, CLIENT, 4660, SYN, 1))
        rows = runBatch(Path(self.mktemp()), script.batch)
        found = {row["id.orig_h"]: row["service"] for row in rows}
        self.assertEqual({CLIENT: "ftp", SERVER: "ftp-data", "10.9.9.9": "-"}, found)

    def test_fiveMinutes(self) -> None:
        """An agreement lasts for 300 seconds."""
        for after, expected in ((299, "ftp-data"), (302, "-")):
            turns = (*self.LOGIN, (C, b"PASV\r\n"), (S, b"227 Entering (192,0,2,80,18,52)\r\n"))
            script = talk(Script(port=21), *turns, ends=False)
            script.add(tcp(CLIENT, 41000, SERVER, 4660, SYN, 1), at=script.now + after)
            rows = runBatch(Path(self.mktemp()), script.batch)
            found = {row["id.resp_p"]: row["service"] for row in rows}
            self.assertEqual({"21": "ftp", "4660": expected}, found)


class DatagramTests(ServiceTests):
    """Services over UDP."""

    def udp(self, port: int, *datagrams: Turn) -> str:
        script = Script()
        for who, data in datagrams:
            ends = (CLIENT, 5000, SERVER, port) if who == C else (SERVER, port, CLIENT, 5000)
            script.add(udp(*ends, data))
        rows = runBatch(Path(self.mktemp()), script.batch)
        self.assertEqual(1, len(rows))
        return rows[0]["service"]

    def test_ntp(self) -> None:
        self.assertEqual("ntp", self.udp(123, (C, b"\x1b" + bytes(47))))
        self.assertEqual("-", self.udp(123, (C, b"\x1b" + bytes(40))))

    def test_dns(self) -> None:
        query = b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"
        self.assertEqual("dns", self.udp(53, (C, query)))
        self.assertEqual("-", self.udp(5300, (C, query)))
        self.assertEqual("-", self.udp(53, (C, query[:-1])))

    def test_snmp(self) -> None:
        """The responder's word counts."""
        message = bytes.fromhex("302602010104067075626c6963a219020101020100020100300e300c06082b060102010101000500")
        self.assertEqual("-", self.udp(161, (C, message)))
        self.assertEqual("snmp", self.udp(161, (C, message), (S, message)))
        self.assertEqual("-", self.udp(161, (C, message), (S, message), (S, message[:-3])))

    def test_dhcp(self) -> None:
        """By port, and by its cookie."""
        message = b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63" + b"\x35\1\1" + b"\xff"
        self.assertEqual("dhcp", self.udp(67, (C, message)))
        self.assertEqual("dhcp", self.udp(6700, (C, message)))
        self.assertEqual("-", self.udp(6700, (C, message[:240] + b"\x35\1\1\x0c\5ab")))
