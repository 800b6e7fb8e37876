"""A controller that alters what it relays: real TLS, two real middleboxes, which must not take any of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

from openmb.controller.controller import Controller
from openmb.controller.journal import SQLiteJournal
from openmb.controller.operation import OperationPerformer
from openmb.controller.registry import Session
from openmb.demo.deployment import CONTROLLER
from openmb.errors import OperationError
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.service import ControllerPlaces, ControllerService, IServiceReactor
from openmb.southbound.live import LiveCredentials
from openmb.starting import Readiness
from openmb.testing.adapters import START
from openmb.wire.messages import Credit, Side, StreamFrame, StreamType
from tests.integration.services import LOOP, RunningServices

#: What is done with a frame on its way from the source to the destination: what goes on in its place.
Alteration = Callable[[StreamFrame], Iterable[StreamFrame]]


class HostileController(Controller):
    """
    Has a genuine certificate, and alters the frames that it should relay unread.

    @ivar alter: what it does with each frame for the destination.
    @ivar seen: the genuine frames for the destination, in order.
    """

    alter: Alteration
    seen: list[StreamFrame]

    def _relay(self, move: OperationPerformer, session: Session, message: StreamFrame | Credit) -> None:
        if session.peer != move.request.source:  # as it alters frames it passes credit on uncounted
            move.toSource(message)
            return
        if not isinstance(message, StreamFrame):
            move.toDestination(message)
            return
        self.seen.append(message)
        for frame in self.alter(message):
            move.toDestination(frame)


def honest(frame: StreamFrame) -> Iterable[StreamFrame]:
    """As a controller should."""
    return (frame,)


def altered(frame: StreamFrame, **changes: Any) -> StreamFrame:
    """C{frame} with other content, to be encoded anew."""
    return replace(frame, frame=b"", **changes)


def flipped(data: bytes, place: int) -> bytes:
    """C{data} with one bit changed."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def onlyThe(type_: StreamType, change: Callable[[StreamFrame], StreamFrame]) -> Alteration:
    """Changes the frames of one type."""
    return lambda frame: (change(frame) if frame.type is type_ else frame,)


@dataclass
class Swap:
    """Gives the frame after the first one the first one's place and number."""

    held: StreamFrame | None = None

    def __call__(self, frame: StreamFrame) -> Iterable[StreamFrame]:
        if frame.type is StreamType.OPENED:
            return (frame,)
        if self.held is None:
            self.held = frame
            return ()
        return (altered(frame, number=self.held.number),)


