"""
Names and arguments of the switch's control socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openmb.rpc.arguments import badRequest, text
from openmb.rpc.routes import NAME

#: The file name of the control socket, without ending; no port may have it.
CONTROL = "control"


def nameOf(arguments: Mapping[str, Any]) -> str:
    """
    The name of a new port.

    @raise OperationError: C{BAD_REQUEST}: it cannot be the name of a port.
    """
    name = text(arguments, "name")
    if not NAME.fullmatch(name) or name == CONTROL:
        raise badRequest(f"{name!r} cannot be the name of a port: use letters, digits, '.', '_' and '-'")
    return name
