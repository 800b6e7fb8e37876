"""Hypothesis strategies for every message."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from openmb.errors import Refusal
from openmb.state.announcements import EVENT_PATTERN
from openmb.state.settings import KEY_PATTERN
from openmb.state.taxonomy import Cell
from openmb.wire import messages as m


def _unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


def _name(limit: int) -> st.SearchStrategy[str]:
    first = string.ascii_letters + string.digits + "_"
    return st.builds(str.__add__, st.sampled_from(first), st.text(first + ".-", max_size=limit - 1))


_u8, _u16, _u32, _u64 = map(_unsigned, (8, 16, 32, 64))
_operation = st.integers(1, 2**64 - 1)
_number = st.integers(-1, 2**63 - 1)
_token = st.binary(min_size=16, max_size=16)
_text = st.text(max_size=80)
_cells = st.lists(st.sampled_from(Cell), max_size=6).map(tuple)
_peer = st.builds(m.Peer, _name(64), _token)
_side = st.sampled_from(m.Side)
_layout = st.builds(m.LayoutVersion, st.sampled_from(Cell), _u16, _u16)
_status = st.builds(m.OperationStatus, _u64, _side, st.text(max_size=8), _number, _number)
_cellStats = st.builds(m.CellStats, st.sampled_from(Cell), _u64, _u64, _u64, st.booleans())
_key = st.from_regex(KEY_PATTERN, fullmatch=True).filter(lambda key: len(key) <= 255)
_top = st.one_of(st.just("*"), _key)
_entries = st.lists(st.builds(m.ConfigurationEntry, _key, st.lists(_text, max_size=3).map(tuple)), max_size=4).map(
    tuple
)
_eventName = st.from_regex(EVENT_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 64)
_datum = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), _text, st.floats(allow_nan=False, allow_infinity=False)
)
_event = st.builds(
    m.Event,
    *(_eventName, st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.builds(m.EventField, _eventName, _datum), max_size=5).map(tuple),
)
_request = (_operation, _text, _cells, _peer, _peer, _u32, _u32)
_sort = st.sampled_from(m.Sort)
_ONLY_OPERATION = (m.Finish, m.Getting, m.Holding, m.Commit, m.Close, m.SourceGone, m.EventsEnabled, m.DisableEvents)

streamFrames: st.SearchStrategy[m.StreamFrame] = st.builds(
    m.StreamFrame,
    *(_operation, _side, st.integers(0, 2**63 - 1), st.sampled_from(m.StreamType)),
    *(st.binary(max_size=300), st.binary(max_size=300)),
)
messages: st.SearchStrategy[m.Message] = st.one_of(
    st.builds(
        m.Hello,
        *(_u8, _u8, _name(64), _name(32), _token, st.binary(min_size=32, max_size=32)),
        st.lists(_layout, max_size=4).map(tuple),
        st.lists(_status, max_size=4).map(tuple),
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(m.Welcome, _u8, _u64, _u32, st.binary(min_size=32, max_size=32)),
    st.builds(m.Refused, _u64, _u8, st.sampled_from(Refusal), _text),
    st.builds(m.Ping, _u64),
    st.builds(m.Pong, _u64),
    st.builds(m.Goodbye, _text),
    st.builds(m.Prepare, *_request, _sort),
    st.builds(m.Get, *_request, _token, _sort),
    st.builds(m.Prepared, _operation, _token),
    st.builds(m.Resume, _operation, _side, _number),
    *(st.builds(message, _operation) for message in _ONLY_OPERATION),
    st.builds(m.Credit, _operation, _side, _number),
    st.builds(m.Installed, _operation, _u64, _u64, _u64),
    st.builds(m.Hold, _operation, _token),
    st.builds(m.Divert, _operation, _token),
    *(st.builds(message, _operation, _u64) for message in (m.DivertConfirmed, m.Committed, m.Discarded)),
    st.builds(m.Unmarked, _operation, _u64, _u64),
    st.builds(m.Merged, _operation, _u64, _u64, _u64, _u64, _u64),
    st.builds(m.Delete, _operation, _u32),
    *(st.builds(message, _operation, _u64, _u64) for message in (m.Deleted, m.WindowClosed, m.FinishConfirmed)),
    *(st.builds(message, _operation, st.booleans()) for message in (m.Unmark, m.Discard)),
    st.builds(m.Stats, _u64, _text),
    st.builds(m.StatsAnswer, _u64, st.lists(_cellStats, max_size=5).map(tuple)),
    st.builds(m.GetConfiguration, _operation, _top),
    st.builds(m.DeleteConfiguration, _operation, _top),
    st.builds(m.ConfigurationAnswer, _operation, _entries),
    st.builds(m.SetConfiguration, _operation, _entries),
    st.builds(m.Configured, _operation, st.binary(min_size=32, max_size=32)),
    st.builds(m.EnableEvents, _operation, st.lists(_eventName, max_size=4).map(tuple), _text),
    st.builds(m.Events, _operation, _u64, st.lists(_event, max_size=4).map(tuple)),
    st.builds(m.Learn, _operation, st.lists(_event, max_size=4).map(tuple)),
    st.builds(m.Learned, _operation, _u32),
    st.builds(m.Warnings, st.lists(st.text("abc –0", min_size=1, max_size=80), max_size=16).map(tuple)),
    streamFrames,
)
