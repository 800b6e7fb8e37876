"""The routes that are wanted, and a network that forgets them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from openmb.controller.networkwatch import QUIET
from openmb.controller.routekeeper import AGAIN, LOOK, WANTED_LIMIT, RouteKeeper, missing
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, NetworkState, PortState, Route
from openmb.netctl.embedded.routing import RuleTables, visited
from openmb.operations.journal import Entry, MemoryJournal, Step
from openmb.state.headers import HeaderFieldList
from openmb.wire import messages as m
from tests.controller.rig import OP, BreakableJournal, Rig, routeTo

PORTS = ("a", "b", "c")


@implementer(INetwork)
class ForgetfulNetwork:
    """
    A network that can be started again, with real tables of rules.

    @ivar here: it answers.
    @ivar ports: its ports; those in C{alone} have nobody.
    @ivar asked: how often it was asked for all its rules, and the rules that it was asked to set.
    """

    settle = 0.0

    def __init__(self) -> None:
        self.here, self.ports, self.alone = True, list(PORTS), set[str]()
        self.unrouted = self.dropped = 0
        self.listed, self.set = 0, list[Route]()
        self._numbers = count()
        self.restart()

    def restart(self, *ports: str) -> None:
        """It is a new process, which knows no rule."""
        self._rules = RuleTables()
        self.ports = list(ports or PORTS)
        self.unrouted = self.dropped = 0
        self._generation = next(self._numbers)

    def addPort(self, name: str) -> None:
        self.ports.append(name)
        self._generation = next(self._numbers)

    @property
    def rules(self) -> tuple[Route, ...]:
        return self._rules.routes

    def _gone(self) -> Deferred[Any]:
        return fail(OperationError(Refusal.DISCONNECTED, "cannot connect"))

    def route(self, route: Route) -> Deferred[Route | None]:
        if not self.here:
            return self._gone()
        unknown = [port for port in visited(route) if port not in self.ports]
        if unknown:
            return fail(OperationError(Refusal.ROUTE_FAILED, f"no port {', '.join(unknown)}"))
        self._generation = next(self._numbers)
        self.set.append(route)
        return succeed(self._rules.add(route))

    def current(self, route: Route) -> Deferred[Route | None]:
        return succeed(next((rule for rule in self.rules if route.replaces(rule)), None))

    def unroute(self, route: Route) -> Deferred[Route | None]:
        if not self.here:
            return self._gone()
        self._generation = next(self._numbers)
        return succeed(self._rules.remove(route))

    def routes(self) -> Deferred[list[Route]]:
        self.listed += 1
        return succeed(list(self.rules)) if self.here else self._gone()

    def state(self) -> Deferred[NetworkState]:
        if not self.here:
            return self._gone()
        ports = (PortState(name, name not in self.alone, self.unrouted, self.dropped) for name in self.ports)
        return succeed(NetworkState(str(self._generation), tuple(ports)))

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        return succeed(None)


class KeeperCase(SynchronousTestCase):
    """A keeper that looks; all middleboxes are connected."""

    def setUp(self) -> None:
        self.clock, self.network, self.journal = Clock(), ForgetfulNetwork(), BreakableJournal()
        self.changing: list[Route] = []
        self.registered = set(PORTS)
        self.begin()

    def begin(self) -> None:
        """A controller starts."""
        self.keeper = RouteKeeper(
            self.network, self.journal, self.clock, lambda: self.changing, lambda: self.registered
        )
        self.keeper.start()

    def again(self) -> None:
        """The controller is started again, with the same journal."""
        self.keeper.stop()
        self.begin()

    def route(self, route: Route) -> Route | None:
        return self.successResultOf(Deferred.fromCoroutine(self.keeper.route(route)))

    def refused(self, route: Route) -> Refusal:
        failure = self.failureResultOf(Deferred.fromCoroutine(self.keeper.route(route)), OperationError)
        refusal: Refusal = failure.value.refusal
        return refusal

    def passes(self, seconds: float = LOOK) -> None:
        self.clock.pump([AGAIN] * (round(seconds / AGAIN) + 1))

    def problems(self) -> str:
        return "\n".join(self.keeper.watch.problems)


class WantedTests(KeeperCase):
    """What is wanted is in effect, whatever becomes of switch and controller."""

    def test_interface(self) -> None:
        self.assertTrue(verifyObject(INetwork, self.network))

    def test_switchRestarted(self) -> None:
        """Routes are set again, those of equal priority in the order in which they were."""
        routes = [routeTo("a", flows="*"), routeTo("b", flows="udp"), routeTo("c", flows="tcp")]
        for route in routes:
            self.route(route)
        before = self.network.rules
        self.network.restart()
        self.passes()
        self.assertEqual(before, self.network.rules)
        self.assertEqual("", self.problems())

    def test_bothRestarted(self) -> None:
        """What is wanted outlives the controller too."""
        self.route(routeTo("a"))
        self.keeper.stop()
        self.network.restart()
        self.begin()
        self.assertEqual((routeTo("a"),), self.network.rules)

    def test_removed(self) -> None:
        """What was removed is not set again."""
        self.route(routeTo("a"))
        removed = self.successResultOf(Deferred.fromCoroutine(self.keeper.unroute(routeTo())))
        self.assertEqual(routeTo("a"), removed)
        self.network.restart()
        self.passes()
        self.assertEqual((), self.network.rules)

    def test_portComesBack(self) -> None:
        """A route to a port that is not there says so, and is set when the port is; the others are set at once."""
        self.route(routeTo("a", flows="tcp"))
        self.route(routeTo("b", flows="udp"))
        self.network.restart("b", "c")
        self.registered = {"b", "c"}
        self.passes()
        self.assertEqual((routeTo("b", flows="udp"),), self.network.rules)
        self.assertIn("the route tcp -> a is not in effect: no port a", self.problems())
        self.network.addPort("a")
        self.registered = set(PORTS)
        self.passes()
        self.assertEqual({"tcp", "udp"}, {str(rule.flows) for rule in self.network.rules})
        self.assertEqual("", self.problems())

    def test_unreachable(self) -> None:
        """That the switch is away is said; a route is refused meanwhile, and what was wanted before still is."""
        self.route(routeTo("a"))
        self.network.here = False
        self.passes()
        self.assertEqual("the switch cannot be reached: cannot connect", self.problems())
        self.assertEqual(Refusal.DISCONNECTED, self.refused(routeTo("b")))
        self.assertEqual((routeTo("a"),), self.keeper.wanted)
        self.network.here = True
        self.network.restart()
        self.passes()
        self.assertEqual((routeTo("a"),), self.network.rules)

    def test_refused(self) -> None:
        """A route that the network refuses is not wanted."""
        self.assertEqual(Refusal.ROUTE_FAILED, self.refused(routeTo("nowhere")))
        self.assertEqual((), self.keeper.wanted)

    def test_refusedChangesNothing(self) -> None:
        """Neither what is wanted nor its order, whatever fails: the network, or the journal after it."""
        routes = (routeTo("a"), routeTo("b", flows="udp"))
        for route in routes:
            self.route(route)
        before = self.network.rules
        self.assertEqual(Refusal.ROUTE_FAILED, self.refused(routeTo("nowhere")))
        self.network.here = False
        self.failureResultOf(Deferred.fromCoroutine(self.keeper.unroute(routeTo())), OperationError)
        self.network.here = True
        self.journal.broken = True
        self.assertEqual(Refusal.JOURNAL_FAILED, self.refused(routeTo("c", flows="icmp")))
        self.failureResultOf(Deferred.fromCoroutine(self.keeper.unroute(routeTo())), OperationError)
        self.assertEqual(routes, self.keeper.wanted)
        self.journal.broken = False
        self.passes()
        self.assertEqual(before, self.network.rules)

    def test_strangersStay(self) -> None:
        """What somebody has set in the switch itself is left alone; in the place of a wanted one, that is set."""
        self.route(routeTo("a"))
        stranger = routeTo("c", flows="udp")
        self.network.route(stranger)
        self.network.route(routeTo("b"))
        self.passes()
        self.assertEqual({routeTo("a"), stranger}, set(self.network.rules))

    def test_adopted(self) -> None:
        """A controller with a new journal wants what it finds, once."""
        for route in (routeTo("a"), routeTo("b", flows="udp")):
            self.network.route(route)
        self.again()
        before = self.network.rules
        self.network.restart()
        self.passes()
        self.assertEqual(before, self.network.rules)

    def test_bounded(self) -> None:
        """So many routes can be wanted; one that takes the place of another always can."""
        for priority in range(WANTED_LIMIT):
            self.journal.want(Route(HeaderFieldList(), ("a",), priority=priority))
        self.assertEqual(Refusal.BUFFER_FULL, self.refused(routeTo("a")))
        self.route(Route(HeaderFieldList(), ("b",), priority=7))
        self.assertEqual(WANTED_LIMIT, len(self.keeper.wanted))

    def test_quiet(self) -> None:
        """As long as nothing changes, the rules are not asked for."""
        self.route(routeTo("a"))
        self.passes()
        before = self.network.listed, len(self.network.set)
        self.passes(20 * LOOK)
        self.assertEqual(before, (self.network.listed, len(self.network.set)))


class MovingTests(KeeperCase):
    """Operations in flight."""

    def test_leftAlone(self) -> None:
        """While an operation changes a route nobody else does; afterwards what is wanted is set."""
        self.route(routeTo("a"))
        self.changing = [routeTo("b")]
        self.network.restart()
        self.passes()
        self.assertEqual((), self.network.rules)
        self.assertEqual(Refusal.INTERSECTING_OPERATION, self.refused(routeTo("c")))
        self.changing = []
        self.keeper.changed()
        self.passes()
        self.assertEqual((routeTo("a"),), self.network.rules)

    def test_commit(self) -> None:
        """From COMMIT on the new route is wanted; before, the old one."""
        rig = Rig()
        rig.journal.want(routeTo("a"))
        rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        rig.routing()
        self.assertEqual([routeTo("b")], rig.controller._changing())
        self.assertEqual((routeTo("a"),), rig.controller.keeper.wanted)
        rig.network.asked[-1][2].callback(routeTo("a"))
        self.assertEqual((routeTo("b"),), rig.controller.keeper.wanted)
        self.assertEqual([], rig.controller._changing())

    def test_bounded(self) -> None:
        """A move that would have one route too many wanted is refused at once; one that replaces a route is not."""
        rig = Rig()
        for priority in range(WANTED_LIMIT):
            rig.journal.want(Route(HeaderFieldList.parse("tcp"), ("a",), priority=priority))
        with self.assertRaises(OperationError) as caught:
            rig.controller.startMove("a", "b", "udp", routeTo("b", flows="udp"))
        self.assertEqual(Refusal.BUFFER_FULL, caught.exception.refusal)
        rig.controller.startMove("a", "b", "tcp", routeTo("b"))

    def test_restartedController(self) -> None:
        """A controller that takes up a move whose route it had asked for leaves that route alone."""
        rig = Rig()
        rig.journal.want(routeTo("a"))
        rig.network.present = routeTo("a")
        rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        rig.routing()
        rig.restart()
        self.assertEqual([routeTo("b")], rig.controller._changing())

    def test_back(self) -> None:
        """A destination that refuses COMMIT: the old route is wanted again."""
        rig = Rig()
        rig.journal.want(routeTo("a"))
        rig.network.present = routeTo("a")
        rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        rig.committing(routeTo("a"))
        rig.says("b", m.Refused(OP, m.MessageType.COMMIT, Refusal.CONFLICTING_RECORD, "there is one"))
        self.assertEqual("BACK", rig.journal.entries[-1].step.name)
        self.assertEqual((routeTo("a"),), rig.controller.keeper.wanted)


class MeanwhileTests(KeeperCase):
    """What changes while a network that was started again is given its routes, one after the other."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = routeTo("a", flows="tcp"), routeTo("a", flows="udp")
        self.route(self.first)
        self.route(self.second)
        self.network.restart()
        answers = [Deferred[None](), succeed(None)]
        set_ = self.network.route
        self.network.route = lambda route: answers.pop(0).addCallback(lambda _: set_(route))  # type: ignore[method-assign]
        self.answer = answers[0]
        self.passes()
        self.network.route = set_  # type: ignore[method-assign]

    def test_removed(self) -> None:
        """A route that is removed is not set again, for nobody would ever remove it."""
        self.successResultOf(Deferred.fromCoroutine(self.keeper.unroute(self.second)))
        self.answer.callback(None)
        self.passes()
        self.assertEqual((self.first,), self.network.rules)
        self.assertEqual((self.first,), self.keeper.wanted)

    def test_moved(self) -> None:
        """One that a move has changed, and decided, is not set back: its source has let go of the flows."""
        self.changing = [self.second]
        self.answer.callback(None)
        self.changing = []
        self.assertEqual([self.first], self.network.set[2:])
        self.passes()
        self.assertEqual({self.first, self.second}, set(self.network.rules))


