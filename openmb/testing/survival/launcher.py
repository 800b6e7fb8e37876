"""
The controller as C{twistd openmb} runs it, with a gate at which its moves stop.

Arguments: the gate's directory, C{hasty} or C{patient}, C{openmb}, and the options of C{twistd openmb}.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.usage import UsageError

from openmb.controller.controller import Controller
from openmb.controller.journal import SQLiteJournal
from openmb.controller.performer import MovePerformer
from openmb.controller.routechange import RouteChange
from openmb.errors import Refusal
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.operations import journal
from openmb.operations.values import Deadlines, MoveRequest, MoveSettings
from openmb.service import ControllerPlaces, ControllerService, IServiceReactor
from openmb.southbound.live import LiveCredentials
from openmb.starting import Readiness
from openmb.tap import Options
from openmb.testing.survival.gate import Gate
from openmb.testing.survival.points import BACK, Moment, Point, Step

#: Short deadlines, so that a table of hundreds of runs takes an hour and not a day.
HASTY = MoveSettings(
    Deadlines(
        prepare=4.0,
        transfer=8.0,
        application=8.0,
        hold=4.0,
        divert=4.0,
        route=4.0,
        commit=6.0,
        drain=6.0,
        delete=4.0,
        window=4.0,
        abort=5.0,
        recover=5.0,
    ),
    lateWindow=300,
    grace=2.0,
)
#: Where everybody lives, and only connections are bad: the usual grace and deadlines.
PATIENT = MoveSettings(lateWindow=300)
#: Seconds of silence before a PING: a peer that is silent for four times that is cut off.
KEEP_ALIVE = 0.4
#: Turns of the reactor after which everything written is with the operating system.
TURNS = 4

_ENTRIES = {
    journal.Step.OPEN: Step.PREPARING,
    journal.Step.SWITCHING: Step.HOLDING,
    journal.Step.ROUTE: Step.ROUTING,
    journal.Step.COMMIT: Step.COMMITTING,
    journal.Step.DRAINING: Step.DRAINING,
    journal.Step.COMMITTED: Step.DELETING,
    journal.Step.CLOSED: Step.CLOSED,
    journal.Step.ABORT: Step.ABORTING,
    journal.Step.BACK: Step.SETTING_BACK,
}
_WAITS = {
    "transfer": Step.EXPORTING,
    "application": Step.INSTALLED,
    "divert": Step.DIVERTING,
    "window": Step.WINDOW,
}


class StoppingPerformer(MovePerformer):
    """
    A performer that stops at one point of its move, and then goes on as any other.

    @ivar gate: where it stops; None: nowhere.
    """

    gate: Gate | None = None
    point: Point | None = None
    _acted = False  # what the step does was done; what it sends may still be on its way out

    def stopAt(self, gate: Gate, point: Point) -> None:
        """Stop there."""
        self.gate, self.point = gate, point

    def _enter(self, step: Step) -> None:
        """A step begins here, so the one before has been answered."""
        if self._acted and self.point is not None:
            self._pass(self.point)
        self._pass(Point(step, Moment.BEFORE))

    def _act(self, step: Step) -> None:
        """What a step does is being done."""
        point = Point(step, Moment.AFTER)
        if self.point == point:
            self._acted = True
            self._afterwards(TURNS, lambda: self._pass(point))

    def _afterwards(self, turns: int, act: Callable[[], None]) -> None:
        self._around.clock.callLater(0, self._afterwards if turns else act, *((turns - 1, act) if turns else ()))

    def _pass(self, point: Point) -> None:
        if self.gate is not None and self.point == point:
            self.point = None
            self.gate.stop(point)

    def journal(self, step: journal.Step, reason: str = "") -> bool:
        """As L{MovePerformer.journal}."""
        entered = _ENTRIES[step]
        if entered is not Step.ROUTING:  # which was entered when the route was to be looked up
            self._enter(entered)
        elif self.point is not None and self.point.step in BACK:
            # somebody changes their mind when the network has been asked and has not answered
            self._afterwards(0, lambda: self.machine.abort(Refusal.ABORTED, "changed their mind"))
        self._act(entered)
        written = super().journal(step, reason)
        self._pass(Point(entered, Moment.DECIDED))
        return written

    def expect(self, wait: str) -> None:
        """As L{MovePerformer.expect}."""
        if wait in _WAITS:
            self._enter(_WAITS[wait])
            self._act(_WAITS[wait])
        super().expect(wait)

    def setRoute(self) -> None:
        """As L{MovePerformer.setRoute}."""
        self._enter(Step.ROUTING)
        super().setRoute()

    def startMarkers(self, back: bool) -> None:
        """As L{MovePerformer.startMarkers}."""
        if back:
            self._enter(Step.RETURNING)
            self._act(Step.RETURNING)
        super().startMarkers(back)


class StoppingController(Controller):
    """
    A controller whose moves stop where the gate's plan says.

    @ivar gate: set before the first move.
    """

    gate: Gate

    def _performer(self, request: MoveRequest, change: RouteChange) -> MovePerformer:
        performer = StoppingPerformer(request, self._around, change, self._ended)
        point = self.gate.plan()
        if point is not None:
            performer.stopAt(self.gate, point)
        return performer


def makeService(options: Options, gate: Gate, settings: MoveSettings) -> ControllerService:
    """As L{openmb.tap.makeService}, with the gate and these settings."""
    from twisted.internet import reactor

    loop = cast(IServiceReactor, cast(Any, reactor))
    network = EmbeddedNetwork(Path(options["switch"]) / "control.sock", loop)
    written = SQLiteJournal(Path(options["journal"]).absolute())
    controller = StoppingController(network, written, loop, settings)
    controller.gate = gate
    credentials = LiveCredentials(Path(options["certificates"]), options["name"])
    places = ControllerPlaces(options["interface"], options["port"], Path(options["socket"]).absolute(), KEEP_ALIVE)
    return ControllerService(controller, credentials, places, loop, Readiness(options["announce"]))


def main(arguments: Sequence[str]) -> None:
    """Run it; the arguments stand at the top of this file."""
    directory, pace, _, *rest = arguments
    options = Options()
    try:
        options.parseOptions(rest)
    except UsageError as error:
        raise SystemExit(f"{error}") from error
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)])
    service = makeService(options, Gate(Path(directory)), PATIENT if pace == "patient" else HASTY)
    from twisted.internet import reactor

    loop = cast(Any, reactor)
    service.startService()
    loop.addSystemEventTrigger("before", "shutdown", service.stopService)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1:])
