"""A middlebox over capture files, alone: no controller, no network, no operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from openmb.errors import OpenMBError
from openmb.interfaces import IMiddlebox
from openmb.middlebox.faults import SetAside, describe
from openmb.packets.batch import LinkType
from openmb.packets.capture import Capture, unknownLink
from openmb.packets.decode import DecodeCounts, Decoder
from openmb.packets.headers import Decoded
from openmb.packets.pipe import PipeCapture


@dataclass(frozen=True, slots=True)
class OfflineRun:
    """
    What came of a run.

    @ivar packets: how many packets were processed.
    @ivar decoded: what the decoder met.
    @ivar remarks: what reading met that is worth telling, each with its capture's path.
    @ivar failed: packets on which the engine threw.
    @ivar faults: how often it threw, also where no packet was at fault.
    @ivar forwarded: packets that an in-line kind would have sent on, and that went nowhere.
    """

    packets: int
    decoded: DecodeCounts
    remarks: tuple[str, ...] = field(default=())
    failed: int = 0
    faults: int = 0
    forwarded: int = 0


def runOffline(
    middlebox: IMiddlebox,
    decoder: Decoder,
    captures: Iterable[Capture],
    limit: int = 4096,
    setAside: SetAside | None = None,
) -> OfflineRun:
    """
    Process C{captures} in order as one input; at its end everything unreported is reported.

    @param limit: the most packets in a batch.
    @param setAside: gets packets on which the engine throws; by default they are only counted.
    @raise CaptureError: a capture has no packet of a link type that is known, or makes no sense at some place; what
        came before is reported all the same.
    """
    packets = forwarded = 0
    faults = setAside or SetAside(middlebox.kind, None)
    remarks: list[str] = []
    known = {int(each) for each in LinkType}
    try:
        for capture in captures:
            links: set[int] = set()
            for batch in capture.batches(limit):
                links.add(batch.link)
                if batch.link not in known and isinstance(capture, PipeCapture):
                    raise unknownLink(capture.path, batch.link)
                forwarded += _process(middlebox, decoder.decode(batch), faults)
                middlebox.flush()
                packets += len(batch)
            if links and not links & known:
                raise unknownLink(capture.path, min(links))
            if unknown := sorted(links - known):
                remarks.append(f"{capture.path}: packets of link type {', '.join(map(str, unknown))} are not decoded")
            remarks.extend(f"{capture.path}: {remark}" for remark in capture.remarks)
    finally:
        with faults.enduring("the last report"):
            middlebox.finish()
        middlebox.flush()
    return OfflineRun(packets, decoder.counts, tuple(remarks), faults.packets, faults.faults, forwarded)


def _process(middlebox: IMiddlebox, decoded: Decoded, faults: SetAside) -> int:
    """Process a batch; how many packets were to be sent on."""
    try:
        processed = middlebox.process(decoded, None)
    except OpenMBError:
        raise
    except Exception as error:  # noqa: BLE001 - an engine's own fault, whatever it is, costs only these packets
        faults.add(decoded.packets, describe(error))
        return 0
    if processed.failed:
        faults.addAll(decoded.packets, processed.failed)
    return 0 if processed.forward is None else len(processed.forward)
