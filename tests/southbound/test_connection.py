"""The connection without socket or clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ProtocolError, Refusal
from openmb.southbound.connection import LEGAL, Connection, SessionMemory, State, Terms
from openmb.wire.codec import decodeAll, encode
from openmb.wire.formats import BY_CLASS, CATALOGUE, End
from openmb.wire.framing import Header, packHeader
from openmb.wire.messages import (
    Committed,
    Goodbye,
    Hello,
    Message,
    MessageType,
    Ping,
    Pong,
    Prepared,
    Refused,
    Side,
    StreamFrame,
    StreamType,
    Welcome,
)
from openmb.wire.session import NO_SECRET
from tests.southbound.fakes import helloOf
from tests.wire.samples import NONCE, SAMPLES
from tests.wire.strategies import messages


def openPair(controller: Terms | None = None, middlebox: Terms | None = None) -> tuple[Connection, Connection]:
    """A controller's and a middlebox's end after the hand-shake."""
    upper, lower = Connection(End.CONTROLLER, controller), Connection(End.MIDDLEBOX, middlebox)
    list(upper.receiveData(lower.send(helloOf())))
    list(lower.receiveData(upper.welcome()))
    return upper, lower


def take(connection: Connection, *sent: Message) -> list[Message]:
    """What C{connection} makes of the frames of C{sent}."""
    return list(connection.receiveData(b"".join(map(encode, sent))))


class HandshakeTests(SynchronousTestCase):
    """HELLO, WELCOME, versions and epochs."""

    def test_opens(self) -> None:
        upper, lower = openPair(Terms(epoch=3, keepAlive=2.5))
        self.assertEqual((upper.state, lower.state), (State.OPEN, State.OPEN))
        self.assertEqual((upper.version, lower.version), (2, 2))

    def test_welcomeSaysTheTerms(self) -> None:
        upper = Connection(End.CONTROLLER, Terms(epoch=3, keepAlive=2.5))
        self.assertEqual(take(upper, helloOf()), [helloOf()])
        self.assertEqual(decodeAll(upper.welcome()), [Welcome(2, 3, 2500)])

    def test_highestCommonVersion(self) -> None:
        for lowest, highest, agreed in ((1, 9, 4), (2, 3, 3), (4, 4, 4)):
            upper = Connection(End.CONTROLLER, Terms(lowest=2, highest=4))
            take(upper, helloOf(lowest=lowest, highest=highest))
            self.assertEqual(upper.version, agreed)

    def test_noCommonVersion(self) -> None:
        for lowest, highest in ((5, 9), (0, 1), (4, 2)):
            upper = Connection(End.CONTROLLER, Terms(lowest=2, highest=3))
            with self.assertRaises(ProtocolError):
                take(upper, helloOf(lowest=lowest, highest=highest))
            (refused,) = decodeAll(upper.dataToSend())
            assert isinstance(refused, Refused)
            self.assertEqual((refused.request, refused.refusal), (MessageType.HELLO, Refusal.UNSUPPORTED))
            self.assertIn("2 to 3", refused.reason)

    def test_helloOfAnotherVersion(self) -> None:
        """Its body may have another form: who says it is told about versions all the same."""
        body = bytes([1, 1]) + b"whatever version 1 says"
        upper = Connection(End.CONTROLLER)
        with self.assertRaises(ProtocolError):
            list(upper.receiveData(packHeader(Header(MessageType.HELLO, len(body), 0, 0)) + body))
        (refused,) = decodeAll(upper.dataToSend())
        assert isinstance(refused, Refused)
        self.assertEqual((refused.refusal, upper.state), (Refusal.UNSUPPORTED, State.CLOSED))

    def test_secretComesBack(self) -> None:
        """What WELCOME says, the HELLO of the next connection shows; the first one shows nothing."""
        memory, terms = SessionMemory(), Terms(secretOf=lambda hello: hello.name.encode().ljust(32, b"-"))
        shown = []
        for _ in range(2):
            upper, lower = Connection(End.CONTROLLER, terms), Connection(End.MIDDLEBOX, Terms(memory=memory))
            (hello,) = upper.receiveData(lower.send(helloOf()))
            assert isinstance(hello, Hello)
            shown.append(hello.secret)
            list(lower.receiveData(upper.welcome()))
        self.assertEqual([NO_SECRET, b"bro1".ljust(32, b"-")], shown)

    def test_versionThatTheMiddleboxDoesNotSpeak(self) -> None:
        lower = Connection(End.MIDDLEBOX)
        with self.assertRaises(ProtocolError):
            take(lower, Welcome(3, 1, 1000))
        self.assertEqual(lower.state, State.CLOSED)

    def test_keepAliveOfZero(self) -> None:
        with self.assertRaises(ProtocolError):
            take(Connection(End.MIDDLEBOX), Welcome(2, 1, 0))

    def test_epochOfAnOldController(self) -> None:
        memory = SessionMemory()
        openPair(Terms(epoch=7), Terms(memory=memory))
        self.assertEqual(memory.highest, 7)
        lower = Connection(End.MIDDLEBOX, Terms(memory=memory))
        with self.assertRaises(ProtocolError) as caught:
            take(lower, Welcome(2, 6, 1000))
        self.assertIn("epoch 6", str(caught.exception))
        (refused,) = decodeAll(lower.dataToSend())
        self.assertIsInstance(refused, Refused)
        self.assertEqual(memory.highest, 7)

    def test_sameAndHigherEpochs(self) -> None:
        memory = SessionMemory(7)
        for epoch in (7, 8):
            openPair(Terms(epoch=epoch), Terms(memory=memory))
        self.assertEqual(memory.highest, 8)

    def test_secondHello(self) -> None:
        upper = Connection(End.CONTROLLER)
        with self.assertRaises(ProtocolError):
            take(upper, helloOf(), helloOf())

    def test_helloOfAnOpenSession(self) -> None:
        upper, _ = openPair()
        with self.assertRaises(ProtocolError):
            take(upper, helloOf())

    def test_welcomeWithoutHello(self) -> None:
        with self.assertRaises(ProtocolError):
            Connection(End.CONTROLLER).welcome()

    def test_refuse(self) -> None:
        upper, lower = Connection(End.CONTROLLER), Connection(End.MIDDLEBOX)
        take(upper, helloOf())
        (refused,) = lower.receiveData(upper.refuse(Refusal.BAD_REQUEST, "not you"))
        self.assertEqual(refused, Refused(0, MessageType.HELLO, Refusal.BAD_REQUEST, "not you"))
        self.assertEqual((upper.state, lower.state), (State.CLOSED, State.CLOSED))


class LegalityTests(SynchronousTestCase):
    """Only what the direction and the state allow."""

    def assertTakes(self, connection: Connection, message: Message, legal: bool) -> None:
        try:
            take(connection, message)
        except ProtocolError as error:
            self.assertFalse(legal, error)
        else:
            self.assertTrue(legal, message)

    def test_everyMessageInEveryState(self) -> None:
        for sample in SAMPLES:
            type = BY_CLASS[sample.__class__].type
            for end in End:
                self.assertTakes(Connection(end), sample, type in LEGAL[end, State.WAITING])
                opened = openPair()[0 if end is End.CONTROLLER else 1]
                self.assertTakes(opened, sample, type in LEGAL[end, State.OPEN])

    def test_whatOneEndMaySendTheOtherTakes(self) -> None:
        for sample in SAMPLES:
            for sender in (0, 1):
                pair = openPair()
                try:
                    data = pair[sender].send(sample)
                except ProtocolError:
                    continue
                list(pair[1 - sender].receiveData(data))

    def test_directions(self) -> None:
        upper = LEGAL[End.CONTROLLER, State.OPEN]
        lower = LEGAL[End.MIDDLEBOX, State.OPEN]
        self.assertIn(MessageType.PREPARED, upper - lower)
        self.assertIn(MessageType.PREPARE, lower - upper)
        self.assertIn(MessageType.STREAM, lower & upper)
        self.assertEqual(upper | lower, set(CATALOGUE) - {MessageType.HELLO, MessageType.WELCOME})

    def test_sendingWhatTheDirectionForbids(self) -> None:
        upper, lower = openPair()
        with self.assertRaises(ProtocolError):
            upper.send(Prepared(1, NONCE))
        self.assertEqual(take(upper, Prepared(1, NONCE)), [Prepared(1, NONCE)])
        with self.assertRaises(ProtocolError):
            lower.send(helloOf())

    def test_sendingTooEarly(self) -> None:
        with self.assertRaises(ProtocolError):
            Connection(End.MIDDLEBOX).send(Prepared(1, NONCE))

    def test_nothingAfterGoodbye(self) -> None:
        upper, lower = openPair()
        self.assertEqual(list(upper.receiveData(lower.send(Goodbye("x")) + encode(Prepared(1, NONCE)))), [Goodbye("x")])
        self.assertEqual(take(upper, Prepared(1, NONCE)), [])
        with self.assertRaises(ProtocolError):
            lower.send(Prepared(1, NONCE))

    def test_brokenStaysBroken(self) -> None:
        upper, _ = openPair()
        for _ in range(2):
            with self.assertRaises(ProtocolError) as caught:
                list(upper.receiveData(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"))
            self.assertIn("not an OpenMB frame", str(caught.exception))
        with self.assertRaises(ProtocolError):
            upper.timePassed(1.0)


class DataTests(SynchronousTestCase):
    """Bytes in, messages out."""

    def test_byteByByte(self) -> None:
        sent = [sample for sample in SAMPLES if BY_CLASS[sample.__class__].type in LEGAL[End.CONTROLLER, State.OPEN]]
        sent = [sample for sample in sent if not isinstance(sample, Ping | Pong | Goodbye)]
        upper, _ = openPair()
        data = b"".join(map(encode, sent))
        self.assertEqual([m for i in range(len(data)) for m in upper.receiveData(data[i : i + 1])], sent)

    def test_goodMessagesBeforeTheBadOne(self) -> None:
        upper, _ = openPair()
        found = []
        with self.assertRaises(ProtocolError):
            for message in upper.receiveData(encode(Prepared(1, NONCE)) + encode(Committed(2, 3)) + b"\0" * 28):
                found.append(message)
        self.assertEqual(found, [Prepared(1, NONCE), Committed(2, 3)])

    def test_pingIsAnswered(self) -> None:
        upper, lower = openPair()
        self.assertEqual(take(upper, Ping(5)), [])
        answer = upper.dataToSend()
        self.assertEqual(decodeAll(answer), [Pong(5)])
        self.assertEqual(upper.dataToSend(), b"")
        self.assertEqual(list(lower.receiveData(answer)), [])

    def test_limit(self) -> None:
        upper, _ = openPair(Terms(bodyLimit=100))
        with self.assertRaises(ProtocolError):
            take(upper, StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"", bytes(95)))

    def test_controllerPassesStreamFramesOn(self) -> None:
        upper, lower = openPair()
        frame = StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"c", b"s")
        data = lower.send(frame)
        (received,) = upper.receiveData(data)
        assert isinstance(received, StreamFrame)
        self.assertEqual(received.frame, data)
        self.assertIs(upper.send(received), received.frame)

    @given(
        st.sampled_from(End),
        st.booleans(),
        st.lists(st.one_of(messages.map(encode), st.binary(max_size=40)), max_size=5),
    )
    def test_junk(self, end: End, opened: bool, pieces: list[bytes]) -> None:
        connection = openPair()[0 if end is End.CONTROLLER else 1] if opened else Connection(end)
        for piece in pieces:
            try:
                list(connection.receiveData(piece))
            except ProtocolError:
                self.assertEqual(connection.state, State.CLOSED)


class TimeTests(SynchronousTestCase):
    """The hand-shake's deadline and keep-alive."""

    def test_deadlineOfTheHandshake(self) -> None:
        upper = Connection(End.CONTROLLER, Terms(deadline=10.0))
        self.assertEqual(upper.timePassed(100.0), [])
        self.assertEqual(upper.timePassed(109.9), [])
        with self.assertRaises(ProtocolError) as caught:
            upper.timePassed(110.0)
        self.assertIn("hand-shake", str(caught.exception))

    def test_tricklingDoesNotMoveTheDeadline(self) -> None:
        upper = Connection(End.CONTROLLER)
        upper.timePassed(0.0)
        data = encode(helloOf())
        for second in range(1, 10):
            list(upper.receiveData(data[second - 1 : second]))
            upper.timePassed(float(second))
        with self.assertRaises(ProtocolError):
            upper.timePassed(10.0)

    def test_pingAfterSilence(self) -> None:
        upper, _ = openPair(Terms(keepAlive=5.0))
        self.assertEqual(upper.timePassed(0.0), [])
        self.assertEqual(upper.timePassed(4.9), [])
        (data,) = upper.timePassed(5.0)
        self.assertEqual(decodeAll(data), [Ping(1)])
        self.assertEqual(upper.timePassed(5.1), [])

    def test_bothEndsPing(self) -> None:
        _, lower = openPair(Terms(keepAlive=5.0))
        lower.timePassed(0.0)
        self.assertEqual(len(lower.timePassed(5.0)), 1)

    def test_threeMissed(self) -> None:
        upper, _ = openPair(Terms(keepAlive=5.0))
        upper.timePassed(0.0)
        for now in (5.0, 10.0, 15.0):
            self.assertEqual(len(upper.timePassed(now)), 1, now)
        self.assertEqual(upper.timePassed(19.9), [])
        with self.assertRaises(ProtocolError) as caught:
            upper.timePassed(20.0)
        self.assertIn("3 PINGs unanswered", str(caught.exception))

    def test_anyByteIsAnAnswer(self) -> None:
        upper, _ = openPair(Terms(keepAlive=5.0))
        upper.timePassed(0.0)
        for now in (5.0, 10.0, 15.0):
            upper.timePassed(now)
        list(upper.receiveData(encode(Prepared(1, NONCE))[:1]))
        self.assertEqual(upper.timePassed(20.0), [])
        self.assertEqual(upper.timePassed(24.9), [])
        self.assertEqual(len(upper.timePassed(25.0)), 1)

    def test_closedNeedsNoTime(self) -> None:
        upper, _ = openPair()
        upper.send(Goodbye("x"))
        self.assertEqual(upper.timePassed(1e9), [])
