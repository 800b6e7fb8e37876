"""
What goes into and comes out of the machine of a move: facts, and what it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from openmb.errors import Refusal
from openmb.operations.journal import Step
from openmb.operations.values import MoveRequest, Stage
from openmb.wire.messages import Message


class Actions(Protocol):
    """What the machine of any operation asks of its performer; nothing here may raise or wait."""

    def journal(self, step: Step, reason: str = "") -> bool:
        """Write the decision; durable on return.  False: it could not be written, and may not be acted on."""

    def toSource(self, message: Message) -> None:
        """Send to the source, if it is connected."""

    def toDestination(self, message: Message) -> None:
        """Send to the destination, if it is connected."""

    def expect(self, wait: str) -> None:
        """The deadline named C{wait} (a field of L{openmb.operations.values.Deadlines}) replaces any earlier one."""

    def reached(self, stage: Stage) -> None:
        """Tell the application."""

    def failed(self, refusal: Refusal, reason: str) -> None:
        """Remember why the operation will end badly; the first reason stays."""


class MoveActions(Actions, Protocol):
    """What the machine of a move asks for besides."""

    def setRoute(self) -> None:
        """
        Look up the rule that will be replaced, journal ROUTE with both, and ask the network for the new one; answer
        with C{routed} or C{routeFailed}.
        """

    def setRouteBack(self) -> None:
        """Ask the network for the old route; answer with C{routedBack}, also when it failed for good."""

    def startMarkers(self, back: bool) -> None:
        """Send drain markers down both paths (back: only to the destination), final once the network has settled."""

    def stopMarkers(self) -> None:
        """No more markers."""


@dataclass
class MoveCore:
    """What the outputs share."""

    request: MoveRequest
    actions: MoveActions
    sourceAlive: bool = True
    destinationAlive: bool = True


class MoveInputs(Protocol):
    """The facts."""

    def begin(self) -> None:
        """Start the operation."""

    def prepared(self, nonce: bytes) -> None:
        """The destination is ready for provisional records; the source's seals are bound to C{nonce}."""

    def installed(self) -> None:
        """Every record has arrived at the destination."""

    def switchOver(self) -> None:
        """The application wants the route changed now."""

    def holdingStarted(self) -> None:
        """Direct packets wait at the destination."""

    def divertConfirmed(self) -> None:
        """The source diverts, and the destination has applied everything before."""

    def routed(self) -> None:
        """The new route is in effect."""

    def routeFailed(self, reason: str) -> None:
        """The network refused the new route."""

    def routedBack(self) -> None:
        """The old route is in effect again."""

    def committed(self) -> None:
        """The destination owns the records."""

    def commitRefused(self, refusal: Refusal, reason: str) -> None:
        """The destination says that it does not own the records and will not."""

    def merged(self) -> None:
        """Nothing waits at the destination any more."""

    def deleted(self) -> None:
        """The source has dropped records and copies."""

    def windowClosed(self) -> None:
        """The source re-directs no more late packets."""

    def discarded(self, returned: int) -> None:
        """The destination has dropped what was provisional, and given back so many packets."""

    def unmarked(self) -> None:
        """The source goes on as if never asked."""

    def abort(self, refusal: Refusal, reason: str) -> None:
        """The application, a refusal, or a shutdown wants the operation undone."""

    def deadline(self) -> None:
        """The wait announced last took too long."""

    def recoverAbort(self, reason: str) -> None:
        """Instead of C{begin}, after a restart: nobody had gone far, or going back had begun."""

    def recoverRoute(self) -> None:
        """Instead of C{begin}, after a restart: the network may have been asked, nobody was told to commit."""

    def recoverBack(self, reason: str) -> None:
        """Instead of C{begin}, after a restart: the old route was wanted back."""

    def recoverCommit(self) -> None:
        """Instead of C{begin}, after a restart: the destination may have been told to commit."""

    def recoverDelete(self) -> None:
        """Instead of C{begin}, after a restart: the merge was over."""

    def endsPresent(self) -> None:
        """After a restart: each end has returned, or is known to be dead."""

    def sourceDied(self) -> None:
        """The source is gone for good."""

    def destinationDied(self) -> None:
        """The destination is gone for good."""
