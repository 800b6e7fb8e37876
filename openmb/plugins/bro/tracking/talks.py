"""
What the connections of one table say: pieces of their data go to the fast path or to conversations, in order.
"""

from __future__ import annotations

import ipaddress
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from openmb.interfaces import Failed
from openmb.plugins.bro.analyzers.agreed import LIFETIME, MOST_AGREED, Agreed, Agreements
from openmb.plugins.bro.analyzers.analyzer import Surroundings
from openmb.plugins.bro.analyzers.conversation import UNTOLD, Conversation
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.analyzers.ssh import loginOf
from openmb.plugins.bro.fastpath.conversion import conversationOf, enter
from openmb.plugins.bro.fastpath.lanes import (
    ANALYZERS,
    KEPT,
    NOBODY,
    ROWS,
    Lanes,
    cover,
    makeLanes,
    reserve,
)
from openmb.plugins.bro.fastpath.pool import freeRows, giveBack
from openmb.plugins.bro.fastpath.reader import octetsOf, readPieces
from openmb.plugins.bro.records import ROW
from openmb.plugins.bro.service import MOST_SERVICES, Service
from openmb.plugins.bro.tracking.endpoints import turnSlot
from openmb.plugins.bro.tracking.identity import End, Identity, endpoints
from openmb.plugins.bro.tracking.pieces import PIECE_BORN, PIECE_OVER, PIECE_REMOVED, Piece, listPieces
from openmb.plugins.bro.tracking.ports import portTable
from openmb.plugins.bro.tracking.states import HISTORY_LIMIT, LETTER_LIMIT, TIMEOUT_INTERACTIVE
from openmb.plugins.bro.tracking.work import PIECES, makeWork
from openmb.state.addresses import addressWords
from openmb.state.table import FlowTable

_PORTS = portTable()
_LIMIT_LETTER = ord("X")


#: May connections come upon the fast path?  For comparisons with the analysers alone.
FAST_PATH = True


