"""
Remote Desktop: does the negotiation at its beginning lead to TLS.

Only for what follows it: the name itself is not logged. Layout: [MS-RDPBCGR] 2.2.1.1 and 2.2.1.2, in TPKT (RFC 1006).
"""

from __future__ import annotations

from typing import ClassVar, Self

from construct import Array, Const, Flag, GreedyBytes, Int8ul, Prefixed, Struct, Terminated

from openmb.plugins.bro.analyzers.analyzer import Analyzer, Service, Sign, Surroundings
from openmb.plugins.bro.reading import check, parsed

_TPKT, _CONFIRM, _RESPONSE, _LENGTH = b"\x03", 0xD0, 2, 19
_VERSION, _WHAT = 1, "an RDP analyser"

RDP = Struct(
    "version" / Const(_VERSION, Int8ul),
    "done" / Flag,
    "held" / Array(2, Prefixed(Int8ul, GreedyBytes)) * "the first bytes of the client, of the server",
    Terminated,
)


class RDPAnalyzer(Analyzer):
    """Reads the server's first packet."""

    __slots__ = ("_held", "done")

    service: ClassVar[Service] = Service.RDP

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._held, self.done = [b"", b""], False

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """See L{Analyzer.data}."""
        side = 0 if originator else 1
        held = self._held[side] = (self._held[side] + data)[:_LENGTH]
        if held[:1] != _TPKT:
            self.done = True
        elif not originator and len(held) == _LENGTH:
            self.done = True
            if held[5] == _CONFIRM and held[11] == _RESPONSE and held[15] and self._held[0]:
                self.findings.append(Sign.ENCRYPTED)

    def gap(self, originator: bool, length: int, now: int) -> None:
        """The reading ends."""
        self.done = True

    def skip(self, originator: bool) -> int:
        """See L{Analyzer.skip}."""
        return -1 if self.done or (originator and self._held[0]) else 0

    def dump(self) -> bytes:
        """As L{RDP}."""
        return bytes(RDP.build({"done": self.done, "held": self._held}))

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """See L{Analyzer.load}."""
        state, analyzer = parsed(RDP, data, _WHAT), cls(around)
        check(all(len(held) <= _LENGTH for held in state["held"]), _WHAT)
        analyzer.done, analyzer._held = bool(state["done"]), [bytes(held) for held in state["held"]]
        return analyzer
