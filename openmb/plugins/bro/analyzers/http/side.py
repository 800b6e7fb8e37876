"""
One direction of an HTTP connection: what is expected next, and what is known of the message in progress.

A L{Side} only keeps state and cuts bytes into lines; what a line means is decided in C{messages}.
"""

from __future__ import annotations

import enum

from openmb.plugins.bro.analyzers.http.inflate import Inflater

#: Bytes of an unfinished line that are kept for each side.  Zeek's limit is 16 MiB.
LONGEST_LINE = 64 << 10

#: Bytes of a multipart boundary; a body with a longer one is taken as a whole.  RFC 2046 allows 70.
LONGEST_BOUNDARY = 1024

#: Requests without reply that are remembered, to know which replies answer a HEAD.
MOST_UNANSWERED = 16384

#: A body that ends with the connection: so many bytes may be passed over at a time.
UNTIL_END = 0x7FFFFFFF


class Mode(enum.IntEnum):
    """What a side expects next.  From C{HEADERS} on a message is in progress."""

    START = 0  # a request or status line
    IGNORED = 1  # nothing any more
    RAW_REPLY = 2  # the first byte of an HTTP/0.9 reply
    HEADERS = 3
    BODY = 4  # of known length
    UNTIL_END = 5  # body up to the end of the connection, as it comes
    CHUNK_SIZE = 6
    CHUNK = 7
    CHUNK_END = 8  # the empty line after a chunk
    TRAILER = 9  # header fields after the last chunk
    LINES = 10  # body up to the end of the connection, counted by lines
    MESSAGE = 11  # body of type message/*, counted by lines
    PREAMBLE = 12  # body of type multipart/*, before the first boundary
    PART_HEADERS = 13  # ... header fields of a part
    PART = 14  # ... content of a part: only CRLF ends a line


class Expected(enum.IntEnum):
    """Does the message in progress have a body?"""

    NO = 0
    PERHAPS = 1  # only if its header fields say so
    YES = 2


class Content(enum.IntEnum):
    """The kinds of body that are read by lines, and all others."""

    OTHER = 0
    MULTIPART = 1
    MESSAGE = 2


# plain integers: comparing members of an enumeration takes too long for every line
NO_BODY, PERHAPS, SOME_BODY = int(Expected.NO), int(Expected.PERHAPS), int(Expected.YES)
OTHER, MULTIPART, MESSAGES = int(Content.OTHER), int(Content.MULTIPART), int(Content.MESSAGE)
BODY, CHUNK, EVERYTHING = int(Mode.BODY), int(Mode.CHUNK), int(Mode.UNTIL_END)
START, IGNORED, RAW_REPLY, HEADERS, LINES, PART = (
    int(mode) for mode in (Mode.START, Mode.IGNORED, Mode.RAW_REPLY, Mode.HEADERS, Mode.LINES, Mode.PART)
)
CHUNK_SIZE, CHUNK_END, TRAILER, MESSAGE, PREAMBLE, PART_HEADERS = (
    int(mode)
    for mode in (Mode.CHUNK_SIZE, Mode.CHUNK_END, Mode.TRAILER, Mode.MESSAGE, Mode.PREAMBLE, Mode.PART_HEADERS)
)

#: The modes in which bytes are cut into lines.
BY_LINE = frozenset((START, HEADERS, CHUNK_SIZE, CHUNK_END, TRAILER, MESSAGE, PREAMBLE, PART_HEADERS))


class Progress:
    """
    What both directions share.

    @ivar keepAlive: a version above 1.0 or a client's C{Connection: keep-alive} was seen.
    @ivar connectionClose: a server's C{Connection: close} was seen.
    @ivar connectRequest: a CONNECT waits for its answer.
    @ivar tunnel: what follows is not this HTTP.
    @ivar confirmed: that was said.
    @ivar requested: there was a request.
    @ivar upgradeConnection: the reply in progress has C{Connection: upgrade}.
    @ivar upgradeProtocol: ... and an C{Upgrade} field.
    @ivar code: status of the reply in progress, else 0.
    @ivar unanswered: one byte for each request without final reply, oldest first: 1 for HEAD.
    """

    FLAGS = (
        "keepAlive",
        "connectionClose",
        "connectRequest",
        "tunnel",
        "confirmed",
        "requested",
        "upgradeConnection",
        "upgradeProtocol",
    )
    __slots__ = (*FLAGS, "code", "replyVersion", "requestVersion", "unanswered")

    def __init__(self) -> None:
        self.keepAlive = self.connectionClose = self.connectRequest = self.tunnel = False
        self.confirmed = self.requested = self.upgradeConnection = self.upgradeProtocol = False
        self.requestVersion = self.replyVersion = self.code = 0
        self.unanswered = bytearray()

    def answered(self) -> None:
        """The oldest unanswered request, if any, has its reply."""
        del self.unanswered[:1]

    def asked(self, isHead: bool) -> None:
        """One more unanswered request; beyond L{MOST_UNANSWERED} the oldest is forgotten."""
        self.unanswered.append(isHead)
        del self.unanswered[: max(len(self.unanswered) - MOST_UNANSWERED, 0)]

    def spoken(self, version: int) -> int:
        """A side named its C{version}, which is returned."""
        self.keepAlive = self.keepAlive or version > 10
        return version


