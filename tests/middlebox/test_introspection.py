"""Introspection events of a host: what is announced, to whom, and what happens when nobody takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Announce, IMiddlebox
from openmb.middlebox.capabilities import capabilitiesOf
from openmb.middlebox.introspection import FILTERS, Introspection
from openmb.middlebox.settings import HostSettings
from openmb.state.announcements import Announced, Announcement, Datum, Field, FieldType, Subject
from openmb.state.flowkey import flowKey, hostKey
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.testing.adapters import START, manyFlows
from openmb.testing.counter import FLOW_OVER, CounterMiddlebox
from openmb.wire import messages as m
from openmb.wire.codec import decodeAll, encode
from tests.middlebox.rig import End, Pair

SUBSCRIPTION, QUEUE_LIMIT = 0x5E1, HostSettings().announceBytes
ROOM = Announcement("room", Subject.HOST, "About a host.", (Field("number", FieldType.WHOLE, ""),))
SELF = Announcement("self", Subject.MIDDLEBOX, "About itself.", (Field("text", FieldType.TEXT, ""),))
ALL_TYPES = tuple(Field(each.name.lower(), each, "") for each in FieldType)
MIXED = Announcement("mixed", Subject.FLOW, "Every type.", ALL_TYPES)


@implementer(IMiddlebox)
class Chatty(CounterMiddlebox):
    """Announces what it is told to."""

    announcements = (FLOW_OVER, ROOM, SELF, MIXED)  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(lambda key, counter: None)
        self.wanted: frozenset[str] = frozenset()

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        self.wanted, self.say = wanted, announce


class HostTests(SynchronousTestCase):
    """A host of the counting kind."""

    def setUp(self) -> None:
        self.end = End("a")

    def enable(
        self, flows: str = "*", identifier: int = SUBSCRIPTION, events: tuple[str, ...] = ("flow-over",)
    ) -> None:
        self.end.tell(m.EnableEvents(identifier, events, flows))

    def happen(self, end: End | None = None, flows: Sequence[int] = range(6)) -> None:
        """These flows are over, others not."""
        (end or self.end).feed(manyFlows(flows))
        (end or self.end).feed(manyFlows([100], start=START + 10_000_000_000))

    def received(self, end: End | None = None) -> list[m.Event]:
        return [event for message in (end or self.end).take(m.Events) for event in message.events]

    def test_announced(self) -> None:
        """Each flow that is over, with packet time and fields, once for each subscription."""
        self.enable()
        self.enable(identifier=7, events=())
        self.assertEqual([SUBSCRIPTION, 7], [each.operation for each in self.end.take(m.EventsEnabled)])
        self.happen()
        messages = self.end.take(m.Events)
        self.assertEqual({SUBSCRIPTION, 7}, {each.operation for each in messages})
        events = [event for each in messages if each.operation == 7 for event in each.events]
        self.assertEqual(6, len(events))
        self.assertEqual(len(self.end.rows), len(events))
        self.assertEqual(["packets", "order"], [field.name for field in events[0].fields])
        self.assertEqual(
            ({"flow-over"}, {4}), ({each.name for each in events}, {each.fields[0].value for each in events})
        )
        self.assertEqual(int(manyFlows([0]).stamps[-1]) // 10**9, events[0].stamp // 10**9)

    def test_flows(self) -> None:
        """Only about the flows that the subscription selects, in either direction."""
        self.enable("nw_dst=10.0.1.2")
        self.enable("tcp", identifier=7)
        self.happen()
        (message,) = self.end.take(m.Events)
        self.assertEqual((SUBSCRIPTION, 0, 1), (message.operation, message.first, len(message.events)))

    def test_disabled(self) -> None:
        self.enable()
        self.end.tell(m.DisableEvents(SUBSCRIPTION), m.DisableEvents(99))
        self.happen()
        self.assertEqual([], self.received())

    def test_refused(self) -> None:
        """Events that there are not, and flows finer than the native key."""
        for events, flows, refusal in (
            (("flow-over", "nonsense"), "*", Refusal.BAD_REQUEST),
            (("flow-over",), "dl_vlan=3", Refusal.FINER_THAN_NATIVE),
            (("flow-over",), "no such field", Refusal.BAD_REQUEST),
        ):
            self.enable(flows, events=events)
            (refused,) = self.end.take(m.Refused)
            self.assertEqual((refusal, SUBSCRIPTION), (refused.refusal, refused.operation))
            self.assertEqual(m.MessageType.ENABLE_EVENTS, refused.request)
        self.happen()
        self.assertEqual([], self.received())

    def test_many(self) -> None:
        """There is a limit; whoever is there already may ask again."""
        for identifier in range(1, FILTERS + 2):
            self.enable(identifier=identifier)
        self.assertEqual(Refusal.BUFFER_FULL, self.end.refusal())
        self.enable(identifier=FILTERS)
        self.assertEqual(FILTERS + 1, len(self.end.take(m.EventsEnabled)))

    def test_slow(self) -> None:
        """What the controller does not take waits; of too much the oldest goes, and the numbers show how much."""
        self.end = End("a", announceBytes=1000)
        self.enable()
        self.end.take(m.EventsEnabled)
        self.end.host.introspection.ready = lambda: False
        for turn in range(20):
            self.end.feed(manyFlows(start=START + turn * 10_000_000_000))
        self.assertEqual([], self.end.sent)
        self.end.host.introspection.ready = lambda: True
        self.end.host.timePassed(1.0)
        (message,) = self.end.take(m.Events)
        self.assertEqual(19 * 6, message.first + len(message.events))
        self.assertTrue(0 < len(message.events) < 10)
        self.assertEqual(19 * 6, len(self.end.rows))

    def test_reconnected(self) -> None:
        """The same controller finds its subscriptions, and what happened meanwhile; another one finds none."""
        self.end.host.connectionMade(5)
        self.enable()
        self.end.host.connectionLost()
        self.end.host.introspection.ready = lambda: False
        self.happen()
        self.assertEqual([], self.received())
        self.end.host.introspection.ready = lambda: True
        self.end.host.connectionMade(5)
        self.enable()
        self.end.host.timePassed(1.0)
        (message,) = self.end.take(m.Events)
        self.assertEqual((0, 6), (message.first, len(message.events)))
        self.end.host.connectionMade(6)
        self.happen()
        self.assertEqual([], self.received())

    def test_changed(self) -> None:
        """Another request under the same id begins anew."""
        self.enable("udp")
        self.happen()
        self.received()
        self.enable("tcp")
        self.happen()
        self.assertEqual([], self.received())

    def test_reprocessing(self) -> None:
        """What the destination of a move re-processes is announced by the source, and by nobody twice."""
        pair = Pair()
        pair.b.tell(m.EnableEvents(1, (), "*"))
        pair.a.tell(m.EnableEvents(1, (), "*"))
        pair.b.tell(pair.prepare)
        pair.relay()
        pair.a.tell(pair.get)
        pair.a.feed(manyFlows())
        pair.a.feed(manyFlows(start=START + 10_000_000_000))  # each flow ends here and begins again
        pair.relay()
        self.assertEqual((6, []), (len(self.received(pair.a)), self.received(pair.b)))
        self.assertEqual(6, len(pair.a.rows))

    def test_lastWords(self) -> None:
        """What the end of the input brings is sent too."""
        self.enable()
        self.end.feed(manyFlows())
        self.end.host.finish()
        self.assertEqual(6, len(self.received()))


class IntrospectionTests(SynchronousTestCase):
    """Subscriptions without a host, and an engine that says whatever it likes."""

    def setUp(self) -> None:
        self.engine, self.sent, self.told = Chatty(), list[Any](), list[str]()
        self.introspection = Introspection(capabilitiesOf(self.engine), self.sent.append, self.told.append, QUEUE_LIMIT)

    def said(self) -> list[m.Event]:
        self.introspection.flush()
        sent, self.sent[:] = list(self.sent), []
        return [event for message in sent for event in message.events]

    def test_wanted(self) -> None:
        """The engine is asked for what somebody wants, and for no more."""
        self.introspection.enable(1, ["room"], EVERYTHING)
        self.introspection.enable(2, ["room", "self"], EVERYTHING)
        self.assertEqual({"room", "self"}, self.engine.wanted)
        self.introspection.disable(2)
        self.assertEqual({"room"}, self.engine.wanted)
        self.introspection.enable(3, [], EVERYTHING)
        self.assertEqual({"flow-over", "room", "self", "mixed"}, self.engine.wanted)
        self.introspection.disableAll()
        self.assertEqual(frozenset(), self.engine.wanted)

    def test_subjects(self) -> None:
        """Hosts match by the prefixes of a list; what is about the middlebox itself matches only the empty list."""
        self.introspection.enable(1, [], HeaderFieldList.parse("nw_src=10.0.0.0/8"))
        here, there = hostKey("10.1.2.3").tobytes(), hostKey("192.0.2.1").tobytes()
        flow = flowKey("10.1.2.3", 1, "192.0.2.1", 2, 6).tobytes()
        events = (
            *(Announced("self", 1, b"", ("x",)), Announced("room", 2, there, (2,)), Announced("room", 3, here, (3,))),
            *(Announced("flow-over", 4, flow, (4, "x")), Announced("room", 5, here, (5,))),
        )
        self.engine.say(events)
        self.assertEqual([3, 4, 5], [each.stamp for each in self.said()])
        self.introspection.enable(1, [], EVERYTHING)
        self.engine.say(events)
        self.assertEqual([1, 2, 3, 4, 5], [each.stamp for each in self.said()])

    def test_faults(self) -> None:
        """An event that is not as declared is told in the log, and costs nothing but itself."""
        self.introspection.enable(1, [], EVERYTHING)
        good = Announced("self", 1, b"", ("x",))
        for bad in (
            *(Announced("nonsense", 1, b"", ()), Announced("self", 1, b"", ()), Announced("self", 1, b"", (1,))),
            *(
                Announced("self", 1, b"x", ("x",)),
                Announced("room", 1, b"", (1,)),
                *(Announced("self", 1 << 63, b"", ("x",)), Announced("room", 1, bytes(16), (True,))),
            ),
        ):
            self.engine.say((bad, good))
            self.assertEqual([m.Event("self", 1, (m.EventField("text", "x"),))], self.said())
        self.assertEqual(7, len(self.told))

    @given(st.tuples(*(st.one_of(st.none(), each) for each in (st.integers(), st.floats(), st.booleans(), st.text()))))
    def test_everyValueTravels(self, values: tuple[Datum, ...]) -> None:
        """Whatever an engine says within the types it declared."""
        self.setUp()
        self.introspection.enable(1, [], EVERYTHING)
        self.engine.say((Announced("mixed", -1, bytes(40), values),))
        self.introspection.flush()
        (message,) = self.sent
        self.assertEqual([message], decodeAll(encode(message)))

    def test_cut(self) -> None:
        """Long texts, and those that are no UTF-8."""
        self.introspection.enable(1, ["self"], EVERYTHING)
        for text, expected in (("é" * 1500, "é" * 1024), ("a\ud800b", "a?b")):
            self.engine.say((Announced("self", 1, b"", (text,)),))
            self.assertEqual(expected, self.said()[0].fields[0].value)

    def test_messages(self) -> None:
        """Much is sent in several messages, as long as the controller takes them, without gaps."""
        self.introspection.enable(1, ["self"], EVERYTHING)
        takes = 2
        self.introspection.ready = lambda: len(self.sent) < takes
        self.engine.say([Announced("self", each, b"", ("x" * 1000,)) for each in range(500)])
        self.introspection.flush()
        self.assertEqual(2, len(self.sent))
        takes = 1000
        self.introspection.flush()
        place = 0
        for message in self.sent:
            self.assertEqual(place, message.first)
            place += len(message.events)
            self.assertLess(len(encode(message)), 1 << 20)
        self.assertEqual(500, place)

    def test_bound(self) -> None:
        """However much is said, what waits is bounded."""
        self.introspection.enable(1, ["self"], EVERYTHING)
        self.introspection.ready = lambda: False
        self.engine.say([Announced("self", each, b"", ("x" * 1000,)) for each in range(5000)])
        self.introspection.ready = lambda: True
        self.introspection.flush()
        self.assertEqual(5000, self.sent[-1].first + len(self.sent[-1].events))
        self.assertLess(sum(len(encode(each)) for each in self.sent), QUEUE_LIMIT * 1.1)

    def test_unknownEvent(self) -> None:
        with self.assertRaises(OperationError) as caught:
            self.introspection.enable(1, ["moom"], EVERYTHING)
        self.assertEqual("no event 'moom'; there are: flow-over, mixed, room, self", caught.exception.reason)
