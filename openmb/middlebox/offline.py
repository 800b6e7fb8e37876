"""A middlebox over capture files, alone: no controller, no network, no operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from openmb.interfaces import IMiddlebox
from openmb.packets.capture import Capture
from openmb.packets.decode import DecodeCounts, Decoder


@dataclass(frozen=True, slots=True)
class OfflineRun:
    """
    What came of a run.

    @ivar packets: how many packets were processed.
    @ivar decoded: what the decoder met.
    @ivar remarks: what reading met that is worth telling, each with its capture's path.
    """

    packets: int
    decoded: DecodeCounts
    remarks: tuple[str, ...] = field(default=())


def runOffline(middlebox: IMiddlebox, decoder: Decoder, captures: Iterable[Capture], limit: int = 4096) -> OfflineRun:
    """
    Process C{captures} in order as one input; at its end everything unreported is reported.

    @param limit: the most packets in a batch.
    @raise CaptureError: a capture makes no sense at some place; what came before is reported all the same.
    """
    packets = 0
    remarks: list[str] = []
    try:
        for capture in captures:
            for batch in capture.batches(limit):
                middlebox.process(decoder.decode(batch), None)
                middlebox.flush()
                packets += len(batch)
            remarks.extend(f"{capture.path}: {remark}" for remark in capture.remarks)
    finally:
        middlebox.finish()
        middlebox.flush()
    return OfflineRun(packets, decoder.counts, tuple(remarks))
