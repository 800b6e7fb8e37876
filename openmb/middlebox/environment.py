"""
What the two ends of an operation need of the host they live in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from openmb.interfaces import IMiddlebox
from openmb.middlebox.capabilities import Capabilities
from openmb.middlebox.faults import SetAside
from openmb.middlebox.outcomes import Answers
from openmb.middlebox.settings import HostSettings
from openmb.middlebox.stream import StreamReceiver
from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from openmb.state.keyring import Keyring
from openmb.wire.messages import Get, Message, Prepare, Side, StreamFrame


@dataclass
class HostCounts:
    """
    Packets and bytes received, sealed frames refused, markers that were not genuine, packets lost for want of room,
    packets on which the engine threw.
    """

    packets: int = 0
    bytes: int = 0
    refusedFrames: int = 0
    strayMarkers: int = 0
    lostPackets: int = 0
    failedPackets: int = 0


class Participant(Protocol):
    """One end of an operation, as its host keeps it."""

    side: Side
    identifier: int
    receiver: StreamReceiver

    @property
    def request(self) -> Prepare | Get:
        """What began it."""


class Environment(Protocol):
    """
    The host.

    @ivar kind: the kind of middlebox.
    @ivar engine: the middlebox.
    @ivar capabilities: what it provides besides.
    @ivar keyring: the kind's keys.
    @ivar settings: bounds and shares.
    @ivar counts: what happened so far.
    @ivar setAside: packets and calls on which the engine threw.
    @ivar send: takes a message for the controller.
    @ivar now: monotonic time in seconds.
    """

    kind: str
    engine: IMiddlebox
    capabilities: Capabilities
    keyring: Keyring
    settings: HostSettings
    counts: HostCounts
    setAside: SetAside
    send: Callable[[Message], None]
    now: Callable[[], float]

    @property
    def connected(self) -> bool:
        """Is there a controller?"""

    @property
    def operations(self) -> int:
        """How many operations this middlebox takes part in."""

    @property
    def governing(self) -> bytes:
        """SHA-256 of the configuration that governs records, as it is now."""

    def credit(self, operation: Participant, frame: StreamFrame) -> None:
        """Acknowledge the frames of a stream up to C{frame}; small ones are acknowledged together, a little later."""

    def repeatCredit(self, operation: Participant) -> None:
        """Acknowledge again what was acknowledged last: that may have been lost."""

    def ended(self, operation: Participant, answers: Answers) -> None:
        """It is over here; C{answers} are given to whoever asks again, until CLOSE."""

    def endWindows(self, flows: HeaderFieldList) -> None:
        """A HOLD ends the late windows that it intersects: those flows are coming back."""

    def decodeEvents(self, packets: PacketBatch) -> Decoded:
        """Decode packets that came as events or waited in a queue."""

    def reinject(self, packets: PacketBatch) -> None:
        """Treat packets as if they arrived now: an operation may take them again."""

    def processAlone(self, packets: PacketBatch) -> None:
        """Process packets in full, no operation taking them."""
