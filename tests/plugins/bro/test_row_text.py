"""Rows of conn.log made by kernel are those that Python makes, to the byte."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.records import ROW
from openmb.plugins.bro.reporting.connections import CONNECTION_COLUMNS, connectionRows
from openmb.plugins.bro.reporting.locality import PRIVATE, LocalNetworks
from openmb.plugins.bro.reporting.logs import TSVFormat
from openmb.plugins.bro.reporting.rowkernel import LONGEST_ROW
from openmb.plugins.bro.reporting.rowtext import RowText
from openmb.plugins.bro.reporting.uid import DEFAULT_KEY, ConnectionIDs
from openmb.plugins.bro.service import MOST_SERVICES, Service
from openmb.plugins.bro.tracking.states import EndpointState
from openmb.state.addresses import addressWords

IDS = ConnectionIDs(b"a key of tests")
FORMAT = TSVFormat("conn", CONNECTION_COLUMNS)
LETTERS = b"ShADadFfRrCcTtQqIiHhGgWwX^"
NUMBERS = st.one_of(
    st.integers(0, 300), st.integers(0, (1 << 64) - 1), st.sampled_from([0, 999_999, 10**6, 1 << 63, (1 << 64) - 1])
)
TIMES = st.one_of(st.integers(0, 2 * 10**15), st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from([0, 1, -1]))
GROUPS = st.lists(st.sampled_from([0, 0, 0, 1, 0xF, 0xAB, 0x123, 0xFFFF]), min_size=8, max_size=8)
ADDRESSES = st.one_of(
    st.integers(0, (1 << 32) - 1).map(lambda number: addressWords(ipaddress.IPv4Address(number))),
    GROUPS.map(lambda groups: addressWords(ipaddress.IPv6Address(b"".join(g.to_bytes(2, "big") for g in groups)))),
)


def reference(keys: NDArray[np.uint64], rows: NDArray[Any], ids: ConnectionIDs, local: LocalNetworks) -> bytes:
    """What the slow way makes of the records."""
    return "".join(map(FORMAT.row, connectionRows(ids, keys, rows, local))).encode()


def randomRows(seed: int, count: int) -> NDArray[Any]:
    """Records of random bytes, the few fields apart that the engine keeps in range."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, count * ROW.itemsize, np.uint8).view(ROW).copy()
    rows["letters"] = rng.integers(0, 129, count)
    rows["history"] = rng.choice(np.frombuffer(LETTERS, np.uint8), (count, 128))
    rows["services"] = rng.integers(0, len(Service), (count, MOST_SERVICES)) * rng.integers(0, 2, (count, 1))
    rows["state"] = rng.integers(0, len(EndpointState), (count, 2))
    rows["previous"] = rng.integers(0, len(EndpointState), (count, 2))
    for name in ("tcp", "swapped"):
        rows[name] = rng.integers(0, 2, count)
    rows["sequenceWraps"] >>= 20
    return rows


