"""
The enumerations of the southbound protocol; the numbers travel on the wire.
"""

from __future__ import annotations

import enum

from openmb.state.taxonomy import PER_FLOW_CELLS, Cell


class MessageType(enum.IntEnum):
    """The type byte of a frame."""

    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    PING = 4
    PONG = 5
    GOODBYE = 6
    PREPARE = 16
    PREPARED = 17
    GET = 18
    GETTING = 19
    CREDIT = 20
    INSTALLED = 21
    HOLD = 22
    HOLDING = 23
    DIVERT = 24
    DIVERT_CONFIRMED = 25
    COMMIT = 26
    COMMITTED = 27
    MERGED = 28
    DELETE = 29
    DELETED = 30
    WINDOW_CLOSED = 31
    UNMARK = 32
    UNMARKED = 33
    DISCARD = 34
    DISCARDED = 35
    CLOSE = 36
    SOURCE_GONE = 37
    RESUME = 38
    FINISH = 39
    FINISH_CONFIRMED = 40
    STATS = 48
    STATS_ANSWER = 49
    GET_CONFIGURATION = 50
    CONFIGURATION = 51
    SET_CONFIGURATION = 52
    DELETE_CONFIGURATION = 53
    CONFIGURED = 54
    ENABLE_EVENTS = 56
    EVENTS_ENABLED = 57
    DISABLE_EVENTS = 58
    EVENTS = 59
    LEARN = 60
    LEARNED = 61
    WARNINGS = 62
    STREAM = 64


class StreamType(enum.IntEnum):
    """What a frame of an operation's ordered stream carries; part of the frame's clear, authenticated header."""

    OPENED = 1  # salt and key id of the transfer; always number 0
    RECORDS = 2  # a pack of records
    REPROCESS = 3  # packets the source processed; the destination updates state only
    REDIRECT = 4  # packets the source did not process
    GET_DONE = 5  # no more records; how many there were
    DIVERTED = 6  # from here on the source processes no matching packet
    MARKED = 7  # the source met a drain marker with this stamp
    DRAINED = 8  # the source met the first marker sent after the settling time
    RETURNED = 9  # (destination to source) held packets going back after a route was set back
    RETURN_DONE = 10  # (destination to source) no more held packets
    CHANGES = 11  # (clone) records that changed after the cut, and whose change no event explains
    FINISHED = 12  # (clone, merge) nothing more comes; how much there was


class Sort(enum.IntEnum):
    """What an operation does: with the records of some flows, or with the state that all flows share."""

    MOVE = 0
    CLONE = 1
    MERGE = 2

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What it may be about.  A clone of reporting state would have it reported twice."""
        if self is Sort.MOVE:
            return PER_FLOW_CELLS
        return (Cell.SUPPORTING_SHARED,) if self is Sort.CLONE else (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)


class Side(enum.IntEnum):
    """The two ends of an operation; on a stream frame, the end that made it."""

    SOURCE = 0
    DESTINATION = 1