class ProblemTests(KeeperCase):
    """What status says."""

    def test_fullDisk(self) -> None:
        """Routes in effect that cannot be taken as wanted: it is the journal that fails, not the switch."""
        self.keeper.stop()
        self.successResultOf(self.network.route(routeTo("a")))
        self.journal.broken = True
        self.begin()
        self.assertEqual(
            "the switch's routes cannot be compared with those wanted: no space left on device", self.problems()
        )
        self.journal.broken = False
        self.passes()
        self.assertEqual("", self.problems())
        self.assertEqual((routeTo("a"),), self.keeper.wanted)

    def test_deadPort(self) -> None:
        """A route to a port where nobody is."""
        self.route(routeTo("a"))
        self.network.alone = {"a", "c"}
        self.registered = {"b"}
        self.passes()
        self.assertEqual("nobody is connected to port a, where routes lead: tcp -> a", self.problems())
        self.network.alone = set()
        self.registered = set(PORTS)
        self.passes()
        self.assertEqual("", self.problems())

    def test_unrouted(self) -> None:
        """Packets that no route matches: only those that come now, until they have ceased."""
        self.network.ports, self.registered = ["a"], {"a"}
        self.network.unrouted = 5
        self.again()
        self.assertEqual("", self.problems())
        self.network.unrouted = 12
        self.passes()
        self.assertEqual("nobody takes 7 packets from port a: no route matches", self.problems())
        self.passes(QUIET)
        self.assertEqual("", self.problems())
        self.network.restart("a")
        self.network.unrouted = 2
        self.passes()
        self.assertEqual("nobody takes 2 packets from port a: no route matches", self.problems())

    def test_dropped(self) -> None:
        self.network.ports, self.registered = ["a"], {"a"}
        self.passes()
        self.network.dropped = 3
        self.passes()
        self.assertIn("3 packets for port a were dropped", self.problems())

    def test_noPort(self) -> None:
        """A middlebox for which the switch was given no port."""
        self.registered.add("d")
        self.passes()
        self.assertEqual("the switch has no port d: the middlebox of that name gets no packets", self.problems())

    def test_cutOff(self) -> None:
        """A middlebox that takes packets and has no connection to the controller, and the other way round."""
        self.route(routeTo("a"))
        self.registered = {"b"}
        self.network.alone = {"b"}
        self.passes()
        self.assertIn("no middlebox a is connected to the controller", self.problems())
        self.assertIn("middlebox b is connected to the controller, but not to its port", self.problems())

    def test_journal(self) -> None:
        """The entry and the wish are one: no COMMIT without it."""
        journal = MemoryJournal()
        peers = m.Peer("a", bytes(16)), m.Peer("b", bytes(16))
        journal.write(Entry(1, Step.ROUTE, *peers, "tcp", bytes(16), routeTo("b"), routeTo("a")))
        self.assertEqual((), journal.wanted())
        journal.write(Entry(1, Step.COMMIT, *peers, "tcp", bytes(16), routeTo("b"), routeTo("a")))
        self.assertEqual((routeTo("b"),), journal.wanted())


ROUTES = st.lists(
    st.builds(
        Route,
        st.sampled_from(["*", "tcp", "udp", "ip"]).map(HeaderFieldList.parse),
        st.sampled_from([("a",), ("b",)]),
        st.sampled_from(["monitor", "other"]),
        st.integers(1, 2),
    ),
    max_size=10,
)


class MissingTests(SynchronousTestCase):
    """What to set."""

    @given(ROUTES, ROUTES)
    def test_asIfSetOneByOne(self, asked: list[Route], there: list[Route]) -> None:
        """Whatever is there, the wanted rules come out in their order; and then nothing is missing."""
        journal, network = MemoryJournal(), RuleTables()
        alone = RuleTables()
        for route in asked:
            journal.want(route)
            alone.add(route)
        for route in there:
            network.add(route)
        for route in missing(journal.wanted(), network.routes):
            network.add(route)
        places = {route.place for route in asked}
        level = lambda route: (route.table, route.priority)  # noqa: E731
        expected = sorted(alone.routes, key=level)
        self.assertEqual(expected, sorted((each for each in network.routes if each.place in places), key=level))
        self.assertEqual([], missing(journal.wanted(), network.routes))
