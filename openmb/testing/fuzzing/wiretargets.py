"""
Targets: frames, messages, connections, stream parts, packs of records, seals, markers.
"""

from __future__ import annotations

from collections.abc import Iterator

from openmb.errors import OperationError, ProtocolError, SealBroken
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.marker import buildMarker, parseMarker
from openmb.southbound.connection import Connection
from openmb.state.headers import EVERYTHING
from openmb.state.keyring import Keyring
from openmb.state.packing import packRecords, unpackRecords
from openmb.state.sealing import TransferOpener, TransferSealer
from openmb.state.taxonomy import Cell
from openmb.testing.adapters import manyFlows
from openmb.testing.fuzzing.target import Target
from openmb.testing.samples import SAMPLES
from openmb.testing.simulation.kinds import KINDS
from openmb.testing.simulation.traffic import makeTraffic
from openmb.wire.codec import decodeAll, encode
from openmb.wire.formats import End
from openmb.wire.messages import Goodbye, Hello, Welcome
from openmb.wire.stream import (
    Drained,
    Finished,
    GetDone,
    Marked,
    Opened,
    ReturnDone,
    packEvents,
    packPart,
    unpackEvents,
    unpackPart,
)

PARTS = (Opened(7, bytes(32)), GetDone(1, 2, 3), Marked(5), Drained(6, 7), Finished(8, 9), ReturnDone(8))
#: What a merge takes.
SHARED_CELLS = (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)


def frames() -> Target:
    """Bytes to messages, and the messages that come out back to bytes."""

    def run(data: bytes) -> None:
        for message in decodeAll(data):
            encode(message)

    return Target("frames", run, (ProtocolError,), [encode(sample) for sample in SAMPLES], [b"OM\x01"])


def connections() -> Target:
    """Both ends of a connection, before and after the hand-shake, the bytes in pieces."""
    hello = next(encode(sample) for sample in SAMPLES if isinstance(sample, Hello))
    welcome = next(encode(sample) for sample in SAMPLES if isinstance(sample, Welcome))
    others = [encode(sample) for sample in SAMPLES if not isinstance(sample, Hello | Welcome | Goodbye)]

    def run(data: bytes) -> None:
        for role, greeting in ((End.CONTROLLER, hello), (End.MIDDLEBOX, welcome)):
            for before in (b"", greeting):
                connection = Connection(role)
                for _ in connection.receiveData(before):
                    if role is End.CONTROLLER:
                        connection.welcome()
                middle = len(data) // 2
                try:
                    for part in (data[:middle], data[middle:]):
                        list(connection.receiveData(part))
                        connection.dataToSend()
                except ProtocolError:
                    connection.dataToSend()

    seeds = [hello + b"".join(others[:5]), welcome + b"".join(others[5:12]), b"".join(others), hello, welcome, *others]
    return Target("connections", run, (), seeds, [b"OM\x01"])


def streamParts() -> Target:
    """What frames of a stream hold, clear and plain."""

    def run(data: bytes) -> None:
        for part in PARTS:
            attempt(lambda kind: unpackPart(kind, data), type(part))
        for cut in (6, len(data) // 2):
            attempt(lambda at: unpackEvents(data[:at], data[at:]), cut)

    events = packEvents(manyFlows())
    return Target("stream parts", run, (), [*(packPart(part) for part in PARTS), events[0] + events[1]])


def attempt(act: object, argument: object) -> None:
    """One reading among several: a refusal of one is no reason not to try the next."""
    try:
        act(argument)  # type: ignore[operator]
    except OperationError:
        return


def records(kind: str) -> Target:
    """Packs of records, authentic but faulty, put into an engine, committed, exported and ended."""
    packs = list(exported(kind))

    def run(data: bytes) -> None:
        head = int.from_bytes(data[:2], "little")
        batch = unpackRecords(data[2 : 2 + head], data[2 + head :])
        engine = KINDS[kind]().engine(lambda row: None)
        engine.prepare(1, EVERYTHING)
        engine.putPerflow(1, batch)
        engine.commit(1)
        for _ in engine.getPerflow(EVERYTHING, 2, 64):
            pass
        engine.unmark(2)
        engine.advance(1 << 62)
        engine.finish()

    seeds = [len(clear).to_bytes(2, "little") + clear + plain for clear, plain in packs]
    return Target(f"records of {kind}", run, (OperationError,), seeds, [b"GET / HTTP/1.1\r\n"])


def shared(kind: str) -> Target:
    """Packs of shared state, authentic but faulty, put into an engine, folded in, cloned, taken and folded back."""

    def run(data: bytes) -> None:
        head = int.from_bytes(data[:2], "little")
        batch = unpackRecords(data[2 : 2 + head], data[2 + head :])
        engine = KINDS[kind]().engine(lambda row: None)
        engine.prepareShared(1, SHARED_CELLS)
        engine.putShared(1, batch)
        engine.commitShared(1)
        for steps in (engine.getShared(2, SHARED_CELLS[:1], 64), engine.takeShared(3, SHARED_CELLS, 64)):
            for _ in steps:
                pass
        engine.sharedChanges(2)
        engine.unmark(2)
        engine.unmark(3)
        engine.finish()

    seeds = [len(clear).to_bytes(2, "little") + clear + plain for clear, plain in sharedOf(kind)]
    return Target(f"shared state of {kind}", run, (OperationError,), seeds, [])


def sharedOf(kind: str) -> Iterator[tuple[bytes, bytes]]:
    """Packs of shared state that a real engine made."""
    import random

    for seed in range(3):
        engine = KINDS[kind]().engine(lambda row: None)
        engine.process(Decoder().decode(makeTraffic(random.Random(seed), 3.0, 6, ["10.1.0.1"]).batch()), None)
        for batches in engine.takeShared(1, SHARED_CELLS, 64):
            for batch in batches:
                yield packRecords(batch)


def exported(kind: str) -> Iterator[tuple[bytes, bytes]]:
    """Packs that a real engine made, at several moments of real traffic."""
    import random

    for seed in range(6):
        traffic = makeTraffic(random.Random(seed), 3.0, 6, ["10.1.0.1"])
        whole = Decoder().decode(traffic.batch())
        for part in (0.3, 0.6, 0.9):
            engine = KINDS[kind]().engine(lambda row: None)
            engine.process(whole.select(slice(0, int(len(whole) * part))), None)
            for batches in engine.getPerflow(EVERYTHING, 1, 4096):
                for batch in batches:
                    yield packRecords(batch)


def seals() -> Target:
    """Sealed parts that were altered: none of them opens, and nothing else happens."""
    keyring = Keyring("bro", {1: bytes(range(32))}, 1)
    sealer = TransferSealer(keyring, bytes(32))
    good = sealer.seal(1, b"bound", b"some records")

    def run(data: bytes) -> None:
        opener = TransferOpener(keyring, sealer.keyID, sealer.salt, bytes(32))
        plain = opener.open(1, b"bound", data)
        if data != good or plain != b"some records":
            raise AssertionError("a seal that nobody made opens")

    return Target("seals", run, (SealBroken,), [good, good + bytes(16)])


def markers() -> Target:
    """Frames that resemble drain markers."""
    good = [buildMarker(5, bytes(range(16)), number, number > 3) for number in range(6)]

    def run(data: bytes) -> None:
        packetBatch([data], [1])
        parseMarker(data)

    return Target("markers", run, (ProtocolError,), good)
