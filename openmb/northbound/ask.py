"""
Asks the controller one thing over its local socket, from the command line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from openmb.errors import OpenMBError
from openmb.rpc.client import OnNotice, RPCClient
from openmb.rpc.unix import ILocalReactor

#: Where the controller listens for local callers unless told otherwise.
SOCKET_VARIABLE, DEFAULT_SOCKET = "OPENMB_SOCKET", "openmb.sock"


def defaultSocket() -> str:
    """The local socket: C{OPENMB_SOCKET}, or C{openmb.sock} in the working directory."""
    return os.environ.get(SOCKET_VARIABLE, DEFAULT_SOCKET)


def ask(
    socket: str, verb: str, arguments: Mapping[str, Any], patience: float = 30.0, onNotice: OnNotice | None = None
) -> Any:
    """
    The controller's reply.

    @param patience: seconds to wait for it.
    @raise OperationError: the controller refused, cannot be reached, or did not reply in time.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    loop = cast(Any, reactor)
    client = RPCClient(Path(socket), cast(ILocalReactor, loop))
    outcome: list[Any] = []

    async def once() -> None:
        try:
            outcome.append(await client.call(verb, arguments, patience, onNotice))
        except OpenMBError as error:
            outcome.append(error)
        finally:
            client.close()
            loop.stop()

    loop.callWhenRunning(lambda: Deferred.fromCoroutine(once()))
    loop.run()
    if isinstance(outcome[0], OpenMBError):
        raise outcome[0]
    return outcome[0]
