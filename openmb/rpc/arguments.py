"""
Arguments of requests, checked.  Each function raises L{OperationError} with C{BAD_REQUEST}, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openmb.errors import OperationError, Refusal


def text(arguments: Mapping[str, Any], field: str) -> str:
    """The string C{field} of C{arguments}."""
    value = arguments.get(field)
    if not isinstance(value, str):
        raise badRequest(f"{field} must be a string")
    return value


def number(arguments: Mapping[str, Any], field: str) -> int:
    """The whole number C{field} of C{arguments}."""
    value = arguments.get(field)
    if type(value) is not int:
        raise badRequest(f"{field} must be a whole number")
    return value


def names(arguments: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The list of strings C{field} of C{arguments}."""
    value = arguments.get(field)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise badRequest(f"{field} must be a list of strings")
    return tuple(value)


def token(arguments: Mapping[str, Any], field: str) -> bytes:
    """The bytes that C{field} of C{arguments} gives in hexadecimal."""
    try:
        return bytes.fromhex(text(arguments, field))
    except ValueError as error:
        raise badRequest(f"{field} must be hexadecimal") from error


def badRequest(reason: str) -> OperationError:
    """The error for a request that makes no sense."""
    return OperationError(Refusal.BAD_REQUEST, reason)
