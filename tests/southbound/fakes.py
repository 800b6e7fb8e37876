"""Receivers that remember, and hellos to send."""

from __future__ import annotations

from dataclasses import dataclass, field

from openmb.southbound.link import Link
from openmb.wire.messages import Hello, Message, Welcome


def helloOf(name: str = "bro1", kind: str = "bro", lowest: int = 2, highest: int = 2) -> Hello:
    """A HELLO that remembers nothing."""
    return Hello(lowest, highest, name, kind, bytes(16), bytes(32), (), ())


@dataclass
class Remembering:
    """A receiver that keeps everything it is told."""

    link: Link
    peers: list[Hello | Welcome] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def connected(self, peer: Hello | Welcome) -> None:
        self.peers.append(peer)

    def messageReceived(self, message: Message) -> None:
        self.messages.append(message)

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)


@dataclass
class Everybody:
    """Makes receivers and keeps them."""

    receivers: list[Remembering] = field(default_factory=list)

    def __call__(self, link: Link) -> Remembering:
        receiver = Remembering(link)
        self.receivers.append(receiver)
        return receiver
