"""The northbound verbs that concern no operation, from the line of a request to the lines of its answer."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.northbound.local import NorthboundVerbs
from openmb.northbound.streams import ENDLESS
from openmb.rpc.codec import Answer, Failure, LineReader, Notice, Request, Result, encode, parseAnswer
from openmb.rpc.server import ServerFactory
from openmb.state.taxonomy import Cell
from openmb.wire import messages as m
from tests.controller.rig import OP, Rig

ENTRY = m.ConfigurationEntry("log/flush", ("2",))
EVENT = m.Event("found", 1 << 60, (m.EventField("text", "ä"), m.EventField("none", None), m.EventField("yes", True)))
PLAIN = {"middlebox": "a", "event": "found", "stamp": 1 << 60, "fields": {"text": "ä", "none": None, "yes": True}}


class VerbTests(SynchronousTestCase):
    """One caller of a controller with three middleboxes."""

    def setUp(self) -> None:
        self.rig = Rig()
        verbs = NorthboundVerbs(self.rig.controller).verbs
        self.protocol = ServerFactory(verbs, self.rig.clock, endless=ENDLESS).buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        self.reader = LineReader()
        self.addCleanup(self.protocol.connectionLost)

    def ask(self, number: int, verb: str, **arguments: Any) -> None:
        self.protocol.dataReceived(encode(Request(number, verb, arguments)))

    def answers(self) -> list[Answer]:
        found = [parseAnswer(line) for line in self.reader.feed(self.transport.value())]
        self.transport.clear()
        return found

    def refusals(self) -> list[Refusal]:
        return [answer.refusal for answer in self.answers() if isinstance(answer, Failure)]

    def test_warnings(self) -> None:
        """What a middlebox says that its operator must know is a problem, until it says otherwise."""
        for texts, expected in ((("all wrong",), ["a: all wrong"]), ((), [])):
            self.rig.says("a", m.Warnings(texts))
            self.ask(1, "operations")
            (answer,) = self.answers()
            assert isinstance(answer, Result)
            self.assertEqual(expected, answer.result["problems"])

    def test_switchOverWhileDisconnected(self) -> None:
        """Both ends are disconnected for a moment: the switch-over is taken all the same, and goes on later."""
        self.ask(1, "moveInternal", source="a", destination="b", flows="tcp", route=None)
        self.rig.installed()
        self.assertIn("installed", [answer.result["stage"] for answer in self.answers() if isinstance(answer, Result)])
        for name in "ab":
            self.rig.controller.sessionClosed(self.rig.sessions[name])
        self.ask(2, "switchOver", operation=f"{OP:016x}", table="monitor", priority=100)
        self.assertEqual([], self.refusals())
        self.rig.back("b", m.Side.DESTINATION, "ready", 2)
        self.assertIn("Hold", self.rig.types("b"))

    # -- amounts, and configuration

    def test_stats(self) -> None:
        self.ask(1, "stats", middlebox="a", flows="*")
        self.rig.says("a", m.StatsAnswer(OP, (m.CellStats(Cell.SUPPORTING_SHARED, 1, 2, 3, True),)))
        cell = {"cell": "SUPPORTING_SHARED", "records": 1, "bytes": 2, "marked": 3, "estimated": True}
        self.assertEqual([Result(1, [cell])], self.answers())

    def test_readConfig(self) -> None:
        """A key, or everything."""
        self.ask(1, "readConfig", middlebox="a", key="log")
        self.ask(2, "readConfig", middlebox="a")
        self.assertEqual([m.GetConfiguration(OP, "log"), m.GetConfiguration(OP + 1, "*")], self.rig.sent["a"])
        self.rig.says("a", m.ConfigurationAnswer(OP, (ENTRY,)))
        self.assertEqual([Result(1, {"log/flush": ["2"]})], self.answers())

    def test_writeConfig(self) -> None:
        """Values or a tree, not both, and nothing else."""
        self.ask(1, "writeConfig", middlebox="a", key="log/flush", values=["2"])
        self.ask(2, "writeConfig", middlebox="a", key="log", tree={"log/flush": ["2"]})
        self.assertEqual([m.SetConfiguration(each, (ENTRY,)) for each in (OP, OP + 1)], self.rig.sent["a"])
        self.rig.says("a", m.Configured(OP, bytes(32)))
        self.assertEqual([Result(1, None)], self.answers())
        wrong: tuple[dict[str, Any], ...] = (
            *({}, {"values": ["1"], "tree": {}}, {"values": "1"}, {"values": [1]}, {"tree": []}),
            *({"tree": {"a": "1"}}, {"tree": {"a": [None]}}, {"key": 5, "values": []}, {"key": "*", "values": []}),
        )
        for number, arguments in enumerate(wrong, 10):
            self.ask(number, "writeConfig", **{"middlebox": "a", "key": "a", **arguments})
            self.assertEqual([Refusal.BAD_REQUEST], self.refusals(), arguments)
        self.assertEqual(2, len(self.rig.sent["a"]))

    def test_delConfig(self) -> None:
        self.ask(1, "delConfig", middlebox="a", key="log")
        self.assertEqual([m.DeleteConfiguration(OP, "log")], self.rig.sent["a"])
        self.rig.says("a", m.Refused(OP, int(m.MessageType.DELETE_CONFIGURATION), Refusal.WRONG_STATE, "not now"))
        self.assertEqual([Failure(1, Refusal.WRONG_STATE, "not now")], self.answers())

    def test_tell(self) -> None:
        """Events as a stream gives them."""
        told = {name: PLAIN[name] for name in ("event", "stamp", "fields")}
        self.ask(1, "tell", middlebox="a", events=[told])
        self.assertEqual([m.Learn(OP, (EVENT,))], self.rig.sent["a"])
        self.rig.says("a", m.Learned(OP, 1))
        self.assertEqual([Result(1, 1)], self.answers())
        self.ask(2, "tell", middlebox="a", events=[told])
        self.rig.says("a", m.Refused(OP + 1, int(m.MessageType.LEARN), Refusal.BAD_REQUEST, "no"))
        self.assertEqual([Failure(2, Refusal.BAD_REQUEST, "no")], self.answers())
        wrong: tuple[Any, ...] = (
            *(None, told, [5], [{}], [{**told, "fields": [1]}], [{**told, "fields": {"a": [1]}}]),
            *(
                [{**told, "stamp": 1.5}],
                [{**told, "stamp": True}],
                [{**told, "stamp": 1 << 63}],
                [{**told, "event": 1}],
            ),
            [told] * 257,
        )
        for number, events in enumerate(wrong, 10):
            self.ask(number, "tell", middlebox="a", events=events)
            self.assertEqual([Refusal.BAD_REQUEST], self.refusals(), events)
        self.assertEqual(2, len(self.rig.sent["a"]))

    # -- streams

    def subscribe(self, number: int = 1, middlebox: str = "a") -> None:
        self.ask(number, "subscribe", middlebox=middlebox, events=["found"], flows="*")
        self.rig.says("a", m.EventsEnabled(OP))

    def test_stream(self) -> None:
        """The id, events, what is missing, and in the end how much there was."""
        self.subscribe()
        self.assertEqual([Notice(1, {"subscription": f"{OP:016x}"})], self.answers())
        self.rig.says("a", m.Events(OP, 0, (EVENT,)), m.Events(OP, 4, (EVENT,)))
        lost = {"middlebox": "a", "lost": 3}
        self.assertEqual([Notice(1, PLAIN), Notice(1, lost), Notice(1, PLAIN)], self.answers())
        self.rig.controller.sessionClosed(self.rig.sessions["a"])
        self.assertEqual([Notice(1, {"middlebox": "a", "connected": False})], self.answers())
        self.ask(2, "unsubscribe", subscription=f"{OP:016x}")
        self.assertEqual({Result(1, None).number, Result(2, None).number}, {each.number for each in self.answers()})

    def test_end(self) -> None:
        """The reply of a stream, and refusals of ends that make no sense."""
        self.subscribe()
        self.rig.says("a", m.Events(OP, 2, (EVENT,)))
        self.answers()
        self.rig.controller.shutDown()
        self.assertEqual([Result(1, {"events": 1, "lost": 2})], self.answers())
        self.ask(2, "unsubscribe", subscription=f"{OP:016x}")
        self.ask(3, "unsubscribe", subscription="x")
        self.ask(4, "subscribe", middlebox="a", events="found", flows="*")
        self.ask(5, "subscribe", middlebox="x", events=[], flows="*")
        expected = [Refusal.UNKNOWN_OPERATION, Refusal.BAD_REQUEST, Refusal.BAD_REQUEST, Refusal.UNKNOWN_MIDDLEBOX]
        self.assertEqual(expected, self.refusals())

    def test_callerGone(self) -> None:
        """The middlebox is told; nothing is left."""
        self.subscribe()
        self.protocol.connectionLost()
        self.assertEqual(["EnableEvents", "DisableEvents"], self.rig.types("a"))
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_callerGoneBeforeTheAnswer(self) -> None:
        self.ask(1, "subscribe", middlebox="a", events=["found"], flows="*")
        self.protocol.connectionLost()
        self.assertEqual(["EnableEvents", "DisableEvents"], self.rig.types("a"))
        self.rig.says("a", m.EventsEnabled(OP))
        self.assertEqual([], self.flushLoggedErrors())

    def test_slowCaller(self) -> None:
        """Who does not read is not written to: events wait, the oldest go, and the caller is told how many."""
        self.subscribe()
        self.answers()
        self.protocol.pauseProducing()
        text = m.EventField("text", "x" * 1000)
        for first in range(0, 20_000, 100):
            events = tuple(m.Event("found", first + each, (text,)) for each in range(100))
            self.rig.says("a", m.Events(OP, first, events))
        self.assertLess(len(self.transport.value()), 1 << 20)
        self.protocol.resumeProducing()
        said = [answer.notice for answer in self.answers() if isinstance(answer, Notice)]
        lost = sum(each["lost"] for each in said if "lost" in each)
        stamps = [each["stamp"] for each in said if "stamp" in each]
        self.assertEqual((20_000, 19_999), (lost + len(stamps), stamps[-1]))
        self.assertEqual(sorted(stamps), stamps)
        self.assertGreater(lost, 10_000)
        self.assertEqual([], self.flushLoggedErrors())