class RowTextTests(SynchronousTestCase):
    """Against the slow way."""

    def check(self, keys: NDArray[np.uint64], rows: NDArray[Any], local: LocalNetworks = PRIVATE) -> None:
        """Both ways give the same."""
        ready = RowText(IDS, local).format(keys, rows)
        assert ready is not None
        self.assertEqual(reference(keys, rows, IDS, local), ready.block)
        self.assertEqual([place + 1 for place, byte in enumerate(ready.block) if byte == 10], ready.ends.tolist())

    def test_random(self) -> None:
        """Any values in every field."""
        rng = np.random.default_rng(7)
        for seed in range(4):
            keys = rng.integers(0, 1 << 64, (300, 5), np.uint64)
            keys[::2, 4] = keys[::2, 4] & ~np.uint64(0xFF << 32) | rng.choice(
                np.array([1, 6, 17, 58], np.uint64) << np.uint64(32), 150
            )
            keys[::3, [0, 2]] = 0
            keys[::3, [1, 3]] = keys[::3, [1, 3]] & np.uint64(0xFFFFFFFF) | np.uint64(0xFFFF << 32)
            self.check(keys, randomRows(seed, 300))

    def test_states(self) -> None:
        """Every pair of states of TCP, with histories that make a difference."""
        states = [(first, second) for first in EndpointState for second in EndpointState]
        for history in (b"S", b"SR", b"^SR", b"SADR", b"SHR", b"R", b"^", b"", b"ShR", b"Sr", b"SCRA"):
            for sent in (0, 1):
                rows = np.zeros(len(states), ROW)
                rows["tcp"], rows["state"], rows["letters"] = 1, states, len(history)
                rows["history"][:, : len(history)] = np.frombuffer(history, np.uint8)
                rows["lastSequence"], rows["last"] = sent * 2, sent
                self.check(np.full((len(rows), 5), 6 << 32, np.uint64), rows)

    def test_local(self) -> None:
        """Networks of one's own; and none at all."""
        words = [addressWords(text) for text in ("8.8.8.8", "8.8.9.8", "2001:db9::1", "::", "10.0.0.1")]
        keys = np.array([(*one, *other, 17 << 32) for one in words for other in words], np.uint64)
        rows = np.zeros(len(keys), ROW)
        own = (ipaddress.ip_network("8.8.8.0/24"), ipaddress.ip_network("2001:db9::/32"))
        for local in (LocalNetworks(own), LocalNetworks(own, False), LocalNetworks((), False)):
            self.check(keys, rows, local)
        self.check(keys, rows, LocalNetworks((ipaddress.ip_network("::/0"),), False))

    def test_longest(self) -> None:
        """There is room for a row in which every field is as long as can be."""
        rows = np.zeros(1, ROW)
        rows["start"], rows["last"] = -(1 << 63), (1 << 63) - 1
        rows["letters"], rows["history"], rows["services"] = 128, ord("X"), int(Service.FTP_DATA)
        rows["size"] = (1 << 63) - 1
        for name in ("missed", "packets", "bytes"):
            rows[name] = (1 << 64) - 1
        keys = np.full((1, 5), (1 << 64) - 1, np.uint64)
        self.check(keys, rows)
        self.assertLess(len(reference(keys, rows, IDS, PRIVATE)), LONGEST_ROW)

    def test_keys(self) -> None:
        """Keys of every length give the ids that the library's hash gives."""
        keys, rows = np.arange(15, dtype=np.uint64).reshape(3, 5), np.zeros(3, ROW)
        for key in (DEFAULT_KEY, b"12345678", bytes(range(64))):
            ids = ConnectionIDs(key)
            ready = RowText(ids).format(keys, rows)
            assert ready is not None
            self.assertEqual(reference(keys, rows, ids, PRIVATE), ready.block)

    def test_refused(self) -> None:
        """What would have to be escaped, or has no name, is left to the slow way."""
        keys = np.zeros((2, 5), np.uint64)
        for name, value in (("history", ord("\t")), ("history", ord("\\")), ("history", ord("-")), ("services", 15)):
            rows = np.zeros(2, ROW)
            rows["letters"] = 1
            rows["history"] = ord("S")
            rows[name][1, 0] = value
            self.assertIsNone(RowText(IDS).format(keys, rows))

    @given(
        st.tuples(ADDRESSES, ADDRESSES, st.integers(0, (1 << 64) - 1)),
        st.tuples(TIMES, TIMES, NUMBERS, NUMBERS),
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-1, (1 << 63) - 1), st.integers(-1, 9)),
        st.lists(st.sampled_from(LETTERS), max_size=128).map(bytes),
    )
    @settings(max_examples=200, deadline=None)
    def test_any(
        self,
        key: tuple[tuple[int, int], tuple[int, int], int],
        numbers: tuple[int, int, int, int],
        kinds: tuple[int, int, int, int],
        history: bytes,
    ) -> None:
        """Addresses of every form, times and numbers of every size."""
        rows = np.zeros(1, ROW)
        rows["start"], rows["last"], rows["missed"], rows["packets"][:, 1] = numbers
        rows["tcp"], rows["swapped"], rows["size"][:, 0], rows["size"][:, 1] = kinds
        rows["letters"] = len(history)
        rows["history"][0, : len(history)] = np.frombuffer(history, np.uint8)
        self.check(np.array([(*key[0], *key[1], key[2])], np.uint64), rows)
