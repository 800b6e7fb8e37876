"""
HTTP as Zeek's analyser reads it: bytes of both directions in, rows of http.log out.

Where this differs from Zeek 8.2:

  - a header field, with its continuation lines and the line after it, or any other line, of more than 64 KiB makes the
    analyser give up on that side, as after a gap, and so do open requests with more than 128 KiB of text; Zeek keeps
    16 MiB a line;
  - a body with a boundary of more than 1,024 bytes is taken as a whole; of a multipart body only the outermost
    boundaries are looked at, and a compressed one is not unpacked;
  - of compressed bodies see L{openmb.plugins.bro.analyzers.http.inflate};
  - in a tunnel (after CONNECT) only HTTP is looked for, in tunnels through tunnels three deep;
  - what follows an upgrade is not read.
"""

from __future__ import annotations

from typing import Self

from openmb.plugins.bro.analyzers.analyzer import Service, Surroundings
from openmb.plugins.bro.analyzers.http import format as http_format
from openmb.plugins.bro.analyzers.http import side as http_side
from openmb.plugins.bro.analyzers.http.inflate import Inflater
from openmb.plugins.bro.analyzers.http.messages import MessageReader
from openmb.plugins.bro.analyzers.http.side import Side
from openmb.plugins.bro.analyzers.signatures import Matcher


