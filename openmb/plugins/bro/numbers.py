"""What kernels take and give: to numba machine words, to Python numbers of its own or numpy's."""

from __future__ import annotations

from typing import Any

#: An integer.
Number = Any
#: True or false.
Truth = Any
