"""
SmartRE beside what else compresses packets: the same payloads, in the same run, in turn.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from openmb.bench.engine import Spent, runProcess
from openmb.bench.smartre.codecs import Codec, Make, Ours, Stopwatch, Stream, lz4Each, lz4Module, zstdEach
from openmb.bench.smartre.path import InLine
from openmb.bench.smartre.sets import DataSet, ofCapture, synthetic
from openmb.errors import OperationError, Refusal
from openmb.packets.stream import writeCapture
from openmb.plugins.smartre.secondstage import DICTIONARY, train
from openmb.plugins.smartre.settings import Role

#: Packets of the synthetic set; a cache has three times as many slots.
PACKETS = 20_000
CODEC, PATH, STAGED = "SmartRE, codec over batches", "SmartRE in line", "SmartRE in line, second stage, dictionary"
STREAM = "zstd -1, stream with long-distance matching"
LZ4 = "lz4, each packet"


@dataclass(frozen=True, slots=True)
class Rates:
    """
    What one codec did over one data set.

    @ivar encode: MB of payload per second of CPU time in each turn, ascending; C{decode}: the same back.
    @ivar saved: share of the payload that did not travel.
    @ivar isRight: every payload came back as it was, in every turn.
    """

    name: str
    encode: tuple[float, ...]
    decode: tuple[float, ...]
    saved: float
    isRight: bool


@dataclass(frozen=True, slots=True)
class SetResult:
    """
    One data set.

    @ivar ratios: our encoding over zstd's stream of level 1, in each turn, ascending.
    @ivar absent: codecs that are not installed.
    """

    name: str
    packets: int
    bytes: int
    rates: tuple[Rates, ...]
    ratios: tuple[float, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SmartreResult:
    """
    Everything.

    @ivar memory: bytes for one packet that is kept, by role: what the process grew by.
    @ivar start: of C{openmb run smartre} over one packet, by role.
    """

    sets: tuple[SetResult, ...]
    memory: dict[str, float]
    start: dict[str, Spent]

    @property
    def isRight(self) -> bool:
        """Did every payload come back?"""
        return all(rates.isRight for each in self.sets for rates in each.rates)


def measureSmartre(capture: Path | None, training: Path | None, runs: int, folder: Path, packets: int) -> SmartreResult:
    """
    Measure over the synthetic set, and over C{capture}, with dictionaries trained on C{training}.

    @raise CaptureError: one of them cannot be read.
    @raise OperationError: no dictionary comes of C{training}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [(synthetic(packets), synthetic(packets, 2, "training"))]
    if capture is not None:
        pairs.append((ofCapture(capture), ofCapture(training if training is not None else capture)))
    sets = tuple(_measureSet(data, other, runs, folder) for data, other in pairs)
    return SmartreResult(sets, _memory(), _starts(folder))


def _measureSet(data: DataSet, training: DataSet, runs: int, folder: Path) -> SetResult:
    try:
        dictionary, place = train(training.payloads, DICTIONARY), folder / "dictionary"
    except ValueError as error:
        raise OperationError(Refusal.BAD_REQUEST, f"{training.name}: {error}") from error
    place.write_bytes(dictionary)
    lz4 = lz4Module()
    makes: dict[str, Make] = {
        CODEC: Ours,
        PATH: partial(InLine, data.batches),
        STAGED: partial(InLine, data.batches, place),
        STREAM: partial(Stream, 1),
        STREAM.replace("1", "3", 1): partial(Stream, 3),
        "zstd -1, each packet, dictionary": partial(zstdEach, 1, dictionary),
        "zstd -3, each packet, dictionary": partial(zstdEach, 3, dictionary),
    }
    if lz4 is not None:
        makes[LZ4] = partial(lz4Each, lz4)
    for make in makes.values():  # to warm up
        runTurn(make(), data)
    turns = [{name: runTurn(make(), data) for name, make in makes.items()} for _ in range(runs)]
    rates = tuple(_rates(name, [turn[name] for turn in turns], data.size) for name in makes)
    ratios = sorted(turn[STREAM].encode / turn[CODEC].encode for turn in turns)
    absent = () if lz4 is not None else (LZ4,)
    return SetResult(data.name, len(data.payloads), data.size, rates, tuple(ratios), absent)


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of CPU time, bytes that travelled, and whether it was right."""

    encode: float
    decode: float
    carried: int
    isRight: bool


def runTurn(codec: Codec, data: DataSet) -> Turn:
    codec.prepare(data.payloads)
    encode, decode = Stopwatch(), Stopwatch()
    codec.encode(encode)
    codec.decode(decode)
    isRight = tuple(codec.decoded()) == data.payloads
    return Turn(encode.seconds, decode.seconds, codec.carried, isRight)


def _rates(name: str, turns: list[Turn], size: int) -> Rates:
    encode, decode = ([size / 1e6 / getattr(turn, way) for turn in turns] for way in ("encode", "decode"))
    saved = 1 - turns[0].carried / size
    return Rates(name, tuple(sorted(encode)), tuple(sorted(decode)), saved, all(turn.isRight for turn in turns))


def _memory() -> dict[str, float]:
    found = {}
    for role in Role:
        _, text = runProcess([sys.executable, "-m", "openmb.bench.smartre.memory", role.value])
        found[role.value] = float(text)
    return found


def _starts(folder: Path) -> dict[str, Spent]:
    """The median of three runs over one packet, after one to warm up."""
    plain, encoded = folder / "one.pcap", folder / "encoded.pcap"
    writeCapture(plain, [synthetic(1).batches[0]])
    found = {}
    for role, source, out in ((Role.ENCODER, plain, encoded), (Role.DECODER, encoded, folder / "back.pcap")):
        words = ["run", "smartre", "--role", role.value, "--pcap", str(source), "--out", str(out)]
        spent = [runProcess([sys.executable, "-m", "openmb.northbound.cli", *words])[0] for _ in range(4)][1:]
        found[role.value] = Spent(statistics.median(each.seconds for each in spent), max(each.memory for each in spent))
    return found