class IOutput(Protocol):
    """Takes what a tracker has to report."""

    def connections(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """Finished connections: C{uint64[n, 5]}, C{ROW[n]}; all or, if one throws, none of them."""

    def messages(self, identity: Identity, rows: list[HTTPRow | DNSRow]) -> None:
        """Rows about what one connection says, all or none."""

    def requests(self, lanes: Lanes, rows: NDArray[np.int32]) -> None:
        """Finished rows of http.log from the fast path: their places among its requests; all or none."""


#: Takes services of a connection that were recognised, at a time (nanoseconds).
Found = Callable[[Identity, Sequence[int], int], None]
#: Takes what is odd about segments, L{openmb.plugins.bro.tracking.weirds.WEIRD}C{[n]}; it does not raise.
Odd = Callable[[NDArray[Any]], None]


class Talks:
    """
    What the connections of one table say: on the fast path, in conversations, and what was agreed on.

    @param maximum: records at most.
    @param output: takes what is to be reported; None: nothing is.
    @ivar fastRows: rows of http.log that the fast path has read and that were reported.
    """

    def __init__(self, maximum: int, output: IOutput | None, capacity: int = 1024) -> None:
        self.table = FlowTable(ROW, capacity=capacity, maximum=maximum)
        self.work = makeWork()
        self.lanes = makeLanes(len(self.work.pieces))
        self.conversations: dict[int, Conversation] = {}
        self._ports = _PORTS.copy()
        self.agreements = Agreements(self._ports)
        self._failed: list[Failed] = []
        self._output = output
        self._reported = 0  # finished rows of the fast path
        self.fastRows = 0
        self._found: Found | None = None
        self._odd: Odd | None = None

    def endured(self, error: Exception) -> None:
        """Something else than a parser or a log threw; see L{takeFailed}."""
        self._threw(-1, error)

    def takeFailed(self) -> tuple[Failed, ...]:
        """What a parser or a log threw since the last call; such connections go on without that parser."""
        failed, self._failed = tuple(self._failed), []
        return failed

    def learn(self, other: Talks) -> None:
        """Know of every connection that C{other} knows was agreed on."""
        for agreed in other.agreements.everything():
            self.agree(agreed)

    def agree(self, agreed: Agreed, now: int = 0) -> None:
        """A connection was agreed on; C{now} (microseconds): older ones that are over can be forgotten."""
        self.agreements.add(agreed, now)

    def _threw(self, packet: int, error: Exception) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        self._failed.append(Failed(packet, f"{error!r} at {where.name}:{where.lineno}"))

    def _feed(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Read the pieces, in order: those of ordinary HTTP by a kernel, the others by their conversations."""
        pieces, count, place = self.work.pieces, int(self.work.cursors[PIECES]), 0
        touched: dict[int, Piece] = {}
        self.lanes = cover(self.lanes, self.table.capacity)
        while place < count:
            rows, isOpen = self.table.rows, FAST_PATH and self._found is None
            place = readPieces(self.lanes, pieces, place, count, data, offsets, rows, self.work.rows, isOpen)
            kept = int(self.lanes.cursors[KEPT])
            if kept:
                left = self.lanes.left[:kept].tolist()
                for piece, lane in zip(listPieces(pieces[self.lanes.kept[:kept]]), left, strict=True):
                    self._give(piece, lane, touched, data.data, offsets)
            if place < count:
                self.reportRequests()
                self.lanes = reserve(self.lanes, int(octetsOf(pieces[place])))
        for slot, piece in touched.items():
            try:
                self._settle(slot, piece)
            except Exception as error:  # noqa: BLE001 - whatever an analyser throws: only its connection loses it
                self._threw(-1, error)
                self.conversations[slot].fallSilent()
        self.lanes.places[: self.lanes.cursors[ROWS]] = -1

    def reportRequests(self) -> None:
        """Report what the fast path has finished and nobody has reported: the more at once the better."""
        finished = int(self.lanes.cursors[ROWS])
        if finished:
            self._reportRequests(finished)
            freeRows(self.lanes, finished)
            self.lanes.cursors[ROWS] = self._reported = 0

    def areSpeaking(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """C{bool[n]}: does anybody read what these connections say?"""
        self.lanes = cover(self.lanes, self.table.capacity)
        speaking: NDArray[np.bool_] = self.lanes.laneOf[slots] >= 0
        if self.conversations:
            speaking |= np.isin(slots, np.fromiter(self.conversations, np.int64, len(self.conversations)))
        return speaking

    def conversationOf(self, slot: int) -> Conversation | None:
        """
        The conversation of the connection in C{slot}, None if nobody reads what it says; for one on the fast path it is
        made anew each time.
        """
        if slot >= len(self.lanes.laneOf) or self.lanes.laneOf[slot] < 0:
            return self.conversations.get(slot)
        ends = endpoints(self.table.keys[slot].tolist(), int(self.table.rows[slot]["swapped"]))
        return conversationOf(self.lanes, int(self.lanes.laneOf[slot]), _around(*ends, True))

    def leave(self, slots: NDArray[np.int64]) -> None:
        """Those of these connections that are on the fast path leave it: what they say can be packed then."""
        self.lanes = cover(self.lanes, self.table.capacity)
        for slot in slots[self.lanes.laneOf[slots] >= 0].tolist():
            conversation = self.conversationOf(slot)
            assert conversation is not None
            giveBack(self.lanes, int(self.lanes.laneOf[slot]))
            self.hang(slot, conversation)
            self._name(self.table.rows[slot], conversation)
            conversation.renamed = False

    def hang(self, slot: int, conversation: Conversation) -> None:
        """This is the conversation of the connection in C{slot}."""
        self.lanes = cover(self.lanes, self.table.capacity)
        self.conversations[slot] = conversation
        self.lanes.laneOf[slot] = ANALYZERS

    def _leave(self, lane: int, piece: Piece) -> None:
        """A connection leaves the fast path: its conversation goes on."""
        around = _around(*endpoints(self._keyOf(piece), piece.swapped), True)
        self.conversations[piece.slot] = conversationOf(self.lanes, lane, around)
        giveBack(self.lanes, lane)

    def _give(
        self, piece: Piece, lane: int, touched: dict[int, Piece], octets: memoryview, offsets: NDArray[np.int64]
    ) -> None:
        """Hand out one piece; with it its connection may leave the fast path."""
        slot, packet, kind = piece.slot, piece.packet, piece.kind
        try:
            if lane >= 0:
                self._leave(lane, piece)
            if kind == PIECE_REMOVED:
                touched.pop(slot, None)
                self._removed(piece)
            elif kind == PIECE_OVER:
                touched.pop(slot, None)
                self.conversations.pop(slot, None)
            else:
                touched[slot] = piece
                self._hand(piece, octets, offsets)
        except Exception as error:  # noqa: BLE001 - as above
            self._threw(packet if packet < len(offsets) else -1, error)
            if kind != PIECE_REMOVED and slot in self.conversations:
                self.conversations[slot].fallSilent()

    def _reportRequests(self, until: int) -> None:
        """Report what the fast path has finished, up to this one; if that throws, one by one."""
        nodes = self.lanes.finished[self._reported : until]
        self._reported = until
        if self._output is None or not len(nodes):
            return
        try:
            self._output.requests(self.lanes, nodes)
            self.fastRows += len(nodes)
            return
        except Exception:  # noqa: BLE001 - it is met again below, and reported there
            places = range(len(nodes))
        for place in places:
            try:
                self._output.requests(self.lanes, nodes[place : place + 1])
                self.fastRows += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rows must not suffer for it
                self._threw(-1, error)

    def _keyOf(self, piece: Piece) -> list[int]:
        """The words of its connection's native key."""
        words: list[int] = self.work.pieces["key"][piece.place].tolist()
        return words

    def _hand(self, piece: Piece, octets: memoryview, offsets: NDArray[np.int64]) -> None:
        """Feed one piece to its conversation, which begins with it if there is none."""
        conversation = self.conversations.get(piece.slot)
        if conversation is None:
            conversation = self._begin(piece)
        content = b""
        if piece.length:
            begin = int(offsets[piece.packet]) + piece.offset
            content = octets[begin : begin + piece.length].tobytes()
        conversation.take(piece, content)
        if conversation.rows:
            self._report(conversation, piece)
        if conversation.expected:
            self._expect(conversation, piece)

    def _begin(self, piece: Piece) -> Conversation:
        """The conversation of a connection whose first piece this is."""
        originator, responder = endpoints(self._keyOf(piece), piece.swapped)
        conversation = self.conversations[piece.slot] = Conversation(_around(originator, responder, bool(piece.tcp)))
        isExpected = piece.kind == PIECE_BORN and self.agreements.knows(
            originator[:2], responder[:2], responder[2], piece.stamp // 1000
        )
        conversation.begin(piece.analyzer, isExpected)
        return conversation

    def _expect(self, conversation: Conversation, piece: Piece) -> None:
        """Note what a conversation has agreed on."""
        now = piece.stamp // 1000
        ends = endpoints(self._keyOf(piece), piece.swapped)
        for one in conversation.expected:
            opener, other = ends if one.fromOriginator else (ends[1], ends[0])
            place = other[:2] if one.address is None else _words(one.address)
            agreed = Agreed(opener[:2], place, one.port, now + LIFETIME)
            if len(conversation.agreed) >= MOST_AGREED:
                self.agreements.forget(conversation.agreed.pop(0))
            conversation.agreed.append(agreed)
            self.agree(agreed, now)
        conversation.expected.clear()

    def _removed(self, piece: Piece) -> None:
        """A connection has ended: its finished row gets the services, and what is open is written."""
        conversation = self.conversations.pop(piece.slot, None)
        if conversation is None:
            return
        row = self.work.rows[piece.sequence]
        before = row["services"].tolist() if self._found is not None else []
        try:
            conversation.removed(piece)
        finally:
            self._name(row, conversation)
            row["login"] = loginOf(conversation.analyzers)
        self._tellFound(conversation, piece, row, before)
        if conversation.rows:
            self._report(conversation, piece)

    @staticmethod
    def _name(row: np.void, conversation: Conversation) -> None:
        """Write the services into a row."""
        names = conversation.services[:MOST_SERVICES]
        row["services"] = names + [Service.NONE] * (MOST_SERVICES - len(names))

    def _tellFound(self, conversation: Conversation, piece: Piece, row: np.void, before: list[int]) -> None:
        """Tell whoever wants to know which services are new since C{before}."""
        if self._found is None:
            return
        new = [each for each in conversation.services if each not in before]
        if new:
            identity = Identity(self._keyOf(piece), piece.start, bool(row["swapped"]))
            self._found(identity, new, piece.stamp)

    def _report(self, conversation: Conversation, piece: Piece) -> None:
        rows, conversation.rows = conversation.rows, []
        if self._output is not None:
            ready = self.lanes.cursors[ROWS]
            if ready and any(isinstance(row, HTTPRow) for row in rows):
                self._reportRequests(int(np.searchsorted(self.lanes.places[:ready], piece.place, "right")))
            identity = Identity(self._keyOf(piece), piece.start, bool(piece.swapped))
            self._output.messages(identity, rows)

    def _settle(self, slot: int, piece: Piece) -> None:
        """The packet is through: note in the record what is wanted from here on, and what was found."""
        conversation, row = self.conversations[slot], self.table.rows[slot]
        conversation.settle()
        if conversation.rows:
            self._report(conversation, piece)
        before: list[int] | None = None
        if conversation.renamed:
            conversation.renamed = False
            before = row["services"].tolist()
            self._name(row, conversation)
        if conversation.turned:
            conversation.turned = False
            turnSlot(self.table.rows, slot)
            conversation.told = UNTOLD
        if before is not None:
            self._tellFound(conversation, piece, row, before)
        if conversation.interactive and row["timeout"] < TIMEOUT_INTERACTIVE:
            row["timeout"] = TIMEOUT_INTERACTIVE
        if conversation.isOver:
            del self.conversations[slot]
            self.lanes.laneOf[slot] = NOBODY
            row["inspect"] = row["urgent"] = 0
            return
        if FAST_PATH and self._found is None and enter(self.lanes, slot, conversation, piece.swapped, piece.analyzer):
            del self.conversations[slot]
        first = int(row["swapped"])
        wanted = conversation.wanted(True, first), conversation.wanted(False, 1 - first)
        if wanted != conversation.told:
            conversation.told = row["skipUntil"] = wanted
        row["urgent"] = conversation.urgency(bool(row["urgent"]))
        if conversation.exceeded and not row["seen"] & (1 << LETTER_LIMIT):
            row["seen"] |= 1 << LETTER_LIMIT
            if row["letters"] < HISTORY_LIMIT:
                row["history"][row["letters"]] = _LIMIT_LETTER
                row["letters"] += 1


def _isGroup(high: int, low: int) -> bool:
    """224.0.0.0/4 or ff00::/8."""
    return high >> 56 == 0xFF or (high == 0 and low >> 28 == 0xFFFFE)


def _around(originator: End, responder: End, tcp: bool) -> Surroundings:
    return Surroundings(tcp, (originator[2], responder[2]), _isGroup(responder[0], responder[1]))


def surroundingsOf(key: bytes, swapped: bool, tcp: bool) -> Surroundings:
    """What analysers know of the connection with this native key, 40 bytes."""
    originator, responder = endpoints(np.frombuffer(key, np.uint64).tolist(), swapped)
    return _around(originator, responder, tcp)


def _words(address: bytes) -> tuple[int, int]:
    return addressWords(ipaddress.ip_address(address))
