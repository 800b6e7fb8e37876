"""
What the lines of HTTP mean: messages begin, have header fields and bodies, end, and violate the protocol.
"""

from __future__ import annotations

import re

from openmb.plugins.bro.analyzers.analyzer import Analyzer, Sign, Surroundings
from openmb.plugins.bro.analyzers.http import side as http_side
from openmb.plugins.bro.analyzers.http.rowformat import MOST_PROXIED
from openmb.plugins.bro.analyzers.http.rows import SHORT, OpenRow
from openmb.plugins.bro.analyzers.http.side import Progress, Side
from openmb.plugins.bro.analyzers.http.syntax import (
    firstWord,
    parseChunkSize,
    parseHeader,
    parseLength,
    parseMediaType,
    parseRange,
    parseReplyLine,
    parseRequestLine,
    parseUser,
    unescape,
)

_COLUMNS = {b"HOST": "host", b"REFERER": "referrer", b"ORIGIN": "origin", b"USER-AGENT": "userAgent"}
_PROXIES = frozenset(
    b"FORWARDED X-FORWARDED-FOR X-FORWARDED-FROM CLIENT-IP VIA XROXY-CONNECTION PROXY-CONNECTION".split()
)
_AUTHORIZATIONS = frozenset((b"AUTHORIZATION", b"PROXY-AUTHORIZATION"))
_FRAMING = frozenset(
    b"CONTENT-LENGTH CONTENT-RANGE TRANSFER-ENCODING CONTENT-ENCODING CONTENT-TYPE CONNECTION UPGRADE".split()
)
_READ = _FRAMING | _PROXIES | _AUTHORIZATIONS | frozenset(_COLUMNS)

# lines with simple names up to the empty line: no lone CR or LF, no continuation, nothing that begins with NUL
_ORDINARY_HEADER = re.compile(rb"(?:[!-')-9;-~][!-9;-~]*+:[^\r\n]*+\r\n)++\r\n")
_FIELDS = re.compile(rb"\n(" + b"|".join(sorted(_READ)) + rb"):([^\r]*+)", re.IGNORECASE)


