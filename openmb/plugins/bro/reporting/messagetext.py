"""
Rows of http.log and dns.log as tab-separated text.

What L{openmb.plugins.bro.reporting.logs.TSVFormat} makes of the same values, to the byte, with a column's text made
where its value is known: there are many of these rows, and most texts in them need no escaping.
"""

from __future__ import annotations

from functools import lru_cache

from openmb.plugins.bro.analyzers.dns.names import NETBIOS_PORT, className, codeName, opcodeName, queryTypeName
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.reporting.logs import fieldText, seconds

#: Bytes that stand for themselves, and texts that must not.
_ORDINARY = bytes(byte for byte in range(0x20, 0x7F) if byte != 0x5C)
_SPECIAL = frozenset((b"", b"-", b"(empty)"))
_UNSET = b"-"

#: The second half: no tags, no password, none of the six columns of files.
_REQUEST = b"%b\t%b%d" + 7 * b"\t%b" + b"\t%d\t%d" + 4 * b"\t%b" + b"\t(empty)\t%b\t-\t%b" + 6 * b"\t-" + b"\n"
_QUERY = b"%b\t%b%b\t%d" + 5 * b"\t%b" + 4 * b"\t%b" + b"\t%d\t%b\t%b\t%b\t%b\n"


def stringText(value: bytes | None) -> bytes:
    """A field of type string."""
    if value is None:
        return _UNSET
    if value.translate(None, _ORDINARY) or value in _SPECIAL:
        return fieldText(value, "string").encode()
    return value


def _numberText(value: int | None) -> bytes:
    return _UNSET if value is None else b"%d" % value


def _timeText(microseconds: int) -> bytes:
    return seconds(microseconds).encode()


def _severalText(values: tuple[bytes, ...] | None) -> bytes:
    """A field of a set or vector of strings."""
    if not values:
        return _UNSET if values is None else b"(empty)"
    return b",".join([stringText(value).replace(b",", b"\\x2c") for value in values])


def requestLine(row: HTTPRow, connection: bytes) -> bytes:
    """
    A row of http.log.

    @param connection: id and ends of the connection, a tab after each.
    """
    return _REQUEST % (
        _timeText(row.stamp // 1000),
        connection,
        row.depth,
        stringText(row.method),
        stringText(row.host),
        stringText(row.uri),
        stringText(row.referrer),
        stringText(row.version),
        stringText(row.userAgent),
        stringText(row.origin),
        row.requestLength,
        row.responseLength,
        _numberText(row.status),
        stringText(row.statusMessage),
        _numberText(row.infoCode),
        stringText(row.infoMessage),
        stringText(row.username),
        _severalText(row.proxied),
    )


@lru_cache(maxsize=1024)
def _classText(group: int | None) -> bytes:
    """Number and name, two columns."""
    return b"-\t-" if group is None else f"{group}\t{className(group)}".encode()


@lru_cache(maxsize=1024)
def _typeText(kind: int | None, port: int) -> bytes:
    return b"-\t-" if kind is None else f"{kind}\t{queryTypeName(kind, port)}".encode()


@lru_cache(maxsize=1024)
def _codeText(code: int | None) -> bytes:
    return b"-\t-" if code is None else f"{code}\t{codeName(code)}".encode()


@lru_cache(maxsize=64)
def _opcodeText(opcode: int, isNetbios: bool) -> bytes:
    return f"{opcode}\t{opcodeName(opcode, isNetbios)}".encode()


def _truthText(value: bool) -> bytes:
    return b"T" if value else b"F"


def _lifetimesText(lifetimes: tuple[int, ...] | None) -> bytes:
    if not lifetimes:
        return _UNSET if lifetimes is None else b"(empty)"
    return b",".join([b"%d.000000" % lifetime for lifetime in lifetimes])


def queryLine(row: DNSRow, connection: bytes, ports: tuple[int, int]) -> bytes:
    """
    A row of dns.log.

    @param connection: as of L{requestLine}.
    @param ports: the originator's and the responder's.
    """
    return _QUERY % (
        _timeText(row.stamp // 1000),
        connection,
        b"tcp" if row.tcp else b"udp",
        row.identifier,
        _UNSET if row.roundTrip is None else _timeText(row.roundTrip),
        stringText(row.query),
        _classText(row.queryClass),
        _typeText(row.queryType, ports[1]),
        _codeText(row.code),
        _truthText(row.authoritative),
        _truthText(row.truncated),
        _truthText(row.recursionDesired),
        _truthText(row.recursionAvailable),
        row.flags,
        _severalText(row.answers),
        _lifetimesText(row.lifetimes),
        _truthText(row.rejected),
        _opcodeText(row.opcode, NETBIOS_PORT in ports),
    )
