"""
What becomes of half of the packets when they go to another decoder: with a clone that follows, and without.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from openmb.bench.smartre.sets import frameOf
from openmb.plugins.smartre.settings import SmartreSettings
from openmb.testing.smartre.fabric import PREFIXES, SILENT, TALKING, Fabric
from openmb.testing.smartre.network import Fault

#: Of packets in each direction of the path between encoder and decoders.
LOSSES = 0.0, 0.001, 0.01
#: Packets between the cut of the clone and the change of the route, at most an eighth of all.
BETWEEN = 2000
_RECEIVERS = bytes((10, 0, 1, 9)), bytes((10, 0, 2, 9))
_SLOTS, _ENTRIES = 1 << 16, 1 << 20
#: Nanoseconds after which nothing waits any more.
_WAITING = 3_000_000_000


class Way(enum.Enum):
    """How they go."""

    CLONE = "clone with events, cache forked"
    SNAPSHOT = "the same, events not followed"
    ROUTE = "route changed, nothing else"
    FRESH = "route changed, fresh cache"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One run, behind the change of the route.

    @ivar undecodable: bytes of payload that decoders dropped; C{asked}: packets that they asked for again.
    @ivar saved: share of the payload that did not travel, answers not counted.
    @ivar wrong: packets that came out and that nobody sent.
    """

    way: Way
    talking: bool
    loss: float
    payload: int
    undecodable: int
    asked: int
    saved: float
    wrong: int


def measureMigration(payloads: Sequence[bytes]) -> list[Outcome]:
    """Half of the packets, every second one, move in the middle; all ways, with messages and without, at all losses."""
    frames = [frameOf(number, payload, _RECEIVERS[number & 1]) for number, payload in enumerate(payloads)]
    return [migrate(frames, way, settings, loss) for settings in (TALKING, SILENT) for way in Way for loss in LOSSES]


def areRight(outcomes: Sequence[Outcome]) -> bool:
    """Nothing wrong came out, and with messages a clone with events lost nothing."""
    lost = any(each.undecodable for each in outcomes if each.talking and each.way is Way.CLONE)
    return not lost and not any(each.wrong for each in outcomes)


def migrate(frames: Sequence[bytes], way: Way, settings: SmartreSettings, loss: float, seed: int = 1) -> Outcome:
    """One run; in the second half of C{frames} every second packet goes to the second decoder."""
    fabric = Fabric(replace(settings, slots=_SLOTS, entries=_ENTRIES), seed)
    fabric.onward, fabric.back = Fault(loss=loss), Fault(loss=loss)
    half = len(frames) // 2
    cut = half - min(BETWEEN, len(frames) // 8)
    fabric.send(list(frames[:cut]))
    isCloned = way in (Way.CLONE, Way.SNAPSHOT)
    if isCloned:
        fabric.beginClone()
        fabric.isFollowed = way is Way.CLONE
    fabric.send(list(frames[cut:half]))
    if way is not Way.ROUTE:
        fabric.configure(ForkOf=("0", "none" if way is Way.FRESH else "0"), NumCaches=[2], CacheFlows=PREFIXES)
    if isCloned:
        fabric.finishClone()
    fabric.route(2, 1)
    before = _counts(fabric)
    fabric.send(list(frames[half:]))
    fabric.wait(_WAITING)
    payload, carried, undecodable, asked = (_counts(fabric) - before).tolist()
    wrong = (fabric.came - Counter(frames)).total()
    return Outcome(way, settings.feedback, loss, payload, undecodable, asked, 1 - carried / payload, wrong)


def _counts(fabric: Fabric) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    row = fabric.encoder.statistics[0]
    own = int(row["payload_in"]), int(row["payload_out"])
    return np.array([*own, fabric.count("undecodable_bytes"), fabric.count("refused")], np.int64)
