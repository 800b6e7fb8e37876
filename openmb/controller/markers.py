"""
Drain markers: asked of the network every few milliseconds while an operation needs them.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from openmb.interfaces import INetwork
from openmb.packets.marker import BACK_MARKERS

#: Seconds between drain markers: what a held packet waits at most for news of the other path.
INTERVAL = 0.004
#: Markers that may be asked for without an answer.
AHEAD = 8


class Markers:
    """
    The markers of one operation.

    @param token: 16 bytes by which its two ends know them.
    """

    log = Logger()

    def __init__(self, operation: int, token: bytes, network: INetwork, clock: IReactorTime) -> None:
        self._operation, self._token, self._network, self._clock = operation, token, network, clock
        self._next: IDelayedCall | None = None
        self._number = self._unanswered = 0
        self._settled = 0.0

    def routeAnswered(self) -> None:
        """A route has changed: markers are final once the network has settled from now on."""
        self._settled = self._clock.seconds() + self._network.settle

    def start(self, ports: tuple[str, ...], back: bool) -> None:
        """Send them down the paths to C{ports}; C{back}: numbered as those after the old route's return."""
        self.stop()
        if back:
            self._number = BACK_MARKERS
        self._mark(ports)

    def stop(self) -> None:
        """No more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _mark(self, ports: tuple[str, ...]) -> None:
        self._next = self._clock.callLater(INTERVAL, self._mark, ports)
        final = self._clock.seconds() >= self._settled
        if self._unanswered >= AHEAD:
            return  # the network does not answer: more of them would only pile up
        self._number += 1
        self._unanswered += 1
        sent = self._network.mark(self._operation, self._token, self._number, final, ports)
        sent.addErrback(self._failed)
        sent.addCallback(self._sent)

    def _failed(self, failure: Failure) -> None:
        self.log.warn("no drain marker: {reason}", reason=failure.getErrorMessage())

    def _sent(self, _: object) -> None:
        self._unanswered -= 1
