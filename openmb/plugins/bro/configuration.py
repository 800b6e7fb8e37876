"""
What can be configured of a Bro middlebox, and how the tree and L{BroSettings} stand for each other.

A setting added to the schema needs a line in L{_ATTRIBUTES}: the attribute of L{BroSettings} that holds its value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from openmb.plugins.bro.policies.settings import Policy, PolicySettings
from openmb.plugins.bro.reporting.locality import LocalNetworks
from openmb.plugins.bro.reporting.uid import DEFAULT_KEY
from openmb.plugins.bro.settings import BroSettings
from openmb.state.configuration import Schema, Tree
from openmb.state.settings import VALUES_LIMIT, Choice, Plain, Prefix, Real, Setting, Switch, Whole

_BEGUN = "the files are begun with it"
_LOCAL, _PRIVATE, _KEY, _FORMAT = "networks/local", "networks/private-are-local", "connections/id-key", "log/format"
_POLICIES = "policies/followed"


def fingerprint(key: bytes) -> str:
    """What may be known of a key: enough to see whether two middleboxes have the same."""
    return hashlib.sha256(key).hexdigest()[:16]


SETTINGS = Schema(
    Setting(
        _LOCAL, Prefix(), (), "local networks besides the private ones (`--local-nets`)", 0, VALUES_LIMIT, governs=True
    ),
    Setting(_PRIVATE, Switch(), ("true",), "private and special addresses are local", governs=True),
    Setting("log/flush", Real(0, 3600), ("0",), "seconds that rows may wait in memory (`--flush`)"),
    Setting(_FORMAT, Choice(("tsv", "json")), ("tsv",), "tab-separated values, or JSON lines (`--json`)", fixed=_BEGUN),
    Setting("log/rotate", Whole(0, 10**9), ("0",), "seconds after which a log goes on in a new file", fixed=_BEGUN),
    Setting("log/gzip", Whole(0, 9), ("0",), "compression, 1 (fast) to 9 (small); 0: none", fixed=_BEGUN),
    Setting(
        *("connections/maximum", Whole(1, 1 << 31), (str(1 << 20),)),
        "connections held at most (`--max-flows`); with more the longest idle are reported and removed",
    ),
    Setting(
        *("connections/grace", Real(0, 10**6), ("5",)),
        "seconds of packet time that an ended connection stays before a sweep removes it",
    ),
    Setting(
        *("connections/tunnelled", Switch(), ("false",)),
        "`conn.log` has rows of flows inside tunnels too (`--tunnelled-connections`)",
        governs=True,
    ),
    Setting("connections/sweep", Real(0.1, 3600), ("5",), "seconds of packet time between two sweeps"),
    Setting(
        *(_POLICIES, Choice(tuple(each.value for each in Policy)), ()),
        *("what is done with connections that have ended (`--policies`)", 0, len(Policy)),
    ),
    Setting("scan/addresses", Whole(2, 1000), ("25",), "distinct addresses, tried on one port, that are a scan"),
    Setting("scan/ports", Whole(2, 1000), ("15",), "distinct ports, tried on one address, that are a scan"),
    Setting("scan/epoch", Whole(1, 86400), ("300",), "seconds within which attempts count together", governs=True),
    Setting("ssh/guesses", Whole(2, 1000), ("30",), "SSH connections without success that are guessing of passwords"),
    Setting("ssh/epoch", Whole(1, 86400), ("1800",), "seconds within which they count together", governs=True),
    Setting(
        "policies/most", Whole(100, 10**7), ("100000",), "suspicions, facts, and quiet notices, kept at most of each"
    ),
    Setting(
        *(_KEY, Plain(), (fingerprint(DEFAULT_KEY),)),
        "fingerprint of the key of connection ids (`--uid-key`)",
        fixed="connections have ids made with it",
        governs=True,
    ),
)

#: Key: attribute of the settings, where one holds the value of the other.
_ATTRIBUTES: Mapping[str, str] = {
    "log/flush": "patience",
    "log/rotate": "rotation",
    "log/gzip": "level",
    "connections/maximum": "maximumFlows",
    "connections/grace": "grace",
    "connections/sweep": "sweep",
    "connections/tunnelled": "tunnelled",
}

#: The same for L{PolicySettings}.
_POLICY_ATTRIBUTES: Mapping[str, str] = {
    "scan/addresses": "addresses",
    "scan/ports": "ports",
    "scan/epoch": "scanEpoch",
    "ssh/guesses": "guesses",
    "ssh/epoch": "guessEpoch",
    "policies/most": "most",
}


def treeOf(settings: BroSettings) -> Tree:
    """The whole tree that stands for C{settings}."""
    values: dict[str, Any] = {key: getattr(settings, attribute) for key, attribute in _ATTRIBUTES.items()}
    values |= {key: getattr(settings.policy, attribute) for key, attribute in _POLICY_ATTRIBUTES.items()}
    values[_POLICIES] = tuple(sorted(each.value for each in settings.policy.policies))
    values[_LOCAL], values[_PRIVATE] = settings.local.networks, settings.local.withPrivate
    values[_FORMAT] = "json" if settings.asJSON else "tsv"
    values[_KEY] = fingerprint(settings.uidKey)
    return {setting.key: setting.texts(values[setting.key]) for setting in SETTINGS}


def settingsAfter(settings: BroSettings, tree: Tree) -> BroSettings:
    """C{settings} with what the whole C{tree} says; what cannot change is left as it is."""
    values = {setting.key: setting.value(tree[setting.key]) for setting in SETTINGS}
    changed: dict[str, Any] = {
        attribute: values[key] for key, attribute in _ATTRIBUTES.items() if not SETTINGS.find(key).fixed
    }
    policy = PolicySettings(
        frozenset(map(Policy, values[_POLICIES])),
        **{attribute: values[key] for key, attribute in _POLICY_ATTRIBUTES.items()},
    )
    return replace(settings, local=LocalNetworks(values[_LOCAL], values[_PRIVATE]), policy=policy, **changed)
