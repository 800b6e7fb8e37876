"""
The other end of a port: how a middlebox, or whoever feeds or watches the switch, gets its packets.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from openmb.errors import OperationError, ProtocolError, Refusal
from openmb.netctl.embedded.socketport import IO_SIZE
from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter
from openmb.rpc.unix import ILocalReactor

#: Takes the batches that the switch sends, in order.
Receiver = Callable[[PacketBatch], object]


@implementer(IPushProducer)
class PortClient(Protocol):
    """
    A connection to a port of the switch.

    @param receiver: is called with each batch that comes.
    @param lost: is called with the reason when the connection is gone.
    @param writableChanged: is called when C{writable} changes.
    @param link: link type of what is sent.
    @ivar writable: the switch takes what is sent; while it is false whoever can should not L{send}.
    """

    log = Logger()

    def __init__(
        self,
        receiver: Receiver,
        lost: Callable[[str], None] | None = None,
        writableChanged: Callable[[bool], None] | None = None,
        link: int = LinkType.ETHERNET,
    ) -> None:
        self._receiver, self._lost, self._writableChanged = receiver, lost, writableChanged
        self._reader = PcapStreamReader()
        self._writer = PcapStreamWriter(link)
        self._reason = ""
        self._outgoing = _Outgoing(self._setWritable)
        self.writable = False

    def connectionMade(self) -> None:
        """The port is there: begin the stream to it."""
        transport: Any = self.transport
        transport.bufferSize = IO_SIZE
        transport.registerProducer(self._outgoing, True)
        transport.write(self._writer.header())
        self._setWritable(True)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of the switch's stream."""
        try:
            for batch in self._reader.feed(data):
                self._receiver(batch)
        except ProtocolError as error:
            self._reason = str(error)
            self.log.warn("closing the port: {error}", error=error)
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The port is gone."""
        self.writable = False
        if self._reader.header is None and not self._reason:
            # the switch begins its own stream with the connection, unless it turns it away
            self._reason = "it was turned away: somebody else is connected to this port"
        if self._lost is not None:
            self._lost(self._reason or reason.getErrorMessage())

    def pauseProducing(self) -> None:
        """Take no more packets for now; the switch queues them."""
        transport: Any = self.transport
        transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Take packets again."""
        transport: Any = self.transport
        transport.resumeProducing()

    def stopProducing(self) -> None:
        """Close the connection."""
        self.close()

    def send(self, batch: PacketBatch) -> bool:
        """
        Send packets to the switch, in order.

        @return: L{writable}, after this.
        """
        if len(batch):
            transport: Any = self.transport
            transport.write(self._writer.records(batch))
        return self.writable

    def close(self) -> None:
        """Close the connection when everything is written."""
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self) -> None:
        """Close the connection at once."""
        transport: Any = self.transport
        transport.abortConnection()

    def _setWritable(self, writable: bool) -> None:
        if writable != self.writable:
            self.writable = writable
            if self._writableChanged is not None:
                self._writableChanged(writable)


@implementer(IPushProducer)
class _Outgoing:
    """Learns from the transport whether it takes more."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed

    def pauseProducing(self) -> None:
        self._changed(False)

    def resumeProducing(self) -> None:
        self._changed(True)

    def stopProducing(self) -> None:
        self._changed(False)


async def connectPort(
    clock: ILocalReactor,
    directory: Path,
    name: str,
    client: PortClient,
    timeout: float = 10.0,  # noqa: ASYNC109 - on the clock passed, not asyncio's
) -> PortClient:
    """
    Connect C{client} to port C{name} of the switch in C{directory}.

    @param timeout: seconds.
    @raise OperationError: C{DISCONNECTED}: there is no such port, or the switch is not there.
    """
    factory = Factory.forProtocol(lambda: client)
    factory.noisy = False
    path = directory / f"{name}.sock"
    connecting: Deferred[Any] = UNIXClientEndpoint(clock, str(path)).connect(factory)
    try:
        await connecting.addTimeout(timeout, clock)
    except (ConnectError, OSError, DeferredTimeout, ConnectingCancelledError) as error:
        raise OperationError(Refusal.DISCONNECTED, f"cannot connect to {path}: {error}") from error
    return client
