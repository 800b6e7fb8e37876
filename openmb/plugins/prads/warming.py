"""
Compiles the kernels of the kind C{prads}.
"""

from __future__ import annotations

import numpy as np

from openmb.packets.batch import packetBatch
from openmb.plugins.prads.homenets import DEFAULT as EVERYWHERE
from openmb.plugins.prads.homenets import parseHomes
from openmb.plugins.prads.signatures.tables import Signatures
from openmb.plugins.prads.signatures.tcp import FILES, parseSystems
from openmb.plugins.prads.signatures.vendors import Vendors
from openmb.plugins.prads.tasks import DEFAULT
from openmb.plugins.prads.tracker import Rules, Tracker
from openmb.plugins.prads.transfer import mergeHosts


def noSignatures() -> Signatures:
    """As if all files were empty."""
    systems = parseSystems([(name, b"") for name in FILES.values()])
    return Signatures((), (), (), Vendors(b""), *systems, bytes(32))


def warmUp() -> None:
    """Follow a SYN, without signatures."""
    rules = Rules.of(noSignatures(), DEFAULT, parseHomes(EVERYWHERE))
    frame = (
        bytes(12)
        + b"\x08\x00"
        + bytes.fromhex("4500002800000000400600000a0000010a00000204000050000000010000000050020200")
    )
    trackers = [Tracker(rules, 1 << 10, 1 << 10, None) for _ in range(2)]
    for tracker in trackers:
        tracker.process(packetBatch([frame + bytes(4)], [1]))
        tracker.keysOf(packetBatch([], []))
    mergeHosts(*trackers)
    trackers[0].end(np.zeros(1, np.int64))
