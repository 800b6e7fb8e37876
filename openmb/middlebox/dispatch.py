"""
What the controller's messages mean to the operations of one middlebox.
"""

from __future__ import annotations

from twisted.logger import Logger

from openmb.errors import InvalidHeaderFields, OperationError, Refusal, SealBroken
from openmb.middlebox.destination import DestinationOperation
from openmb.middlebox.environment import Environment
from openmb.middlebox.faults import engineFaults
from openmb.middlebox.inquiries import INQUIRIES, Inquiries
from openmb.middlebox.outcomes import REQUESTS, UNDER_WAY, Outcomes
from openmb.middlebox.requests import checkRequest
from openmb.middlebox.shareddestination import SharedDestination
from openmb.middlebox.sharedsource import SharedSource
from openmb.middlebox.source import SourceOperation
from openmb.wire import messages as m

#: Who takes packets for a while, and who never does.
Move = SourceOperation | DestinationOperation
Operation = Move | SharedSource | SharedDestination


class Dispatcher:
    """
    Takes messages to the operation that they are about, begins operations, and answers for those that are over.

    @param host: what operations live in.
    @param who: name and incarnation of this middlebox.
    @param operations: those under way, by id; shared with the host.
    @param inquiries: answers what concerns no operation.
    """

    log = Logger()

    def __init__(
        self,
        host: Environment,
        who: m.Peer,
        operations: dict[int, Operation],
        outcomes: Outcomes,
        inquiries: Inquiries,
    ) -> None:
        self._host, self._who, self._inquiries = host, who, inquiries
        self._operations, self._outcomes = operations, outcomes

    def receive(self, message: m.Message) -> None:
        """A message from the controller; whatever cannot be done is answered with REFUSED."""
        identifier = int(getattr(message, "operation", 0))
        request = REQUESTS.get(type(message), 0)
        try:
            with engineFaults(type(message).__name__):
                self._dispatch(message, identifier)
        except SealBroken as error:
            self._host.counts.refusedFrames += 1
            self.log.warn("a frame of operation {op:016x} is not taken: {reason}", op=identifier, reason=error)
            self._host.send(m.Refused(identifier, 0, Refusal.SEAL_BROKEN, str(error)))
        except OperationError as error:
            self._host.send(m.Refused(identifier, request, error.refusal, error.reason))
        except InvalidHeaderFields as error:
            self._host.send(m.Refused(identifier, request, Refusal.BAD_REQUEST, str(error)))

    def _dispatch(self, message: m.Message, identifier: int) -> None:
        if isinstance(message, INQUIRIES):
            self._inquiries.receive(message)
        elif isinstance(message, m.Close):
            self._close(identifier)
        elif isinstance(message, m.StreamFrame | m.Credit | m.Resume):
            operation = self._operations.get(identifier)
            if isinstance(message, m.Resume):
                self._repeatCredit(operation, identifier)
            self._stream(message, operation)
        elif (operation := self._operations.get(identifier)) is not None:
            self._command(message, operation)
        elif (outcome := self._outcomes.get(identifier)) is not None:
            for answer in outcome.answer(message):
                self._host.send(answer)
        else:
            self._begin(message, identifier)

    def _stream(self, message: m.StreamFrame | m.Credit | m.Resume, operation: Operation | None) -> None:
        """What belongs to an operation that is over here is passed over: the other end is told by the controller."""
        if operation is None:
            return
        if isinstance(message, m.StreamFrame):
            operation.streamed(message)
        elif operation.sender is not None and message.side is operation.side:
            if isinstance(message, m.Credit):
                operation.sender.credited(message.number)
            else:
                operation.sender.resume(message.number)

    def _repeatCredit(self, operation: Operation | None, identifier: int) -> None:
        """RESUME says that both ends are connected: credit that was repeated before found nobody at the other end."""
        outcome = self._outcomes.get(identifier)
        if operation is not None:
            self._host.repeatCredit(operation)
        elif outcome is not None and outcome.credit is not None:
            self._host.send(outcome.credit)

    def _command(self, message: m.Message, operation: Operation) -> None:
        match message, operation:
            case m.Prepare(), DestinationOperation() | SharedDestination():
                operation.prepared()
            case m.Get(), SourceOperation() | SharedSource():
                self._host.send(m.Getting(operation.identifier))
            case m.Hold(), DestinationOperation():
                operation.hold(message)
            case m.Divert(), SourceOperation():
                operation.divert(message)
            case m.Finish(), SharedSource():
                operation.finish(message)
            case m.Commit(), DestinationOperation() | SharedDestination():
                operation.commit()
            case m.SourceGone(), DestinationOperation() | SharedDestination():
                operation.sourceGone()
            case m.Delete(), SourceOperation() | SharedSource():
                operation.delete(message)
            case m.Unmark(), SourceOperation() | SharedSource():
                operation.unmark(message)
            case m.Discard(), DestinationOperation() | SharedDestination():
                operation.discard(message)
            case _:
                self._unknown(operation.identifier)

    def _begin(self, message: m.Message, identifier: int) -> None:
        """About an operation that nothing is known of: it begins, or ending it again is easy."""
        match message:
            case m.Prepare():
                self._checkPeer(message.destination)
                checkRequest(message)
                self._checkRoom()
                self._operations[identifier] = made = _destinationOf(self._host, message)
                made.prepared()
            case m.Get():
                self._checkPeer(message.source)
                checkRequest(message)
                self._checkRoom()
                self._host.send(m.Getting(identifier))
                self._operations[identifier] = _sourceOf(self._host, message)
            case m.Delete():
                self._host.send(m.Deleted(identifier, 0, 0))
                self._host.send(m.WindowClosed(identifier, 0, 0))
            case m.Unmark():
                self._host.send(m.Unmarked(identifier, 0, 0))
            case m.Discard():
                self._host.send(m.Discarded(identifier, 0))
            case _:
                self._unknown(identifier)

    def _checkRoom(self) -> None:
        """HELLO has to name all of them."""
        if len(self._operations) >= UNDER_WAY:
            raise OperationError(Refusal.BUFFER_FULL, f"{self._who.name} takes part in {UNDER_WAY} operations already")

    @staticmethod
    def _unknown(identifier: int) -> None:
        raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {identifier:016x} is not known here")

    def _checkPeer(self, peer: m.Peer) -> None:
        if peer != self._who:
            raise OperationError(Refusal.BAD_REQUEST, f"the request is meant for another incarnation of {peer.name}")

    def _close(self, identifier: int) -> None:
        """The controller forgets the operation; so does this end, after it has decided what is not decided yet."""
        operation = self._operations.get(identifier)
        if operation is not None:
            operation.orphaned()
            self._operations.pop(identifier, None)
        self._outcomes.forget(identifier)


def _sourceOf(host: Environment, message: m.Get) -> SourceOperation | SharedSource:
    return SourceOperation(host, message) if message.sort is m.Sort.MOVE else SharedSource(host, message)


def _destinationOf(host: Environment, message: m.Prepare) -> DestinationOperation | SharedDestination:
    return DestinationOperation(host, message) if message.sort is m.Sort.MOVE else SharedDestination(host, message)
