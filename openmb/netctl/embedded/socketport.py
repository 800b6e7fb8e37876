"""
A port of the switch: a UNIX socket, pcap streams both ways.
"""

from __future__ import annotations

import select
from typing import Any
from typing import Protocol as Structural

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from openmb.errors import ProtocolError
from openmb.netctl.embedded.queue import PortQueue
from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter

#: Bytes read or written at a time: what a UNIX socket holds by default (C{net.core.wmem_default} of Linux), rounded up.
IO_SIZE = 1 << 18


class PortOwner(Structural):
    """What a port tells the switch."""

    def packetsReceived(self, port: SocketPort, batch: PacketBatch) -> None:
        """Packets have come in."""

    def inputEnded(self, port: SocketPort) -> None:
        """No more comes in from this connection."""

    def roomMade(self, port: SocketPort) -> None:
        """The port's queue has become shorter."""

    def now(self) -> float:
        """Seconds on the clock of the queues."""


@implementer(IPushProducer, IHalfCloseableProtocol)
class PortConnection(Protocol):
    """The connection at a port."""

    def __init__(self, port: SocketPort) -> None:
        self._port = port
        self._reader = PcapStreamReader()
        self._closed = self._inputEnded = self._draining = False

    def connectionMade(self) -> None:
        """Somebody has connected: begin the stream to them."""
        transport: Any = self.transport
        transport.bufferSize = IO_SIZE  # how much one read takes, and when a writer is told to pause
        transport.registerProducer(self, True)
        self._port.connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of a pcap stream."""
        try:
            for batch in self._reader.feed(data):
                self._port.received(batch)
        except ProtocolError as error:
            self._port.broken(error)
            self.abort()

    def readConnectionLost(self) -> None:
        """The peer sends no more; unless it is gone it may still want to read."""
        self._inputEnded = True
        self._port.inputClosed()
        self.checkPeer()

    def checkPeer(self) -> bool:
        """
        Is the peer still there?  One that has only ended its own stream is.  Once it is gone, what it had sent is read
        to its end (a socket's buffer at most), whatever stalls the port, and then the connection is closed.

        Reading tells the two ends of a stream apart only by what comes later, and nobody may ever write; the operating
        system says it at once (C{POLLHUP}).

        @return: False: the peer is gone, and everything that it had sent was read.
        """
        if self._closed or not _isHungUp(self.transport):
            return True
        if self._inputEnded:
            self.abort()
            return False
        self.setReading(True)
        self._draining = True
        return True

    def writeConnectionLost(self) -> None:
        """The peer reads no more; L{connectionLost} follows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The peer is gone."""
        self._closed = True
        self._port.disconnected(self)

    def pauseProducing(self) -> None:
        """The peer reads slowly."""
        self._port.writable = False

    def resumeProducing(self) -> None:
        """The peer has read what was written."""
        self._port.writable = True
        self._port.pump()

    def stopProducing(self) -> None:
        """The connection closes; L{connectionLost} follows."""

    def write(self, data: bytes) -> None:
        """Send to the peer."""
        transport: Any = self.transport
        transport.write(data)

    def setReading(self, reading: bool) -> None:
        """Stop reading from the peer, or go on."""
        transport: Any = self.transport
        if self._closed or self._inputEnded or self._draining or transport.disconnecting:
            return
        if reading:
            transport.resumeProducing()
        else:
            transport.pauseProducing()

    def close(self) -> None:
        """Close when everything is written."""
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        transport: Any = self.transport
        transport.abortConnection()


def _isHungUp(transport: Any) -> bool:
    """Has the peer closed both directions, or died?"""
    poll = select.poll()
    poll.register(transport.fileno(), 0)  # POLLHUP and POLLERR are reported unasked
    return bool(poll.poll(0))


class SocketPort(Factory):
    """
    One port, with its queue and at most one connection; others are turned away.

    @ivar writable: the connection takes more.
    """

    noisy = False
    log = Logger()

    def __init__(self, name: str, owner: PortOwner, limit: int, grace: float) -> None:
        self.name = name
        self.queue = PortQueue(limit, grace)
        self.writable = False
        self._owner = owner
        self._writer = PcapStreamWriter(LinkType.ETHERNET)
        self._connection: PortConnection | None = None
        self._reading = True
        self._isContested = False  # somebody was turned away since the connection was made

    @property
    def isConnected(self) -> bool:
        """Is somebody connected?"""
        return self._connection is not None

    def buildProtocol(self, addr: IAddress | None) -> PortConnection | None:
        """A protocol for a peer, unless there is one already."""
        if self.checkPeer():
            if not self._isContested:  # whoever is turned away tries again and again
                self.log.warn("port {name} is taken: other connections are turned away", name=self.name)
            self._isContested = True
            return None
        self._isContested = False
        self._connection = PortConnection(self)
        return self._connection

    def checkPeer(self) -> bool:
        """Is somebody connected who is still there?  If not, the port is free from now on."""
        connection = self._connection
        if connection is not None and not connection.checkPeer():
            self.disconnected(connection)
        return self._connection is not None

    def send(self, batch: PacketBatch) -> None:
        """Queue packets for the peer, behind everything queued before."""
        self.queue.push(self._writer.records(batch), len(batch), self._owner.now())
        self.pump()

    def pump(self) -> None:
        """Write as much as the connection takes."""
        if self._connection is None or not self.queue.size:
            return
        while self.writable and self.queue.size:
            self._connection.write(self.queue.take(IO_SIZE))
        self._owner.roomMade(self)

    def setReading(self, reading: bool) -> None:
        """Stop taking packets from the peer, or go on."""
        if reading != self._reading:
            self._reading = reading
            if self._connection is not None:
                self._connection.setReading(reading)

    def close(self) -> None:
        """Hand everything queued to the connection and close it."""
        if self._connection is not None:
            if self.queue.size:
                self._connection.write(self.queue.take(self.queue.size))
            self._connection.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._connection is not None:
            self._connection.abort()

    def connected(self, connection: PortConnection) -> None:
        """The connection is made."""
        self.log.info("port {name}: connected", name=self.name)
        connection.write(self._writer.header())
        self.queue.attach()
        self.writable = True
        if not self._reading:
            connection.setReading(False)
        self.pump()

    def disconnected(self, connection: PortConnection) -> None:
        """The connection is gone; the queue stays for the grace time."""
        if connection is not self._connection:
            return  # that was known, and the port may have another
        self.log.info("port {name}: disconnected", name=self.name)
        self._connection = None
        self.writable = False
        self.queue.detach(self._owner.now())
        self._owner.inputEnded(self)

    def received(self, batch: PacketBatch) -> None:
        """The peer has sent packets."""
        self._owner.packetsReceived(self, batch)

    def inputClosed(self) -> None:
        """The peer sends no more."""
        self._owner.inputEnded(self)

    def broken(self, error: ProtocolError) -> None:
        """The peer sends what is no pcap stream."""
        self.log.warn("port {name}: closing the connection: {error}", name=self.name, error=error)
