"""
Middleboxes that come back: who may take up what an earlier connection has left, and what they are told.
"""

from __future__ import annotations

import hmac

from openmb.controller.registry import Session
from openmb.errors import OperationError, Refusal
from openmb.operations.values import MoveReport, MoveRequest, Stage
from openmb.wire import messages as m


class SessionSecrets:
    """
    Makes the secret of each incarnation, and knows it again: who shows it is that incarnation, on another connection.
    A name and an incarnation are no secret, since both ends of every operation are told them.

    The secret follows from C{key}, so that nothing has to be kept for each: a WELCOME that was lost is followed by one
    with the same secret, and a controller that is started again with the same journal asks for those that it has given.

    @param key: 32 random bytes that nobody else has.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, hello: m.Hello) -> bytes:
        """The secret of the incarnation that says C{hello}, 32 bytes: its WELCOME says it."""
        return hmac.digest(self._key, hello.name.encode("utf-8") + b"\0" + hello.incarnation, "sha256")

    def check(self, hello: m.Hello, present: Session | None, taking: MoveRequest | None) -> None:
        """
        May C{hello} register?

        @param present: the session that has its name now.
        @param taking: an operation under way that its incarnation takes part in.
        @raise OperationError: C{WRONG_STATE}, another incarnation is connected; C{NOT_AUTHORISED}, this one is, or has
            left an operation, and the secret is not shown.  The comparison takes the same time whatever is shown.
        """
        if present is not None and present.hello.incarnation != hello.incarnation:
            raise OperationError(Refusal.WRONG_STATE, f"another {hello.name} is connected")
        if present is not None:
            left = "is connected"
        elif taking is not None:
            left = f"takes part in operation {taking.operation:016x}"
        else:
            return
        if not hmac.compare_digest(self.of(hello), hello.secret):
            reason = f"{hello.name} {left}, and this HELLO does not show the secret of its session"
            raise OperationError(Refusal.NOT_AUTHORISED, reason)


def takesPart(hello: m.Hello, request: MoveRequest) -> bool:
    """Is the incarnation that says C{hello} one end of the operation?"""
    return m.Peer(hello.name, hello.incarnation) in (request.source, request.destination)


def reminders(status: m.OperationStatus, report: MoveReport | None) -> tuple[m.Message, ...]:
    """What tells one end of an operation that is over how it ended; nothing if nobody remembers it."""
    if report is None:
        return ()
    aborted = report.stage is Stage.ABORTED
    if status.side is m.Side.SOURCE:
        return (m.Unmark(status.operation, False) if aborted else m.Delete(status.operation, 0),)
    if aborted:
        return (m.Discard(status.operation, False),)
    return m.Commit(status.operation), m.SourceGone(status.operation)
