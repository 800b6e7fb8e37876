"""
Which ports are not read from, because of which full queues.
"""

from __future__ import annotations

from collections.abc import Mapping

from openmb.netctl.embedded.socketport import SocketPort
from openmb.netctl.embedded.switch import Switched


class BackPressure:
    """
    Stops reading from a port while a queue that its packets need is full.

    A port from outside waits for every port that its packets will visit.  A middlebox's port never waits for a queue
    that is merely full: two chains in opposite order would wait for each other.  What middleboxes can send back is
    bounded by what was let in; one that sends out of all proportion is stopped all the same.
    """

    def __init__(self, ports: Mapping[str, SocketPort]) -> None:
        self._ports = ports
        self._stalled: dict[str, Switched] = {}

    @property
    def stalled(self) -> frozenset[str]:
        """The ports that are not read from."""
        return frozenset(self._stalled)

    def check(self, port: SocketPort, switched: Switched) -> None:
        """Packets from C{port} were queued: may it go on?"""
        if self._mustWait(switched):
            self._stalled[port.name] = switched
            port.setReading(False)

    def relieve(self) -> None:
        """Some queue has become shorter: let go on whoever can."""
        for name, switched in list(self._stalled.items()):
            if not self._mustWait(switched):
                self._resume(name)

    def relieveAll(self) -> None:
        """The routes have changed: let all go on, to find out which queues they need now."""
        for name in list(self._stalled):
            self._resume(name)

    def _resume(self, name: str) -> None:
        del self._stalled[name]
        if name in self._ports:
            self._ports[name].setReading(True)

    def _mustWait(self, switched: Switched) -> bool:
        queues = [self._ports[name].queue for name in switched.needs if name in self._ports]
        return any(queue.isOverfull if switched.returned else queue.isFull for queue in queues)
