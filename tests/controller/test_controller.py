"""The controller: refusals at once, the relay, questions, sessions that come and go."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from openmb import ratelimitedlog
from openmb.controller.questions import ANSWER_TIME
from openmb.controller.registry import Session
from openmb.errors import OperationError, Refusal
from openmb.operations.values import Stage
from openmb.wire import messages as m
from openmb.wire.session import OPERATIONS_LIMIT
from tests.controller.rig import NONCE, OP, Rig, hello, routeTo

FRAME = m.StreamFrame(OP, m.Side.SOURCE, 0, m.StreamType.OPENED, b"", b"", b"as it came")


class ControllerTests(SynchronousTestCase):
    """A controller with three middleboxes."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.controller = self.rig.controller

    def refused(self, source: str, destination: str, flows: str = "tcp") -> Refusal:
        with self.assertRaises(OperationError) as caught:
            self.controller.startMove(source, destination, flows)
        return Refusal(caught.exception.refusal)

    def test_refusedAtOnce(self) -> None:
        """Each reason, before anything is sent or journalled."""
        self.rig.other("k", kind="prads")
        self.rig.other("l", layouts=())
        self.rig.other("g", governing=b"x" * 32)
        self.controller.sessionClosed(self.rig.sessions["c"])
        cases = {
            ("a", "x"): Refusal.UNKNOWN_MIDDLEBOX,
            ("x", "a"): Refusal.UNKNOWN_MIDDLEBOX,
            ("a", "c"): Refusal.DISCONNECTED,
            ("a", "a"): Refusal.SAME_MIDDLEBOX,
            ("a", "k"): Refusal.DIFFERENT_KINDS,
            ("a", "l"): Refusal.INCOMPATIBLE_RECORDS,
            ("a", "g"): Refusal.INCOMPATIBLE_RECORDS,
        }
        self.assertEqual(cases, {pair: self.refused(*pair) for pair in cases})
        self.assertEqual(Refusal.BAD_REQUEST, self.refused("a", "b", "no such field"))
        self.assertEqual(([], []), (self.rig.journal.entries, self.rig.sent["a"]))

    def test_intersecting(self) -> None:
        """Flows under way may not be moved by another operation, between whichever middleboxes; others may."""
        self.controller.startMove("a", "b", "tcp,nw_src=10.0.0.0/8")
        for ends in (("a", "b"), ("b", "c"), ("c", "a")):
            self.assertEqual(Refusal.INTERSECTING_OPERATION, self.refused(*ends, "nw_dst=10.1.0.0/16"))
        self.controller.startMove("a", "c", "udp")

    def test_finerThanNative(self) -> None:
        """What only the middlebox can know comes as its refusal, and fails whoever waits."""
        waiting = Deferred.fromCoroutine(self.controller.moveInternal("a", "b", "dl_vlan=5"))
        self.rig.says("b", m.Refused(OP, int(m.MessageType.PREPARE), Refusal.FINER_THAN_NATIVE, "too fine"))
        self.rig.says("b", m.Discarded(OP, 0))
        self.rig.says("a", m.Unmarked(OP, 0, 0))
        error = self.failureResultOf(waiting, OperationError).value
        self.assertEqual((Refusal.FINER_THAN_NATIVE, "too fine"), (error.refusal, error.reason))
        self.assertEqual((), self.controller.moves)

    def test_relay(self) -> None:
        """Frames go to the other end as they came, credit to the end that made the frames."""
        self.controller.startMove("a", "b", "tcp")
        self.rig.says("b", m.Prepared(OP, NONCE))
        self.rig.says("a", FRAME)
        self.assertIs(FRAME, self.rig.sent["b"][-1])
        self.rig.says("b", m.Credit(OP, m.Side.SOURCE, 0))
        self.assertEqual(m.Credit(OP, m.Side.SOURCE, 0), self.rig.sent["a"][-1])

    def test_nobodySpeaksForOthers(self) -> None:
        """Anything of a third middlebox is not passed on, and changes nothing."""
        self.controller.startMove("a", "b", "tcp")
        before = {name: list(sent) for name, sent in self.rig.sent.items()}
        self.rig.says(
            "c", FRAME, m.Credit(OP, m.Side.SOURCE, 0), m.Prepared(OP, NONCE), m.Refused(OP, 0, Refusal.ABORTED, "")
        )
        self.assertEqual(before, self.rig.sent)
        self.assertEqual(Stage.STARTED, self.controller.move(OP).report.stage)

    def test_inTheOthersName(self) -> None:
        """Frames and credit in the other end's name end the operation, and are not passed on."""
        for name, message in (
            ("b", FRAME),
            ("a", m.Credit(OP, m.Side.SOURCE, 0)),
            ("a", replace(FRAME, side=m.Side.DESTINATION)),
        ):
            rig = Rig()
            move = rig.controller.startMove("a", "b", "tcp")
            move.installed.wait().addErrback(lambda failure: None)
            rig.says("b", m.Prepared(OP, NONCE))
            rig.says(name, message)
            self.assertEqual((1, Refusal.BAD_REQUEST), (move.report.strays, move.report.refusal))
            self.assertEqual((["Get", "Unmark"], ["Prepare", "Discard"]), (rig.types("a"), rig.types("b")))

    def test_answersOfTheOtherSide(self) -> None:
        """A source that claims what only the destination can know ends the operation before any harm."""
        move = self.controller.startMove("a", "b", "tcp", routeTo("b"))
        move.moved.wait().addErrback(lambda failure: None)
        self.rig.says("b", m.Prepared(OP, NONCE))
        self.rig.says("a", m.Installed(OP, 0, 0, 0))
        self.assertEqual(Refusal.BAD_REQUEST, move.report.refusal)
        self.assertEqual(["Prepare", "Discard"], self.rig.types("b"))

    def test_answersOutOfTurn(self) -> None:
        """So does an answer that nobody asked for; the controller goes on."""
        for early in (
            m.Merged(OP, 1, 1, 1, 1, 0),
            m.Committed(OP, 1),
            m.DivertConfirmed(OP, 1),
            m.Installed(OP, 1, 1, 1),
        ):
            rig = Rig()
            move = rig.controller.startMove("a", "b", "tcp")
            rig.says("b", early)
            self.assertEqual((Refusal.BAD_REQUEST, 0), (move.report.refusal, move.report.records))
            self.assertEqual(["Prepare", "Discard"], rig.types("b"))

    def test_strayed(self) -> None:
        """What belongs to no operation does nothing."""
        self.rig.says("a", m.Prepared(5, NONCE), FRAME, m.Refused(5, 0, Refusal.ABORTED, "x"), m.StatsAnswer(5, ()))
        self.assertEqual([], self.rig.sent["b"])

    def test_stats(self) -> None:
        """Asked, answered."""
        asked = Deferred.fromCoroutine(self.controller.stats("a", "tcp"))
        self.assertEqual([m.Stats(OP, "tcp")], self.rig.sent["a"])
        self.rig.says("a", m.StatsAnswer(OP, ()))
        self.assertEqual((), self.successResultOf(asked))
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_statsRefused(self) -> None:
        """A refusal is the caller's."""
        asked = Deferred.fromCoroutine(self.controller.stats("a", "dl_vlan=1"))
        self.rig.says("a", m.Refused(OP, int(m.MessageType.STATS), Refusal.FINER_THAN_NATIVE, "too fine"))
        self.assertEqual(Refusal.FINER_THAN_NATIVE, self.failureResultOf(asked, OperationError).value.refusal)

    def test_statsDeadline(self) -> None:
        """A middlebox that does not answer: DEADLINE; an answer afterwards does nothing."""
        asked = Deferred.fromCoroutine(self.controller.stats("a", "tcp"))
        self.rig.clock.advance(ANSWER_TIME)
        self.assertEqual(Refusal.DEADLINE, self.failureResultOf(asked, OperationError).value.refusal)
        self.rig.says("a", m.StatsAnswer(OP, ()))

    def test_shutDown(self) -> None:
        """What can still be aborted is; what is committed goes on."""
        move = self.controller.startMove("a", "b", "tcp")
        self.controller.shutDown()
        self.assertEqual(Refusal.SHUTTING_DOWN, move.report.refusal)
        self.assertEqual(("Unmark", "Discard"), (self.rig.types("a")[-1], self.rig.types("b")[-1]))
        rig = Rig()
        late = rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        rig.committing()
        rig.controller.shutDown()
        self.assertEqual((None, "Commit"), (late.report.refusal, rig.types("b")[-1]))

    def test_death(self) -> None:
        """A middlebox that comes back as another process has lost its operations, and others have not."""
        one = self.controller.startMove("a", "b", "tcp")
        two = self.controller.startMove("a", "c", "udp")
        self.controller.sessionClosed(self.rig.sessions["c"])
        self.assertEqual((None, None), (one.report.refusal, two.report.refusal))
        self.rig.connect(replace(hello("c"), incarnation=b"z" * 16))
        self.assertEqual((None, Refusal.PEER_DIED), (one.report.refusal, two.report.refusal))

    def test_newSession(self) -> None:
        """A second session under the same name ends the first; the end of the first does not end the second."""
        old = self.rig.sessions["a"]
        self.rig.connect(hello("a"))
        self.controller.sessionClosed(old)
        self.assertIs(self.rig.sessions["a"], self.controller.registry.find("a"))

    def test_forgottenOperations(self) -> None:
        """What a middlebox remembers of operations that are over, it is told to forget."""
        status = m.OperationStatus(12345, m.Side.SOURCE, "tapping", -1, 3)
        session = self.rig.connect(replace(hello("d"), operations=(status,)))
        self.assertEqual([m.Close(12345)], self.rig.sent[session.name])

    def test_rememberedOperations(self) -> None:
        """A source that was away when its move ended is told how: one that was committed is not to go on."""
        status = m.OperationStatus(OP, m.Side.SOURCE, "diverted", -1, 3)
        self.controller.startMove("a", "b", "tcp", routeTo("b"))
        self.rig.committing()
        self.rig.says("b", m.Committed(OP, 5), m.Merged(OP, 0, 0, 0, 0, 0))
        self.controller.sessionClosed(self.rig.sessions["a"])
        self.rig.clock.advance(self.controller.settings.grace)
        self.rig.connect(replace(hello("a"), operations=(status,)))
        self.assertEqual(["Delete", "Close"], self.rig.types("a"))

    def test_rolledBack(self) -> None:
        """After a refused COMMIT the source owns the records: coming back it is told to go on, not to delete."""
        status = m.OperationStatus(OP, m.Side.SOURCE, "diverted", -1, 3)
        self.controller.startMove("a", "b", "tcp", routeTo("b"))
        self.rig.committing()
        self.rig.says("b", m.Refused(OP, m.MessageType.COMMIT, Refusal.WRONG_STATE, "not now"))
        self.rig.network.asked[1][2].callback(None)
        self.rig.says("b", m.Discarded(OP, 0))
        self.controller.sessionClosed(self.rig.sessions["a"])
        self.rig.clock.advance(self.controller.settings.grace)
        self.rig.connect(replace(hello("a"), operations=(status,)))
        self.assertEqual(["Unmark", "Close"], self.rig.types("a"))

    def proven(self, name: str) -> m.Hello:
        """The HELLO of one that has had a WELCOME."""
        return replace(hello(name), secret=self.controller.secretOf(hello(name)))

    def test_newcomer(self) -> None:
        """Another incarnation cannot take the name of one that is connected; the same one, on a new connection, can."""
        closed: list[str] = []
        session = Session(hello("a"), lambda message: None, closed.append)
        self.controller.sessionOpened(session)
        self.refusedNewcomer(replace(hello("a"), incarnation=b"z" * 16), Refusal.WRONG_STATE, "another a is connected")
        self.controller.checkNewcomer(self.proven("a"))
        self.assertEqual([], closed)
        self.rig.connect(self.proven("a"))
        self.assertEqual(1, len(closed))

    def refusedNewcomer(self, said: m.Hello, refusal: Refusal, words: str) -> None:
        with self.assertRaises(OperationError) as caught:
            self.controller.checkNewcomer(said)
        self.assertEqual(refusal, caught.exception.refusal)
        self.assertIn(words, caught.exception.reason)

    def test_incarnationIsNoSecret(self) -> None:
        """Whoever knows the incarnation of one that is connected, and not its secret, does not get its place."""
        wrong = bytes([self.proven("a").secret[0] ^ 1]) + self.proven("a").secret[1:]
        for secret in (bytes(32), wrong, self.controller.secretOf(hello("b"))):
            self.refusedNewcomer(replace(hello("a"), secret=secret), Refusal.NOT_AUTHORISED, "a is connected, and")

    def test_operationsAreNoGift(self) -> None:
        """Nor does it get the operations of one that is away; once they are over nothing is left to take."""
        self.controller.startMove("a", "b", "tcp").finished.wait().addErrback(lambda failure: None)
        self.controller.sessionClosed(self.rig.sessions["a"])
        self.refusedNewcomer(hello("a"), Refusal.NOT_AUTHORISED, f"takes part in operation {OP:016x}")
        self.controller.checkNewcomer(self.proven("a"))
        self.rig.clock.advance(self.controller.settings.grace)
        self.rig.says("b", m.Discarded(OP, 0))
        self.assertEqual((), self.controller.moves)
        self.controller.checkNewcomer(hello("a"))

    def test_restartedProcess(self) -> None:
        """A new incarnation shows no secret: it is welcome once the old one has gone, and gets no operation of it."""
        self.controller.startMove("a", "b", "tcp").finished.wait().addErrback(lambda failure: None)
        self.controller.sessionClosed(self.rig.sessions["a"])
        again = replace(hello("a"), incarnation=b"z" * 16)
        self.controller.checkNewcomer(again)
        self.rig.connect(again)
        self.assertEqual([], self.rig.sent["a"])
        self.assertTrue(self.controller.moves[0].source.dead)

    def test_secretsOutliveTheController(self) -> None:
        """One that is started again with the same journal asks for the secrets that the one before gave."""
        given = self.proven("a")
        self.controller.startMove("a", "b", "tcp").finished.wait().addErrback(lambda failure: None)
        self.rig.restart()
        self.controller = self.rig.controller
        self.assertEqual(given, self.proven("a"))
        self.refusedNewcomer(hello("a"), Refusal.NOT_AUTHORISED, "takes part in operation")
        self.controller.checkNewcomer(given)

    def test_manyUnknownOperations(self) -> None:
        """What a middlebox knows and nobody here does is one line, however much it is; each is answered once."""
        many = tuple(m.OperationStatus(1000 + n, m.Side.SOURCE, "ended", -1, -1) for n in range(OPERATIONS_LIMIT))
        with capturedLogs() as logs:
            self.rig.other("a", operations=many)
        told = [log for log in logs if log["log_level"] is LogLevel.warn]
        self.assertEqual([OPERATIONS_LIMIT], [log["count"] for log in told])
        self.assertEqual(OPERATIONS_LIMIT, len(self.rig.sent["a"]))

    def test_strayMessages(self) -> None:
        """Messages about operations of others: the first are told, the rest is a number."""
        self.controller.startMove("a", "b", "tcp").finished.wait().addErrback(lambda failure: None)
        with capturedLogs() as logs:
            for _ in range(1000):
                self.rig.says("c", m.Merged(OP, 0, 0, 0, 0, 0))
            self.rig.clock.advance(ratelimitedlog.INTERVAL)
            self.controller.peers.timePassed()
        self.assertEqual(ratelimitedlog.LIMIT + 1, len(logs))
        self.assertEqual(1000 - ratelimitedlog.LIMIT, logs[-1]["unwritten"])

    def test_routeOfOthers(self) -> None:
        """A route that takes other flows, elsewhere, or one way alone, is refused before anything is asked."""
        oneWay = replace(routeTo("b", flows="tcp"), oneWay=True)
        for route in (routeTo("b", flows="udp"), routeTo("c"), oneWay):
            with self.assertRaises(OperationError) as caught:
                self.controller.startMove("a", "b", "tcp", route)
            self.assertEqual(Refusal.BAD_REQUEST, caught.exception.refusal)
        self.assertEqual((), self.controller.moves)

    def test_unknownMove(self) -> None:
        """Asking for a move that is over is refused."""
        with self.assertRaises(OperationError) as caught:
            self.controller.move(1)
        self.assertEqual(Refusal.UNKNOWN_OPERATION, caught.exception.refusal)