class MessageReader(Analyzer):
    """
    The messages of one connection, both directions, fed with whole lines.

    @ivar _now: packet time of what is being read, nanoseconds.
    """

    __slots__ = ("_client", "_now", "_progress", "_server")

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._client, self._server, self._progress = Side(), Side(), Progress()
        self._now = 0

    def _line(self, side: Side, line: bytes) -> None:
        """One line, its end removed."""
        mode = side.mode
        if len(line) > http_side.LONGEST_LINE:
            self._stop(side)
        elif mode == http_side.HEADERS or mode == http_side.TRAILER:
            self._headerLine(side, line)
        elif mode == http_side.START:
            if side is self._client:
                self._requestLine(line)
            else:
                self._statusLine(line)
        elif mode == http_side.CHUNK_SIZE:
            side.remaining = parseChunkSize(line)
            side.mode = http_side.CHUNK if side.remaining else http_side.TRAILER
        elif mode == http_side.CHUNK_END:
            side.mode = http_side.CHUNK_SIZE
        else:
            self._bodyLine(side, line, len(line))

    def _requestLine(self, line: bytes) -> None:
        """A line of the client where a request is expected."""
        progress, request = self._progress, parseRequestLine(line)
        if request is None:
            if line and (progress.keepAlive or not progress.requested):
                self._violate(self._client)
            return
        if request.version is not None:
            progress.requestVersion = progress.spoken(request.version)
        method = request.method.upper()
        progress.requested = True
        self._confirm()
        # Zeek compares as many characters as the method has
        progress.connectRequest = progress.connectRequest or b"CONNECT".startswith(method)
        progress.asked(b"HEAD".startswith(method))
        self.around.requests.requested(request.method, unescape(request.uri), self._now)
        self._client.begin(http_side.HEADERS, http_side.PERHAPS)
        if len(line) > SHORT and self.around.requests.heavy():
            self._stop(self._client)
            return
        if progress.requestVersion == 9:
            self._expectRawReply()

    def _expectRawReply(self) -> None:
        """The request was HTTP/0.9: what the server sends from now on has no lines."""
        server = self._server
        self._replyMade(False)
        if server.mode != http_side.IGNORED:
            server.begin(http_side.RAW_REPLY, http_side.SOME_BODY)
            server.carriage = False
            server.held.clear()

    def _rawReply(self) -> None:
        """The first byte of an HTTP/0.9 reply is there."""
        progress, server = self._progress, self._server
        progress.replyVersion = progress.spoken(9)
        if progress.unanswered:
            self._confirm()
        progress.answered()
        progress.connectionClose = True
        progress.code = 0
        self.around.requests.replied(b"0.9", 0, b"<empty>", self._now)
        server.begin(http_side.EVERYTHING, self._expectedBody())
        if server.expected == http_side.NO_BODY:
            self._replyMade(True)

    def _statusLine(self, line: bytes) -> None:
        """A line of the server where a reply is expected."""
        progress, reply = self._progress, parseReplyLine(line)
        if reply is not None:
            progress.replyVersion = progress.spoken(reply.version)
        if reply is None or reply.code is None:
            if line:
                self._violate(self._server)
            return
        if progress.unanswered:
            self._confirm()
        progress.code = reply.code
        progress.connectRequest = progress.connectRequest and reply.code == 200
        version = b"%d.%d" % divmod(reply.version, 10)
        reason = b"<empty>" if reply.reason is None else reply.reason
        self.around.requests.replied(version, reply.code, reason, self._now)
        self._server.begin(http_side.HEADERS, self._expectedBody())
        if len(line) > SHORT and self.around.requests.heavy():
            self._stop(self._server)

    def _expectedBody(self) -> int:
        """Does the reply that begins now have a body?"""
        progress = self._progress
        if progress.unanswered and progress.unanswered[0] == 1:
            return http_side.NO_BODY
        code = progress.code
        return http_side.NO_BODY if 100 <= code <= 199 or code in (204, 304) else http_side.SOME_BODY

    def _confirm(self) -> None:
        """HTTP is spoken here; said once."""
        if not self._progress.confirmed:
            self._progress.confirmed = True
            self.findings.append(Sign.CONFIRMED)

    def _violate(self, side: Side) -> None:
        """C{side} does not speak HTTP: it is ignored from now on."""
        side.ignore()
        self.findings.append(Sign.VIOLATED)

    def _dig(self) -> None:
        """What follows is not this HTTP: a tunnel, that is, HTTP inside HTTP or anything else."""
        self._progress.tunnel = True
        for side in (self._client, self._server):
            side.held.clear()
            side.header = side.boundary = side.inflater = None
            side.withheld = False
            side.unfinished = side.remaining = 0
            side.mode = http_side.EVERYTHING if side.ongoing else side.mode

    def _stop(self, side: Side) -> None:
        """Give up on one side.  After a lost request nobody knows whether a reply has a body: the running one ends."""
        if side is self._client:
            self._requestMade(True)
        self._replyMade(True)
        side.ignore()

    def _interrupt(self) -> None:
        """Both messages in progress end before their time."""
        self._requestMade(True)
        self._replyMade(True)

    # -- header fields

    def _headerLine(self, side: Side, line: bytes) -> None:
        """A line in a header, or in the trailer after the last chunk."""
        if not line or line[0] == 0:
            self._headerEnded(side)
            if side.mode == http_side.IGNORED:
                return
            self._headersEnded(side)
            if self._progress.connectRequest and side is self._server and not line:
                self._dig()
        elif side.header is not None and len(side.header) + len(line) > http_side.LONGEST_LINE:
            self._stop(side)
        elif line[0] not in b" \t":
            if side.header is not None:
                self._headerEnded(side)
            if side.mode != http_side.IGNORED:
                side.header = line
        elif side.header is None:
            side.header = line.lstrip(b" \t") or None
        else:
            if isinstance(side.header, bytes):
                side.header = bytearray(side.header)
            side.header += line

    def _headerBlock(self, side: Side, data: bytes, position: int) -> int:
        """
        Read an ordinary header that is there as a whole: the same as line by line, but faster.

        @return: the position after its empty line, or C{position} when the header has to be read line by line.
        """
        ordinary = _ORDINARY_HEADER.match(data, position) if position and data[position - 1] == 10 else None
        if ordinary is None or ordinary.end() - position > http_side.LONGEST_LINE:
            return position
        fromClient = side is self._client
        row = self.around.requests.current(fromClient, self._now)
        for name, value in _FIELDS.findall(data, position - 1, ordinary.end()):
            name, value = name.upper(), value.lstrip()
            column = _COLUMNS.get(name)
            if column is None or len(value) > SHORT:
                self._headerField(side, row, name, value)
                if side.mode == http_side.IGNORED:
                    return ordinary.end()
            elif fromClient:
                setattr(row, column, value)
        self._headerLine(side, b"")
        return ordinary.end()

    def _headerEnded(self, side: Side) -> None:
        """The header field that was being read is complete."""
        if side.header is not None:
            field, side.header = parseHeader(bytes(side.header)), None
            if field is not None:
                self._headerField(side, self.around.requests.current(side is self._client, self._now), *field)

    def _headerField(self, side: Side, row: OpenRow, name: bytes, value: bytes) -> None:
        """One header field; its name in upper case."""
        if name in _FRAMING:
            self._framingField(side, name, value)
        elif side is self._client:
            self._requestField(row, name, value)
            if (len(value) > SHORT or name in _PROXIES) and self.around.requests.heavy():
                self._stop(side)

    def _requestField(self, row: OpenRow, name: bytes, value: bytes) -> None:
        """A header field of the client that http.log shows."""
        column = _COLUMNS.get(name)
        if column is not None:
            setattr(row, column, value)
        elif name in _PROXIES:
            entry, proxied = name + b" -> " + value, row.proxied or ()
            if entry not in proxied and len(proxied) < MOST_PROXIED:
                row.proxied = (*proxied, entry)
        elif name in _AUTHORIZATIONS:
            user = parseUser(value)
            row.username = row.username if user is None else user

    def _framingField(self, side: Side, name: bytes, value: bytes) -> None:
        """A header field that says where the message, or the connection, ends."""
        if name == b"CONTENT-LENGTH":
            length = parseLength(value)
            if length is not None:
                side.announced = max(length, side.range)
        elif name == b"CONTENT-TYPE":
            self._contentType(side, value)
        elif name == b"CONTENT-RANGE":
            length = parseRange(value) if self._progress.code == 206 else 0
            if length:
                side.range = length
                side.announced = max(side.announced, length)
        elif name == b"TRANSFER-ENCODING":
            ongoing = self._client.ongoing
            version = self._progress.requestVersion if ongoing else self._progress.replyVersion
            side.chunked = side.chunked or (version == 11 and firstWord(value) == b"chunked")
        elif name == b"CONTENT-ENCODING":
            side.compressed = side.compressed or firstWord(value) in (b"gzip", b"x-gzip", b"deflate")
        else:
            self._connectionField(side, name, firstWord(value))

    def _contentType(self, side: Side, value: bytes) -> None:
        """Is the body to be read by lines?"""
        media = parseMediaType(value)
        if media is None:
            return
        kind, boundary = media
        if boundary is not None and len(boundary) <= http_side.LONGEST_BOUNDARY:
            side.boundary = b"--" + boundary
        if kind == b"multipart" and side.boundary is not None:
            side.content = http_side.MULTIPART
        else:
            side.content = http_side.MESSAGES if kind == b"message" else http_side.OTHER

    def _connectionField(self, side: Side, name: bytes, word: bytes) -> None:
        """Connection or Upgrade."""
        progress = self._progress
        if side is self._client:
            progress.keepAlive = progress.keepAlive or (name == b"CONNECTION" and word == b"keep-alive")
        elif name == b"UPGRADE":
            progress.upgradeProtocol = bool(word)
        elif word == b"close":
            progress.connectionClose = True
        elif word == b"upgrade":
            progress.upgradeConnection = True

    # -- bodies and ends

    def _headersEnded(self, side: Side) -> None:
        """The empty line after header or trailer: what comes next?"""
        if side.mode == http_side.TRAILER or side.expected == http_side.NO_BODY:
            self._end(side)
        elif side.content != http_side.OTHER:
            self._readByLines(side)
        elif side.chunked:
            side.mode = http_side.CHUNK_SIZE
        elif side.announced > 0:
            side.mode, side.remaining = http_side.BODY, side.announced
        elif side.announced == 0:
            self._end(side)
        elif self._progress.connectionClose or side.compressed:
            side.mode = http_side.EVERYTHING
        elif side.expected == http_side.SOME_BODY:
            side.mode = http_side.LINES
        else:
            self._end(side)

    def _readByLines(self, side: Side) -> None:
        """A body of type multipart or message begins."""
        if side.announced == 0:
            self._end(side)
        elif side.content == http_side.MULTIPART:
            side.mode = http_side.PREAMBLE
        else:
            side.mode = http_side.MESSAGE if side.announced > 0 else http_side.LINES

    def _bodyLine(self, side: Side, line: bytes, size: int) -> None:
        """A line of C{size} bytes in a body that is read by lines; C{line} is its beginning at least."""
        side.length += size + 2
        closing = False
        if side.boundary is not None and side.mode != http_side.MESSAGE and line.startswith(side.boundary):
            closing = line.startswith(b"--", len(side.boundary))
            side.mode = http_side.PART_HEADERS
        elif side.mode == http_side.PART_HEADERS and (not line or line[0] == 0):
            side.mode = http_side.PART
        if closing or 0 <= side.announced <= side.length:
            self._end(side)

    def _end(self, side: Side) -> None:
        """The message in progress ends as it should."""
        if side is self._client:
            self._requestMade(False)
        else:
            self._replyMade(False)

    def _requestMade(self, interrupted: bool) -> None:
        """The request in progress, if any, ends."""
        client = self._client
        if not client.ongoing:
            return
        self._headerEnded(client)
        length = client.length
        client.begin(http_side.START, http_side.PERHAPS)
        if interrupted:
            client.ignore()
        self.around.requests.requestEnded(length, self._now)

    def _replyMade(self, interrupted: bool) -> None:
        """The reply in progress, if any, ends."""
        progress, server = self._progress, self._server
        if not server.ongoing:
            return
        self._headerEnded(server)
        length, code = server.length, progress.code
        server.begin(http_side.START, http_side.PERHAPS)
        self.around.requests.replyEnded(length, self._now)
        if not 100 <= code <= 199:
            progress.answered()
        upgrade = progress.upgradeConnection and progress.upgradeProtocol
        if code == 101 and upgrade and len(progress.unanswered) == 1:
            self._dig()
        progress.code = 0
        progress.upgradeConnection = progress.upgradeProtocol = False
        if interrupted:
            server.ignore()
