"""The relay: each middlebox is told what the others announce."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from openmb.apps.relay import BATCH, QUEUE_LIMIT, TRIES, Relay
from openmb.errors import FrameTooLarge, OperationError, Refusal

#: What a caller of the northbound interface is handed, line by line.
OnNotice = Callable[[Mapping[str, Any]], None]


def event(number: int) -> dict[str, Any]:
    """A line of a stream."""
    return {"event": "found", "stamp": number, "fields": {"number": number}}


class Northbound:
    """
    The northbound interface, played by hand: streams, and requests that wait for the test to answer them.

    @ivar told: requests of C{tell} that wait: middlebox, numbers, and where the answer goes.
    """

    def __init__(self) -> None:
        self.streams: dict[str, tuple[OnNotice, Deferred[Any]]] = {}
        self.told: list[tuple[str, list[int], Deferred[Any]]] = []
        self.ended: list[str] = []

    async def call(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        timeout: float | None,  # noqa: ASYNC109 - as the real one has it
        onNotice: OnNotice | None = None,
    ) -> Any:
        waiting: Deferred[Any] = Deferred()
        if verb == "subscribe":
            assert onNotice is not None and timeout is None
            self.streams[arguments["middlebox"]] = onNotice, waiting
            onNotice({"subscription": f"{len(self.streams):x}"})
        elif verb == "tell":
            assert timeout is not None
            numbers = [each["stamp"] for each in arguments["events"]]
            self.told.append((arguments["middlebox"], numbers, waiting))
        else:
            self.ended.append(arguments["subscription"])
            return None
        return await waiting

    def say(self, middlebox: str, *numbers: int) -> None:
        """A middlebox announces."""
        for number in numbers:
            self.streams[middlebox][0]({"middlebox": middlebox, **event(number)})

    def answer(self, result: Any) -> tuple[str, list[int]]:
        """Answer the oldest request; what it was."""
        name, numbers, waiting = self.told.pop(0)
        if isinstance(result, Exception):
            waiting.errback(result)
        else:
            waiting.callback(result)
        return name, numbers


class RelayTests(SynchronousTestCase):
    """Two or three middleboxes."""

    def setUp(self) -> None:
        self.northbound, self.pauses = Northbound(), list[Deferred[None]]()
        self.start("a", "b")

    def start(self, *names: str) -> None:
        self.begun: list[bool] = []
        self.relay = Relay(self.northbound, names, ["found"], self.pause, lambda: self.begun.append(self.relay.ready))
        self.running = Deferred.fromCoroutine(self.relay.run())

    def pause(self, seconds: float) -> Deferred[None]:
        self.assertGreater(seconds, 0)
        self.pauses.append(Deferred())
        return self.pauses[-1]

    def test_begun(self) -> None:
        """Said once, when every subscription has begun."""
        self.assertEqual([True], self.begun)
        self.northbound.say("a", 1)
        self.assertEqual([True], self.begun)

    def test_others(self) -> None:
        """Everybody but the one that said it."""
        self.start("a", "b", "c")
        self.assertTrue(self.relay.ready)
        self.northbound.say("b", 1)
        self.assertEqual([("a", [1]), ("c", [1])], [self.northbound.answer(1) for _ in range(2)])
        told = self.relay.told
        self.assertEqual([(1, 1), (0, 0), (1, 1)], [(told[name].events, told[name].news) for name in "abc"])

    def test_together(self) -> None:
        """What comes while one request is under way goes with the next, in order, so much at a time."""
        self.northbound.say("a", *range(2 * BATCH))
        self.assertEqual(("b", [0]), self.northbound.answer(0))
        self.assertEqual(("b", list(range(1, BATCH + 1))), self.northbound.answer(0))
        self.assertEqual(("b", list(range(BATCH + 1, 2 * BATCH))), self.northbound.answer(0))
        self.assertEqual([], self.northbound.told)
        self.assertEqual((2 * BATCH, 0), (self.relay.told["b"].events, self.relay.told["b"].lost))

    def test_away(self) -> None:
        """Who is away is told later, and nothing is lost or changes its order."""
        self.northbound.say("a", 1, 2)
        self.northbound.answer(OperationError(Refusal.DISCONNECTED, "gone"))
        self.assertEqual("gone", self.relay.told["b"].reason)
        self.assertEqual([], self.northbound.told)
        self.pauses.pop().callback(None)
        self.assertEqual(("b", [1, 2]), self.northbound.answer(2))
        self.assertEqual((2, ""), (self.relay.told["b"].events, self.relay.told["b"].reason))

    def test_nonsense(self) -> None:
        """Of what a middlebox can make nothing of only that is lost."""
        self.northbound.say("a", 1)
        self.northbound.say("a", 2, 3)
        refusal = OperationError(Refusal.BAD_REQUEST, "no")
        self.northbound.answer(1)
        self.assertEqual(("b", [2, 3]), self.northbound.answer(refusal))
        self.assertEqual(("b", [2]), self.northbound.answer(refusal))
        self.assertEqual(("b", [3]), self.northbound.answer(1))
        self.assertEqual((2, 1), (self.relay.told["b"].events, self.relay.told["b"].lost))

    def test_tooLong(self) -> None:
        """What does not go into one line goes into two; an event that is too long for any is lost, and counted."""
        self.northbound.say("a", 0)
        self.northbound.say("a", *range(1, 7))
        self.northbound.answer(1)
        tooLong = FrameTooLarge(2, 1)
        self.assertEqual(("b", [1, 2, 3, 4, 5, 6]), self.northbound.answer(tooLong))
        self.assertEqual(("b", [1, 2, 3]), self.northbound.answer(tooLong))
        self.assertEqual(("b", [1]), self.northbound.answer(tooLong))
        self.assertEqual(("b", [2]), self.northbound.answer(1))
        self.assertEqual(("b", [3, 4]), self.northbound.answer(2))
        self.assertEqual(("b", [5, 6]), self.northbound.answer(2))
        self.assertEqual(
            (6, 1, ""), (self.relay.told["b"].events, self.relay.told["b"].lost, self.relay.told["b"].reason)
        )

    def test_goneWhileSearching(self) -> None:
        """A middlebox that goes while it is found out which event it refuses is told the rest later, in order."""
        self.northbound.say("a", 0)
        self.northbound.say("a", 1, 2, 3, 4)
        self.northbound.answer(1)
        self.northbound.answer(OperationError(Refusal.BAD_REQUEST, "no"))
        self.assertEqual(("b", [1, 2]), self.northbound.answer(OperationError(Refusal.DISCONNECTED, "gone")))
        self.northbound.say("a", 5)
        self.pauses.pop().callback(None)
        self.assertEqual(("b", [1, 2]), self.northbound.answer(2))
        self.assertEqual(("b", [3, 4, 5]), self.northbound.answer(3))
        self.assertEqual((6, 0), (self.relay.told["b"].events, self.relay.told["b"].lost))

    def test_busy(self) -> None:
        """Who has too much to do is told later."""
        self.northbound.say("a", 1, 2)
        self.northbound.answer(OperationError(Refusal.BUFFER_FULL, "full"))
        self.pauses.pop().callback(None)
        self.assertEqual(("b", [1, 2]), self.northbound.answer(1))
        self.assertEqual((2, 0), (self.relay.told["b"].events, self.relay.told["b"].lost))

    def test_fullForEver(self) -> None:
        """Who cannot take something, however often it is asked, gets what it can take, and the rest is counted."""
        self.northbound.say("a", 1, 2)
        full = OperationError(Refusal.BUFFER_FULL, "full")
        for _ in range(TRIES):
            self.northbound.answer(full)
            self.pauses.pop().callback(None)
        self.assertEqual(("b", [1, 2]), self.northbound.answer(full))
        self.assertEqual(("b", [1]), self.northbound.answer(full))
        self.assertEqual(("b", [2]), self.northbound.answer(1))
        self.assertEqual(([], []), (self.northbound.told, self.pauses))
        self.assertEqual((1, 1), (self.relay.told["b"].events, self.relay.told["b"].lost))

    def test_bounded(self) -> None:
        """The oldest are given up, and counted; so is what was lost on the way."""
        self.northbound.say("a", *range(QUEUE_LIMIT + 11))
        self.northbound.streams["a"][0]({"middlebox": "a", "lost": 5})
        self.assertEqual(QUEUE_LIMIT, self.relay.waiting)
        self.assertEqual(10 + 5, self.relay.told["b"].lost)

    def test_stop(self) -> None:
        """The subscriptions are ended; what is said afterwards nobody is told."""
        stopped = Deferred.fromCoroutine(self.relay.stop())
        self.successResultOf(stopped)
        self.assertEqual(["1", "2"], self.northbound.ended)
        self.northbound.say("a", 1)
        self.assertEqual([], self.northbound.told)
        for _, waiting in self.northbound.streams.values():
            waiting.callback({"events": 0, "lost": 0})
        self.successResultOf(self.running)

    def test_noSuchMiddlebox(self) -> None:
        """Then there is no relay."""
        self.northbound.streams["a"][1].errback(OperationError(Refusal.UNKNOWN_MIDDLEBOX, "who?"))
        failure = self.failureResultOf(self.running, OperationError)
        self.assertEqual("who?", str(failure.value))
