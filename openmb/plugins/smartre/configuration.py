"""
What can be configured of an encoder and of a decoder, and how a tree and L{SmartreSettings} stand for each other.

A setting added to a schema needs a line in L{_ATTRIBUTES}: the attribute of L{SmartreSettings} that holds its value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from openmb.errors import OperationError, Refusal
from openmb.plugins.smartre.caches import parseFlows, plainFlows
from openmb.plugins.smartre.settings import DEFAULT_CACHES, MOST_CACHES, Role, SmartreSettings
from openmb.state.configuration import Schema, Tree
from openmb.state.settings import Choice, Plain, Real, Setting, Switch, Whole

#: Changes with every change of the rules by which caches live.
_RULES = b"smartre rules 1"
_SECOND = 1_000_000_000
_ROLE, _FORK_OF, _DICTIONARY, _INTERVAL = "Role", "ForkOf", "Dictionary", "SavingInterval"


@dataclass(frozen=True, slots=True)
class PowerOfTwo:
    """A power of two from C{lowest} to C{highest}."""

    lowest: int
    highest: int

    @property
    def notation(self) -> str:
        return f"power of two, {self.lowest} to {self.highest}"

    def read(self, text: str) -> int:
        """See L{ValueType}."""
        value = Whole(self.lowest, self.highest).read(text)
        if value & (value - 1):
            raise ValueError(f"a {self.notation} is needed")
        return value

    def write(self, value: int) -> str:
        """See L{ValueType}."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Destinations:
    """What goes to one cache, as C{caches.parseFlows} takes it."""

    notation = "prefixes of destinations, commas between, and perhaps a share: `10.1.0.0/16,2001:db8::/32 0-0.5`"

    def read(self, text: str) -> str:
        """See L{ValueType}."""
        return plainFlows(text)

    def write(self, value: str) -> str:
        """See L{ValueType}."""
        return plainFlows(value)


def _shared(role: Role, *own: Setting) -> Schema:
    return Schema(
        Setting(_ROLE, Choice((role.value,)), (role.value,), "which end it is", fixed="it is made so", governs=True),
        *own,
        Setting(
            *("Cache/Slots", PowerOfTwo(64, 1 << 24), (str(1 << 16),)),
            "packets in a cache (`--slots`); a decoder needs as many as the encoder; only while caches are empty",
            governs=True,
        ),
        Setting(
            *("Cache/SlotBytes", Whole(64, 2048), ("1536",)),
            "the longest payload that is stored (`--slot-bytes`); only while caches are empty",
            governs=True,
        ),
        Setting(
            *(_DICTIONARY, Plain(), ("",)),
            "fingerprint of the second stage's dictionary (`--dictionary`)",
            fixed="it is read at the start",
            governs=True,
        ),
        Setting(
            *(_INTERVAL, Real(0.001, 86400), ("10",)),
            "seconds of packet time after which it is announced what was saved",
        ),
    )


ENCODER = _shared(
    Role.ENCODER,
    Setting(
        *("NumCaches", Whole(1, MOST_CACHES), ("1",)),
        "caches (`--caches`); one more is a duplicate of another, one less is dropped: those with the highest numbers",
    ),
    Setting(
        *(
            "CacheFlows",
            Destinations(),
            (),
            "what each cache is used for, from 0 on (`--cache-flows`); none: 0 for all",
        ),
        *(0, MOST_CACHES),
    ),
    Setting(
        *(_FORK_OF, Choice(("none", *map(str, range(MOST_CACHES)))), ()),
        "which cache each, from 0 on, is a duplicate of when it is made; none: it begins empty; not said: of 0",
        *(0, MOST_CACHES),
    ),
    Setting(
        *("Cache/Entries", PowerOfTwo(64, 1 << 30), (str(1 << 20),)),
        "of a fingerprint table (`--entries`); it is made anew from the packets",
    ),
    Setting("Cache/Sampling", PowerOfTwo(8, 1024), ("32",), "one place in so many is looked up (`--sampling`)"),
    Setting("Cache/KeepOldest", Switch(), ("true",), "an older entry stays in the table (else `--keep-newest`)"),
    Setting("Gate", Switch(), ("true",), "refer only to packets that were acknowledged (else `--no-gate`)"),
    Setting("Bypass", Switch(), ("true",), "pass flows that do not pay (else `--no-bypass`)"),
    Setting("SecondStage", Switch(), ("false",), "compress what is left of a packet (`--second-stage`)"),
    Setting("MTU", Whole(576, 65535), ("1500",), "bytes of the longest IP packet on the path (`--mtu`)"),
)
DECODER = _shared(
    Role.DECODER,
    Setting(
        *("Keeps", Whole(0, MOST_CACHES - 1), ()),
        "caches that it keeps (`--keeps`); packets of others pass; none: all of them",
        *(0, MOST_CACHES),
    ),
    Setting(
        *("MaxCaches", Whole(1, MOST_CACHES), (str(DEFAULT_CACHES),)),
        "caches that it makes at most (`--max-caches`); packets of others pass; those that it has stay",
    ),
)

