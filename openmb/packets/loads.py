"""
Numbers out of packet bytes, for kernels: unaligned loads of one machine instruction each.

The loads do not check bounds: the caller has made sure that the bytes lie in the array.  Under C{NUMBA_DISABLE_JIT=1} and
C{NUMBA_BOUNDSCHECK=1} plain twins take their place, which index the array byte by byte and so are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Load = Callable[[NDArray[np.uint8], Any], Any]


def _makeLoad(bits: int, result: types.Type, swapped: bool) -> Load:
    """An intrinsic that loads C{bits} bits of a C{uint8} array at a byte offset, as C{result}."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        value = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()), align=1)
        if swapped:
            value = builder.bswap(value)
        return value if bits == 64 else builder.zext(value, ir.IntType(64))

    def load(typingContext: Any, data: Any, offset: Any) -> Any:
        return result(data, types.int64), codegen

    made: Load = intrinsic(load)
    return made


def _twin16(data: NDArray[np.uint8], offset: int) -> np.int64:
    return (np.int64(data[offset]) << np.int64(8)) | np.int64(data[offset + 1])


def _twin32(data: NDArray[np.uint8], offset: int) -> np.int64:
    value = np.int64(0)
    for place in range(offset, offset + 4):
        value = (value << np.int64(8)) | np.int64(data[place])
    return value


def _twin64(data: NDArray[np.uint8], offset: int) -> np.uint64:
    value = np.uint64(0)
    for place in range(offset, offset + 8):
        value = (value << np.uint64(8)) | np.uint64(data[place])
    return value


def _twinNative32(data: NDArray[np.uint8], offset: int) -> np.int64:
    value = np.int64(0)
    for place in range(offset + 3, offset - 1, -1):
        value = (value << np.int64(8)) | np.int64(data[place])
    return value


if config.DISABLE_JIT or config.BOUNDSCHECK:
    #: Big-endian 16, 32 (as C{int64}) and 64 bits (as C{uint64}), and little-endian 32 bits, at a byte offset.
    load16: Load = njit(_twin16)
    load32: Load = njit(_twin32)
    load64: Load = njit(_twin64)
    loadLittle32: Load = njit(_twinNative32)
else:
    load16 = _makeLoad(16, types.int64, True)
    load32 = _makeLoad(32, types.int64, True)
    load64 = _makeLoad(64, types.uint64, True)
    loadLittle32 = _makeLoad(32, types.int64, False)


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
