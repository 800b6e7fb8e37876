"""
One question to a local socket, without a reactor.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from openmb.errors import OpenMBError, ProtocolError
from openmb.rpc.codec import Failure, LineReader, Request, Result, encode, parseAnswer

#: Seconds that anybody may take to connect, and for each part of an answer.
PATIENCE = 3.0


class Unanswered(OpenMBError):
    """
    There is no answer.

    @ivar somebody: somebody listens, but does not answer as expected.
    """

    def __init__(self, reason: str, somebody: bool) -> None:
        super().__init__(reason)
        self.somebody = somebody


def ask(path: Path, verb: str, patience: float = PATIENCE) -> Any:
    """
    The answer to C{verb} on the local socket C{path}.

    @raise Unanswered: there is none, or not of this protocol.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(patience)
        try:
            client.connect(str(path))
        except OSError as error:
            raise Unanswered(f"nobody answers ({error.strerror or error})", False) from error
        try:
            client.sendall(encode(Request(1, verb, {})))
            return _answer(client)
        except TimeoutError as error:
            raise Unanswered(f"no answer within {patience:g} s", True) from error
        except (OSError, ProtocolError) as error:
            raise Unanswered(f"what answers speaks another protocol ({error})", True) from error


def _answer(client: socket.socket) -> Any:
    reader = LineReader()
    while data := client.recv(65536):
        for line in reader.feed(data):
            parsed = parseAnswer(line)
            if isinstance(parsed, Result):
                return parsed.result
            if isinstance(parsed, Failure):
                raise Unanswered(f"it answers '{parsed.reason}'", True)
    raise Unanswered("it closes the connection", True)
