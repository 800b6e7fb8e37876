"""
What a destination returns to the source when the route is set back: a stream of its own.
"""

from __future__ import annotations

from openmb.middlebox.environment import Environment
from openmb.middlebox.stream import StreamSender
from openmb.packets.headers import Decoded
from openmb.state.keyring import Keyring
from openmb.wire.messages import Side, StreamType
from openmb.wire.stream import ReturnDone, packPart


class GivingBack:
    """
    Packets of flows that the source keeps go to the source; those of flows of its own are processed here.

    @param keyring: the one of the operation, which may not be the middlebox's any more.
    @ivar sender: the stream.
    @ivar returned: packets sent so far.
    """

    def __init__(self, host: Environment, operation: int, keyring: Keyring, context: bytes, window: int) -> None:
        self._host = host
        self.sender = StreamSender(operation, Side.DESTINATION, keyring, context, window, host.send)
        self.returned = 0

    def take(self, packets: Decoded) -> None:
        """Packets that came directly and match."""
        own = self._host.capabilities.perflow.owns(packets)
        if own.any():
            self._host.processAlone(packets.select(own).packets)
        rest = packets.select(~own).packets
        if len(rest):
            self.returned += len(rest)
            self.sender.events(StreamType.RETURNED, rest)

    def end(self) -> None:
        """No more will come."""
        self.sender.append(StreamType.RETURN_DONE, b"", packPart(ReturnDone(self.returned)))
