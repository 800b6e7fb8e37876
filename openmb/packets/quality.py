"""
Are nearly all checksums wrong?  Then they are not: a card with checksum offload fills them in after they were captured.
"""

from __future__ import annotations

from openmb.packets.decode import DecodeCounts

#: So many packets at least, and this part of them wrong, before anything is said.
LEAST, PART = 100, 0.9


def checksumWarning(counts: DecodeCounts) -> str | None:
    """A sentence for whoever runs this, or None if there is nothing to say."""
    packets = counts.packets - counts.ignored - counts.markers
    bad = counts.badChecksums + counts.badHeaderChecksums
    if packets < LEAST or bad < PART * packets:
        return None
    return (
        f"{bad * 100 // packets} % of the checksums are wrong: of packets captured where they are sent, the network "
        "card fills them in later; --no-checksums takes packets whatever their checksums say"
    )