#: What breaks the seal, by what is done.
BROKEN: dict[str, Callable[[], Alteration]] = {
    "one bit of the sealed part": lambda: onlyThe(
        StreamType.RECORDS, lambda frame: altered(frame, sealed=flipped(frame.sealed, len(frame.sealed) // 2))
    ),
    "one bit of the seal": lambda: onlyThe(
        StreamType.RECORDS, lambda frame: altered(frame, sealed=flipped(frame.sealed, -1))
    ),
    "something readable added": lambda: onlyThe(
        StreamType.RECORDS, lambda frame: altered(frame, clear=frame.clear + b"\0")
    ),
    "the end cut off": lambda: onlyThe(StreamType.RECORDS, lambda frame: altered(frame, sealed=frame.sealed[:-1])),
    "nothing left": lambda: onlyThe(StreamType.RECORDS, lambda frame: altered(frame, sealed=b"")),
    "another salt": lambda: onlyThe(StreamType.OPENED, lambda frame: altered(frame, clear=flipped(frame.clear, -1))),
    "another type": lambda: onlyThe(StreamType.RECORDS, lambda frame: altered(frame, type=StreamType.REPROCESS)),
    "another number": Swap,
    "the other end's name": lambda: onlyThe(StreamType.RECORDS, lambda frame: altered(frame, side=Side.DESTINATION)),
}


class HostileControllerTests(RunningServices):
    """What a controller can do to state that moves: keep it back, and nothing else."""

    def startController(self) -> None:
        """The controller runs here, with everything else of it as it always is."""
        loop = cast(IServiceReactor, cast(Any, LOOP))
        files = self.deployment
        network = EmbeddedNetwork(files.switch / "control.sock", loop)
        self.hostile = HostileController(network, SQLiteJournal(files.journal), loop)
        self.hostile.alter, self.hostile.seen = honest, []
        places = ControllerPlaces("127.0.0.1", 0, files.socket)
        credentials = LiveCredentials(files.certificates, CONTROLLER)
        service = ControllerService(self.hostile, credentials, places, loop, Readiness(str(files.announce)))
        service.startService()
        self.addCleanup(service.stopService)

    async def refusal(self, alter: Alteration) -> str | None:
        """Why a move under C{alter} ended; C{stats} leaves out what is not committed, so only the reports tell that."""
        self.hostile.alter = alter
        try:
            await self.install("bro1", "bro2")
        except OperationError:
            pass  # its reason stands in the report
        else:
            self.fail("state was installed that was altered on its way")
        await self.idle()
        (*_, last) = (await self.operations())["over"]
        self.assertEqual(("aborted", 0), (last["stage"], last["records"]))
        return cast("str | None", last["refusal"])

    async def finish(self) -> None:
        """An honest move: the flows end at C{bro2}, each once with all its packets, as if nothing had been."""
        self.hostile.alter = honest
        await self.switchOver((await self.install("bro1", "bro2"))["operation"])
        await self.feed(START + 200_000_000)
        await self.holds("bro2", 6)
        await self.stopMiddleboxes()
        self.assertEqual([], self.rows("bro1"))
        self.assertEqual([("4", "4")] * 6, [(row[16], row[18]) for row in self.rows("bro2")])

    async def test_altered(self) -> None:
        """Whatever is altered is refused, with a reason, and installs nothing; the source goes on with all it had."""
        await self.begin()
        for what, make in BROKEN.items():
            self.assertEqual("SEAL_BROKEN", await self.refusal(make()), what)
            self.assertEqual(6, await self.records("bro1"), what)
        said = self.childLog("bro2")
        await self.until("the log", lambda: said.read_text().count("is not taken") >= len(BROKEN))
        await self.finish()

    async def test_ofAnotherOperation(self) -> None:
        """What one operation sealed, genuine as it is, opens in no other, whatever label it gets."""
        await self.begin()
        self.assertEqual("SEAL_BROKEN", await self.refusal(BROKEN["one bit of the seal"]()))
        old = {frame.number: frame for frame in self.hostile.seen}
        self.assertIn(StreamType.RECORDS, [frame.type for frame in old.values()])

        def replayed(frame: StreamFrame) -> Iterable[StreamFrame]:
            return (altered(old.get(frame.number, frame), operation=frame.operation),)

        def mixed(frame: StreamFrame) -> Iterable[StreamFrame]:
            return (frame,) if frame.type is StreamType.OPENED else replayed(frame)

        for alter in (replayed, mixed):
            self.assertEqual("SEAL_BROKEN", await self.refusal(alter), alter.__name__)
            self.assertEqual(6, await self.records("bro1"), alter.__name__)
        await self.finish()

    async def test_passedOver(self) -> None:
        """What is not the next frame of this stream changes nothing: sent twice, ahead, for the other end or nobody."""
        await self.begin()

        def noisy(frame: StreamFrame) -> Iterable[StreamFrame]:
            ahead = altered(frame, number=frame.number + 1000)
            stray = altered(frame, operation=frame.operation ^ 1)
            return (ahead, stray, frame, frame, *self.hostile.seen)

        self.hostile.alter = noisy
        await self.install("bro1", "bro2")
        (move,) = self.hostile.moves
        self.assertEqual(12, move.report.records)  # two for each flow, as in an honest move, and none twice
        await self.openmb("abort", f"{move.request.operation:x}")
        await self.idle()
        await self.finish()
