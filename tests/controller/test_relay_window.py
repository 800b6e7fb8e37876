"""The relay holds both ends to the credit window."""

from __future__ import annotations

import random
from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.relaywindow import SHARED, RelayWindow
from openmb.errors import OperationError, Refusal
from openmb.middlebox.stream import StreamReceiver, StreamSender
from openmb.operations.values import MoveSettings, Stage
from openmb.state.keyring import Keyring
from openmb.wire import messages as m
from tests.controller.rig import NONCE, OP, Rig, routeTo
from tests.controller.test_liars import Story

WINDOW = 1000


class WindowTests(SynchronousTestCase):
    """One stream."""

    def setUp(self) -> None:
        self.window = RelayWindow(WINDOW)

    def assertRefused(self, number: int, size: int) -> None:
        held = self.window.held
        error = self.assertRaises(OperationError, self.window.sent, number, size)
        self.assertEqual((Refusal.BAD_REQUEST, held), (error.refusal, self.window.held))

    def test_full(self) -> None:
        """Up to the window and no byte more, until there is credit."""
        self.window.sent(0, 600)
        self.window.sent(1, 400)
        self.assertRefused(2, 1)
        self.window.credited(0)
        self.assertEqual(400, self.window.held)
        self.window.sent(2, 600)
        self.assertRefused(3, 1)

    def test_largerThanTheWindow(self) -> None:
        """Such a frame travels alone."""
        self.window.sent(0, 5000)
        self.assertRefused(1, 1)
        self.window.credited(0)
        self.window.sent(1, 1)
        self.assertRefused(2, 5000)

    def test_again(self) -> None:
        """A frame comes again only if it was asked for, and so often at most as somebody has asked."""
        self.window.sent(0, 900)
        self.assertRefused(0, 900)
        self.window.resumed()
        self.window.sent(0, 900)
        self.assertEqual(900, self.window.held)
        self.window.credited(0)
        self.window.resumed()
        self.window.sent(0, 900)
        self.assertEqual(0, self.window.held)

    def test_againBounded(self) -> None:
        """A middlebox that is there again and again collects no right to flood the other end."""
        self.window.sent(0, 900)
        for _ in range(1000):
            self.window.resumed()
        sent = 0
        while sent < 1 << 26:
            try:
                self.window.sent(0, 900)
            except OperationError:
                break
            sent += 900
        self.assertLess(sent, 9 << 20)

    def test_gap(self) -> None:
        """Frames that were lost with a connection come after those that were not; all count once."""
        self.window.sent(0, 100)
        self.window.sent(3, 100)
        self.window.resumed()
        for number in (1, 2, 3):
            self.window.sent(number, 100)
        self.assertEqual(400, self.window.held)
        self.window.credited(3)
        self.assertEqual(0, self.window.held)

    def test_creditForNothing(self) -> None:
        """Nobody can acknowledge what was not sent, but to a controller that was restarted."""
        self.assertRaises(OperationError, self.window.credited, 0)
        self.window.sent(0, 100)
        self.assertRaises(OperationError, self.window.credited, 1)
        self.assertEqual(100, self.window.held)
        recovered = RelayWindow(WINDOW, True)
        recovered.credited(7)
        recovered.sent(8, 100)
        self.assertEqual(100, recovered.held)

    def test_aRealSender(self) -> None:
        """Whatever order frames, credit, lost connections and resumes come in, a real sender never exceeds it."""
        for seed in range(30):
            self._sender(random.Random(seed))

    def _sender(self, dice: random.Random) -> None:
        window, wire, back = RelayWindow(WINDOW), list[m.StreamFrame](), list[int]()
        keyring = Keyring("counter", {1: bytes(32)}, 1)
        sender = StreamSender(OP, m.Side.SOURCE, keyring, bytes(32), WINDOW, wire.append)
        relayed: list[m.StreamFrame] = []
        received = -1
        for _ in range(400):
            act = dice.randrange(10)
            if act < 4:
                sender.append(m.StreamType.RECORDS, b"", bytes(dice.randrange(700)))
            elif act < 7 and wire:
                frame = wire.pop(0)
                window.sent(frame.number, frame.size)
                relayed.append(frame)
            elif act == 7 and relayed:
                frame = relayed.pop(0)
                received = max(received, frame.number) if frame.number == received + 1 else received
                window.credited(received)
                back.append(received)
            elif act == 8 and back:
                sender.credited(back.pop(0))
            elif act == 9 and dice.random() < 0.2:
                wire.clear()
                relayed.clear()
                window.resumed()
                sender.resume(received)
            self.assertTrue(window.held <= WINDOW or len(window._sizes) == 1)


