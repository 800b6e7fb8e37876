"""What kernels take and give: to numba machine words, to Python numbers of its own or numpy's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

#: An integer.
Number = Any
#: True or false.
Truth = Any

#: Options of kernels that only kernels call: what Python would need to call them takes long to compile.
INNER: Any = {"cache": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def constants(values: Iterable[int]) -> tuple[Number, ...]:
    """
    Constants for kernels.

    To numba a Python number is a type of its own when it is an argument, and the kernel it is passed to is compiled for
    each value; not so numbers of numpy.
    """
    return tuple(np.int64(value) for value in values)


#: Sides of a connection.
ORIGINATOR, RESPONDER = constants(range(2))
ZERO, ONE = constants(range(2))