class Side:
    """
    The state of one direction.

    @ivar mode: a L{Mode}.
    @ivar carriage: the last line ended with CR: an LF that comes next belongs to it.
    @ivar ended: no more bytes will come.
    @ivar held: the unfinished line; in a part of a multipart body only its beginning.
    @ivar unfinished: bytes of the unfinished line, in the modes that only count them.
    @ivar remaining: bytes left of the body or chunk of known length.
    @ivar length: bytes of body so far, as http.log counts them.
    @ivar withheld: in a part of a multipart body, the last byte was a CR (not counted in C{unfinished}).
    @ivar header: the header field that the next line may continue.
    @ivar boundary: of a multipart body, with the two dashes before it.
    @ivar announced: Content-Length, -1 without.
    @ivar range: bytes of a Content-Range, 0 without.
    @ivar chunked: Transfer-Encoding says so.
    @ivar compressed: gzip or deflate.
    @ivar inflater: what unpacks such a body, once a byte of it was seen.
    """

    __slots__ = (
        "announced",
        "boundary",
        "carriage",
        "chunked",
        "compressed",
        "content",
        "ended",
        "expected",
        "header",
        "held",
        "inflater",
        "length",
        "mode",
        "range",
        "remaining",
        "unfinished",
        "withheld",
    )

    def __init__(self) -> None:
        self.mode = START
        self.carriage = self.ended = False
        self.held = bytearray()
        self.begin(START, PERHAPS)

    def begin(self, mode: int, expected: int) -> None:
        """A message begins (or, with C{START}, none is in progress)."""
        self.mode, self.expected = mode, expected
        self.unfinished = self.remaining = self.length = self.range = 0
        self.header: bytes | bytearray | None = None
        self.announced = -1
        self.chunked = self.compressed = self.withheld = False
        self.content = OTHER
        self.boundary: bytes | None = None
        self.inflater: Inflater | None = None

    @property
    def ongoing(self) -> bool:
        """Is a message in progress?"""
        return self.mode >= HEADERS

    @property
    def unpacked(self) -> bool:
        """Is a compressed body at its end, or damaged, so that no more bytes of it count?"""
        return self.inflater is not None and self.inflater.isOver

    def countBody(self, data: bytes) -> None:
        """Count bytes of a body that is not read by lines."""
        if not self.compressed:
            self.length += len(data)
            return
        if self.inflater is None:
            self.inflater = Inflater()
        self.length += self.inflater.feed(data)

    def ignore(self) -> None:
        """Expect nothing any more."""
        self.carriage = False
        self.held.clear()
        self.begin(IGNORED, PERHAPS)

    def passable(self) -> int:
        """How many bytes can be passed over unseen; -1: all that may still come."""
        if self.ended or self.mode == IGNORED:
            return -1
        if self.carriage or (self.compressed and not self.unpacked):
            return 0
        if self.mode in (BODY, CHUNK):
            return self.remaining
        return UNTIL_END if self.mode == EVERYTHING else 0

    def room(self) -> int:
        """Bytes that an unfinished line may still grow in a body read by lines, before Content-Length is used up."""
        if self.mode < MESSAGE or self.announced < 0:
            return LONGEST_LINE * LONGEST_LINE
        return max(self.announced - self.length - max(len(self.held), self.unfinished), 0)

    def countLines(self, data: bytes, position: int) -> None:
        """Count C{data} from C{position} on as lines of a body: every line end counts 2."""
        returns, feeds = data.count(b"\r", position), data.count(b"\n", position)
        total = len(data) - position
        if returns + feeds == 0:
            self.unfinished += total
            return
        tail = len(data) - 1 - max(data.rfind(b"\r", position), data.rfind(b"\n", position))
        ends = returns + feeds - data.count(b"\r\n", position)
        self.length += self.unfinished + total - returns - feeds - tail + 2 * ends
        self.unfinished = tail
        self.carriage = data.endswith(b"\r")
