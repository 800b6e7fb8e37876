"""
The payloads of packets that an encoder would look at: what dictionaries are trained on and codecs are measured with.
"""

from __future__ import annotations

import numpy as np

from openmb.packets.headers import Decoded
from openmb.packets.loads import plain, plainArrays
from openmb.plugins.smartre.caches import parseFlows
from openmb.plugins.smartre.planning import FLOW, PLAN, Fate, planPackets
from openmb.plugins.smartre.store import LONGEST

#: Bytes of the longest IP packet there is.
_LONGEST_PACKET = 65535


def payloadsOf(packets: Decoded, slotBytes: int = LONGEST) -> list[bytes]:
    """The payloads, in order; what would pass as it is (control packets, short ones, fragments) is left out."""
    batch = packets.packets
    plan = np.zeros(len(batch), PLAN)
    data, offsets, lengths, wire, _ = plainArrays(batch)
    frames = data, offsets, lengths, wire, int(batch.link), plain(packets.headers)
    planPackets(*frames, slotBytes, _LONGEST_PACKET, parseFlows(()), np.zeros(1, FLOW), plan)
    wanted = plan[plan["fate"] == Fate.ENCODE]
    places = zip(wanted["start"].tolist(), wanted["length"].tolist(), strict=True)
    return [data[start : start + length].tobytes() for start, length in places]
