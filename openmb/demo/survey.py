"""
Looks through a capture before it is replayed: how many packets, and which server's flows are to move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import CaptureError
from openmb.packets.capture import Capture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind
from openmb.plugins.bro.reporting.connections import addressText


@dataclass(frozen=True, slots=True)
class Survey:
    """
    What a capture holds.

    @ivar stamps: C{int64[n]}, the packets' stamps.
    @ivar server: the responder address with the second most packets (the only one, if there is one).
    @ivar flows: the flows of that server, as a header field list's text.
    """

    stamps: NDArray[np.int64]
    server: str
    flows: str


def survey(capture: Capture) -> Survey:
    """
    Look through C{capture}.

    @raise CaptureError: it makes no sense at some place, or holds no connection.
    """
    decoder = Decoder(checksums=False, reassemble=False)
    batches = [decoder.decode(batch) for batch in capture.batches()]
    stamps = np.concatenate([each.packets.stamps for each in batches]) if batches else np.zeros(0, np.int64)
    headers = np.concatenate([each.headers for each in batches]) if batches else None
    server = None if headers is None else _secondServer(headers[np.isin(headers["kind"], (Kind.TCP, Kind.UDP))])
    if server is None:
        raise CaptureError(f"{capture.path} holds no TCP or UDP packets")
    field = "ipv6,ipv6_dst" if ":" in server else "ip,nw_dst"
    return Survey(stamps, server, f"{field}={server}")


def _secondServer(headers: NDArray[Any]) -> str | None:
    """The destination of its flows' first packets that has the second most packets."""
    if not len(headers):
        return None
    _, first, which = np.unique(_flowKeys(headers), axis=0, return_index=True, return_inverse=True)
    opening = headers[first[which.reshape(-1)]]
    responders = np.stack([opening["destination_high"], opening["destination_low"]], axis=1)
    addresses, counts = np.unique(responders, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    high, low = addresses[order[min(1, len(order) - 1)]]
    return addressText(int(high), int(low))


def _flowKeys(headers: NDArray[Any]) -> NDArray[np.uint64]:
    """C{uint64[n, 7]}, equal for both directions of a flow."""
    ends = [
        np.stack([headers[f"{end}_{part}"].astype(np.uint64) for part in ("high", "low", "port")], axis=1)
        for end in ("source", "destination")
    ]
    differ = ends[0] != ends[1]
    place = differ.argmax(axis=1)
    rows = np.arange(len(headers))
    swap = (ends[0][rows, place] > ends[1][rows, place])[:, None]
    low, high = np.where(swap, ends[1], ends[0]), np.where(swap, ends[0], ends[1])
    return np.concatenate([low, high, headers["protocol"].astype(np.uint64)[:, None]], axis=1)
