"""
The bytes of the messages that concern no operation; a part of C{openmb.wire.formats}.
"""

from __future__ import annotations

import re

from construct import Int8ul, Int16ul, Int32ul, Int64sl, Int64ul

from openmb.state.announcements import EVENT_LIMIT, EVENT_PATTERN, FIELDS_LIMIT
from openmb.state.settings import KEY_LIMIT, KEY_PATTERN, VALUE_LIMIT, VALUES_LIMIT
from openmb.state.taxonomy import Cell
from openmb.wire import questions as q
from openmb.wire.entry import DOWN, UP, entry, value
from openmb.wire.fields import FLOWS_LIMIT, AnyDatum, Exact, Many, OneOf, Text, Truth
from openmb.wire.types import MessageType as _T

#: Keys in one message.
ENTRIES_LIMIT = 4096
#: Warnings of one middlebox, and bytes of each.
WARNINGS_LIMIT, WARNING_LIMIT = 16, 500
_FLOWS = Text(Int16ul, FLOWS_LIMIT)
_CELL = OneOf(Int8ul, Cell)
_CELL_STATS = value(
    q.CellStats,
    "cell" / _CELL * "cell",
    "records" / Int64ul * "records that match",
    "bytes" / Int64ul * "their size",
    "marked" / Int64ul * "how many of them operations have marked",
    "estimated" / Truth(Int8ul) * "the bytes are: of many variable parts only some were measured",
)
_KEY = Text(Int8ul, KEY_LIMIT, KEY_PATTERN)
_TOP = Text(Int8ul, KEY_LIMIT, re.compile(rf"\*|{KEY_PATTERN.pattern}"))
_WARNING = Text(Int16ul, WARNING_LIMIT, re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+"))
_EVENT_NAME = Text(Int8ul, EVENT_LIMIT, EVENT_PATTERN)
_ENTRY = value(
    q.ConfigurationEntry,
    "key" / _KEY * "words between slashes",
    "values" / Many(Int16ul, Text(Int16ul, VALUE_LIMIT), VALUES_LIMIT) * "its values, in order",
)
_EVENT_FIELD = value(
    q.EventField,
    "name" / _EVENT_NAME * "the field's name",
    "value" / AnyDatum() * "its value",
)
_EVENT_VALUE = value(
    q.Event,
    "name" / _EVENT_NAME * "which event",
    "stamp" / Int64sl * "packet time, nanoseconds",
    "fields" / Many(Int8ul, _EVENT_FIELD, FIELDS_LIMIT) * "what it says",
)
#: The values inside these messages.
NESTED_IN_QUESTIONS = (_CELL_STATS, _ENTRY, _EVENT_FIELD, _EVENT_VALUE)

QUESTIONS = (
    entry(
        *(_T.STATS, q.Stats, DOWN, "How much state matches?  The operation field is the request's id."),
        "flows" / _FLOWS * "header field list",
    ),
    entry(
        *(_T.STATS_ANSWER, q.StatsAnswer, UP, "Answer to STATS."),
        "cells" / Many(Int8ul, _CELL_STATS) * "one for each cell that has state",
    ),
    entry(
        *(
            _T.GET_CONFIGURATION,
            q.GetConfiguration,
            DOWN,
            "What is configured?  The operation field: as in STATS.",
        ),
        "key" / _TOP * "a key, for what is there and below, or *",
    ),
    entry(
        *(_T.CONFIGURATION, q.ConfigurationAnswer, UP, "Answer to GET_CONFIGURATION."),
        "entries" / Many(Int16ul, _ENTRY, ENTRIES_LIMIT) * "every key there and below",
    ),
    entry(
        *(
            _T.SET_CONFIGURATION,
            q.SetConfiguration,
            DOWN,
            "Change these keys, all of them or none.",
        ),
        "entries" / Many(Int16ul, _ENTRY, ENTRIES_LIMIT) * "keys and their new values",
    ),
    entry(
        *(
            _T.DELETE_CONFIGURATION,
            q.DeleteConfiguration,
            DOWN,
            "Back to what the middlebox was started with.",
        ),
        "key" / _TOP * "a key, for what is there and below, or *",
    ),
    entry(
        *(_T.CONFIGURED, q.Configured, UP, "Answer to SET_CONFIGURATION and DELETE_CONFIGURATION: done."),
        "governing" / Exact(32) * "SHA-256 of the configuration that governs records, as in HELLO, from now on",
    ),
    entry(
        *(
            _T.ENABLE_EVENTS,
            q.EnableEvents,
            DOWN,
            "Announce these events.  The operation field: the subscription's id.",
        ),
        "events" / Many(Int8ul, _EVENT_NAME) * "names; none: all that the kind has",
        "flows" / _FLOWS * "header field list: events about these flows",
    ),
    entry(_T.EVENTS_ENABLED, q.EventsEnabled, UP, "Answer to ENABLE_EVENTS."),
    entry(_T.DISABLE_EVENTS, q.DisableEvents, DOWN, "End this subscription.  Nothing answers it."),
    entry(
        *(_T.EVENTS, q.Events, UP, "Introspection events of a subscription."),
        "first" / Int64ul * "number of the first of them among all that the subscription selected; a gap: dropped",
        "events" / Many(Int16ul, _EVENT_VALUE) * "the events, in order",
    ),
    entry(
        *(
            _T.LEARN,
            q.Learn,
            DOWN,
            "Others have announced these: take them as known.  The operation field: as in STATS.",
        ),
        "events" / Many(Int16ul, _EVENT_VALUE) * "as EVENTS had them",
    ),
    entry(
        *(_T.LEARNED, q.Learned, UP, "Answer to LEARN: all of it is known."),
        "news" / Int32ul * "how many had not been",
    ),
    entry(
        *(_T.WARNINGS, q.Warnings, UP, "What an operator must know of this middlebox now; nothing answers it."),
        "texts" / Many(Int8ul, _WARNING, WARNINGS_LIMIT) * "sentences without control characters; none: all is well",
    ),
)
