"""
What an operator may set about a middlebox host.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostSettings:
    """
    Bounds and shares of one host.  Sizes in bytes, times in seconds.

    @ivar sliceSlots: table slots that one export step looks at; the step is select, copy, seal and send together.
    @ivar sliceTime: how long export steps may run before packets get their turn again; longer only after packets had
        longer, so that exporting gets its share under load too.
    @ivar exportShare: the part of the time of exporting and packets together that exporting may take.
    @ivar eventBuffer: re-process events that wait for credit; beyond it the operation is aborted.
    @ivar keptBytes: copies of re-directed packets, kept for an abort; beyond it no more copies are made, and an abort
        reports how many packets it lost.
    @ivar holdBytes: packets waiting at a destination; beyond it no packets are read until some are processed.
    @ivar redirectBytes: re-directed packets waiting at a destination; beyond it credit is withheld.
    @ivar mergeQuiet: after DRAINED, how long to wait for the direct path's marker.
    @ivar windowQuiet: after the late window, how long a source that has a controller waits for the credit of what it
        has re-directed.
    @ivar announceBytes: introspection events of one subscription that wait for the controller; beyond it the oldest are
        dropped.
    """

    sliceSlots: int = 64
    sliceTime: float = 0.0005
    exportShare: float = 0.5
    eventBuffer: int = 32 << 20
    keptBytes: int = 256 << 20
    holdBytes: int = 256 << 20
    redirectBytes: int = 64 << 20
    mergeQuiet: float = 1.0
    windowQuiet: float = 5.0
    announceBytes: int = 1 << 20
