"""Record layouts: the bytes of construct and of numpy are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from construct import (
    Array,
    Byte,
    Bytes,
    Construct,
    Float32l,
    Float64l,
    GreedyBytes,
    Int8sl,
    Int8ul,
    Int16sl,
    Int16ul,
    Int32sl,
    Int32ub,
    Int32ul,
    Int64sl,
    Int64ul,
    Padding,
    Struct,
    VarInt,
    this,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.state.layout import RecordLayout, UnsupportedConstruct
from openmb.state.records import recordBytes
from openmb.state.table import FlowTable
from openmb.state.taxonomy import Cell

_STRUCT = Struct(
    "first" / Int64sl * "when the flow began, nanoseconds",
    "octets" / Int64ul * "bytes either way",
    Padding(3),
    "flags" / Int8ul,
    "gap" / Padding(2) * "reserved",
    "lag" / Float64l * "seconds",
    "shares" / Array(3, Int16ul),
    "grid" / Array(2, Array(2, Int32sl)),
    "digest" / Bytes(5) * "one | two",
    "side" / Struct("state" / Int8sl * "TCP state", "window" / Int16sl),
    "sides" / Array(2, Struct("ratio" / Float32l, "count" / Int32ul * "packets")),
)
_SIZE = 8 + 8 + 3 + 1 + 2 + 8 + 6 + 16 + 5 + 3 + 16


def layout(struct: Any = _STRUCT, tail: Construct | None = None) -> RecordLayout:
    """A layout for tests."""
    return RecordLayout(Cell.SUPPORTING_PER_FLOW, 3, 1, "test", struct, tail)


class DtypeTests(SynchronousTestCase):
    """From construct to numpy."""

    def test_sizes(self) -> None:
        """Both agree on the size, and nothing is aligned."""
        self.assertEqual((layout().size, _STRUCT.sizeof()), (_SIZE, _SIZE))

    def test_golden(self) -> None:
        """Numbers lie where the declaration says."""
        row = np.zeros(1, layout().dtype)
        row["first"], row["flags"], row["shares"], row["side"] = -2, 7, (1, 2, 3), (-1, 0x0102)
        expected = bytearray(_SIZE)
        expected[0:8] = b"\xfe" + b"\xff" * 7
        expected[19] = 7
        expected[30:36] = bytes((1, 0, 2, 0, 3, 0))
        expected[57:60] = b"\xff\x02\x01"
        self.assertEqual(row.tobytes(), bytes(expected))

    @settings(deadline=None)
    @given(st.binary(min_size=_SIZE, max_size=_SIZE))
    def test_sameBytes(self, data: bytes) -> None:
        """Any bytes mean the same to both, and both give them back, padding apart."""
        parsed, row = _STRUCT.parse(data), np.frombuffer(data, layout().dtype)[0]
        self.assertEqual([parsed.first, parsed.octets, parsed.flags], [row["first"], row["octets"], row["flags"]])
        self.assertEqual(list(parsed.shares), row["shares"].tolist())
        self.assertEqual([list(line) for line in parsed.grid], row["grid"].tolist())
        self.assertEqual(parsed.digest, row["digest"].tobytes())
        self.assertEqual((parsed.side.state, parsed.side.window), row["side"].tolist())
        self.assertEqual([side["count"] for side in parsed.sides], row["sides"]["count"].tolist())
        self.assertEqual(np.array(parsed.lag).tobytes(), row["lag"].tobytes())
        self.assertEqual(row.tobytes(), data)
        clean = bytearray(data)
        clean[16:19], clean[20:22] = bytes(3), bytes(2)
        parsed.lag, parsed.sides[0].ratio, parsed.sides[1].ratio = 1.5, 0.25, -1.0
        floats = np.frombuffer(bytes(clean), layout().dtype).copy()
        floats["lag"], floats["sides"]["ratio"] = 1.5, (0.25, -1.0)
        self.assertEqual(_STRUCT.build(parsed), floats.tobytes())

    def test_rows(self) -> None:
        """Exported records are seen as rows again; records of another size are refused."""
        table = FlowTable(layout().dtype)
        table.rows["octets"][:3] = 1, 2, 3
        octets = recordBytes(table.rows[:3])
        self.assertEqual(layout().rows(octets)["octets"].tolist(), [1, 2, 3])
        self.assertRaises(ValueError, layout().rows, octets[:, 1:])
        self.assertRaises(ValueError, layout().rows, octets[0])

    def test_unsupported(self) -> None:
        """What has no fixed place, or another byte order, is refused when it is declared."""
        for wrong in (
            Struct("a" / Int32ub),
            Struct("a" / VarInt),
            Struct("a" / GreedyBytes),
            Struct("n" / Byte, "a" / Bytes(this.n)),
            Struct("n" / Byte, "a" / Array(this.n, Byte)),
            Struct(Int32ul),
        ):
            self.assertRaises(UnsupportedConstruct, layout, wrong)


class DocumentTests(SynchronousTestCase):
    """From construct to markdown."""

    def test_golden(self) -> None:
        """One line for each field, those of nested structs too, and one for the tail."""
        text = layout(tail=GreedyBytes * "pending\nrequests").document()
        self.assertEqual(
            text.splitlines(),
            [
                "| offset | size | type | name | meaning |",
                "|---:|---:|---|---|---|",
                "| 0 | 8 | int64 | first | when the flow began, nanoseconds |",
                "| 8 | 8 | uint64 | octets | bytes either way |",
                "| 16 | 3 | padding | (padding) |  |",
                "| 19 | 1 | uint8 | flags |  |",
                "| 20 | 2 | padding | gap | reserved |",
                "| 22 | 8 | float64 | lag | seconds |",
                "| 30 | 6 | uint16 x 3 | shares |  |",
                "| 36 | 16 | int32 x 2 x 2 | grid |  |",
                "| 52 | 5 | bytes | digest | one \\| two |",
                "| 57 | 3 | struct | side |  |",
                "| 57 | 1 | int8 | side.state | TCP state |",
                "| 58 | 2 | int16 | side.window |  |",
                "| 60 | 16 | struct x 2 | sides |  |",
                "| 60 | 4 | float32 | sides[].ratio |  |",
                "| 64 | 4 | uint32 | sides[].count | packets |",
                "| 76 | varies | tail | | pending requests |",
            ],
        )
