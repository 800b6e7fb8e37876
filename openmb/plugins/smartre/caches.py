"""
The caches of one encoder, one for each (path, decoder), and which packets go to which (docs/smartre.md, 6).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.smartre.decoding import Decoder
from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.forking import Forking
from openmb.plugins.smartre.planning import RULE
from openmb.plugins.smartre.settings import SmartreSettings
from openmb.plugins.smartre.store import PacketStore, State
from openmb.state.addresses import Network, networkWords

#: Hashes of headers are 32 bits; a share is a range of them, in parts of one.
_SHARE = re.compile(r"([01](?:\.[0-9]{1,6})?)-([01](?:\.[0-9]{1,6})?)", re.ASCII)
_HASHES = 1 << 32


@dataclass(slots=True)
class EncodingCache:
    """
    A cache of an encoder.

    @ivar epoch: 1 to 65,535.
    @ivar first: the first id of this epoch.
    @ivar fork: where it has left another cache; None: it began empty, or its epoch is over.
    """

    encoder: Encoder
    epoch: int = 1
    first: int = 0
    fork: Forking | None = None

    def raiseEpoch(self, by: int = 1) -> None:
        """
        Begin an epoch, C{by} ahead: nothing refers to what was before, which can still be asked for.

        Ids go on; when they need more than 32 bits they begin again below, as a decoder that starts knows only these.
        """
        store = self.encoder.store
        self.epoch = (self.epoch - 1 + by) % 0xFFFF + 1
        store.states[:] = State.LOST
        self.encoder.table[:] = 0
        if store.next >> 32:
            store.clear(store.next & 0xFFFFFFFF)
        self.first = store.next
        self.fork = None

    def duplicate(self, number: int, epoch: int) -> EncodingCache:
        """
        One of its own that goes on from here.

        @param number: of this cache.
        @param epoch: of the new one.
        """
        encoder, other = self.encoder.copy(), self.fork
        store = encoder.store
        fork = Forking(number, self.epoch, store.next, np.zeros(store.slots, np.bool_))
        if other is not None and not other.isConfirmed:
            fork.inherited = other.inherited & other.before(store)
        if other is not None and other.id == store.next:
            # nothing was added: what no decoder has heard of is no origin
            fork.origin, fork.originEpoch = other.origin, other.originEpoch
        if encoder.gated:
            fork.suspend(store)
        return EncodingCache(encoder, epoch, self.first, fork)


@dataclass(slots=True)
class DecodingCache:
    """
    A cache of a decoder.

    @ivar epoch: of the packets in it; 0: none has come yet.
    @ivar forked: if this epoch began with a fork: absolute, how far the other cache had come when it was taken.
    """

    decoder: Decoder
    epoch: int = 0
    forked: int | None = None

    def begin(self, epoch: int, id: int) -> None:
        """An epoch begins, with this absolute id."""
        self.decoder.store.clear(id)
        self.epoch, self.forked = epoch, None

    def takeOver(self, origin: PacketStore, id: int) -> None:
        """Have what another cache holds below C{id}, absolute; what is here already stays."""
        own, store = self.decoder.store, origin.copy()
        store.forget(id)
        ids = own.held()
        slots = (ids & np.uint64(own.slots - 1)).astype(np.int64)
        store.insertAll(ids, own.payloads, slots * own.slotBytes, own.lengths[slots].astype(np.int64))
        store.reached(own.next)
        self.decoder.store = store


def makeEncodingCache(settings: SmartreSettings) -> EncodingCache:
    """An empty one."""
    store = PacketStore(settings.slots, settings.slotBytes)
    return EncodingCache(
        Encoder(store, settings.entries, settings.keepOldest, settings.gated, settings.sampling), settings.epoch
    )


def makeDecodingCache(settings: SmartreSettings) -> DecodingCache:
    """An empty one."""
    return DecodingCache(Decoder(PacketStore(settings.slots, settings.slotBytes)))


def parseFlows(texts: Sequence[str]) -> NDArray[Any]:
    """
    The rules of C{CacheFlows}: the first text is about cache 0, the next about 1, and so on.

    A text is prefixes of destinations, separated by commas, and perhaps a share of the packets there: C{10.1.0.0/16},
    C{10.1.0.0/16,2001:db8::/32 0-0.5}.  Of the prefixes that match, the longest decides.

    @return: C{RULE[n]}, in the order in which they are tried.
    @raise ValueError: a text is none of this, or two shares of one prefix overlap.
    """
    rules = [rule for cache, text in enumerate(texts) for rule in _parse(cache, text)]
    rules.sort(key=lambda rule: -(rule[2].bit_count() + rule[3].bit_count()))
    for place, rule in enumerate(rules):
        for other in rules[:place]:
            if other[:4] == rule[:4] and other[4] <= rule[5] and rule[4] <= other[5]:
                raise ValueError(f"caches {other[6]} and {rule[6]} share some packets to the same destinations")
    return np.array(rules, RULE)


def plainFlows(text: str) -> str:
    """
    The one text for what a text of C{CacheFlows} says.

    @raise ValueError: it says nothing.
    """
    networks, first, last = _read(text)
    share = "-".join(f"{part:.6f}".rstrip("0").rstrip(".") for part in (first, last))
    return ",".join(map(str, networks)) + ("" if share == "0-1" else f" {share}")


def _parse(cache: int, text: str) -> list[tuple[int, ...]]:
    networks, first, last = _read(text)
    bounds = round(first * _HASHES), round(last * _HASHES) - 1
    return [(*networkWords(network), *bounds, cache) for network in networks]


def _read(text: str) -> tuple[list[Network], float, float]:
    """Destinations, and the share of what goes there."""
    prefixes, _, share = text.partition(" ")
    first, last = 0.0, 1.0
    if share:
        found = _SHARE.fullmatch(share)
        if found is None:
            raise ValueError(f"{share!r} is no share such as 0-0.5")
        first, last = float(found[1]), float(found[2])
    if not 0 <= first < last <= 1:
        raise ValueError(f"{share!r} is empty, or not between 0 and 1")
    return [ipaddress.ip_network(prefix, strict=False) for prefix in prefixes.split(",")], first, last