#: Key: attribute of the settings, where one holds the value of the other.
_ATTRIBUTES: Mapping[str, str] = {
    "NumCaches": "caches",
    "CacheFlows": "cacheFlows",
    "Keeps": "keeps",
    "MaxCaches": "mostCaches",
    "Cache/Slots": "slots",
    "Cache/SlotBytes": "slotBytes",
    "Cache/Entries": "entries",
    "Cache/Sampling": "sampling",
    "Cache/KeepOldest": "keepOldest",
    "Gate": "gated",
    "Bypass": "bypass",
    "SecondStage": "secondStage",
    "MTU": "mtu",
}


def schemaOf(role: Role) -> Schema:
    """What can be set of this end."""
    return ENCODER if role is Role.ENCODER else DECODER


def treeOf(settings: SmartreSettings, dictionary: bytes) -> Tree:
    """The whole tree that stands for C{settings}."""
    values: dict[str, Any] = {key: getattr(settings, attribute) for key, attribute in _ATTRIBUTES.items()}
    values[_ROLE] = settings.role.value
    values[_DICTIONARY] = hashlib.sha256(dictionary).hexdigest()[:16] if dictionary else ""
    values[_INTERVAL] = settings.savingInterval / _SECOND
    values[_FORK_OF] = tuple("none" if each is None else str(each) for each in settings.forkOf)
    return {setting.key: setting.texts(values[setting.key]) for setting in schemaOf(settings.role)}


def settingsAfter(settings: SmartreSettings, tree: Tree) -> SmartreSettings:
    """
    C{settings} with what the whole C{tree} says; what cannot change is left as it is.

    @raise OperationError: C{BAD_REQUEST}, values that do not go together.
    """
    values = {setting.key: setting.value(tree[setting.key]) for setting in schemaOf(settings.role)}
    changed = {attribute: values[key] for key, attribute in _ATTRIBUTES.items() if key in values}
    if _FORK_OF in values:
        changed["forkOf"] = tuple(None if each == "none" else int(each) for each in values[_FORK_OF])
    after = replace(settings, savingInterval=round(values[_INTERVAL] * _SECOND), **changed)
    if complaint := _complaint(after):
        raise OperationError(Refusal.BAD_REQUEST, complaint)
    return after


def _complaint(settings: SmartreSettings) -> str:
    if len(settings.cacheFlows) > settings.caches:
        return f"CacheFlows: {len(settings.cacheFlows)} values, NumCaches says {settings.caches}"
    for number, origin in enumerate(settings.forkOf):
        if number and origin is not None and origin >= number:
            return f"ForkOf: cache {number} cannot be a duplicate of cache {origin}, which is made later"
    try:
        parseFlows(settings.cacheFlows)
    except ValueError as error:
        return f"CacheFlows: {error}"
    return ""


def governingOf(settings: SmartreSettings, dictionary: bytes) -> bytes:
    """What both ends of a clone or merge must agree on, in 32 bytes."""
    said = f"{settings.role.value} {settings.slots} {settings.slotBytes} ".encode()
    return hashlib.sha256(_RULES + said + hashlib.sha256(dictionary).digest()).digest()
