"""
The lines of the local protocol: one JSON object each, ended by a line feed.

A request is C{{"id": n, "verb": "...", "arguments": {...}}}.  It is answered by any number of notices
C{{"id": n, "notice": {...}}} and then by one reply, C{{"id": n, "result": ...}} or
C{{"id": n, "error": {"refusal": "NAME", "reason": "..."}}}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from openmb.errors import FrameTooLarge, ProtocolError, Refusal

#: The longest line, line feed not included.
LINE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """Asks for C{verb} to be done; C{number} is the caller's and comes back in every answer."""

    number: int
    verb: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """Progress of a request that is not answered yet."""

    number: int
    notice: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """The request was done."""

    number: int
    result: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """The request was not done, and why."""

    number: int
    refusal: Refusal
    reason: str


Answer = Notice | Result | Failure


class LineReader:
    """
    Cuts a stream of bytes, in any segmentation, into lines.

    @raise FrameTooLarge: a line is longer than C{limit} bytes.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._pending: list[bytes] = []
        self._pendingLength = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Every line that C{data} completes, without its line feed."""
        *complete, rest = data.split(b"\n")
        for line in complete:
            self._hold(line)
            yield self._take()
        self._hold(rest)

    def _hold(self, part: bytes) -> None:
        self._pendingLength += len(part)
        if self._pendingLength > self._limit:
            raise FrameTooLarge(self._pendingLength, self._limit)
        if part:
            self._pending.append(part)

    def _take(self) -> bytes:
        line = b"".join(self._pending)
        self._pending.clear()
        self._pendingLength = 0
        return line


def encode(message: Request | Answer, limit: int = LINE_LIMIT) -> bytes:
    """
    The line of C{message}, line feed included.

    @raise FrameTooLarge: the peer would refuse the line for its length.
    """
    line = json.dumps(_plain(message), separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(line) > limit:
        raise FrameTooLarge(len(line), limit)
    return line + b"\n"


def parseRequest(line: bytes) -> Request:
    """
    The request of one line.

    @raise ProtocolError: it is none.
    """
    content = _object(line)
    _onlyFields(content, {"id", "verb", "arguments"})
    verb, arguments = content.get("verb"), content.get("arguments", {})
    if not isinstance(verb, str) or not isinstance(arguments, dict):
        raise ProtocolError("a request needs a verb in a string and arguments in an object")
    return Request(_number(content), verb, arguments)


def parseAnswer(line: bytes) -> Answer:
    """
    The notice or reply of one line.

    @raise ProtocolError: it is neither.
    """
    content = _object(line)
    number = _number(content)
    match sorted(content.keys() - {"id"}):
        case ["result"]:
            return Result(number, content["result"])
        case ["notice"] if isinstance(content["notice"], dict):
            return Notice(number, content["notice"])
        case ["error"] if isinstance(content["error"], dict):
            return _failure(number, content["error"])
    raise ProtocolError("an answer needs exactly one of result, notice and error")


def _plain(message: Request | Answer) -> dict[str, Any]:
    match message:
        case Request(number, verb, arguments):
            return {"id": number, "verb": verb, "arguments": dict(arguments)}
        case Notice(number, notice):
            return {"id": number, "notice": dict(notice)}
        case Result(number, result):
            return {"id": number, "result": result}
        case Failure(number, refusal, reason):
            return {"id": number, "error": {"refusal": refusal.name, "reason": reason}}


def _failure(number: int, error: dict[str, Any]) -> Failure:
    refusal, reason = error.get("refusal"), error.get("reason")
    if not isinstance(reason, str) or not isinstance(refusal, str) or refusal not in Refusal.__members__:
        raise ProtocolError("an error needs the name of a refusal and a reason")
    return Failure(number, Refusal[refusal], reason)


def _object(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line.decode("utf-8"), parse_constant=_refuseConstant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a line of JSON: {error}") from error
    if not isinstance(content, dict):
        raise ProtocolError("a line must hold a JSON object")
    return content


def _refuseConstant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _number(content: dict[str, Any]) -> int:
    number = content.get("id")
    if type(number) is not int or not 0 <= number < 1 << 63:
        raise ProtocolError("id must be a whole number from 0 to 2**63 - 1")
    return number


def _onlyFields(content: dict[str, Any], known: set[str]) -> None:
    unknown = content.keys() - known
    if unknown:
        raise ProtocolError(f"unknown fields: {', '.join(sorted(unknown))}")
