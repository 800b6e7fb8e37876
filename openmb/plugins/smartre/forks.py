"""
Forks at a decoder: a cache takes over what another one holds (docs/smartre.md, 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.plugins.smartre.caches import DecodingCache
from openmb.plugins.smartre.envelope import Envelope
from openmb.plugins.smartre.feedback.packing import envelopeOf, messageAt
from openmb.plugins.smartre.format import Fork, nearest
from openmb.plugins.smartre.store import IDS
from openmb.plugins.smartre.unframing import Found


@dataclass(slots=True)
class Told:
    """
    A fork that a packet has told of.

    @ivar packet: its place in the batch; C{envelope}: its link and IP header.
    @ivar newest: absolute, how far the other cache had come; None: the fork was not taken, its epoch is over.
    """

    packet: int
    envelope: Envelope
    message: Fork
    newest: int | None = None


def forksIn(batch: PacketBatch, found: NDArray[Any], kept: NDArray[np.bool_]) -> list[Told]:
    """The forks in a batch, of caches that are kept here, in order; those of others are to be forwarded."""
    forks = []
    for index in np.flatnonzero(found["found"] == Found.MESSAGE):
        row = found[index]
        message = messageAt(batch, int(row["start"]), int(row["length"]))
        if not isinstance(message, Fork):
            continue
        if kept[message.cache]:
            envelope = envelopeOf(batch, int(index), int(row["network"]), int(row["header"]))
            forks.append(Told(int(index), envelope, message))
        else:
            found["found"][index] = Found.FOREIGN
    return forks


def forkId(fork: Fork, origin: DecodingCache | None) -> int:
    """The absolute id of a fork, by the cache that it leaves."""
    return nearest(fork.id, origin.decoder.store.next) if _isFrom(fork, origin) and origin else fork.id


def _isFrom(fork: Fork, origin: DecodingCache | None) -> bool:
    return origin is not None and origin.epoch == fork.originEpoch


def joinFork(fork: Fork, cache: DecodingCache, origin: DecodingCache | None, id: int) -> int:
    """
    Let C{cache} take over what C{origin} holds below C{id}, once in an epoch, which begins with one fork at most.

    @return: absolute, how far C{origin} had come; if it is not there, an id a whole ring below.
    """
    store = cache.decoder.store
    if cache.forked is not None:
        return cache.forked
    if origin is None or not _isFrom(fork, origin):
        store.reached(id)
        return (id - 1 - store.slots) % IDS
    newest = (origin.decoder.store.next - 1) % IDS
    cache.takeOver(origin.decoder.store, id)
    cache.forked = newest
    return newest
