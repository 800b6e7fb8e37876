"""
Connections that were agreed on inside others: FTP's data connections.

In the taxonomy they are supporting per-flow state of the control connection: they hang on its record and move with it.
An instance that has handed a control connection over keeps what it knew of its agreements until they end, so that a
data connection that was agreed on before is known on either side.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.reading import Reader
from openmb.plugins.bro.tracking.ports import EXPECTED

#: How long an agreement lasts, microseconds.
LIFETIME = 300_000_000

#: Agreements of one control connection that are kept; with more the oldest are forgotten.
MOST_AGREED = 64

#: Agreements of all connections together; with more the oldest are forgotten.
MOST_KNOWN = 4096

_FORMAT = struct.Struct(">QQQQ")
_REST = struct.Struct("<Hq")

#: An address as two words.
Words = tuple[int, int]
#: Who opens a connection, where it goes, and to which port.
_Ends = tuple[Words, Words, int]
#: Originators that stand for all, of IPv6 and IPv4.
_ANYBODY: tuple[Words, ...] = ((0, 0), (0, 0xFFFF00000000))


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
    """
    All that one tracker knows of, the oldest first.

    @param ports: L{openmb.plugins.bro.tracking.ports.portTable}; C{EXPECTED} is set for the ports of what is known,
        and for no others.
    @param most: how many are known at most: the oldest are forgotten.
    @ivar forgotten: how many were forgotten for want of room.
    """

    def __init__(self, ports: NDArray[np.uint16], most: int = MOST_KNOWN) -> None:
        self._untils: OrderedDict[_Ends, int] = OrderedDict()
        self._counts: dict[int, int] = {}
        self._ports = ports
        self._most = most
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._untils)

    def add(self, agreed: Agreed, now: int) -> None:
        """One more; C{now} in microseconds.  Amortised constant work."""
        self.expire(now)
        ends = agreed.originator, agreed.responder, agreed.port
        before = self._untils.get(ends)
        if before is None:
            if len(self._untils) >= self._most:
                self._dropOldest()
                self.forgotten += 1
            self._counts[agreed.port] = self._counts.get(agreed.port, 0) + 1
            self._ports[agreed.port] |= np.uint16(EXPECTED)
        self._untils[ends] = agreed.until if before is None else max(before, agreed.until)
        self._untils.move_to_end(ends)

    def forget(self, agreed: Agreed) -> None:
        """This one does not count any more, unless it was agreed on anew since."""
        ends = agreed.originator, agreed.responder, agreed.port
        if self._untils.get(ends) == agreed.until:
            del self._untils[ends]
            self._release(agreed.port)

    def expire(self, now: int) -> None:
        """Forget those that are over at C{now}, oldest first, up to one that is not."""
        while self._untils and next(iter(self._untils.values())) < now:
            self._dropOldest()

    def _dropOldest(self) -> None:
        ends, _until = self._untils.popitem(last=False)
        self._release(ends[2])

    def _release(self, port: int) -> None:
        left = self._counts[port] - 1
        if left:
            self._counts[port] = left
        else:
            del self._counts[port]
            self._ports[port] &= np.uint16(~EXPECTED & 0xFFFF)

    def knows(self, originator: Words, responder: Words, port: int, now: int) -> bool:
        """Was a connection that begins so at C{now} (microseconds) agreed on?"""
        return any(self._untils.get((each, responder, port), -1) >= now for each in (originator, *_ANYBODY))

    def everything(self) -> list[Agreed]:
        """All of them."""
        return [Agreed(*ends, until) for ends, until in self._untils.items()]
