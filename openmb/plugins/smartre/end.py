"""
What both ends have in common: output, counters, time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Processed
from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.plugins.smartre.announcing import Announcer
from openmb.plugins.smartre.output import CaptureOutput
from openmb.plugins.smartre.settings import SmartreSettings
from openmb.plugins.smartre.statistics import STATISTICS


class End:
    """
    Provides C{IEngine}; a role says what becomes of a batch.

    @ivar statistics: C{STATISTICS[1]}.
    @ivar announcer: tells who listens.
    @ivar now: packet time, nanoseconds.
    """

    def __init__(self, settings: SmartreSettings, tell: Callable[[str], None] = print) -> None:
        """@param tell: takes what was done, for people, at the end of a run over captures."""
        self.settings = settings
        self.statistics = np.zeros(1, STATISTICS)
        self.announcer, self.now = Announcer(self.statistics, settings.savingInterval), 0
        self._output = None if settings.out is None else CaptureOutput(settings.out)
        self._isOver = False
        self._tell = tell

    def forwarded(self, packets: Decoded) -> PacketBatch:
        """What is sent on of a batch."""
        raise AssertionError("a role overrides this")

    def describe(self) -> str:
        """What was done, for people."""
        raise AssertionError("a role overrides this")

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """See C{IEngine}."""
        if len(packets):
            stamps = packets.packets.stamps
            self.announcer.coming(int(stamps.min()))
            self.now = max(self.now, int(stamps.max()))
        forward = self.forwarded(packets)
        row = self.statistics[0]
        row["packets_in"] += len(packets)
        row["packets_out"] += len(forward)
        row["bytes_in"] += int(packets.packets.lengths.sum(dtype=np.int64))
        row["bytes_out"] += int(forward.lengths.sum(dtype=np.int64))
        if self._output is not None:
            self._output.write(forward)
        self.announcer.passed(self.now)
        return Processed(np.zeros(len(packets), np.uint64), forward)

    def reprocess(self, operation: int, packets: Decoded) -> None:
        """See C{IEngine}."""
        raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:016x} was not prepared")

    def advance(self, now: int) -> None:
        """See C{IEngine}."""
        self.now = max(self.now, now)
        self.announcer.passed(self.now)

    def finish(self) -> None:
        """See C{IEngine}."""
        if not self._isOver:
            self.announcer.settle(self.now)
        if self._output is not None and not self._isOver:
            self._output.finish()
            self._tell(self.describe())
        self._isOver = True

    def flush(self) -> None:
        """See C{IEngine}."""
        if self._output is not None:
            self._output.flush()