class LeftOutTests(SynchronousTestCase):
    """Too much waits for the receiver: what else comes is asked for later."""

    def setUp(self) -> None:
        self.window = RelayWindow(WINDOW)

    def test_leftOut(self) -> None:
        """From the first that is left out all are, until that one comes again; it is asked for once."""
        self.assertFalse(self.window.leavesOut(0, 10, SHARED))
        self.assertIsNone(self.window.askAgain())
        self.assertTrue(self.window.leavesOut(1, 10, SHARED + 1))
        self.assertTrue(self.window.leavesOut(2, 10, 0))
        self.assertEqual((0, None), (self.window.askAgain(), self.window.askAgain()))
        self.assertTrue(self.window.leavesOut(3, 10, 0))
        self.assertFalse(self.window.leavesOut(1, 10, 0))
        self.assertFalse(self.window.leavesOut(2, 10, 0))

    def test_leftOutAgain(self) -> None:
        """When it comes again and there is no room again, it is asked for again."""
        self.window.leavesOut(1, 10, SHARED + 1)
        self.assertEqual(0, self.window.askAgain())
        self.assertTrue(self.window.leavesOut(1, 10, SHARED + 1))
        self.assertEqual(0, self.window.askAgain())

    def test_flood(self) -> None:
        """Who sends on and on without credit is found out although nothing is relayed."""
        size, sent = 1 << 19, 0
        error = None
        while error is None:
            try:
                self.window.leavesOut(sent, size, SHARED + 1)
            except OperationError as refused:
                error = refused
            sent += 1
        self.assertEqual((Refusal.BAD_REQUEST, 5), (error.refusal, sent))

    def test_resumed(self) -> None:
        """A lost connection asks for everything anyhow."""
        self.window.leavesOut(1, 10, SHARED + 1)
        self.window.resumed()
        self.assertEqual((None, False), (self.window.askAgain(), self.window.leavesOut(5, 10, 0)))

    def test_realEnds(self) -> None:
        """Whatever is left out, a real sender and receiver come to their end, and nothing is asked for in vain."""
        for seed in range(60):
            self._play(random.Random(seed))

    def _play(self, dice: random.Random) -> None:
        keyring, forward, back = Keyring("counter", {1: bytes(32)}, 1), deque[m.StreamFrame](), deque[int]()
        window = RelayWindow(WINDOW)
        sender = StreamSender(OP, m.Side.SOURCE, keyring, bytes(32), WINDOW, forward.append)
        receiver, waiting, plain = StreamReceiver(keyring, bytes(32)), deque[m.StreamFrame](), list[bytes | None]()
        contents = [dice.randbytes(dice.randrange(700)) for _ in range(40)]
        for content in contents:
            sender.append(m.StreamType.RECORDS, b"", content)
        isFull = False
        for _ in range(5000):
            act = dice.randrange(6)
            if act <= 1 and forward:
                frame = forward.popleft()
                if not window.leavesOut(frame.number, frame.size, SHARED + 1 if isFull else 0):
                    window.sent(frame.number, frame.size)
                    waiting.append(frame)
            elif act == 2 and waiting:
                plain.append(receiver.receive(waiting.popleft()))
                back.append(receiver.received)
            elif act == 3 and back:
                number = back.popleft()
                if number >= 0:
                    window.credited(number)
                    sender.credited(number)
            elif act == 4:
                isFull = not isFull
                after = None if isFull else window.askAgain()
                if after is not None:
                    sender.resume(after)
        while not sender.isIdle:
            after = window.askAgain()
            if after is not None:
                sender.resume(after)
            while forward:
                frame = forward.popleft()
                if not window.leavesOut(frame.number, frame.size, 0):
                    window.sent(frame.number, frame.size)
                    waiting.append(frame)
            while waiting:
                plain.append(receiver.receive(waiting.popleft()))
            window.credited(receiver.received)
            sender.credited(receiver.received)
        self.assertEqual(contents, [each for each in plain if each is not None][1:])


