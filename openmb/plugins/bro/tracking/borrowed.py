"""
Arrays lent to a kernel.

numba counts references to every array that one function hands to another, with instructions that lock the bus; for a
kernel of many small functions that costs more than the work itself. A borrowed array is a view that nobody counts.
"""

from __future__ import annotations

from typing import Any

from numba import config, njit
from numba.core import types
from numba.core.cgutils import get_null_value
from numba.extending import intrinsic

from openmb.plugins.bro.tracking.numbers import INNER
from openmb.plugins.bro.tracking.work import Work
from openmb.state.slots import TableArrays

_settings: Any = config


def _uncounted(typingContext: Any, array: Any) -> Any:
    """The same array without its owner."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        own = context.make_array(signature.args[0])(context, builder, arguments[0])
        lent = context.make_array(signature.return_type)(context, builder)
        for name in ("data", "shape", "strides", "itemsize", "nitems"):
            setattr(lent, name, getattr(own, name))
        lent.meminfo = get_null_value(lent.meminfo.type)
        lent.parent = get_null_value(lent.parent.type)
        return lent._getvalue()

    return (array(array), codegen) if isinstance(array, types.Array) else None


def _same(array: Any) -> Any:
    """Without a compiler nothing need be done."""
    return array


#: A view of an array that is not counted; its owner must live as long.
borrow: Any = _same if _settings.DISABLE_JIT else intrinsic(_uncounted)


@njit(**INNER)
def borrowWork(work: Any) -> Any:
    """Views of all of L{Work}."""
    return Work(
        borrow(work.pieces),
        borrow(work.keys),
        borrow(work.rows),
        borrow(work.low),
        borrow(work.high),
        borrow(work.following),
        borrow(work.waiting),
        borrow(work.cursors),
        borrow(work.key),
    )


@njit(**INNER)
def borrowTable(table: Any) -> Any:
    """Views of all of L{TableArrays}."""
    return TableArrays(
        borrow(table.places),
        borrow(table.keys),
        borrow(table.secret),
        borrow(table.used),
        borrow(table.free),
        borrow(table.counts),
        borrow(table.marks),
        borrow(table.octets),
    )
