"""
What goes into and comes out of the machine of a move: facts, and what it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from openmb.operations.common import Actions, Core, Inputs


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
class MoveCore(Core):
    """What the outputs of a move share."""

    actions: MoveActions


class MoveInputs(Inputs, Protocol):
    """The facts that a move knows besides."""

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

    def merged(self) -> None:
        """Nothing waits at the destination any more."""

    def windowClosed(self) -> None:
        """The source re-directs no more late packets."""

    def recoverRoute(self) -> None:
        """Instead of C{begin}, after a restart: the network may have been asked, nobody was told to commit."""

    def recoverBack(self, reason: str) -> None:
        """Instead of C{begin}, after a restart: the old route was wanted back."""

    def endsPresent(self) -> None:
        """After a restart: each end has returned, or is known to be dead."""
