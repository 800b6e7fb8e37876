"""
Asks the controller one thing over its local socket, from the command line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

from openmb.errors import OperationError
from openmb.rpc.client import OnNotice, RPCClient, Unreachable
from openmb.rpc.unix import ILocalReactor

#: Where the controller listens for local callers unless told otherwise.
SOCKET_VARIABLE, DEFAULT_SOCKET = "OPENMB_SOCKET", "openmb.sock"


def defaultSocket() -> str:
    """The local socket: C{OPENMB_SOCKET}, or C{openmb.sock} in the working directory."""
    return os.environ.get(SOCKET_VARIABLE, DEFAULT_SOCKET)


#: What is said to the controller: gets the client, and what ends the conversation early with an error.
Talk = Callable[[RPCClient, Callable[[Exception], None]], Coroutine[Any, Any, Any]]


def ask(
    socket: str,
    verb: str,
    arguments: Mapping[str, Any],
    patience: float | None = 30.0,
    onNotice: OnNotice | None = None,
) -> Any:
    """
    The controller's reply.

    @param patience: seconds to wait for it; None: for ever.
    @raise OperationError: the controller refused, cannot be reached, or did not reply in time.
    @raise KeyboardInterrupt: the reactor was stopped (by a signal) before the reply came.
    @raise Exception: what C{onNotice} raises.
    """

    async def once(client: RPCClient, end: Callable[[Exception], None]) -> Any:
        failed = False

        def noticed(notice: Mapping[str, Any]) -> None:
            nonlocal failed
            try:
                if onNotice is not None and not failed:
                    onNotice(notice)
            except Exception as error:  # noqa: BLE001 - it is raised again where it was asked for
                failed = True  # more may have come already
                end(error)

        return await client.call(verb, arguments, patience, noticed)

    return converse(socket, once)


def converse(socket: str, talk: Talk) -> Any:
    """
    Run the reactor for as long as C{talk} takes; what it returns.

    @raise OperationError: the controller cannot be reached, or what C{talk} raises.
    @raise KeyboardInterrupt: the reactor was stopped (by a signal) before the end.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    loop = cast(Any, reactor)
    client = RPCClient(Path(socket), cast(ILocalReactor, loop))
    outcome: list[Any] = []

    stopping: list[bool] = []  # by a signal: what fails since connections are closed then is no answer

    def end(found: Any) -> None:
        if not (outcome or stopping):
            outcome.append(found)
            client.close()
            if loop.running:
                loop.stop()

    async def once() -> None:
        try:
            end(await talk(client, end))
        except Exception as error:  # noqa: BLE001 - it is raised again below
            end(error)

    loop.addSystemEventTrigger("before", "shutdown", lambda: stopping.append(True))
    loop.callWhenRunning(lambda: Deferred.fromCoroutine(once()))
    loop.run()
    if not outcome:
        raise KeyboardInterrupt
    if isinstance(outcome[0], Unreachable):
        raise withHint(outcome[0], socket) from outcome[0]
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def withHint(error: Unreachable, socket: str) -> OperationError:
    """The same error with where it was looked, and how to look elsewhere."""
    hint = f"looked for {Path(socket).absolute()}: is the controller there, and this its socket? "
    hint += f"--socket or {SOCKET_VARIABLE} names another"
    return OperationError(error.refusal, f"{error.reason} ({hint})")