class RelayTests(SynchronousTestCase):
    """In the controller."""

    def frame(self, number: int, size: int = 1 << 20) -> m.StreamFrame:
        return m.StreamFrame(OP, m.Side.SOURCE, number, m.StreamType.RECORDS, b"", bytes(size - 64))

    def test_flood(self) -> None:
        """The destination gets a window's worth; the operation ends with the source's name, sessions stay."""
        rig = Rig()
        move = rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        move.installed.wait().addErrback(lambda failure: None)
        move.moved.wait().addErrback(lambda failure: None)
        rig.says("b", m.Prepared(OP, NONCE))
        rig.says("a", m.Getting(OP), *map(self.frame, range(200)))
        relayed = [message for message in rig.sent["b"] if isinstance(message, m.StreamFrame)]
        self.assertEqual(MoveSettings().window, sum(each.size for each in relayed))
        self.assertEqual(Refusal.BAD_REQUEST, move.report.refusal)
        self.assertIn("a: frame 4 makes 5242880 bytes without credit, the window has 4194304", move.report.reason)
        self.assertEqual(["Prepare", "Discard"], [name for name in rig.types("b") if name != "StreamFrame"])
        for name in "ab":
            self.assertIs(rig.sessions[name], rig.controller.registry.get(name))

    def test_othersGoOn(self) -> None:
        """Another operation of the same two is not touched."""
        rig = Rig()
        moves = [rig.controller.startMove("a", "b", flows) for flows in ("tcp", "udp")]
        for move in moves:
            move.installed.wait().addErrback(lambda failure: None)
        rig.says("b", m.Prepared(OP, NONCE), m.Prepared(OP + 1, NONCE))
        rig.says("a", *map(self.frame, range(10)))
        rig.says("b", m.Installed(OP + 1, 0, 0, 0))
        self.assertEqual([Refusal.BAD_REQUEST, None], [move.report.refusal for move in moves])
        self.assertEqual(Stage.INSTALLED, moves[1].report.stage)

    def test_afterCommit(self) -> None:
        """Nothing can be undone any more: what is beyond the window is not relayed, and the report names the source."""
        story = Story().to("draining")
        story.rig.says("a", *map(self.frame, range(10)))
        self.assertEqual(4, story.rig.types("b").count("StreamFrame"))
        self.assertEqual(("draining", Refusal.BAD_REQUEST), (story.state, story.move.report.refusal))
        self.assertTrue(story.move.report.reason.startswith("a: "))

    def test_credit(self) -> None:
        """A destination that acknowledges what was never sent ends the operation."""
        story = Story().to("exporting")
        story.rig.says("b", m.Credit(OP, m.Side.SOURCE, 1 << 60))
        self.assertEqual(("aborting", 0), (story.state, story.rig.types("a").count("Credit")))
        self.assertTrue(story.move.report.reason.startswith("b: credit for frame"))

    def test_slowDestination(self) -> None:
        """Nothing is relayed to one for which too much waits; when it reads again, the source is asked for the rest."""
        story = Story().to("exporting")
        rig, piled = story.rig, [SHARED + 1]
        rig.sessions["b"].piled = lambda: piled[0]
        rig.says("a", self.frame(0), self.frame(1))
        self.assertEqual(0, rig.types("b").count("StreamFrame"))
        piled[0] = 0
        for _ in range(2):
            rig.controller.sessionWritable(rig.sessions["b"])
        self.assertEqual([m.Resume(OP, m.Side.SOURCE, -1)], rig.sent["a"][-1:])
        self.assertEqual(1, rig.types("a").count("Resume"))
        rig.says("a", self.frame(0), self.frame(1))
        self.assertEqual(2, rig.types("b").count("StreamFrame"))
        self.assertEqual((0, "exporting"), (story.move.report.strays, story.state))

    def test_resumed(self) -> None:
        """A destination that was cut off gets its frames again; nobody has strayed."""
        story = Story().to("exporting")
        frames = [self.frame(number) for number in range(4)]
        story.rig.says("a", *frames)
        story.rig.controller.sessionClosed(story.rig.sessions["b"])
        story.rig.back("b", m.Side.DESTINATION, "receiving", 0)
        self.assertEqual(m.Resume(OP, m.Side.SOURCE, 0), story.rig.sent["a"][-1])
        story.rig.says("a", *frames[1:])
        self.assertEqual(3, story.rig.types("b").count("StreamFrame"))
        self.assertEqual((0, "exporting"), (story.move.report.strays, story.state))

    def test_restarted(self) -> None:
        """A restarted controller does not know what an earlier one has relayed: credit for that is no lie."""
        story = Story().to("committing")
        rig = story.rig
        rig.restart()
        rig.back("a", m.Side.SOURCE, "diverted", -1)
        rig.back("b", m.Side.DESTINATION, "confirmed", 50)
        rig.says("b", m.Credit(OP, m.Side.SOURCE, 50))
        rig.says("a", self.frame(51))
        (move,) = rig.controller.moves
        self.assertEqual((0, None), (move.report.strays, move.report.refusal))
        self.assertEqual((1, 1), (rig.types("a").count("Credit"), rig.types("b").count("StreamFrame")))
