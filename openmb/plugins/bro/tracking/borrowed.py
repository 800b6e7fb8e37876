"""
Arrays lent to a kernel.

numba counts references to every array that one function hands to another, with instructions that lock the bus; for a
kernel of many small functions that costs more than the work itself. A borrowed array is a view that nobody counts.
"""

from __future__ import annotations

from typing import Any

from numba import config
from numba.core import types
from numba.core.cgutils import get_null_value
from numba.extending import intrinsic

_settings: Any = config


def _lend(context: Any, builder: Any, type: Any, value: Any) -> Any:
    """One array without its owner."""
    own = context.make_array(type)(context, builder, value)
    lent = context.make_array(type)(context, builder)
    for name in ("data", "shape", "strides", "itemsize", "nitems"):
        setattr(lent, name, getattr(own, name))
    lent.meminfo = get_null_value(lent.meminfo.type)
    lent.parent = get_null_value(lent.parent.type)
    return lent._getvalue()


def _uncounted(typingContext: Any, lent: Any) -> Any:
    """The same array, or tuple of arrays, without owners."""

    parts: tuple[Any, ...] = getattr(lent, "types", ())

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not parts:
            return _lend(context, builder, lent, arguments[0])
        several = [
            _lend(context, builder, part, builder.extract_value(arguments[0], place))
            for place, part in enumerate(parts)
        ]
        return context.make_tuple(builder, signature.return_type, several)

    isLendable = all(isinstance(part, types.Array) for part in parts or (lent,))
    return (lent(lent), codegen) if isLendable else None


def _same(lent: Any) -> Any:
    """Without a compiler nothing need be done."""
    return lent


#: A view of an array, or of each array of a tuple, that is not counted; the owners must live as long.
borrow: Any = _same if _settings.DISABLE_JIT else intrinsic(_uncounted)
