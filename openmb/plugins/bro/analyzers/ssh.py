"""
The first packets of an SSH connection, as far as they show in conn.log: a packet length no packet can have.

After both version lines each side sends binary packets, length first (RFC 4253, section 6). Zeek notes a length of
more than 8 MiB with an C{X} in the history, once. From the first NEWKEYS of a side on, its packets cannot be read.
"""

from __future__ import annotations

from construct import (
    Array,
    Const,
    ConstructError,
    Flag,
    GreedyBytes,
    Int8ul,
    Int16ul,
    Int32ul,
    Prefixed,
    Struct,
    Terminated,
)

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.http.rows import HTTPRow

_LIMIT = 8 * 1024 * 1024
_LONGEST_LINE = 4096
_NEWKEYS = 21
_HEADER = 6
_VERSION, _PACKETS, _DONE = range(3)

_FORMAT = Struct(
    "version" / Const(1, Int8ul),
    "exceeded" / Flag * "a length was too large",
    "sides"
    / Array(
        2,
        Struct(
            "stage" / Int8ul * "0 version line, 1 packets, 2 done",
            "pass" / Int32ul * "bytes of the current packet still to pass over",
            "buffer" / Prefixed(Int16ul, GreedyBytes) * "bytes of an unfinished line or packet header",
        ),
    ),
    Terminated,
)


class SSHWatcher:
    """
    Watches both directions of one connection from their first bytes; the methods are those of an application parser.

    @ivar exceeded: a packet length was too large.
    """

    __slots__ = ("_buffers", "_passing", "_stages", "exceeded")

    def __init__(self) -> None:
        self.exceeded = False
        self._stages = [_VERSION, _VERSION]
        self._passing = [0, 0]
        self._buffers = [b"", b""]

    @classmethod
    def silent(cls) -> SSHWatcher:
        """A watcher that looks at nothing any more."""
        watcher = cls()
        watcher._stages = [_DONE, _DONE]
        return watcher

    def data(self, originator: bool, data: bytes, now: int, size: int = 0) -> list[HTTPRow]:
        """In-order bytes of one direction; there are never any rows."""
        side = 0 if originator else 1
        if self._stages[side] == _VERSION:
            data = self._readVersion(side, data)
        elif self._stages[1 - side] == _VERSION:
            data = b""  # packets before the other side's version line are not read
        if data and self._stages[side] == _PACKETS:
            self._readPackets(side, data)
        return []

    def _readVersion(self, side: int, data: bytes) -> bytes:
        """Look for the end of the version line; what comes after it."""
        line, end, rest = (self._buffers[side] + data).partition(b"\n")
        if end or len(line) > _LONGEST_LINE:
            self._buffers[side] = b""
            self._stages[side] = _PACKETS if line.lower().startswith(b"ssh-") else _DONE
            if line[4:6] == b"1." and line[4:8] != b"1.99":
                self._stages = [_DONE, _DONE]  # protocol 1 has other packets
            return rest if self._stages[1 - side] != _VERSION else b""
        self._buffers[side] = line
        return b""

    def _readPackets(self, side: int, data: bytes) -> None:
        data = self._buffers[side] + data
        while True:
            step = min(self._passing[side], len(data))
            data, self._passing[side] = data[step:], self._passing[side] - step
            if len(data) >= 4 and int.from_bytes(data[:4], "big") > _LIMIT:
                self.exceeded = True
                self._stages = [_DONE, _DONE]
                return
            if len(data) < _HEADER:
                self._buffers[side] = data
                return
            if data[5] == _NEWKEYS:
                self._stages[side] = _DONE
                return
            self._passing[side] = 4 + int.from_bytes(data[:4], "big")

    def gap(self, originator: bool, length: int, now: int) -> list[HTTPRow]:
        """Bytes were lost: this direction cannot be read any more."""
        self._stages[0 if originator else 1] = _DONE
        return []

    def finished(self, originator: bool, now: int, size: int = 0) -> list[HTTPRow]:
        """The direction has ended."""
        return self.gap(originator, 0, now)

    def reset(self, now: int) -> list[HTTPRow]:
        """A RST came."""
        return []

    def removed(self, now: int) -> list[HTTPRow]:
        """The connection is removed."""
        return []

    def skip(self, originator: bool) -> int:
        """-1 when no more bytes of this direction are wanted, else 0."""
        return -1 if self._stages[0 if originator else 1] == _DONE else 0

    def skipped(self, originator: bool, length: int, now: int, size: int = 0) -> list[HTTPRow]:
        """Bytes were passed over."""
        return []

    def dump(self) -> bytes:
        """Everything known."""
        sides = [
            {"stage": stage, "pass": passing, "buffer": buffer}
            for stage, passing, buffer in zip(self._stages, self._passing, self._buffers, strict=True)
        ]
        return bytes(_FORMAT.build({"exceeded": self.exceeded, "sides": sides}))

    @classmethod
    def load(cls, data: bytes) -> SSHWatcher:
        """
        A watcher that goes on where the one that was dumped stopped.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        try:
            parsed = _FORMAT.parse(data)
        except ConstructError as error:
            raise OperationError(Refusal.BAD_REQUEST, f"not the state of an SSH watcher: {error}") from error
        if any(side["stage"] > _DONE for side in parsed["sides"]):
            raise OperationError(Refusal.BAD_REQUEST, "not the state of an SSH watcher: unknown stage")
        watcher = cls()
        watcher.exceeded = bool(parsed["exceeded"])
        watcher._stages = [int(side["stage"]) for side in parsed["sides"]]
        watcher._passing = [int(side["pass"]) for side in parsed["sides"]]
        watcher._buffers = [bytes(side["buffer"]) for side in parsed["sides"]]
        return watcher
