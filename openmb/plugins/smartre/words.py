"""
What the kernels of redundancy elimination are made of: words out of bytes, copies, prefetches, bit counts, arithmetic
modulo 2**64.

Addresses are I{sources}, as in L{openmb.packets.loads}; nothing here checks bounds: the caller has made sure.  Under
C{NUMBA_DISABLE_JIT=1} and C{NUMBA_BOUNDSCHECK=1} plain twins take their place, which index the array byte by byte and
so are checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from openmb.packets.loads import Source
from openmb.packets.loads import load8 as loadByte

_settings: Any = config
_PLAIN = bool(_settings.DISABLE_JIT)
_CHECKED = bool(_PLAIN or _settings.BOUNDSCHECK)

#: An integer of a kernel, of Python or of numpy.
Number = Any

_BYTE = ir.IntType(8)
_WORD = ir.IntType(64)


def _at(builder: Any, type_: Any, source: Any, offset: Any) -> Any:
    """A pointer to a C{type_} that lies C{offset} bytes behind C{source}."""
    return builder.inttoptr(builder.add(source, offset), type_.as_pointer())


def _load64(typingContext: Any, source: Any, offset: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_at(builder, _WORD, *arguments), align=1)

    return types.uint64(types.uintp, types.int64), codegen


def _store64(typingContext: Any, target: Any, offset: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _at(builder, _WORD, *arguments[:2]), align=1)
        return context.get_dummy_value()

    return types.void(types.uintp, types.int64, types.uint64), codegen


def _copy(typingContext: Any, target: Any, to: Any, source: Any, at: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, to, source, at, count = arguments
        pointer = _BYTE.as_pointer()
        moved = builder.module.declare_intrinsic("llvm.memcpy", [pointer, pointer, _WORD])
        places = _at(builder, _BYTE, target, to), _at(builder, _BYTE, source, at)
        builder.call(moved, [*places, count, ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.uintp, types.int64, types.uintp, types.int64, types.int64), codegen


def _prefetch(typingContext: Any, source: Any, offset: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), number, number, number])
        wanted = builder.module.declare_intrinsic("llvm.prefetch", [_BYTE.as_pointer()], shape)
        # for reading, into all caches, data
        builder.call(wanted, [_at(builder, _BYTE, *arguments), *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.uintp, types.int64), codegen


def _below(typingContext: Any, source: Any, offset: Any, factor: Any, limit: Any) -> Any:
    vector = ir.VectorType(_WORD, 8)

    def everywhere(builder: Any, value: Any) -> Any:
        whole = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8)
        return builder.shuffle_vector(whole, whole, lanes)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, offset, factor, limit = arguments
        some = builder.load(_at(builder, ir.VectorType(_BYTE, 16), source, offset), align=1)
        # byte j of word i is byte i + j
        places = [ir.Constant(ir.IntType(32), word + byte) for word in range(8) for byte in range(8)]
        spread = builder.shuffle_vector(some, some, ir.Constant(ir.VectorType(ir.IntType(32), 64), places))
        products = builder.mul(builder.bitcast(spread, vector), everywhere(builder, factor))
        smaller = builder.icmp_unsigned("<", products, everywhere(builder, limit))
        return builder.zext(builder.bitcast(smaller, _BYTE), _WORD)

    return types.uint64(types.uintp, types.int64, types.uint64, types.uint64), codegen


def _trailing(typingContext: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


def _leading(typingContext: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


def _twinLoad64(source: NDArray[np.uint8], offset: int) -> np.uint64:
    word = np.uint64(0)
    for place in range(offset + 7, offset - 1, -1):
        word = (word << np.uint64(8)) | np.uint64(source[place])
    return word


def _twinStore64(target: NDArray[np.uint8], offset: int, word: np.uint64) -> None:
    for place in range(8):
        target[offset + place] = np.uint8((word >> np.uint64(8 * place)) & np.uint64(255))


def _twinCopy(target: NDArray[np.uint8], to: int, source: NDArray[np.uint8], at: int, count: int) -> None:
    for place in range(count):
        target[to + place] = source[at + place]


def _twinPrefetch(source: Any, offset: int) -> None:
    return


def _twinBelow(source: NDArray[np.uint8], offset: int, factor: np.uint64, limit: np.uint64) -> np.uint64:
    found = np.uint64(0)
    for place in range(8):
        if times(load64(source, offset + place), factor) < limit:
            found |= np.uint64(1) << np.uint64(place)
    # the machine reads 16 bytes
    return found | (np.uint64(source[offset + 15]) >> np.uint64(8))


def _twinTrailing(word: np.uint64) -> int:
    for place in range(64):
        if (word >> np.uint64(place)) & np.uint64(1):
            return place
    return 64


def _twinLeading(word: np.uint64) -> int:
    for place in range(64):
        if (word >> np.uint64(63 - place)) & np.uint64(1):
            return place
    return 64


def _times(one: Any, other: Any) -> Any:
    return one * other


def _plus(one: Any, other: Any) -> Any:
    return one + other


def _minus(one: Any, other: Any) -> Any:
    return one - other


def _plainTimes(one: Any, other: Any) -> Any:
    return np.uint64(int(one) * int(other) & 0xFFFFFFFFFFFFFFFF)


def _plainPlus(one: Any, other: Any) -> Any:
    return np.uint64(int(one) + int(other) & 0xFFFFFFFFFFFFFFFF)


def _plainMinus(one: Any, other: Any) -> Any:
    return np.uint64(int(one) - int(other) & 0xFFFFFFFFFFFFFFFF)


def _either(machine: Any, twin: Any) -> Any:
    """A machine instruction, or its twin where indices are checked."""
    return njit(twin) if _CHECKED else intrinsic(machine)


#: C{load64(source, offset)}: 8 bytes, little-endian; C{store64(target, offset, word)} is the reverse.
load64: Any = _either(_load64, _twinLoad64)
store64: Any = _either(_store64, _twinStore64)
#: C{copyBytes(target, to, source, at, count)}: the two do not overlap.
copyBytes: Any = _either(_copy, _twinCopy)
#: C{prefetch(source, offset)}: the line will be read soon; any address will do.
prefetch: Any = _either(_prefetch, _twinPrefetch)
#: C{below(source, offset, factor, limit)}: bit C{i} says that C{load64(source, offset + i) * factor < limit}, for
#: eight places at once; 16 bytes are read.
below: Any = _either(_below, _twinBelow)
#: Zero bits below the lowest and above the highest that is set; 64 of zero.
trailingZeros: Any = _either(_trailing, _twinTrailing)
leadingZeros: Any = _either(_leading, _twinLeading)
#: Of C{uint64}, modulo 2**64.
times: Any = njit(_plainTimes if _PLAIN else _times)
plus: Any = njit(_plainPlus if _PLAIN else _plus)
minus: Any = njit(_plainMinus if _PLAIN else _minus)


@njit(cache=True)
def same(one: Source, at: Number, other: Source, place: Number, limit: Number) -> Number:
    """How many bytes are equal from C{at} and C{place} on, at most C{limit}."""
    run = 0
    while run + 8 <= limit:
        differing = load64(one, at + run) ^ load64(other, place + run)
        if differing:
            return run + (trailingZeros(differing) >> 3)
        run += 8
    if run < limit and limit >= 8:
        differing = load64(one, at + limit - 8) ^ load64(other, place + limit - 8)
        return limit - 8 + (trailingZeros(differing) >> 3)
    return run + _sameShort(one, at + run, other, place + run, limit - run)


@njit(cache=True)
def _sameShort(one: Source, at: Number, other: Source, place: Number, limit: Number) -> Number:
    """The same of fewer than 8 bytes."""
    run = 0
    while run < limit and loadByte(one, at + run) == loadByte(other, place + run):
        run += 1
    return run


@njit(cache=True)
def sameBefore(one: Source, at: Number, other: Source, place: Number, limit: Number) -> Number:
    """How many bytes are equal just before C{at} and C{place}, at most C{limit}."""
    run = 0
    while run + 8 <= limit:
        differing = load64(one, at - run - 8) ^ load64(other, place - run - 8)
        if differing:
            return run + (leadingZeros(differing) >> 3)
        run += 8
    while run < limit and loadByte(one, at - run - 1) == loadByte(other, place - run - 1):
        run += 1
    return run
