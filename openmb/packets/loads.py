"""
Numbers out of packet bytes, for kernels: unaligned loads of one machine instruction each.

The loads take a I{source}, what L{sourceOf} makes of a C{uint8} array: its address, so that a kernel hands it on to
others without counting references (which costs more than decoding).  The array must live as long as the source.

The loads do not check bounds: the caller has made sure that the bytes lie in the array.  Under
C{NUMBA_DISABLE_JIT=1} and C{NUMBA_BOUNDSCHECK=1} plain twins take their place: the source is then the array itself,
which they index byte by byte, and so are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch

_settings: Any = config
_CHECKED = bool(_settings.DISABLE_JIT or _settings.BOUNDSCHECK)

#: The bytes of an array, to the loads only.
Source = Any
Load = Callable[[Source, Any], Any]


def _typed(compiled: Any) -> Load:
    """What numba made, with the type that it has for callers."""
    load: Load = compiled
    return load


def _makeLoad(bits: int, result: types.Type, swapped: bool) -> Load:
    """An intrinsic that loads C{bits} bits at a byte offset, as C{result}."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        place = builder.gep(start, [arguments[1]])
        value = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()), align=1)
        if swapped:
            value = builder.bswap(value)
        return value if bits == 64 else builder.zext(value, ir.IntType(64))

    def load(typingContext: Any, source: Any, offset: Any) -> Any:
        return result(types.uintp, types.int64), codegen

    made: Any = intrinsic(load)
    return _typed(made)


def _addressOf(typingContext: Any, array: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.uintp(array), codegen


def _twinSource(array: NDArray[np.uint8]) -> Source:
    return array


def _twin8(source: NDArray[np.uint8], offset: int) -> np.int64:
    return np.int64(source[offset])


def _twin16(source: NDArray[np.uint8], offset: int) -> np.int64:
    return (np.int64(source[offset]) << np.int64(8)) | np.int64(source[offset + 1])


def _twin32(source: NDArray[np.uint8], offset: int) -> np.int64:
    value = np.int64(0)
    for place in range(offset, offset + 4):
        value = (value << np.int64(8)) | np.int64(source[place])
    return value


def _twin64(source: NDArray[np.uint8], offset: int) -> np.uint64:
    value = np.uint64(0)
    for place in range(offset, offset + 8):
        value = (value << np.uint64(8)) | np.uint64(source[place])
    return value


def _twinLittle16(source: NDArray[np.uint8], offset: int) -> np.int64:
    return (np.int64(source[offset + 1]) << np.int64(8)) | np.int64(source[offset])


def _twinLittle32(source: NDArray[np.uint8], offset: int) -> np.int64:
    value = np.int64(0)
    for place in range(offset + 3, offset - 1, -1):
        value = (value << np.int64(8)) | np.int64(source[place])
    return value


def _twinLittle64(source: NDArray[np.uint8], offset: int) -> np.int64:
    value = np.int64(0)
    for place in range(offset + 7, offset - 1, -1):
        value = (value << np.int64(8)) | np.int64(source[place])
    return value


if _CHECKED:
    #: What the loads take, of an array.
    sourceOf: Callable[[NDArray[np.uint8]], Source] = njit(_twinSource)
    #: One byte, big-endian 16 and 32 bits (as C{int64}) and 64 bits (as C{uint64}), and little-endian 16, 32
    #: and 64 bits (as C{int64}).
    load8 = _typed(njit(_twin8))
    load16 = _typed(njit(_twin16))
    load32 = _typed(njit(_twin32))
    load64 = _typed(njit(_twin64))
    loadLittle16 = _typed(njit(_twinLittle16))
    loadLittle32 = _typed(njit(_twinLittle32))
    loadLittle64 = _typed(njit(_twinLittle64))
else:
    sourceOf = intrinsic(_addressOf)  # type: ignore[assignment]
    load8 = _makeLoad(8, types.int64, False)
    load16 = _makeLoad(16, types.int64, True)
    load32 = _makeLoad(32, types.int64, True)
    load64 = _makeLoad(64, types.uint64, True)
    loadLittle16 = _makeLoad(16, types.int64, False)
    loadLittle32 = _makeLoad(32, types.int64, False)
    loadLittle64 = _makeLoad(64, types.int64, False)


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """
    C{array} as the kernels know it: contiguous, aligned and not writable, copied only where it must be.

    Every mixture of these properties is a type of its own to numba, and would be compiled on its own.
    """
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = array.copy()
        flags = array.flags
    if flags.writeable or type(array) is not np.ndarray:
        array = array.view(np.ndarray)
        array.flags.writeable = False
    return array


def plainArrays(batch: PacketBatch) -> tuple[NDArray[Any], ...]:
    """A batch's data, offsets, lengths, wire and stamps, L{plain}."""
    return plain(batch.data), plain(batch.offsets), plain(batch.lengths), plain(batch.wire), plain(batch.stamps)
