"""Tables: against a dict, through growth, collisions and removal."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from numpy.typing import NDArray
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import FinerThanNative, OperationError, Refusal
from openmb.state.flowkey import FLOW_KEY, flowKey, flowKeys, hostKey
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.state.slots import EMPTY, findSlot, hashKey, insertKey, removeSlot
from openmb.state.table import FlowTable
from tests.state.flows import UNIVERSE

_ROW = np.dtype([("number", "<u8"), ("flag", "u1")])
_SOME = st.lists(st.integers(0, 40), max_size=12)


def wordsOf(numbers: list[int]) -> NDArray[np.uint64]:
    """A one-word key for each number."""
    return np.array(numbers, np.uint64).reshape(-1, 1)


class TableMachine(RuleBasedStateMachine):
    """Random insertions, removals and marks, beside a dict of what should be there."""

    def __init__(self) -> None:
        super().__init__()
        self.table = FlowTable(_ROW, keyWords=1, capacity=2)
        self.model: dict[int, tuple[int, int, int]] = {}

    @rule(numbers=_SOME)
    def insert(self, numbers: list[int]) -> None:
        slots = self.table.insert(wordsOf(numbers))
        for number, slot in zip(numbers, slots.tolist(), strict=True):
            known = self.model.setdefault(number, (slot, 0, 0))
            assert known[0] == slot
            assert int(self.table.rows["number"][slot]) == known[1]
            self.table.rows["number"][slot] = number + 1000
            self.table.rows["flag"][slot] = 255
            self.model[number] = (slot, number + 1000, known[2])

    @rule(numbers=_SOME)
    def remove(self, numbers: list[int]) -> None:
        slots = self.table.find(wordsOf(numbers))
        assert self.table.remove(slots) == len({number for number in numbers if self.model.pop(number, None)})

    @rule(numbers=_SOME, operation=st.sampled_from((0, 1, 2**64 - 1)))
    def mark(self, numbers: list[int], operation: int) -> None:
        known = [number for number in set(numbers) if number in self.model]
        self.table.mark(self.table.find(wordsOf(known)), operation)
        for number in known:
            self.model[number] = (*self.model[number][:2], operation)

    @invariant()
    def same(self) -> None:
        """Keys, slots, rows and marks are those of the dict."""
        found = self.table.find(wordsOf(list(range(41)))).tolist()
        assert found == [self.model.get(number, (-1,))[0] for number in range(41)]
        assert len(self.table) == len(self.model)
        assert self.table.slots().tolist() == sorted(slot for slot, _, _ in self.model.values())
        for slot, number, mark in self.model.values():
            assert int(self.table.rows["number"][slot]) == number
            assert int(self.table.marks[slot]) == mark
        for operation in (0, 1, 2**64 - 1):
            expected = sorted(slot for slot, _, mark in self.model.values() if mark == operation)
            assert self.table.marked(operation).tolist() == expected

    @invariant()
    def indexed(self) -> None:
        """The index names each used slot once, and its size is a power of two, at least twice the capacity."""
        places = self.table.arrays.places
        assert sorted(places[places != EMPTY].tolist()) == self.table.slots().tolist()
        assert len(places) >= 2 * self.table.capacity
        assert len(places) & (len(places) - 1) == 0


class ModelTests(SynchronousTestCase):
    """The table as a whole."""

    def test_model(self) -> None:
        """Any history leaves the table and a dict alike."""
        run_state_machine_as_test(TableMachine, settings=settings(deadline=None, max_examples=80))

    def test_crowded(self) -> None:
        """An index that is half full, with removals in every order, loses nothing."""
        generator = np.random.default_rng(7)
        table = FlowTable(_ROW, keyWords=1, capacity=64, maximum=64)
        for _ in range(60):
            numbers = generator.choice(1000, 64, replace=False)
            slots = table.insert(wordsOf(numbers.tolist()))
            order = generator.permutation(64)
            for count, which in enumerate(order.tolist()):
                table.remove(slots[which : which + 1])
                left = order[count + 1 :]
                self.assertEqual(table.find(wordsOf(numbers[left].tolist())).tolist(), slots[left].tolist())


class FlowTableTests(SynchronousTestCase):
    """Single behaviours."""

    def setUp(self) -> None:
        self.table = FlowTable(_ROW, capacity=4, maximum=20)

    def test_growthKeepsSlots(self) -> None:
        """Rows, marks and slots stay where they are while the table grows to its maximum."""
        keys = _distinct(20)
        slots = [int(self.table.insert(keys[i : i + 1])[0]) for i in range(10)]
        self.table.rows["number"][slots] = np.arange(10)
        self.table.mark(np.array(slots), 9)
        self.table.insert(keys)
        self.assertEqual(self.table.capacity, 20)
        self.assertEqual(self.table.find(keys[:10]).tolist(), slots)
        self.assertEqual(self.table.rows["number"][slots].tolist(), list(range(10)))
        self.assertEqual(self.table.marked(9).tolist(), sorted(slots))
        self.assertEqual(self.table.room, 0)

    def test_full(self) -> None:
        """What does not fit is refused as a whole, while known keys are still found."""
        keys = _distinct(21)
        self.table.insert(keys[:19])
        error = self.assertRaises(OperationError, self.table.insert, keys)
        self.assertIs(error.refusal, Refusal.BUFFER_FULL)
        self.assertEqual(len(self.table), 19)
        slots = self.table.insert(np.concatenate((keys[:20], keys[:20], keys[19:20])))
        self.assertEqual(slots[:20].tolist(), slots[20:40].tolist())
        self.assertEqual(len(self.table), 20)

    def test_reserve(self) -> None:
        """After C{reserve(n)} a kernel inserts n keys without growth, and the next one finds no slot."""
        self.table.reserve(20)
        arrays = self.table.arrays
        keys = _distinct(21).view(np.uint64).reshape(21, 5)
        slots = [int(insertKey(arrays, keys[i])) for i in range(21)]
        self.assertEqual(sorted(slots), [-1, *range(20)])
        self.assertIs(self.table.arrays, arrays)
        self.assertEqual(int(findSlot(arrays, keys[3])), slots[3])
        self.assertTrue(removeSlot(arrays, slots[3]))
        self.assertFalse(removeSlot(arrays, slots[3]))
        self.assertEqual(int(findSlot(arrays, keys[3])), -1)
        self.assertRaises(OperationError, self.table.reserve, 2)

    def test_removeOutside(self) -> None:
        """Slots that do not exist are passed over."""
        self.table.insert(_distinct(2))
        self.assertEqual(self.table.remove(np.array([-1, 4, 10**9, 3])), 0)
        self.assertEqual(len(self.table), 2)

    def test_reusedIsClean(self) -> None:
        """A slot that is used again has a row of zeros and no mark."""
        slots = self.table.insert(_distinct(1))
        self.table.rows[slots] = (5, 6)
        self.table.mark(slots, 3)
        self.table.remove(slots)
        again = self.table.insert(_distinct(2)[1:])
        self.assertEqual(again.tolist(), slots.tolist())
        self.assertEqual(self.table.rows[again].tolist(), [(0, 0)])
        self.assertEqual(self.table.marks[again].tolist(), [0])
        self.assertEqual(self.table.marked(3).tolist(), [])

    def test_select(self) -> None:
        """Used slots in a range whose keys match, ascending; removed ones never."""
        table = FlowTable(_ROW)
        keys = np.unique(flowKeys(UNIVERSE)[0])
        slots = table.insert(keys)
        flows = HeaderFieldList.parse("tcp,nw_src=10.0.0.1,tp_dst=80")
        expected = sorted(slots[flows.matchKeys(keys)].tolist())
        self.assertTrue(0 < len(expected) < len(keys))
        self.assertEqual(table.select(flows).tolist(), expected)
        halves = [*table.select(flows, 0, 50).tolist(), *table.select(flows, 50, 10**6).tolist()]
        self.assertEqual(halves, expected)
        table.remove(np.array(expected[:1]))
        self.assertEqual(table.select(flows).tolist(), expected[1:])
        self.assertEqual(len(table.select(EVERYTHING)), len(keys) - 1)
        self.assertRaises(FinerThanNative, table.select, HeaderFieldList.parse("dl_vlan=1"))

    def test_hosts(self) -> None:
        """Host tables select by address; other keys cannot be selected by header fields."""
        table = FlowTable(_ROW, keyWords=2)
        slots = table.insert(np.concatenate((hostKey("10.0.0.1"), hostKey("2001:db8::1"))))
        self.assertEqual(table.select(HeaderFieldList.parse("nw_src=10.0.0.0/8")).tolist(), slots[:1].tolist())
        self.assertRaises(ValueError, FlowTable(_ROW, keyWords=3).select, EVERYTHING)

    def test_keysAgain(self) -> None:
        """Keys come back as they went in, structured or as bytes."""
        keys = _distinct(3)
        slots = self.table.insert(keys)
        self.assertEqual(self.table.flowKeys(slots).tobytes(), keys.tobytes())
        octets = self.table.keyBytes(slots)
        self.assertEqual(octets.tobytes(), keys.tobytes())
        self.assertEqual(self.table.find(octets).tolist(), slots.tolist())
        self.assertRaises(ValueError, self.table.find, octets[:, :16])

    def test_changes(self) -> None:
        """The change count moves with insertions and removals, and not when a known key is inserted."""
        seen = [self.table.changes]
        for step in (self.table.insert, self.table.insert, lambda keys: self.table.remove(self.table.find(keys))):
            step(_distinct(1))
            seen.append(self.table.changes)
        self.assertEqual([later - earlier for earlier, later in pairwise(seen)], [1, 0, 1])

    def test_clear(self) -> None:
        """Nothing is left, and the table goes on."""
        self.table.insert(_distinct(9))
        self.table.clear()
        self.assertEqual((len(self.table), self.table.slots().tolist()), (0, []))
        self.assertEqual(self.table.find(_distinct(1)).tolist(), [-1])
        self.assertEqual(len(self.table.insert(_distinct(20))), 20)

    def test_nothing(self) -> None:
        """Empty arrays are fine."""
        nothing = np.zeros(0, FLOW_KEY)
        self.assertEqual(self.table.insert(nothing).tolist(), [])
        self.assertEqual(self.table.find(nothing).tolist(), [])
        self.assertEqual(self.table.remove(np.zeros(0, np.int64)), 0)
        self.assertEqual(self.table.select(EVERYTHING).tolist(), [])


class HashTests(SynchronousTestCase):
    """The keyed hash."""

    def test_secret(self) -> None:
        """Two tables hash alike only by chance: nobody outside can prepare collisions."""
        one, other = FlowTable(_ROW), FlowTable(_ROW)
        keys = _distinct(64).view(np.uint64).reshape(64, 5)
        same = [hashKey(key, one.arrays.secret) == hashKey(key, other.arrays.secret) for key in keys]
        self.assertLess(sum(same), 3)

    def test_everyBitCounts(self) -> None:
        """Flipping any one bit, or the top bits of two words together, changes the hash."""
        secret = np.random.default_rng(3).integers(0, 2**64, 5, dtype=np.uint64)
        base = flowKey("10.0.0.1", 1, "10.0.0.2", 2, 6).view(np.uint64).copy()
        seen = {int(hashKey(base, secret))}
        for bit in range(320):
            key = base.copy()
            key[bit // 64] ^= np.uint64(1 << (bit % 64))
            seen.add(int(hashKey(key, secret)))
        key = base.copy()
        key[:2] ^= np.array([1 << 63, 1 << 63 | 1 << 31], np.uint64)
        seen.add(int(hashKey(key, secret)))
        self.assertEqual(len(seen), 322)
        self.assertTrue(all(0 <= value < 2**31 for value in seen))

    def test_spread(self) -> None:
        """Keys in a row fall all over the index."""
        table = FlowTable(_ROW, keyWords=1)
        places = {int(hashKey(key, table.arrays.secret)) & 1023 for key in wordsOf(list(range(1024)))}
        self.assertGreater(len(places), 512)


def _distinct(count: int) -> NDArray[Any]:
    """C{FLOW_KEY[count]}, all different, always the same."""
    keys = np.repeat(flowKey("10.0.0.1", 0, "10.0.0.2", 80, 6), count)
    keys["a_port"] = np.arange(count)
    return keys
