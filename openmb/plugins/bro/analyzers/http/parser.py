"""
HTTP as Zeek's analyser reads it: bytes of both directions in, rows of http.log out.

Sans-I/O.  Bytes may come in any segmentation, the rows do not depend on it.  Where this differs from Zeek 8.2:

  - a line (or a header field with its continuation lines) of more than 64 KiB makes the parser give up on that side, as
    after a gap, and so do open requests with more than 128 KiB of text; Zeek keeps 16 MiB a line;
  - a body with a boundary of more than 1,024 bytes is taken as a whole;
  - lengths of gzip and deflate bodies are those before decompression, so that such bodies need not be delivered;
  - what is inside a tunnel (after CONNECT, or after an upgrade) is not read;
  - of a multipart body only the outermost boundaries are looked at;
  - a parser that was removed by a violation is not attached again: the caller that matches signatures (dynamic protocol
    detection) makes a new parser with the same L{Pairing} and feeds it what it kept.
"""

from __future__ import annotations

from openmb.plugins.bro.analyzers.http import format as http_format
from openmb.plugins.bro.analyzers.http import side as http_side
from openmb.plugins.bro.analyzers.http.messages import MessageReader
from openmb.plugins.bro.analyzers.http.rows import HTTPRow, Pairing
from openmb.plugins.bro.analyzers.http.side import Side

__all__ = ["HTTPParser", "HTTPRow"]


class HTTPParser(MessageReader):
    """
    The HTTP of one TCP connection that was seen from its start.

    Every method returns the rows that were completed by it, in the order in which Zeek writes them.  C{now} is packet
    time in nanoseconds, C{originator} the direction; C{size} is how many bytes both sides have sent in all, as conn.log
    counts them, the packet being processed included: only up to 10240 bytes does a violation remove the parser.
    """

    __slots__ = ()

    @property
    def pairing(self) -> Pairing:
        """The open rows; outlives the parser when another is attached to the same connection."""
        return self._pairing

    @property
    def pending(self) -> int:
        """How many rows are open."""
        return len(self._pairing.pending)

    @property
    def violated(self) -> bool:
        """Was the parser removed by a violation?  Then only L{removed} still has rows."""
        return self._progress.violated

    @property
    def confirmed(self) -> bool:
        """Does C{http} belong into the connection's service column?"""
        return self._progress.confirmed and not self._progress.violated

    def data(self, originator: bool, data: bytes, now: int, size: int = 0) -> list[HTTPRow]:
        """In-order bytes of one direction."""
        self._now, self._size = now, size
        side = self._side(originator)
        if not side.ended:
            self._feed(side, data)
        return self._pairing.take()

    def skip(self, originator: bool) -> int:
        """
        How many further bytes of this direction need not be delivered: they are inside a body or chunk.  L{skipped}
        must be told of them before anything else that happens to this direction.

        @return: 0 for none; -1 for all that may ever come, which L{skipped} need not be told of.
        """
        return -1 if self._progress.tunnel else self._side(originator).passable()

    def skipped(self, originator: bool, length: int, now: int, size: int = 0) -> list[HTTPRow]:
        """C{length} bytes were passed over after L{skip}; more than it allowed count as a gap."""
        self._now, self._size = now, size
        side = self._side(originator)
        allowed = self.skip(originator)
        if allowed > 0 and length > 0:
            self._passOver(side, min(length, allowed))
        if length > allowed >= 0:
            self._lose(side, length - allowed)
        return self._pairing.take()

    def gap(self, originator: bool, length: int, now: int) -> list[HTTPRow]:
        """C{length} bytes of this direction were never seen."""
        self._now = now
        side = self._side(originator)
        if not side.ended:
            self._lose(side, length)
        return self._pairing.take()

    def finished(self, originator: bool, now: int, size: int = 0) -> list[HTTPRow]:
        """This direction has ended (FIN) and everything before was delivered: an unfinished line counts as a line."""
        self._now, self._size = now, size
        side = self._side(originator)
        if not side.ended:
            side.ended = True
            self._flush(side)
            self._end(side)
        return self._pairing.take()

    def reset(self, now: int) -> list[HTTPRow]:
        """A RST came, from whichever side: messages in progress end, nothing more is read of their directions."""
        self._now = now
        self._interrupt()
        return self._pairing.take()

    def removed(self, now: int) -> list[HTTPRow]:
        """The connection is removed: messages in progress end, and every open row is written."""
        self._now = now
        self._interrupt()
        self._client.ended = self._server.ended = True
        self._pairing.close()
        return self._pairing.take()

    def dump(self) -> bytes:
        """Everything known, in the format of L{openmb.plugins.bro.analyzers.http.format}."""
        return http_format.pack(http_format.ParserState(self._client, self._server, self._progress, self._pairing))

    @classmethod
    def load(cls, data: bytes) -> HTTPParser:
        """
        A parser that goes on where the one that was dumped stopped.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        state, parser = http_format.unpack(data), cls()
        parser._client, parser._server = state.client, state.server
        parser._progress, parser._pairing = state.progress, state.pairing
        return parser

    @classmethod
    def silent(cls) -> HTTPParser:
        """A parser that has given up on both sides."""
        parser = cls()
        parser._client.ignore()
        parser._server.ignore()
        return parser

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
                if len(side.held) > http_side.LONGEST_LINE:
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

    def _count(self, side: Side, data: bytes, position: int) -> int:
        """Take bytes that are not cut into lines, from C{position} on; returns the position after them."""
        mode = side.mode
        if mode == http_side.BODY or mode == http_side.CHUNK:
            taken = min(side.remaining, len(data) - position)
            self._passOver(side, taken)
            return position + taken
        if mode == http_side.PART:
            return self._part(side, data, position)
        if mode == http_side.RAW_REPLY:
            self._rawReply()
            return position
        if mode == http_side.LINES:
            side.countLines(data, position)
        else:
            side.length += len(data) - position
        return len(data)

    def _passOver(self, side: Side, length: int) -> None:
        """C{length} bytes of a body, seen or not; not more than there are."""
        side.length += length
        if side.mode != http_side.EVERYTHING:
            side.remaining -= length
            if side.remaining == 0 and side.mode == http_side.CHUNK:
                side.mode = http_side.CHUNK_END
            elif side.remaining == 0:
                self._end(side)

    def _lose(self, side: Side, length: int) -> None:
        """A gap: harmless inside a body or chunk of known length of which something was seen."""
        inside = side.mode == http_side.BODY or side.mode == http_side.CHUNK
        if inside and side.length > 0 and length <= side.remaining:
            self._passOver(side, length)
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
