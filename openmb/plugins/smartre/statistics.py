"""
What is counted, at either end; and how it is told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.smartre.planning import Fate

#: One counter each, all of them additive.
STATISTICS = np.dtype(
    [
        ("packets_in", "<u8"),
        ("packets_out", "<u8"),
        ("bytes_in", "<u8"),  # whole packets, link header and all
        ("bytes_out", "<u8"),
        ("payload_in", "<u8"),  # encoder: transport payload of TCP and UDP before; decoder: after
        ("payload_out", "<u8"),  # the other way round, shims, announcements and their like included
        ("encoded", "<u8"),  # packets that were shorter; decoder: that came so
        ("hits", "<u8"),  # references
        ("misses", "<u8"),  # packets that were looked at and did not get shorter
        ("announcements", "<u8"),
        ("announced", "<u8"),  # decoder: packets of announcements that are remembered
        ("unremembered", "<u8"),  # decoder: and that are not
        ("escaped", "<u8"),
        ("too_long", "<u8"),  # dropped: longer than the MTU with a shim
        ("foreign", "<u8"),  # decoder: of caches that are not kept here
        ("missing", "<u8"),  # undecodable packets, by reason
        ("bad_checksum", "<u8"),
        ("malformed", "<u8"),
        ("stale_epoch", "<u8"),
        ("undecodable_bytes", "<u8"),  # of original payload, by what the shims say
        ("messages", "<u8"),
        ("decoded", "<u8"),  # decoder: encoded packets, at once
        ("acknowledgements", "<u8"),
        ("refused", "<u8"),  # refusals, sent or taken
        ("recovered", "<u8"),  # decoder: packets completed by an answer
        ("answered", "<u8"),
        ("unanswered", "<u8"),  # encoder: the packet was not held any more
        ("epochs", "<u8"),  # encoder: that were ended for what was refused
        ("forks", "<u8"),  # encoder: caches made as duplicates; decoder: forks taken
        ("passed", "<u8", (len(Fate),)),  # encoder: packets, by their fate
    ]
)
#: Why packets cannot be decoded.
REASONS = ("missing", "bad_checksum", "malformed", "stale_epoch")
#: Reasons for which a packet is passed, as they are told.
_TOLD = {fate: fate.name.lower().replace("_", " ") for fate in Fate if fate > Fate.ESCAPE}


def undecodable(row: Any) -> int:
    """Packets that were dropped because they could not be decoded."""
    return sum(int(row[name]) for name in REASONS)


def saved(before: int, after: int) -> str:
    """The part that was saved, for people."""
    return f"{100 * (before - after) / before:.1f} % saved" if before else "nothing to save"


def encoderText(row: NDArray[Any]) -> str:
    """What an encoder has done, for people."""
    one, passed = row[0], row["passed"][0]
    reasons = ", ".join(f"{int(passed[fate])} {name}" for fate, name in _TOLD.items() if passed[fate])
    return "\n".join(
        (
            f"payload: {_flow(one, 'payload_in', 'payload_out')}",
            f"packets: {one['packets_in']} in, {one['packets_out']} out, {one['announcements']} of them announcements",
            f"whole bytes: {_flow(one, 'bytes_in', 'bytes_out')}",
            f"encoded: {one['encoded']} packets with {one['hits']} references; looked at in vain: {one['misses']}",
            f"escaped: {one['escaped']}; dropped, longer than the MTU: {one['too_long']}",
            f"passed as they are: {int(passed[Fate.NOT_IP :].sum())} ({reasons or 'none'})",
        )
    )


def decoderText(row: NDArray[Any]) -> str:
    """What a decoder has done, for people."""
    one = row[0]
    reasons = ", ".join(f"{one[name]} {name.replace('_', ' ')}" for name in REASONS)
    return "\n".join(
        (
            f"payload: {one['payload_out']} bytes in, {one['payload_in']} out",
            f"packets: {one['packets_in']} in, {one['packets_out']} out",
            f"whole bytes: {one['bytes_in']} in, {one['bytes_out']} out",
            f"decoded: {one['decoded']} of {one['encoded']} packets, {one['hits']} references",
            f"completed by an answer: {one['recovered']}",
            f"announced: {one['announced']} packets stored, {one['unremembered']} not remembered",
            f"escaped: {one['escaped']}; of other caches: {one['foreign']}",
            f"undecodable: {undecodable(one)} packets, {one['undecodable_bytes']} bytes of payload ({reasons})",
        )
    )


def _flow(row: Any, before: str, after: str) -> str:
    return f"{row[before]} bytes in, {row[after]} out: {saved(int(row[before]), int(row[after]))}"
