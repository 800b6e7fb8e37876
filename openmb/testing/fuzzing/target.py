"""
What is fuzzed: a name, good inputs, what is done with an input, and which errors are answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """
    @ivar run: takes one input; may raise C{allowed} and nothing else.
    @ivar seeds: good inputs.
    @ivar words: parts that mean something, to be put in anywhere.
    """

    name: str
    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = field(default=())
