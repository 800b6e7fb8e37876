"""
Southbound sessions of a controller: the seam between one connection and the controller.
"""

from __future__ import annotations

from openmb.controller.controller import Controller
from openmb.controller.registry import Session
from openmb.southbound.link import Link
from openmb.wire.messages import Hello, Message, Welcome


class ControllerReceiver:
    """Hands one connection's messages to the controller."""

    def __init__(self, controller: Controller, link: Link) -> None:
        self._controller, self._link = controller, link
        self._session: Session | None = None

    def connected(self, peer: Hello | Welcome) -> None:
        """The middlebox has said who it is, and its certificate agrees."""
        if isinstance(peer, Hello):
            link = self._link
            session = self._session = Session(peer, link.send, link.close, lambda: link.piled)
            link.whenWritable = lambda: self._controller.sessionWritable(session)
            self._controller.sessionOpened(self._session)

    def messageReceived(self, message: Message) -> None:
        """A message of the session."""
        if self._session is not None:
            self._controller.messageReceived(self._session, message)

    def disconnected(self, reason: str) -> None:
        """The session is over."""
        if self._session is not None:
            self._controller.sessionClosed(self._session)