class HTTPParser(MessageReader):
    """The HTTP of one TCP connection that was seen from its start."""

    __slots__ = ("_depth", "_inner", "_matcher")

    service = Service.HTTP

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._depth = 1  # tunnels around it, and one
        self._matcher: Matcher | None = None
        self._inner: HTTPParser | None = None

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """In-order bytes of one direction."""
        self._now = now
        side = self._client if originator else self._server
        if not side.ended:
            self._feed(side, data)
        self._tell()

    def skip(self, originator: bool) -> int:
        """
        How many further bytes of this direction need not be delivered: they are inside a body or chunk.

        @return: 0 for none; -1 for all that may ever come.
        """
        if not self._progress.tunnel:
            return self._side(originator).passable()
        if self._matcher is not None:
            return 0
        return -1 if self._inner is None else self._inner.skip(originator)

    def skipped(self, originator: bool, length: int, now: int) -> None:
        """C{length} bytes were passed over after L{skip}; more than it allowed count as a gap."""
        self._now = now
        side = self._side(originator)
        if self._progress.tunnel:
            if self._inner is not None:
                self._inner.skipped(originator, length, now)
            self._tell()
            return
        allowed = side.passable()
        if allowed > 0 and length > 0:
            self._passOver(side, min(length, allowed))
        if length > allowed >= 0:
            self._lose(side, length - allowed)
        self._tell()

    def gap(self, originator: bool, length: int, now: int) -> None:
        """C{length} bytes of this direction were never seen."""
        self._now = now
        side = self._side(originator)
        if self._progress.tunnel:
            self._tunnelGap(originator, length)
        elif not side.ended:
            self._lose(side, length)
        self._tell()

    def finished(self, originator: bool, now: int) -> None:
        """This direction has ended (FIN) and everything before was delivered: an unfinished line counts as a line."""
        self._now = now
        side = self._side(originator)
        if not side.ended:
            side.ended = True
            if self._inner is not None:
                self._inner.finished(originator, now)
            self._flush(side)
            self._end(side)
        self._tell()

    def reset(self, now: int) -> None:
        """A RST came, from whichever side: messages in progress end, nothing more is read of their directions."""
        self._now = now
        self._interruptAll()
        self._tell()

    def interrupted(self, now: int) -> None:
        """Taken away: messages in progress end; open requests stay open, for the connection or another analyser."""
        self._now = now
        self._interruptAll()
        self._tell()

    def removed(self, now: int) -> None:
        """The connection is removed: messages in progress end, and every open row is written."""
        self._now = now
        self._interruptAll()
        self._client.ended = self._server.ended = True
        self._matcher = self._inner = None
        self.around.requests.close()
        self._tell()

    def dump(self) -> bytes:
        """Everything known but the open rows, in the format of L{openmb.plugins.bro.analyzers.http.format}."""
        matcher = None if self._matcher is None else self._matcher.dump()
        inner = None if self._inner is None else self._inner.dump()
        return http_format.pack(http_format.ParserState(self._client, self._server, self._progress, matcher, inner))

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """
        A parser that goes on where the one that was dumped stopped.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        parser = cls(around)
        parser._restore(data, 1)
        return parser

    def _restore(self, data: bytes, depth: int) -> None:
        state, self._depth = http_format.unpack(data, depth), depth
        self._client, self._server, self._progress = state.client, state.server, state.progress
        self._matcher = None if state.matcher is None else Matcher.load(state.matcher)
        if state.inner is not None:
            self._inner = HTTPParser(self.around)
            self._inner._restore(state.inner, depth + 1)

    # -- from and to the fast path

    def resume(self, spoken: bool, keepAlive: bool, requestVersion: int, replyVersion: int) -> None:
        """Go on between two messages; C{spoken}: there were some."""
        progress = self._progress
        progress.requested = progress.confirmed = spoken
        progress.keepAlive = keepAlive
        progress.requestVersion, progress.replyVersion = requestVersion, replyVersion

    def follow(self, mode: int, remaining: int, length: int, line: bytes, inflater: Inflater | None) -> None:
        """Go on inside of the reply's body, whose head was read last."""
        server = self._server
        server.mode, server.remaining, server.length, server.inflater = mode, remaining, length, inflater
        server.held += line

    def end(self, carriage: bool, closes: bool, client: bool, server: bool) -> None:
        """The server's last line ended with CR; it closes the connection; these sides have ended."""
        self._server.carriage = self._server.carriage or carriage
        self._progress.connectionClose = self._progress.connectionClose or closes
        self._client.ended, self._server.ended = client, server

    def between(self) -> tuple[bool, bool, int, int] | None:
        """
        What there is to be known, if both directions are between messages and nothing was out of the ordinary:
        C{keepAlive}, C{connectionClose} and the versions of the last request and reply; else None.
        """
        progress, requests = self._progress, self.around.requests
        ordinary = progress.confirmed and progress.requested and not (progress.tunnel or progress.connectRequest)
        if not ordinary or progress.unanswered or progress.code or self._inner is not None or self._matcher is not None:
            return None
        if requests.pending or requests.request != requests.response or progress.requestVersion not in (10, 11):
            return None
        for side in (self._client, self._server):
            if side.mode != http_side.START or side.ended or side.carriage or side.held or side.header:
                return None
        return progress.keepAlive, progress.connectionClose, progress.requestVersion, progress.replyVersion

    def _tell(self) -> None:
        """Rows that were written are findings, and so is what was found in a tunnel."""
        if self._inner is not None and self._inner.findings:
            self.findings += self._inner.findings
            self._inner.findings.clear()
        if self.around.requests.written:
            self.findings += self.around.requests.take()

    def _interruptAll(self) -> None:
        """Both messages in progress end before their time, those in a tunnel first."""
        if self._inner is not None:
            self._inner._now = self._now
            self._inner._interruptAll()
        self._interrupt()

    # -- tunnels

    def _dig(self) -> None:
        super()._dig()
        if self._progress.connectRequest and self._depth < http_format.DEEPEST:
            self._matcher = Matcher()

    def _tunnelled(self, side: Side, data: bytes) -> None:
        """Bytes of one direction of a tunnel; the LF of the line before it does not belong to them."""
        if side.carriage:
            side.carriage = False
            data = data[1:] if data[:1] == b"\n" else data
        originator, matcher = side is self._client, self._matcher
        if not data:
            return
        if self._inner is not None and self._inner.skip(originator) >= 0:
            self._inner.data(originator, data, self._now)
        if matcher is not None:
            if Service.HTTP in matcher.take(originator, data):
                self._goIn(matcher)
            if self._inner is not None or matcher.isOver:
                self._matcher = None

    def _goIn(self, matcher: Matcher) -> None:
        """There is HTTP in the tunnel: its parser gets everything that came so far."""
        inner = self._inner = HTTPParser(self.around)
        inner._depth = self._depth + 1
        for originator, chunk in matcher.chunks:
            if isinstance(chunk, int):
                inner.gap(originator, chunk, self._now)
            else:
                inner.data(originator, chunk, self._now)

    def _tunnelGap(self, originator: bool, length: int) -> None:
        """Bytes in a tunnel were never seen."""
        self._side(originator).carriage = False
        if self._inner is not None:
            self._inner.gap(originator, length, self._now)
        if self._matcher is not None:
            self._matcher.gap(originator, length)
            self._matcher = None if self._matcher.isOver else self._matcher

    # -- bytes and lines

    def _side(self, originator: bool) -> Side:
        return self._client if originator else self._server

    def _feed(self, side: Side, data: bytes) -> None:
        """Take bytes of one direction: cut them into lines, or count them."""
        position, length, carriage, feed = 0, len(data), -1, -1
        progress = self._progress
        while position < length and side.mode != http_side.IGNORED and not progress.tunnel:
            if side.carriage:
                side.carriage = False
                if data[position] == 10:
                    position += 1
                    continue
            if side.mode not in http_side.BY_LINE:
                position = self._count(side, data, position)
                continue
            if side.mode == http_side.HEADERS and side.header is None and not side.held:
                position = self._headerBlock(side, data, position)
                if side.mode != http_side.HEADERS:
                    continue
            if carriage < position and (carriage := data.find(b"\r", position)) < 0:
                carriage = length
            if feed < position and (feed := data.find(b"\n", position)) < 0:
                feed = length
            end = carriage if carriage < feed else feed
            if side.mode >= http_side.MESSAGE and end - position >= side.room():
                end = after = position + side.room()
            elif end == length:
                side.held += data[position:]
                if len(side.held) + len(side.header or b"") > http_side.LONGEST_LINE:
                    self._stop(side)
                return
            elif end == carriage and (feed != end + 1 or feed == length):
                after, side.carriage = end + 1, True
            else:
                after = end + 2 if end == carriage else end + 1
            line, position = data[position:end], after
            if side.held:
                line = bytes(side.held) + line
                side.held.clear()
            self._line(side, line)
        if progress.tunnel and position < length:
            self._tunnelled(side, data[position:])

    def _count(self, side: Side, data: bytes, position: int) -> int:
        """Take bytes that are not cut into lines, from C{position} on; returns the position after them."""
        mode = side.mode
        if mode == http_side.BODY or mode == http_side.CHUNK:
            taken = min(side.remaining, len(data) - position)
            side.countBody(data[position : position + taken])
            self._advance(side, taken)
            return position + taken
        if mode == http_side.PART:
            return self._part(side, data, position)
        if mode == http_side.RAW_REPLY:
            self._rawReply()
            return position
        if mode == http_side.LINES:
            side.countLines(data, position)
        else:
            side.countBody(data[position:])
        return len(data)

    def _passOver(self, side: Side, length: int) -> None:
        """C{length} bytes of a body that were not looked at; not more than there are."""
        if not side.compressed:
            side.length += length
        self._advance(side, length)

    def _advance(self, side: Side, length: int) -> None:
        """C{length} bytes of a body are through."""
        if side.mode != http_side.EVERYTHING:
            side.remaining -= length
            if side.remaining == 0 and side.mode == http_side.CHUNK:
                side.mode = http_side.CHUNK_END
            elif side.remaining == 0:
                self._end(side)

    def _lose(self, side: Side, length: int) -> None:
        """A gap: harmless inside a body or chunk of known length of which something was seen."""
        inside = side.mode == http_side.BODY or side.mode == http_side.CHUNK
        began = side.length > 0 or side.inflater is not None
        if inside and began and length <= side.remaining:
            side.length += length
            self._advance(side, length)
        else:
            self._stop(side)

    def _flush(self, side: Side) -> None:
        """Treat the unfinished line as if its end had come."""
        if self._progress.tunnel:
            return
        if side.mode == http_side.LINES and side.unfinished:
            side.length += side.unfinished + 2
        elif side.mode == http_side.PART and side.withheld:
            self._bodyLine(side, bytes(side.held), side.unfinished)
        elif side.mode in http_side.BY_LINE and side.held:
            line = bytes(side.held)
            side.held.clear()
            self._line(side, line)

    def _part(self, side: Side, data: bytes, position: int) -> int:
        """Take bytes of a part of a multipart body up to the end of a line; returns the position after them."""
        start, shift, room = position, 0, side.room()
        if side.withheld:
            data, shift, position = b"\r" + data[position:], position - 1, 0
        end = data.find(b"\r\n", position)
        side.withheld = end < 0 and data.endswith(b"\r")
        stop = end if end >= 0 else len(data) - side.withheld
        used = room <= stop - position
        if used:
            stop = end = position + room
            side.withheld = False
        side.held += data[position : min(stop, position + len(side.boundary or b"") + 2 - len(side.held))]
        side.unfinished += stop - position
        if end < 0:
            return len(data) + shift
        size, side.unfinished = side.unfinished, 0
        line = bytes(side.held)
        side.held.clear()
        self._bodyLine(side, line, size)
        return max(stop + shift + (0 if used else 2), start)
