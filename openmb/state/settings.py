"""
Settings of a kind of middlebox, as it declares them: key, type, range, default, meaning.

Values travel as texts; each type reads a text, and writes the one text that stands for a value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from openmb.state.addresses import Network

#: Hierarchical keys: words between slashes.
KEY_PATTERN = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]*(?:/[a-zA-Z0-9_][a-zA-Z0-9._-]*)*")
#: Bytes of a key and of a value, and values of a key.
KEY_LIMIT, VALUE_LIMIT, VALUES_LIMIT = 255, 1024, 4096
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_REAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)


class ValueType(Protocol):
    """
    What values a setting takes.

    @ivar notation: in words, for tables.
    """

    @property
    def notation(self) -> str:
        """See above."""

    def read(self, text: str) -> Any:
        """
        The value of a text.

        @raise ValueError: it is none; the text says what would be.
        """

    def write(self, value: Any) -> str:
        """The text of a value, always the same for the same value."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from C{lowest} to C{highest}."""

    lowest: int
    highest: int

    @property
    def notation(self) -> str:
        return f"whole number, {self.lowest} to {self.highest}"

    def read(self, text: str) -> int:
        """See L{ValueType}."""
        if not _WHOLE.fullmatch(text) or not self.lowest <= int(text) <= self.highest:
            raise ValueError(f"a {self.notation} is needed")
        return int(text)

    def write(self, value: int) -> str:
        """See L{ValueType}."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Real:
    """A number from C{lowest} to C{highest}, with six decimals at most."""

    lowest: float
    highest: float

    @property
    def notation(self) -> str:
        return f"number, {self.lowest:g} to {self.highest:g}"

    def read(self, text: str) -> float:
        """See L{ValueType}."""
        if not _REAL.fullmatch(text) or not self.lowest <= float(text) <= self.highest:
            raise ValueError(f"a {self.notation}, is needed, with six decimals at most")
        return float(text)

    def write(self, value: float) -> str:
        """See L{ValueType}."""
        return f"{value:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def notation(self) -> str:
        return " or ".join(self.words)

    def read(self, text: str) -> str:
        """See L{ValueType}."""
        if text not in self.words:
            raise ValueError(f"{self.notation} is needed")
        return text

    def write(self, value: str) -> str:
        """See L{ValueType}."""
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """C{true} or C{false}."""

    notation: str = field(default="true or false", init=False)

    def read(self, text: str) -> bool:
        """See L{ValueType}."""
        if text not in ("true", "false"):
            raise ValueError("true or false is needed")
        return text == "true"

    def write(self, value: bool) -> str:
        """See L{ValueType}."""
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Prefix:
    """An IPv4 or IPv6 network in CIDR notation; host bits are dropped."""

    notation: str = field(default="network such as 10.0.0.0/8 or 2001:db8::/32", init=False)

    def read(self, text: str) -> Network:
        """See L{ValueType}."""
        try:
            return ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise ValueError(f"a {self.notation} is needed") from error

    def write(self, value: Network) -> str:
        """See L{ValueType}."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Plain:
    """Any text."""

    notation: str = field(default="text", init=False)

    def read(self, text: str) -> str:
        """See L{ValueType}."""
        return text

    def write(self, value: str) -> str:
        """See L{ValueType}."""
        return value


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One setting, an ordered list of values.

    @ivar key: its place in the tree.
    @ivar type: what each value may be.
    @ivar default: the texts of its values unless somebody says otherwise.
    @ivar meaning: for people.
    @ivar least: @ivar most: how many values it has.
    @ivar fixed: why it cannot change while the middlebox runs; empty: it can.
    @ivar governs: it belongs to what both ends of a move must agree on.
    """

    key: str
    type: ValueType
    default: tuple[str, ...]
    meaning: str
    least: int = 1
    most: int = 1
    fixed: str = ""
    governs: bool = False

    def __post_init__(self) -> None:
        if not KEY_PATTERN.fullmatch(self.key) or len(self.key) > KEY_LIMIT:
            raise ValueError(f"{self.key!r} is no key")
        if self.settle(self.default) != self.default:
            raise ValueError(f"{self.key}: the default is not written as its type writes it")

    def settle(self, values: Sequence[str]) -> tuple[str, ...]:
        """
        C{values} as their type writes them.

        @raise ValueError: too few, too many, too long, or not of the type.
        """
        if not self.least <= len(values) <= self.most:
            wanted = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
            raise ValueError(f"{len(values)} values where {wanted} belong")
        return tuple(self.type.write(self._read(text)) for text in values)

    def _read(self, text: str) -> Any:
        if len(text.encode("utf-8", "surrogatepass")) > VALUE_LIMIT or not text.isprintable():
            raise ValueError(f"a value is not printable or longer than {VALUE_LIMIT} bytes")
        try:
            return self.type.read(text)
        except ValueError as error:
            raise ValueError(f"{text[:80]!r}: {error}") from error

    def value(self, texts: Sequence[str]) -> Any:
        """The value of settled texts: one, or a tuple where there may be several."""
        values = tuple(self.type.read(text) for text in texts)
        return values[0] if self.least == self.most == 1 else values

    def texts(self, value: Any) -> tuple[str, ...]:
        """The other way round."""
        values = (value,) if self.least == self.most == 1 else value
        return tuple(self.type.write(each) for each in values)
