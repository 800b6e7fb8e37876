"""
Connections that were agreed on inside others: FTP's data connections.

In the taxonomy they are supporting per-flow state of the control connection: they hang on its record and move with it.
An instance that has handed a control connection over keeps what it knew of its agreements until they end, so that a
data connection that was agreed on before is known on either side.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from openmb.plugins.bro.reading import Reader

#: How long an agreement lasts, microseconds.
LIFETIME = 300_000_000

#: Agreements of one control connection that are kept; with more the oldest are forgotten.
MOST_AGREED = 64

#: Agreements of all connections together beyond which those that are over are looked for.
_CROWDED = 1024

_FORMAT = struct.Struct(">QQQQ")
_REST = struct.Struct("<Hq")

#: An address as two words.
Words = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Agreed:
    """
    One agreement.

    @ivar originator: who will open it; zeros: anybody.
    @ivar responder: where it will go.
    @ivar port: to which port.
    @ivar until: when the agreement ends, microseconds.
    """

    originator: Words
    responder: Words
    port: int
    until: int

    def pack(self) -> bytes:
        """As L{openmb.plugins.bro.records.AgreedConnection}."""
        return _FORMAT.pack(*self.originator, *self.responder) + _REST.pack(self.port, self.until)


def readAgreed(reader: Reader) -> Agreed:
    """The inverse of L{Agreed.pack}."""
    first, second, third, fourth = reader.numbers(_FORMAT)
    port, until = reader.numbers(_REST)
    return Agreed((first, second), (third, fourth), port, until)


class Agreements:
    """All that one tracker knows of."""

    def __init__(self) -> None:
        self._known: dict[tuple[Words, int], list[Agreed]] = {}
        self._count = 0

    def add(self, agreed: Agreed, now: int) -> None:
        """One more; C{now} in microseconds."""
        if self._count >= _CROWDED:
            self._prune(now)
        found = self._known.setdefault((agreed.responder, agreed.port), [])
        if agreed not in found:
            found.append(agreed)
            self._count += 1

    def _prune(self, now: int) -> None:
        self._known = {
            place: kept
            for place, found in self._known.items()
            if (kept := [agreed for agreed in found if agreed.until >= now])
        }
        self._count = sum(map(len, self._known.values()))

    def knows(self, originator: Words, responder: Words, port: int, now: int) -> bool:
        """Was a connection that begins so at C{now} (microseconds) agreed on?"""
        return any(
            agreed.until >= now and agreed.originator in (originator, (0, 0), (0, 0xFFFF00000000))
            for agreed in self._known.get((responder, port), ())
        )

    def ports(self) -> set[int]:
        """The responders' ports of all agreements."""
        return {port for _, port in self._known}

    def everything(self) -> list[Agreed]:
        """All of them."""
        return [agreed for found in self._known.values() for agreed in found]
