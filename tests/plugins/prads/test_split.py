"""Captures split over two instances: the union of what they write is what one writes."""

from __future__ import annotations

import re
from collections import Counter as Tally
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.headers import Decoded
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell
from tests.plugins.prads.running import EVERYTHING_ON, Lines, decodeCapture, makePrads, written
from tests.shared import needSharedFolder, sharedCaptures

OPERATION, MERGE = 7, 8
EVERYTHING = HeaderFieldList()
_SHARED = (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)


def move(source: PradsMiddlebox, destination: PradsMiddlebox, flows: HeaderFieldList) -> int:
    """moveInternal, without packets meanwhile; how many connections."""
    destination.prepare(OPERATION, flows)
    for batches in source.getPerflow(flows, OPERATION, 64):
        for batch in batches:
            destination.putPerflow(OPERATION, batch)
    moved = destination.commit(OPERATION)
    source.delPerflow(OPERATION, flows)
    return moved


def merge(source: PradsMiddlebox, destination: PradsMiddlebox) -> None:
    """mergeInternal."""
    destination.prepareShared(MERGE, _SHARED)
    for batches in source.takeShared(MERGE, _SHARED, 64):
        for batch in batches:
            destination.putShared(MERGE, batch)
    destination.commitShared(MERGE)
    source.delShared(MERGE)


def facts(lines: Lines) -> list[bytes]:
    """Of each line of the asset log what it is about: the host, the port and what was found, without when."""
    return [line.rsplit(b",", 2)[0] for line in lines.assets[1:]]


class SplitTests(SynchronousTestCase):
    """Moves in the middle of captures."""

    def setUp(self) -> None:
        self.count = 0

    def fresh(self) -> tuple[Path, PradsMiddlebox]:
        """A middlebox and its folder."""
        folder = Path(self.mktemp())
        middlebox = makePrads(folder, EVERYTHING_ON)
        self.count += 1
        middlebox.identify(f"prads{self.count}", bytes(16))
        return folder, middlebox

    def single(self, batches: list[Decoded]) -> Lines:
        """What one instance writes."""
        folder, middlebox = self.fresh()
        for packets in batches:
            middlebox.process(packets, None)
        middlebox.finish()
        return written(folder)

    def test_everything(self) -> None:
        """There: whole files, line by line, connection ids and order included; there and back: the same lines."""
        compared = 0
        for capture in sharedCaptures():
            batches = decodeCapture(capture, 500 if compared % 2 else 4096)
            if capture.stat().st_size > 20_000_000 or not batches:
                continue
            packets = sum(map(len, batches))
            compared += 1
            single = self.single(batches)
            for cuts in ([packets // 2], [packets // 3, 2 * packets // 3]):
                pair = self.fresh(), self.fresh()
                done, here = 0, 0
                for batch in batches:
                    place = 0
                    while cuts and cuts[0] - done < len(batch) - place:
                        middlebox = pair[here][1]
                        middlebox.process(batch.select(slice(place, place + cuts[0] - done)), None)
                        place, done = place + cuts[0] - done, cuts.pop(0)
                        move(middlebox, pair[1 - here][1], EVERYTHING)
                        merge(middlebox, pair[1 - here][1])
                        here = 1 - here
                    pair[here][1].process(batch.select(slice(place, len(batch))), None)
                    done += len(batch) - place
                pair[1 - here][1].finish()
                pair[here][1].finish()
                if here:
                    found = written(pair[0][0], pair[1][0])
                else:
                    found, single = _sorted(written(pair[1][0], pair[0][0])), _sorted(single)
                self.assertEqual(_comparable(single), _comparable(found), f"{capture.name} at {done}")
        self.assertGreater(compared, 50)

    def test_someFlows(self) -> None:
        """A part moves: the same facts, none that was known before comes again; what both sides find is counted."""
        shared = needSharedFolder() / "traces" / "prads"
        repeats = known = 0
        for name in ("quirks.pcap", "real_small.pcap"):
            batches = decodeCapture(shared / name, 1 << 20)
            packets = batches[0]
            single = self.single(batches)
            for text in ("tcp", "udp", "nw_src=10.0.0.0/9", "tcp,tp_dst=80"):
                flows = HeaderFieldList.parse(text)
                (folder, source), (other, destination) = self.fresh(), self.fresh()
                cut = len(packets) // 2
                source.process(packets.select(slice(0, cut)), None)
                source.flush()
                before = set(facts(written_assets(folder)))
                move(source, destination, flows)
                rest = packets.select(slice(cut, len(packets)))
                isMatching = flows.matchHeaders(rest.headers)
                source.process(rest.select(~isMatching), None)
                destination.process(rest.select(isMatching), None)
                move(destination, source, EVERYTHING)
                merge(destination, source)
                destination.finish()
                source.finish()
                here, there = written(folder), written(other)
                found = Tally(facts(here) + facts(there))
                self.assertEqual(set(facts(single)), set(found), f"{name}, {text}")
                self.assertEqual(set(), before & set(facts(there)), f"{name}, {text}: known before the split")
                twice = sum(found.values()) - len(single.assets) + 1
                repeats += twice
                known += len(before)
                self.assertEqual(
                    Tally(_withoutIds(single.connections)), Tally(_withoutIds(here.connections + there.connections))
                )
                self.assertEqual(len(packets), int(_packetsOf(here.statistics)))
        self.assertGreater(known, 100)
        self.assertLess(repeats, known)


def written_assets(folder: Path) -> Lines:
    """What stands in the asset log by now."""
    return Lines((folder / "prads-asset.log").read_bytes().splitlines(), [], [])


def _sorted(lines: Lines) -> Lines:
    """Of an instance that wrote before and after another one the order cannot be told from its files."""
    return Lines(sorted(lines.assets), sorted(lines.connections), lines.statistics)


def _comparable(lines: Lines) -> Lines:
    """Without the bytes of earlier packets that the real program reads behind tunnelled ones: they do not move."""
    assets = [re.sub(rb"\x03\x03\x07x*", b"", line) for line in lines.assets]
    return Lines(assets, lines.connections, lines.statistics)


def _withoutIds(lines: list[bytes]) -> list[bytes]:
    return [line[:10] + line[line.index(b"|") :] for line in lines]


def _packetsOf(statistics: list[bytes]) -> bytes:
    return statistics[0].rsplit(b":", 1)[1]
