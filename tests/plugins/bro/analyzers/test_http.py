"""The HTTP parser, rule by rule, and independent of segmentation, passing over bytes, dumping and loading."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.analyzer import Sign
from openmb.plugins.bro.analyzers.http.rows import MOST_PENDING, HTTPRow, Pairing
from openmb.plugins.bro.analyzers.http.side import LONGEST_LINE
from openmb.plugins.bro.reading import text as prefixed
from tests.plugins.bro.analyzers.driven import DrivenHTTP

CLIENT, SERVER = True, False
GET = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LARGE = 10241

Step = tuple[bool, bytes | None]


def run(*steps: Step, size: int = 0, parser: DrivenHTTP | None = None) -> list[HTTPRow]:
    """
    The rows of a conversation: (direction, bytes), None for the end of that direction; step i happens at stamp i + 1.
    """
    parser = DrivenHTTP() if parser is None else parser
    rows: list[HTTPRow] = []
    for index, (originator, data) in enumerate(steps):
        if data is None:
            rows += parser.finished(originator, index + 1, size)
        else:
            rows += parser.data(originator, data, index + 1, size)
    return rows + parser.removed(len(steps) + 1)


def only(*steps: Step, size: int = 0) -> HTTPRow:
    """The one row of a conversation."""
    (row,) = run(*steps, size=size)
    return row


def request(head: bytes) -> HTTPRow:
    """The row of a request with no reply."""
    return only((CLIENT, head + b"\r\n\r\n"))


def reply(text: bytes) -> HTTPRow:
    """The row of a GET and this reply, the server closing afterwards."""
    return only((CLIENT, GET), (SERVER, text), (SERVER, None))


class RequestLineTests(SynchronousTestCase):
    """Section 2.2: which lines are requests, and what is their URI."""

    def uri(self, line: bytes) -> bytes | None:
        return request(line).uri

    def test_ordinary(self) -> None:
        row = request(b"GET /a?b=c HTTP/1.1\r\nHost: x")
        self.assertEqual((row.method, row.host, row.uri, row.status, row.stamp), (b"GET", b"x", b"/a?b=c", None, 1))

    def test_methodAsSent(self) -> None:
        self.assertEqual(request(b"fOo-1 / HTTP/1.0").method, b"fOo-1")

    def test_withoutURI(self) -> None:
        self.assertEqual(self.uri(b"OPTIONS HTTP/1.1"), b"")

    def test_anyCaseOfProtocol(self) -> None:
        self.assertEqual(self.uri(b"GET /x hTTp/1.1"), b"/x")

    def test_blanksInURI(self) -> None:
        self.assertEqual(self.uri(b"GET /a b  c   HTTP/1.1"), b"/a b  c")

    def test_protocolTwice(self) -> None:
        self.assertEqual(self.uri(b"GET HTTP/1.1 HTTP/1.1"), b"HTTP/1.1")

    def test_withoutVersionLosesLastByte(self) -> None:
        self.assertEqual(self.uri(b"GET /foo bar"), b"/foo ba")
        self.assertEqual(self.uri(b"GET /foo b"), b"/foo")
        self.assertEqual(self.uri(b"GET /foo bar "), b"/foo bar")
        self.assertEqual(self.uri(b"GET /foo"), b"/foo")

    def test_shortVersionIsNotOld(self) -> None:
        """C{HTTP/1} leaves the version unset, so the request is not one of HTTP/0.9."""
        row = only((CLIENT, b"X / HTTP/1\r\n\r\n"), (SERVER, OK))
        self.assertEqual((row.uri, row.status), (b"/", 200))

    def test_notRequests(self) -> None:
        for line in (b"GET", b" GET / HTTP/1.1", b"/ / HTTP/1.1", b"GE /", b"GET  ", b"G\xc3T / HTTP/1.1"):
            parser = DrivenHTTP()
            self.assertEqual(run((CLIENT, line + b"\r\n"), parser=parser), [], line)
            self.assertTrue(parser.violated, line)

    def test_emptyLineBefore(self) -> None:
        self.assertEqual(self.uri(b"\r\n\n\rGET / HTTP/1.1"), b"/")

    def test_unescaped(self) -> None:
        for sent, seen in (
            (b"/a%20b", b"/a b"),
            (b"/%41%6a%6A", b"/Ajj"),
            (b"/%%41", b"/A"),
            (b"/%u0041%u0141", b"/A\x01\x41"),
            (b"/%u00g1", b"/%u00g1"),
            (b"/%zz%41", b"/%zzA"),
            (b"/%", b"/%"),
            (b"/%4", b"/%4"),
            (b"/%%", b"/%%"),
            (b"/%00", b"/\0"),
        ):
            self.assertEqual(self.uri(b"GET " + sent + b" HTTP/1.1"), seen)


class LineTests(SynchronousTestCase):
    """Section 2.1: ends of lines and of headers."""

    def test_anyEnd(self) -> None:
        for end in (b"\r\n", b"\r", b"\n"):
            row = only((CLIENT, end.join((b"GET /x HTTP/1.1", b"Host: h", b"", b""))))
            self.assertEqual((row.uri, row.host), (b"/x", b"h"))

    def test_feedAfterReturnInNextPacket(self) -> None:
        """The LF belongs to the CR, also when a body of known length begins."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r"
        rows = run((CLIENT, GET + GET), (SERVER, head), (SERVER, b"\nab" + OK))
        self.assertEqual([(row.status, row.responseLength) for row in rows], [(200, 2), (200, 0)])

    def test_NULEndsHeader(self) -> None:
        first, second = run((CLIENT, b"GET / HTTP/1.1\r\nHost: a\r\n\0x\r\nPOST /b HTTP/1.1\r\n\r\n"))
        self.assertEqual((first.host, second.method, second.uri), (b"a", b"POST", b"/b"))

    def test_unfinishedLineAtEnd(self) -> None:
        row = only((CLIENT, b"GET /x HTTP/1.1\r\nHost: a"), (CLIENT, None))
        self.assertEqual(row.host, b"a")

    def test_unfinishedLineAtRemoval(self) -> None:
        self.assertEqual(run((CLIENT, b"GET /x HTTP/1.1")), [])
        self.assertIsNone(only((CLIENT, b"GET /x HTTP/1.1\r\nHost: a")).host)

    def test_longestLine(self) -> None:
        uri = b"/" + b"a" * (LONGEST_LINE - 15)
        self.assertEqual(request(b"GET " + uri + b" HTTP/1.1").uri, uri)

    def test_tooLongLine(self) -> None:
        """Unfinished or not, the side is given up; the memory for it too."""
        line = b"GET /" + b"a" * LONGEST_LINE
        for text in (line, line + b" HTTP/1.1\r\n\r\n"):
            parser = DrivenHTTP()
            parser.data(CLIENT, text, 1)
            self.assertEqual((parser.pending, parser.skip(CLIENT), parser.skip(SERVER)), (0, -1, 0))
            self.assertLess(len(parser.dump()), 1000)

    def test_tooLongContinuation(self) -> None:
        parser = DrivenHTTP()
        parser.data(CLIENT, b"GET / HTTP/1.1\r\nHost: a\r\n" + b" b\r\n" * (LONGEST_LINE // 2), 1)
        self.assertEqual(parser.skip(CLIENT), -1)


class HeaderTests(SynchronousTestCase):
    """Sections 2.1 and 2.5: header fields."""

    def host(self, lines: bytes) -> bytes | None:
        return request(b"GET / HTTP/1.1\r\n" + lines).host

    def test_columns(self) -> None:
        row = request(b"GET / HTTP/1.1\r\nhOST: h\r\nReferer: r\r\nUser-Agent: u v \r\nOrigin: o")
        self.assertEqual((row.host, row.referrer, row.userAgent, row.origin), (b"h", b"r", b"u v ", b"o"))

    def test_names(self) -> None:
        for line in (b"Host:a", b"Host :a", b" Host: a", b"(x(y)\\))Host(z):\ta", b"\x01 Host: a", b":Host: a"):
            expected = None if line.startswith(b"(x") else b"a"
            self.assertEqual(self.host(line), expected, line)

    def test_commentBeforeName(self) -> None:
        self.assertEqual(self.host(b"(x(y)\\))Host (z):\ta"), b"a")

    def test_notFields(self) -> None:
        for line in (b"Host", b"Host a: b", b"\xff\xfe", b"(Host: a"):
            self.assertIsNone(self.host(line), line)

    def test_continued(self) -> None:
        self.assertEqual(self.host(b"Host: a  \r\n  b\r\nX: y"), b"a    b")
        self.assertEqual(self.host(b"  Host: a\r\n\tb"), b"a\tb")

    def test_lastWins(self) -> None:
        self.assertEqual(self.host(b"Host: a\r\nHost: b"), b"b")
        self.assertEqual(self.host(b"Host: a\r\nHost:"), b"")

    def test_serverFieldsDoNotShow(self) -> None:
        row = reply(b"HTTP/1.1 200 OK\r\nHost: s\r\nReferer: s\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((row.host, row.referrer), (None, None))

    def test_proxied(self) -> None:
        row = request(b"GET / HTTP/1.1\r\nVia: a\r\nX-Forwarded-For: b\r\nvia: a\r\nVia: c")
        self.assertEqual(row.proxied, (b"VIA -> a", b"X-FORWARDED-FOR -> b", b"VIA -> c"))

    def test_proxiedIsBounded(self) -> None:
        row = request(b"GET / HTTP/1.1" + b"".join(b"\r\nVia: %d" % number for number in range(1000)))
        self.assertEqual(len(row.proxied or ()), 64)

    def test_username(self) -> None:
        for value, user in (
            (b"Basic dXNlcjpwYXNz", b"user"),
            (b"bAsIc   dXNlcjpwYTpzcw==", b"user"),
            (b"Basic dXNlcg==", b"<problem-decoding> (Basic dXNlcg==)"),
            (b"Basic", None),
            (b"Bearer abc", None),
        ):
            for name in (b"Authorization", b"Proxy-Authorization"):
                self.assertEqual(request(b"GET / HTTP/1.1\r\n" + name + b": " + value).username, user)


class ReplyLineTests(SynchronousTestCase):
    """Section 2.3: status lines."""

    def test_texts(self) -> None:
        for line, seen in (
            (b"HTTP/1.1 200 OK", (b"1.1", 200, b"OK")),
            (b"http/1.0  404\tNot  Found ", (b"1.0", 404, b"Not  Found ")),
            (b"HTTP/1.1 200", (b"1.1", 200, b"<empty>")),
            (b"HTTP/1.1 200 ", (b"1.1", 200, b"")),
            (b"HTTP/x 200 OK", (b"0.0", 200, b"OK")),
            (b"HTTP/1.1 2x0 OK", (b"1.1", 0, b"OK")),
            (b"HTTP/2.0 2000 OK", (b"2.0", 200, b"OK")),
        ):
            row = reply(line + b"\r\n\r\n")
            self.assertEqual((row.version, row.status, row.statusMessage), seen)

    def test_emptyLinesBefore(self) -> None:
        self.assertEqual(reply(b"\r\n\r\n" + OK).status, 200)

    def test_violations(self) -> None:
        for line in (b"junk", b"HTTP/1.1", b"HTTP/1.1 20", b"HTTP/1.1   2"):
            parser = DrivenHTTP()
            rows = run((CLIENT, GET), (SERVER, line + b"\r\n" + OK), parser=parser)
            self.assertEqual(([row.status for row in rows], parser.violated, parser.confirmed), ([None], True, False))

    def test_informational(self) -> None:
        row = only((CLIENT, GET), (SERVER, b"HTTP/1.1 100 Continue\r\n\r\n" + OK))
        seen = (row.status, row.statusMessage, row.infoCode, row.infoMessage)
        self.assertEqual(seen, (200, b"OK", 100, b"Continue"))


class OldReplyTests(SynchronousTestCase):
    """HTTP/0.9: whatever the server sends is the body."""

    def test_row(self) -> None:
        row = only((CLIENT, b"GET /x\r\n\r\n"), (SERVER, b"HTTP/1.1 200 OK\r\n"), (SERVER, b"ab"), (SERVER, None))
        seen = (row.uri, row.status, row.statusMessage, row.version, row.responseLength)
        self.assertEqual(seen, (b"/x", 0, b"<empty>", b"0.9", 19))

    def test_headHasBody(self) -> None:
        row = only((CLIENT, b"HEAD /x\r\n\r\n"), (SERVER, b"abc"), (SERVER, None))
        self.assertEqual(row.responseLength, 3)

    def test_unanswered(self) -> None:
        self.assertEqual(only((CLIENT, b"GET /x\r\n\r\n"), (SERVER, None)).status, None)

    def test_runningReplyEnds(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
        rows = run((CLIENT, GET), (SERVER, head), (CLIENT, b"GET /x\r\n\r\n"), (SERVER, b"xy"), (SERVER, None))
        self.assertEqual([(row.status, row.responseLength) for row in rows], [(200, 3), (0, 2)])


class PairingTests(SynchronousTestCase):
    """Section 2.4: which reply belongs to which request."""

    def test_pipelined(self) -> None:
        requests = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(3))
        rows = run((CLIENT, requests), (SERVER, OK), (SERVER, OK))
        seen = [(row.depth, row.uri, row.status, row.stamp) for row in rows]
        self.assertEqual(seen, [(1, b"/0", 200, 1), (2, b"/1", 200, 1), (3, b"/2", None, 1)])

    def test_pending(self) -> None:
        parser = DrivenHTTP()
        parser.data(CLIENT, GET + GET, 1)
        self.assertEqual(parser.pending, 2)
        parser.data(SERVER, OK, 2)
        self.assertEqual(parser.pending, 1)

    def test_replyFirst(self) -> None:
        """It makes its own row; the request pairs with the next reply."""
        rows = run((SERVER, OK), (CLIENT, GET), (SERVER, OK.replace(b"200", b"201")))
        seen = [(row.stamp, row.depth, row.method, row.status) for row in rows]
        self.assertEqual(seen, [(1, 1, None, 200), (2, 2, b"GET", 201)])

    def test_replyBeforeRequestEnds(self) -> None:
        """What still comes of the request makes a row of its own."""
        post = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"
        rows = run((CLIENT, post), (SERVER, OK), (CLIENT, b"cd"))
        seen = [(row.depth, row.method, row.requestLength, row.stamp) for row in rows]
        self.assertEqual(seen, [(1, b"POST", 0, 1), (2, None, 4, 3)])

    def test_tooManyPending(self) -> None:
        parser = DrivenHTTP()
        rows = parser.data(CLIENT, GET * (MOST_PENDING + 2), 1)
        self.assertEqual([row.depth for row in rows], list(range(1, MOST_PENDING + 1)))
        self.assertEqual(parser.pending, 2)
        self.assertEqual([row.depth for row in parser.removed(2)], [MOST_PENDING + 1, MOST_PENDING + 2])

    def test_removedBeforeReplyEnds(self) -> None:
        row = only((CLIENT, GET), (SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))
        self.assertEqual((row.status, row.responseLength), (200, 3))

    def test_reset(self) -> None:
        parser = DrivenHTTP()
        parser.data(CLIENT, GET, 1)
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\n\r\nab", 2)
        (row,) = parser.reset(3)
        self.assertEqual((row.status, row.responseLength), (200, 0))
        self.assertEqual((parser.skip(SERVER), parser.removed(4)), (-1, []))

    def test_nothing(self) -> None:
        self.assertEqual(run(), [])


class BodyTests(SynchronousTestCase):
    """Section 2.6: where bodies end, and how long they are."""

    def length(self, fields: bytes, body: bytes, status: bytes = b"200 OK") -> int:
        return reply(b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n" + body).responseLength

    def after(self, fields: bytes, body: bytes, status: bytes = b"200 OK") -> list[int]:
        """Lengths of two replies, the first with this header and body."""
        text = b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n" + body
        return [row.responseLength for row in run((CLIENT, GET + GET), (SERVER, text + OK)) if row.status == 200]

    def test_knownLength(self) -> None:
        self.assertEqual(self.after(b"Content-Length: 5\r\n", b"a\nb\r\n"), [5, 0])

    def test_lengthIsNoNumber(self) -> None:
        for value in (b"x", b"-3", b"0"):
            self.assertEqual(self.after(b"Content-Length: " + value + b"\r\n", b""), [0, 0])

    def test_firstWordOfLength(self) -> None:
        self.assertEqual(self.after(b"Content-Length: (c) 3, 4\r\n", b"abc"), [3, 0])

    def test_hugeLength(self) -> None:
        """As many digits as fit into a line do no harm."""
        for digits in (19, 30, 5000):
            run((CLIENT, GET), (SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * digits + b"\r\n\r\nabc"))

    def test_lastLengthWins(self) -> None:
        self.assertEqual(self.after(b"Content-Length: 5\r\nContent-Length: 2\r\n", b"ab"), [2, 0])

    def test_range(self) -> None:
        fields = b"Content-Length: 2\r\nContent-Range: bytes 0-4/9\r\n"
        rows = run((CLIENT, GET + GET), (SERVER, b"HTTP/1.1 206 P\r\n" + fields + b"\r\nabcde" + OK))
        self.assertEqual([row.responseLength for row in rows], [5, 0])

    def test_chunked(self) -> None:
        body = b"3;x=y\r\na\nb\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n"
        self.assertEqual(self.after(b"Transfer-Encoding: Chunked\r\nContent-Length: 1\r\n", body), [13, 0])

    def test_badChunkSizeEnds(self) -> None:
        self.assertEqual(self.after(b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\nxyz\r\n\r\n"), [2, 0])

    def test_chunkedOnlyInVersion11(self) -> None:
        text = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        self.assertEqual(reply(text).responseLength, 5)

    def test_withoutLengthCountsLines(self) -> None:
        self.assertEqual(self.length(b"", b"ab\ncd\r\nef\rg"), 15)
        self.assertEqual(self.length(b"", b"ab\ncd\r\nef"), 12)

    def test_closeCountsBytes(self) -> None:
        self.assertEqual(self.length(b"Connection: close\r\n", b"ab\ncd\r\nef\rg"), 11)
        self.assertEqual(self.length(b"Content-Encoding: br\r\nConnection: close\r\n", b"ab\ncd\r\nef\rg"), 11)

    def test_noBody(self) -> None:
        for status in (b"204 No", b"304 Not"):
            self.assertEqual(self.after(b"Content-Length: 5\r\n", b"", status), [0])

    def test_head(self) -> None:
        text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        rows = run((CLIENT, b"HEAD / HTTP/1.1\r\n\r\n" + GET), (SERVER, text + OK))
        self.assertEqual([row.responseLength for row in rows], [0, 0])

    def test_requestWithoutLength(self) -> None:
        rows = run((CLIENT, b"POST / HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab" + GET))
        self.assertEqual([row.requestLength for row in rows], [0, 2, 0])

    def test_multipart(self) -> None:
        fields = b'Content-Type: multipart/form-data; a=b; boundary="x(y"\r\nContent-Length: 999\r\n'
        body = b"pre\r\n--x(y\r\nA: b\r\n\r\n1\n2\r3\r\n--x(\r\n--x(y--z\r\n"
        post = b"POST / HTTP/1.1\r\n" + fields + b"\r\n" + body
        rows = run((CLIENT, post + GET))
        self.assertEqual([(row.method, row.requestLength) for row in rows], [(b"POST", len(body)), (b"GET", 0)])

    def test_multipartEndsWithLength(self) -> None:
        body = b"--xy\r\n\r\nabcd"
        fields = b"Content-Type: multipart/mixed; boundary=xy\r\nContent-Length: %d\r\n" % len(body)
        rows = run((CLIENT, b"POST / HTTP/1.1\r\n" + fields + b"\r\n" + body + GET))
        self.assertEqual([row.method for row in rows], [b"POST", b"GET"])

    def test_multipartWithoutBoundary(self) -> None:
        self.assertEqual(self.after(b"Content-Type: multipart/mixed\r\nContent-Length: 3\r\n", b"a\nb"), [3, 0])

    def test_messageCountsLines(self) -> None:
        self.assertEqual(self.length(b"Content-Type: message/http\r\n", b"a\nb\n"), 6)
        self.assertEqual(self.after(b"Content-Type: message/http\r\nContent-Length: 6\r\n", b"a\r\nb\r\n"), [6, 0])


class ViolationTests(SynchronousTestCase):
    """Sections 1.1 and 1.2: violations and their size limit."""

    def test_smallRemovesTheParser(self) -> None:
        parser = DrivenHTTP()
        parser.data(CLIENT, GET, 1)
        self.assertTrue(parser.confirmed)
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 2)
        (row,) = parser.data(CLIENT, b"junk\r\n", 3, LARGE - 1)
        self.assertEqual((row.status, row.responseLength), (200, 3))
        self.assertEqual((parser.violated, parser.confirmed), (True, False))
        self.assertEqual((parser.skip(CLIENT), parser.skip(SERVER)), (-1, -1))
        self.assertEqual(parser.data(SERVER, b"defghi" + OK, 4) + parser.data(CLIENT, GET, 5) + parser.removed(6), [])

    def test_largeStopsOneSide(self) -> None:
        parser = DrivenHTTP()
        rows = run((CLIENT, GET + b"junk\r\n" + GET), (SERVER, OK + OK), size=LARGE, parser=parser)
        self.assertEqual([(row.method, row.status) for row in rows], [(b"GET", 200), (None, 200)])
        self.assertEqual((parser.violated, parser.confirmed), (False, True))

    def test_atTheEnd(self) -> None:
        parser = DrivenHTTP()
        run((CLIENT, GET + b"junk"), (CLIENT, None), parser=parser)
        self.assertTrue(parser.violated)

    def test_withoutKeepAliveJunkIsIgnored(self) -> None:
        parser = DrivenHTTP()
        rows = run((CLIENT, b"GET / HTTP/1.0\r\n\r\njunk\r\nGET /2 HTTP/1.0\r\n\r\n"), parser=parser)
        self.assertEqual(([row.uri for row in rows], parser.violated), ([b"/", b"/2"], False))

    def test_withKeepAliveJunkCounts(self) -> None:
        parser = DrivenHTTP()
        run((CLIENT, b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\njunk\r\n"), parser=parser)
        self.assertTrue(parser.violated)

    def test_dataBeyondLength(self) -> None:
        parser = DrivenHTTP()
        run((CLIENT, GET), (SERVER, OK + b"more"), (SERVER, None), parser=parser)
        self.assertTrue(parser.violated)

    def test_replyAloneDoesNotConfirm(self) -> None:
        parser = DrivenHTTP()
        run((SERVER, OK), parser=parser)
        self.assertFalse(parser.confirmed)


class AgainTests(SynchronousTestCase):
    """Section 2.9: an analyser that comes after another goes on with its open rows."""

    def test_replayed(self) -> None:
        """The request counts twice: once with the reply, once without."""
        first = DrivenHTTP()
        self.assertEqual(first.data(CLIENT, GET + b"junk\r\n", 1), [])
        self.assertTrue(first.violated)
        second = DrivenHTTP(Pairing.load(first.around.requests.dump()))
        second.analyzer.data(CLIENT, GET + b"junk\r\n", 2)
        rows = second.data(SERVER, OK, 2)
        self.assertEqual([(row.depth, row.stamp, row.status) for row in rows], [(1, 1, 200)])
        self.assertTrue(second.violated)
        self.assertEqual(second.signs, [Sign.CONFIRMED, Sign.VIOLATED])
        rows = second.removed(3)
        self.assertEqual([(row.depth, row.stamp, row.status) for row in rows], [(2, 2, None)])

    def test_badRequestOnly(self) -> None:
        """The reply that brings the second analyser makes a row without method."""
        first = DrivenHTTP()
        first.data(CLIENT, b"junk\r\n", 1)
        second = DrivenHTTP(first.around.requests)
        second.analyzer.data(CLIENT, b"junk\r\n", 2)
        (row,) = second.data(SERVER, OK, 2)
        self.assertEqual((row.depth, row.method, row.status), (1, None, 200))

    def test_goesOnInsideThePacket(self) -> None:
        """A violation ends nothing by itself; the other side is still read."""
        parser = DrivenHTTP()
        parser.analyzer.data(CLIENT, GET + b"junk\r\n" + GET, 1)
        parser.analyzer.data(SERVER, OK, 1)
        self.assertEqual(parser.analyzer.skip(CLIENT), -1)
        found = parser.analyzer.findings
        self.assertEqual(found[:2], [Sign.CONFIRMED, Sign.VIOLATED])
        self.assertEqual([row.status for row in found[2:] if isinstance(row, HTTPRow)], [200])

    def test_interrupted(self) -> None:
        """A running reply is written with what came of it; open requests stay open."""
        parser = DrivenHTTP()
        parser.data(CLIENT, GET * 2, 1)
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 2)
        parser.analyzer.interrupted(3)
        rows = [row for row in parser.analyzer.findings if isinstance(row, HTTPRow)]
        self.assertEqual([(row.status, row.responseLength) for row in rows], [(200, 3)])
        self.assertEqual(parser.pending, 1)


class CompressedTests(SynchronousTestCase):
    """Section 2.6: bodies of gzip and deflate count as they are unpacked."""

    TEXT = b"some text, some text, and more" * 99

    def length(self, coding: bytes, body: bytes, more: bytes = b"") -> int:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\n" + more + b"\r\n"
        return reply(head + body).responseLength

    def test_codings(self) -> None:
        raw = zlib.compressobj(9, zlib.DEFLATED, -15)
        for coding, body in (
            (b"gzip", gzip.compress(self.TEXT)),
            (b"x-gzip", gzip.compress(self.TEXT)),
            (b"deflate", zlib.compress(self.TEXT)),
            (b"deflate", raw.compress(self.TEXT) + raw.flush()),
            (b"gzip", zlib.compress(self.TEXT)),
        ):
            self.assertEqual(self.length(coding, body), len(self.TEXT))
            known = b"Content-Length: %d\r\n" % len(body)
            self.assertEqual(self.length(coding, body, known), len(self.TEXT))

    def test_others(self) -> None:
        for coding in (b"br", b"identity", b"compress"):
            self.assertEqual(self.length(coding, b"abcde", b"Content-Length: 5\r\n"), 5)

    def test_chunked(self) -> None:
        body = gzip.compress(self.TEXT)
        chunks = b"".join(b"7\r\n%b\r\n" % body[at : at + 7] for at in range(0, len(body) // 7 * 7, 7))
        rest = body[len(body) // 7 * 7 :]
        text = chunks + b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest)
        self.assertEqual(self.length(b"gzip", text, b"Transfer-Encoding: chunked\r\n"), len(self.TEXT))

    def test_request(self) -> None:
        body = gzip.compress(self.TEXT)
        head = b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.assertEqual(only((CLIENT, head + body)).requestLength, len(self.TEXT))

    def test_twoMembers(self) -> None:
        """What follows the first stream does not count."""
        self.assertEqual(self.length(b"gzip", gzip.compress(self.TEXT) * 2), len(self.TEXT))

    def test_gap(self) -> None:
        """Lost bytes count as such, and later ones cannot be unpacked, unless the stream was at its end."""
        body = gzip.compress(self.TEXT)
        parser = DrivenHTTP()
        parser.data(CLIENT, GET, 1)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(body) + 9)
        parser.data(SERVER, head + body, 2)
        self.assertEqual(parser.skip(SERVER), 9)
        parser.gap(SERVER, 4, 3)
        (row,) = parser.skipped(SERVER, 5, 4)
        self.assertEqual(row.responseLength, len(self.TEXT) + 4)

    def test_needed(self) -> None:
        """The bytes must be delivered."""
        parser = DrivenHTTP()
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 90\r\n\r\n", 1)
        self.assertEqual(parser.skip(SERVER), 0)


class TunnelTests(SynchronousTestCase):
    """Section 2.7: CONNECT and upgrades."""

    CONNECT = b"CONNECT a:1 HTTP/1.1\r\n\r\n"
    ESTABLISHED = b"HTTP/1.1 200 OK\r\n\r\n"

    def connected(self) -> DrivenHTTP:
        parser = DrivenHTTP()
        parser.data(CLIENT, self.CONNECT, 1)
        parser.data(SERVER, self.ESTABLISHED, 2)
        return parser

    def test_connected(self) -> None:
        """What is no HTTP in it does not matter; once that is sure, nothing more is wanted."""
        parser = self.connected()
        self.assertEqual((parser.skip(CLIENT), parser.skip(SERVER)), (0, 0))
        self.assertEqual(parser.data(CLIENT, b"junk\r\n" + bytes(1100), 3), [])
        self.assertEqual((parser.skip(CLIENT), parser.skip(SERVER)), (-1, -1))
        (row,) = parser.finished(SERVER, 4)
        self.assertEqual((row.method, row.status, parser.violated), (b"CONNECT", 200, False))

    def test_inner(self) -> None:
        """HTTP in the tunnel has its rows first; the tunnel's own is last but for one that is empty."""
        parser = self.connected()
        rows = parser.data(CLIENT, b"GET /in HTTP/1.1\r\n\r\n", 3) + parser.data(SERVER, OK, 4)
        self.assertEqual([(row.depth, row.uri, row.status) for row in rows], [(2, b"/in", 200)])
        rows = parser.removed(5)
        seen = [(row.depth, row.method, row.status, row.stamp) for row in rows]
        self.assertEqual(seen, [(3, None, None, 5), (1, b"CONNECT", 200, 1)])
        self.assertEqual(parser.signs, [Sign.CONFIRMED] * 2)

    def test_innerByItsReply(self) -> None:
        """The signature of the server attaches a parser that sees everything from the start."""
        parser = self.connected()
        rows = parser.data(CLIENT, b"FOO /in HTTP/1.1\r\n\r\n", 3) + parser.data(SERVER, OK, 4)
        self.assertEqual([(row.method, row.status) for row in rows], [(b"FOO", 200)])

    def test_innerAtOnce(self) -> None:
        """Bytes in the same segment as the reply's end belong to the tunnel."""
        parser = DrivenHTTP()
        parser.data(CLIENT, self.CONNECT, 1)
        (row,) = parser.data(SERVER, self.ESTABLISHED + OK, 2)
        self.assertEqual((row.depth, row.method, row.status), (2, None, 200))

    def test_innerBodySkipped(self) -> None:
        parser = self.connected()
        parser.data(CLIENT, GET, 3)
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 4)
        self.assertEqual(parser.skip(SERVER), 9)
        (row,) = parser.skipped(SERVER, 9, 5)
        self.assertEqual(row.responseLength, 9)

    def test_innerGap(self) -> None:
        """A gap before anything was recognised stays a gap."""
        parser = self.connected()
        parser.gap(CLIENT, 3, 3)
        self.assertEqual(parser.data(SERVER, OK, 4)[0].method, None)
        self.assertEqual(parser.data(CLIENT, GET, 5), [])
        self.assertEqual(parser.skip(CLIENT), -1)

    def test_innerViolation(self) -> None:
        parser = self.connected()
        parser.data(CLIENT, GET + b"junk\r\n", 3, LARGE)
        self.assertEqual(parser.signs, [Sign.CONFIRMED, Sign.CONFIRMED, Sign.VIOLATED])

    def test_deep(self) -> None:
        """Tunnels through tunnels are followed to a bounded depth."""
        parser = self.connected()
        for now in range(3, 9):
            parser.data(CLIENT, self.CONNECT, now)
            parser.data(SERVER, self.ESTABLISHED, now)
        self.assertEqual(parser.skip(CLIENT), -1)
        self.assertEqual({row.method for row in parser.removed(9)}, {b"CONNECT", None})

    def test_moved(self) -> None:
        """Dumped and loaded while looking, and while reading."""
        parser = DrivenHTTP.load(self.connected().dump())
        parser.data(CLIENT, b"GE", 3)
        parser = DrivenHTTP.load(parser.dump())
        parser.data(CLIENT, b"T /in HT", 4)
        parser = DrivenHTTP.load(parser.dump())
        rows = parser.data(CLIENT, b"TP/1.1\r\n\r\n", 5) + parser.data(SERVER, OK, 6)
        self.assertEqual([(row.depth, row.uri, row.status) for row in rows], [(2, b"/in", 200)])

    def test_refused(self) -> None:
        rows = run((CLIENT, b"CONNECT a:1 HTTP/1.1\r\n\r\n" + GET), (SERVER, OK.replace(b"200", b"403") + OK))
        self.assertEqual([row.status for row in rows], [403, 200])

    def test_upgraded(self) -> None:
        parser = DrivenHTTP()
        text = b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        row = only((CLIENT, GET), (SERVER, text), (CLIENT, b"junk\r\n"), (SERVER, b"junk\r\n"))
        self.assertEqual((row.status, row.infoCode), (101, 101))
        run((CLIENT, GET), (SERVER, text), parser=parser)
        self.assertEqual(parser.skip(CLIENT), -1)

    def test_notUpgraded(self) -> None:
        row = only((CLIENT, GET), (SERVER, b"HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n" + OK))
        self.assertEqual((row.status, row.infoCode), (200, 101))


class GapTests(SynchronousTestCase):
    """Sections 2.6 and 2.9: bytes that were never seen."""

    def parser(self, text: bytes) -> DrivenHTTP:
        parser = DrivenHTTP()
        parser.data(CLIENT, GET + GET, 1)
        self.assertEqual(parser.data(SERVER, text, 2), [])
        return parser

    def test_insideBody(self) -> None:
        parser = self.parser(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na")
        self.assertEqual(parser.gap(SERVER, 7, 3), [])
        rows = parser.data(SERVER, b"z" + OK, 4)
        self.assertEqual([row.responseLength for row in rows], [9, 0])

    def test_toTheEndOfBody(self) -> None:
        parser = self.parser(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na")
        (row,) = parser.gap(SERVER, 8, 3)
        self.assertEqual(row.responseLength, 9)

    def test_insideChunk(self) -> None:
        parser = self.parser(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na")
        parser.gap(SERVER, 4, 3)
        (row,) = parser.data(SERVER, b"\r\n0\r\n\r\n", 4)
        self.assertEqual(row.responseLength, 5)

    def test_beyondBodyOrAtItsStart(self) -> None:
        for seen, length in ((b"a", 9), (b"", 2)):
            parser = self.parser(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + seen)
            (row,) = parser.gap(SERVER, length, 3)
            self.assertEqual((row.responseLength, parser.skip(SERVER)), (len(seen), -1))
            self.assertEqual([row.status for row in parser.removed(4)], [None])

    def test_clientHeader(self) -> None:
        """The request ends there; the reply still pairs."""
        parser = DrivenHTTP()
        parser.data(CLIENT, b"GET / HTTP/1.1\r\nHost: a\r\nX:", 1)
        parser.gap(CLIENT, 5, 2)
        (row,) = parser.data(SERVER, OK, 3)
        self.assertEqual((row.host, row.status, parser.skip(CLIENT)), (b"a", 200, -1))

    def test_clientBetweenRequests(self) -> None:
        parser = DrivenHTTP()
        rows = parser.data(CLIENT, GET, 1) + parser.data(SERVER, OK, 2) + parser.gap(CLIENT, 5, 3)
        rows += parser.data(CLIENT, GET, 4) + parser.data(SERVER, OK, 5)
        self.assertEqual([row.method for row in rows], [b"GET", None])

    def test_clientEndsRunningReply(self) -> None:
        parser = self.parser(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        (row,) = parser.gap(CLIENT, 5, 3)
        self.assertEqual((row.responseLength, parser.skip(SERVER)), (3, -1))


class SkipTests(SynchronousTestCase):
    """Bytes of bodies need not be delivered."""

    def test_body(self) -> None:
        parser = DrivenHTTP()
        parser.data(CLIENT, GET, 1)
        self.assertEqual((parser.skip(CLIENT), parser.skip(SERVER)), (0, 0))
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", 2)
        self.assertEqual(parser.skip(SERVER), 7)
        self.assertEqual(parser.skipped(SERVER, 3, 3), [])
        self.assertEqual(parser.skip(SERVER), 4)
        (row,) = parser.skipped(SERVER, 4, 4)
        self.assertEqual((row.responseLength, parser.skip(SERVER)), (9, 0))

    def test_notBeforeFeed(self) -> None:
        parser = DrivenHTTP()
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r", 2)
        self.assertEqual(parser.skip(SERVER), 0)
        parser.data(SERVER, b"\n", 3)
        self.assertEqual(parser.skip(SERVER), 9)

    def test_untilTheEnd(self) -> None:
        parser = DrivenHTTP()
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 2)
        self.assertGreater(parser.skip(SERVER), 1 << 30)
        parser.skipped(SERVER, 1000, 3)
        (row,) = parser.finished(SERVER, 4)
        self.assertEqual(row.responseLength, 1000)

    def test_tooMuchIsAGap(self) -> None:
        parser = DrivenHTTP()
        parser.data(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 2)
        (row,) = parser.skipped(SERVER, 10, 3)
        self.assertEqual((row.responseLength, parser.skip(SERVER)), (9, -1))

    def test_ended(self) -> None:
        parser = DrivenHTTP()
        parser.finished(CLIENT, 1)
        self.assertEqual((parser.skip(CLIENT), parser.skip(SERVER)), (-1, 0))


PACKED = gzip.compress(b"some text, some text, and more" * 9, mtime=1)

FRAGMENTS: list[bytes] = [
    b"GET /a%20b HTTP/1.1\r\n",
    b"HEAD / HTTP/1.0\n",
    b"GET /old\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 C\r\n\r\n",
    b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 206 P\r\nContent-Range: bytes 1-5/9\r\n",
    b"Host: h\r\nVia: v\r\n",
    b"Content-Length: 5\r\n\r\nab\r\ncd",
    b"Content-Length: 11\r\nContent-Type: message/x\r\n",
    b"Content-Type: multipart/x; boundary=b\r\n",
    b"\r\n--b\r\nA: b\r\n\r\nx\ry\nz\r\n--b",
    b"--\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    b"0\r\n\r\n",
    b"Connection: close\r\n",
    b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED),
    b"Content-Encoding: deflate\r\n",
    PACKED,
    b" continued\r\n",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"--",
    b"junk",
    GET,
    OK,
]
conversations = st.lists(
    st.tuples(st.booleans(), st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=8).map(b"".join)),
    max_size=6,
)


def outcome(parser: DrivenHTTP) -> tuple[int, bool, bool, bytes]:
    return parser.pending, parser.violated, parser.confirmed, parser.dump()


class SegmentationTests(SynchronousTestCase):
    """The rows, and all that is remembered, do not depend on how the bytes arrive."""

    @settings(max_examples=150, deadline=None)
    @given(conversations, st.data(), st.sampled_from((0, LARGE)))
    def test_anySplit(self, conversation: list[tuple[bool, bytes]], data: st.DataObject, size: int) -> None:
        """Cut anywhere, dumped and loaded between, bodies passed over: the same."""
        whole, pieces = DrivenHTTP(), DrivenHTTP()
        expected, rows = [], []
        for now, (originator, text) in enumerate(conversation):
            expected += whole.data(originator, text, now, size)
            while text:
                cut = data.draw(st.integers(1, len(text)), "cut")
                skip = pieces.skip(originator)
                if skip > 0 and data.draw(st.booleans(), "pass over"):
                    cut = min(cut, skip)
                    rows += pieces.skipped(originator, cut, now, size)
                else:
                    rows += pieces.data(originator, text[:cut], now, size)
                text = text[cut:]
                if data.draw(st.booleans(), "move"):
                    pieces = DrivenHTTP.load(pieces.dump())
            if whole.tunnels:
                return  # what is in a tunnel depends on the number of chunks
            self.assertEqual(rows, expected)
        for originator in (CLIENT, SERVER):
            expected += whole.finished(originator, 90, size)
            rows += pieces.finished(originator, 90, size)
        self.assertEqual(outcome(pieces), outcome(whole))
        self.assertEqual(rows + pieces.removed(99), expected + whole.removed(99))

    @settings(max_examples=80, deadline=None)
    @given(conversations)
    @example([(True, b"".join(FRAGMENTS)), (False, b"".join(FRAGMENTS))])
    def test_byteByByte(self, conversation: list[tuple[bool, bytes]]) -> None:
        whole, single = DrivenHTTP(), DrivenHTTP()
        for now, (originator, text) in enumerate(conversation):
            expected = whole.data(originator, text, now)
            rows = [row for byte in text for row in single.data(originator, bytes((byte,)), now)]
            if whole.tunnels:
                return
            self.assertEqual(rows, expected)
            self.assertEqual(outcome(single), outcome(whole))

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), st.sampled_from(range(4)), st.binary(max_size=40)), max_size=12))
    def test_anyOrderOfCalls(self, calls: list[tuple[bool, int, bytes]]) -> None:
        """Nothing that a network can bring makes it fail, and no row comes after removal."""
        parser = DrivenHTTP()
        for now, (originator, kind, text) in enumerate(calls):
            if kind == 0:
                parser.gap(originator, len(text) + 1, now)
            elif kind == 1:
                parser.finished(originator, now)
            elif kind == 2:
                parser.reset(now)
            else:
                parser.data(originator, GET + text + OK, now)
        parser.removed(99)
        self.assertEqual(parser.data(CLIENT, GET, 100) + parser.removed(101), [])


class DumpTests(SynchronousTestCase):
    """The format in which a parser travels."""

    GOLDEN = (
        "02 3100 0b 00 0000 01000000 00"
        "03 00 01 00 03000000 583a20 0000000000000000 0000000000000000 0000000000000000 ffffffffffffffff"
        "0000000000000000 01 07000000 486f73743a2068 00 00"
        "00 00 01 00 00000000 0000000000000000 0000000000000000 0000000000000000 ffffffffffffffff"
        "0000000000000000 00 00 00"
        "00 00"
    )
    ROWS = (
        "01 0100000000000000 0000000000000000 0100000000000000"
        "01 0100000000000000 0700000000000000 0100000000000000 00 00 0000000000000000 0000000000000000 00"
        "01 03000000 474554 00 01 02000000 2f78 00 00 00 00 00 00 00"
    )

    def parser(self) -> DrivenHTTP:
        parser = DrivenHTTP()
        parser.data(CLIENT, b"GET /x HTTP/1.1\r\nHost: h\r\nX: ", 7)
        return parser

    def refused(self, data: bytes) -> None:
        error = self.assertRaises(OperationError, DrivenHTTP.load, data)
        self.assertIs(error.refusal, Refusal.BAD_REQUEST)

    def test_golden(self) -> None:
        parser = self.parser()
        self.assertEqual(parser.analyzer.dump().hex(), self.GOLDEN.replace(" ", ""))
        self.assertEqual(parser.around.requests.dump().hex(), self.ROWS.replace(" ", ""))

    def test_empty(self) -> None:
        """Open rows of nobody take no bytes."""
        self.assertEqual(Pairing().dump(), b"")
        self.assertEqual(Pairing.load(b"").dump(), b"")

    def test_loaded(self) -> None:
        signs, waiting, dump = b"\2", bytes.fromhex(self.ROWS), bytes.fromhex(self.GOLDEN)
        parser = DrivenHTTP.load(signs + prefixed(waiting) + prefixed(dump))
        rows = parser.data(CLIENT, b"y\r\n\r\n", 8) + parser.data(SERVER, OK, 9)
        self.assertEqual([(row.stamp, row.host, row.status) for row in rows], [(7, b"h", 200)])

    def test_incomplete(self) -> None:
        data = self.parser().dump()
        for length in range(len(data)):
            self.refused(data[:length])

    def test_trailingJunk(self) -> None:
        self.refused(self.parser().dump() + b"\0")

    def test_otherVersion(self) -> None:
        parser = self.parser()
        for version in (b"\1", b"\3"):
            rows, dump = parser.around.requests.dump(), parser.analyzer.dump()
            self.refused(b"\2" + prefixed(rows) + prefixed(version + dump[1:]))
        self.refused(b"\2" + prefixed(b"\2" + rows[1:]) + prefixed(dump))

    def test_bodyOfLengthNothing(self) -> None:
        """Mode and rest must fit: else the parser would never come forward."""
        parser = DrivenHTTP()
        parser.data(CLIENT, b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 1)
        data = parser.dump()
        self.refused(data.replace((5).to_bytes(8, "little"), bytes(8), 1))

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_anyByteChanged(self, data: st.DataObject) -> None:
        """Refused, or a parser that can be fed and dumped."""
        parser = DrivenHTTP()
        for originator, text in data.draw(conversations):
            parser.data(originator, text, 1)
        dump = bytearray(parser.dump())
        for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(dump) - 1), st.integers(0, 255)))):
            dump[place] = value
        try:
            loaded = DrivenHTTP.load(bytes(dump))
        except OperationError as error:
            self.assertIs(error.refusal, Refusal.BAD_REQUEST)
            return
        self.assertEqual(DrivenHTTP.load(loaded.dump()).dump(), loaded.dump())
        for originator in (CLIENT, SERVER):
            loaded.data(originator, b"".join(FRAGMENTS), 2)
            loaded.gap(originator, 1, 3)
            loaded.finished(originator, 4)
        loaded.removed(5)
        loaded.dump()

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=300))
    def test_junk(self, junk: bytes) -> None:
        self.refused(junk)
