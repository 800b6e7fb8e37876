"""
What PREPARE and GET may ask for.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.wire.messages import Get, Prepare, Sort


def checkRequest(request: Prepare | Get) -> None:
    """
    Do sort, cells and flows fit together?

    @raise OperationError: C{BAD_REQUEST}.
    @raise InvalidHeaderFields: the flows make no sense.
    """
    what = request.sort.name.lower()
    if not request.cells or len(set(request.cells)) < len(request.cells):
        raise OperationError(Refusal.BAD_REQUEST, f"a {what} of no cells, or of the same one twice")
    for cell in request.cells:
        if cell not in request.sort.cells:
            raise OperationError(Refusal.BAD_REQUEST, f"a {what} of {cell.name} makes no sense")
    if request.sort is not Sort.MOVE and HeaderFieldList.parse(request.flows) != EVERYTHING:
        raise OperationError(Refusal.BAD_REQUEST, f"a {what} of some flows: what they share cannot be divided")
