"""
The configuration of a middlebox: a tree of hierarchical keys (C{a/b/c}), each with an ordered list of values (texts).

A kind declares its settings in a L{Schema}.  Whatever is written is checked whole before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from openmb.errors import OperationError, Refusal
from openmb.state.settings import KEY_LIMIT, KEY_PATTERN, Setting

#: Key to values; complete or a part.
Tree = Mapping[str, tuple[str, ...]]
#: The key of the whole tree.
EVERYTHING = "*"
#: Bytes of all keys and values of one tree.
TREE_LIMIT = 512 << 10


def checkKey(key: str) -> None:
    """
    Is C{key} one, or the whole tree's?

    @raise OperationError: C{BAD_REQUEST}, it is not.
    """
    if key != EVERYTHING and (len(key) > KEY_LIMIT or not KEY_PATTERN.fullmatch(key)):
        raise OperationError(Refusal.BAD_REQUEST, f"{key[:80]!r} is not a key: words between slashes, or *")


def isUnder(key: str, top: str) -> bool:
    """Is C{key} at C{top} or below it?"""
    return top in (EVERYTHING, key) or key.startswith(f"{top}/")


def sizeOf(tree: Tree) -> int:
    """Bytes of keys and values."""
    return sum(len(key) + sum(len(value.encode("utf-8", "replace")) for value in tree[key]) for key in tree)


def entriesOf(key: str, content: Tree | Sequence[str]) -> Tree:
    """
    What a write of C{content}, values or a tree with whole keys, at C{key} sets.

    @raise OperationError: C{BAD_REQUEST}, no key, or the tree has keys elsewhere.
    """
    checkKey(key)
    if not isinstance(content, Mapping):
        if key == EVERYTHING:
            raise OperationError(Refusal.BAD_REQUEST, "the whole tree takes a tree, not a list of values")
        return {key: tuple(content)}
    for each in content:
        checkKey(each)
        if each == EVERYTHING or not isUnder(each, key):
            raise OperationError(Refusal.BAD_REQUEST, f"{each} is not at {key} or under it")
    return {each: tuple(values) for each, values in content.items()}


class Schema:
    """The settings of a kind."""

    def __init__(self, *settings: Setting) -> None:
        self._settings = {setting.key: setting for setting in settings}
        for setting in settings:
            if sum(isUnder(each.key, setting.key) for each in settings) > 1:
                raise ValueError(f"{setting.key} is declared twice, or has keys under it")

    def __iter__(self) -> Iterator[Setting]:
        return iter(self._settings.values())

    @property
    def defaults(self) -> Tree:
        """What holds unless somebody says otherwise."""
        return {setting.key: setting.default for setting in self}

    def settle(self, tree: Tree) -> Tree:
        """
        Some keys and their values, checked, as their types write them.

        @raise OperationError: C{BAD_REQUEST}, says which key or value is bad.
        """
        if sizeOf(tree) > TREE_LIMIT:
            raise OperationError(Refusal.BAD_REQUEST, f"a configuration of more than {TREE_LIMIT} bytes")
        return {key: self._settleOne(key, values) for key, values in tree.items()}

    def _settleOne(self, key: str, values: Sequence[str]) -> tuple[str, ...]:
        try:
            return self.find(key).settle(values)
        except ValueError as error:
            raise OperationError(Refusal.BAD_REQUEST, f"{key}: {error}") from error

    def find(self, key: str) -> Setting:
        """
        The setting at C{key}.

        @raise OperationError: C{BAD_REQUEST}, there is none.
        """
        if key not in self._settings:
            raise OperationError(Refusal.BAD_REQUEST, f"no key {key[:80]!r}; there are: {', '.join(self._settings)}")
        return self._settings[key]

    def document(self) -> str:
        """A markdown table of the settings."""
        lines = ["| key | values | default | changes while running | meaning |", "|---|---|---|---|---|"]
        for each in self:
            count = "" if each.most == 1 else f" ({each.least} to {each.most})"
            default = ", ".join(each.default) or "none"
            change = f"no: {each.fixed}" if each.fixed else "yes"
            governs = "; governs records" if each.governs else ""
            lines.append(
                f"| `{each.key}` | {each.type.notation}{count} | {default} | {change}{governs} | {each.meaning} |"
            )
        return "\n".join(lines)


class Configuration:
    """
    The configuration of one middlebox.

    @param started: what it was started with, where that is not the default.
    @ivar tree: every key and its values, as they are now.
    """

    def __init__(self, schema: Schema, started: Tree | None = None) -> None:
        self.schema = schema
        self._started: Tree = {**schema.defaults, **schema.settle(started or {})}
        self.tree: Tree = dict(self._started)

    def under(self, key: str) -> Tree:
        """
        What is at C{key} and below.

        @raise OperationError: C{BAD_REQUEST}, no such key.
        """
        checkKey(key)
        found = {each: values for each, values in self.tree.items() if isUnder(each, key)}
        if not found and key != EVERYTHING:
            raise OperationError(Refusal.BAD_REQUEST, f"no key {key!r}; there are: {', '.join(self.tree)}")
        return found

    def changed(self, entries: Tree) -> Tree:
        """
        The whole tree with C{entries} in it; nothing is changed by this.

        @raise OperationError: C{BAD_REQUEST}, a bad key or value; C{WRONG_STATE}, one that cannot change now.
        """
        settled = self.schema.settle(entries)
        for key, values in settled.items():
            if values != self.tree[key] and (reason := self.schema.find(key).fixed):
                raise OperationError(Refusal.WRONG_STATE, f"{key} cannot change while the middlebox runs: {reason}")
        after = {**self.tree, **settled}
        if sizeOf(after) > TREE_LIMIT:
            raise OperationError(Refusal.BAD_REQUEST, f"a configuration of more than {TREE_LIMIT} bytes")
        return after

    def reset(self, key: str) -> Tree:
        """
        The whole tree with C{key} and what is below as the middlebox was started with; nothing is changed by this.

        @raise OperationError: C{BAD_REQUEST}, no such key.
        """
        return {**self.tree, **{each: self._started[each] for each in self.under(key)}}

    def governs(self, after: Tree) -> bool:
        """Does C{after} differ from what holds now in what both ends of a move must agree on?"""
        return any(setting.governs and after[setting.key] != self.tree[setting.key] for setting in self.schema)
