"""
Which operations may not be under way together.
"""

from __future__ import annotations

from collections.abc import Iterable

from openmb.controller.performer import MovePerformer
from openmb.controller.sharing import SharedPerformer
from openmb.errors import OperationError, Refusal
from openmb.operations.values import MoveRequest
from openmb.state.headers import HeaderFieldList
from openmb.wire.messages import Sort


def checkAlone(request: MoveRequest, operations: Iterable[MovePerformer | SharedPerformer]) -> None:
    """
    What two middleboxes share is not merged while anything else is under way between them.

    @raise OperationError: C{INTERSECTING_OPERATION}.
    """
    pair = {request.source.name, request.destination.name}
    for other in operations:
        sorts = {request.sort, other.request.sort}
        theirs = {other.request.source.name, other.request.destination.name}
        if pair == theirs and other.exclusive and (Sort.MERGE in sorts or sorts == {Sort.CLONE}):
            raise OperationError(
                Refusal.INTERSECTING_OPERATION,
                f"operation {other.request.operation:016x}, a {other.request.sort.name.lower()}, is under way "
                f"between {other.request.source.name} and {other.request.destination.name}",
            )


def checkFree(flows: HeaderFieldList, moves: Iterable[MovePerformer]) -> None:
    """
    No flow is in two moves, until the source has deleted.

    @raise OperationError: C{INTERSECTING_OPERATION}.
    """
    for other in moves:
        if other.exclusive and other.flows.intersects(flows):
            raise OperationError(
                Refusal.INTERSECTING_OPERATION,
                f"operation {other.request.operation:016x} is moving {other.request.flows} from "
                f"{other.request.source.name} to {other.request.destination.name}",
            )
