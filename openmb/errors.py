"""
The errors of OpenMB.

There is one root, L{OpenMBError}.  A L{ProtocolError} costs the connection on which it happened; an L{OperationError}
costs one request and travels to the caller in a reply.  Everything else says which input was wrong.
"""

from __future__ import annotations

import enum


class OpenMBError(Exception):
    """The root of all errors raised by OpenMB."""


class ProtocolError(OpenMBError):
    """The peer broke the protocol: the connection is closed and the reason is logged."""


class FrameTooLarge(ProtocolError):
    """A frame announces more bytes than the limit allows."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"frame of {length} bytes exceeds the limit of {limit} bytes")
        self.length, self.limit = length, limit


class SealBroken(OpenMBError):
    """A sealed pack does not authenticate: altered, replayed, re-labelled, or meant for somebody else."""


class CaptureError(OpenMBError):
    """A capture cannot be read: missing, not a capture, or cut off."""


class ConfigurationError(OpenMBError):
    """A file, key, certificate or option cannot be used; the text says what to do."""


class InvalidOption(ConfigurationError):
    """A value of an option, as it stands on a command line, that cannot be used."""


class OutputFailed(ConfigurationError):
    """Output could not be written (a full disk): it is kept, and can be tried again."""


class Refusal(enum.IntEnum):
    """Why a request was refused; the numbers travel on the wire."""

    UNKNOWN_MIDDLEBOX = 1
    DISCONNECTED = 2
    SAME_MIDDLEBOX = 3
    DIFFERENT_KINDS = 4
    INCOMPATIBLE_RECORDS = 5
    FINER_THAN_NATIVE = 6
    INTERSECTING_OPERATION = 7
    UNKNOWN_OPERATION = 8
    WRONG_STATE = 9
    CONFLICTING_RECORD = 10
    BUFFER_FULL = 11
    SEAL_BROKEN = 12
    DEADLINE = 13
    ROUTE_FAILED = 14
    ABORTED = 15
    PEER_DIED = 16
    UNSUPPORTED = 17
    BAD_REQUEST = 18
    ENGINE_FAILED = 19
    SHUTTING_DOWN = 20
    COUNT_MISMATCH = 21
    NOT_AUTHORISED = 22
    JOURNAL_FAILED = 23


class OperationError(OpenMBError):
    """One request or operation failed; C{refusal} says why in a number, the text in words."""

    def __init__(self, refusal: Refusal, reason: str) -> None:
        super().__init__(reason)
        self.refusal = refusal
        self.reason = reason


class InvalidHeaderFields(OpenMBError):
    """The text of a header field list cannot be understood."""


class FinerThanNative(OperationError):
    """A header field list constrains a field that is not part of the native key."""

    def __init__(self, field: str, native: str) -> None:
        super().__init__(Refusal.FINER_THAN_NATIVE, f"{field} is finer than the native key ({native})")
        self.field, self.native = field, native
