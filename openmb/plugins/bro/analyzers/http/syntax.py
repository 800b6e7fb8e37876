"""
The lines of HTTP as Zeek reads them: request lines, reply lines, header fields and their values.

Everything here is a pure function from bytes to values, linear in the length of its input and without a limit of its
own.  Versions are small integers, C{10 * major + minor}: 11 is HTTP/1.1, 9 is HTTP/0.9, 0 one that could not be read.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

_BLANKS = b" \t"
_TOKEN_CHARACTERS = rb"!#$%&'*+\-.0-9A-Z^_`a-z|~"
_URI_CHARACTERS = rb"A-Za-z0-9:/?#\[\]@!$&'()*+,;=\-_.~%\x00"

_ORDINARY_REQUEST = re.compile(
    rb"([" + _TOKEN_CHARACTERS + rb"]+)[ \t]+([" + _URI_CHARACTERS + rb"]*)[ \t]+[Hh][Tt][Tt][Pp]/([0-9])\.([0-9])"
)
_METHOD = re.compile(rb"([" + _TOKEN_CHARACTERS + rb"]+)[ \t]+")
_URI = re.compile(rb"[" + _URI_CHARACTERS + rb"]*")
_PROTOCOL = re.compile(rb"HTTP/", re.IGNORECASE)
_VERSION = re.compile(rb"([0-9])\.([0-9])")
_REPLY = re.compile(rb"HTTP/([^ \t]*+)[ \t]*+(?:(.{3})[^ \t]*+([ \t]*+)(.*))?", re.IGNORECASE | re.DOTALL)
_ESCAPE = re.compile(rb"%(?:(?=%.)|([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|.)", re.DOTALL)

_SIMPLE_NAME = re.compile(rb"[!-')-9;-~][!-9;-~]*")
_NAME = re.compile(rb"[!-9;-~]+")
_JUNK = re.compile(rb"[^!-9;-~ \t]*")
_SOME_BLANKS = re.compile(rb"[ \t]*")
# printable characters that are not special in MIME (RFC 2045, page 12)
_WORD = re.compile(rb"[!#-'*+\-.0-9A-Z^-~]+")
_BEFORE_WORD = re.compile(rb"[^!#-'*+\-.0-9A-Z^-~(]*")
_COMMON_TYPE = re.compile(rb"[a-ln-z]+/[a-z]", re.IGNORECASE)
_BOUNDARY = re.compile(rb"[!#-~]+")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_COMMENT_MARK = re.compile(rb"\\.|[()]", re.DOTALL)
_DECIMAL = re.compile(rb"(-?)([0-9]*)")
_HEXADECIMAL = re.compile(rb"(-?)([0-9A-Fa-f]*)")
_BASIC = re.compile(rb"basic ", re.IGNORECASE)
_BASIC_PREFIX = re.compile(rb"basic[ \t]+", re.IGNORECASE)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")

#: More decimal digits than this are no length: they count as 0 (Python refuses to convert more than 4300).
_DIGITS = 4000


class RequestLine(NamedTuple):
    """
    A request line that was accepted.

    @ivar uri: as sent, still escaped.
    @ivar version: None when C{HTTP/} is there but too few bytes follow.
    """

    method: bytes
    uri: bytes
    version: int | None


class ReplyLine(NamedTuple):
    """
    A line that begins like a status line.

    @ivar code: None when there is none: then it is no status line; 0 when it is not a number.
    @ivar reason: None when nothing follows the code.
    """

    version: int
    code: int | None
    reason: bytes | None


def parseRequestLine(line: bytes) -> RequestLine | None:
    """
    Read a request line; None when it is none.

    A line without a version counts as HTTP/0.9 if its method has three characters or more and its URI at least one;
    such a URI loses its last byte when it contains bytes that no URI has (Zeek's own habit).
    """
    match = _ORDINARY_REQUEST.match(line)
    if match is not None:
        method, uri, major, minor = match.groups()
        return RequestLine(method, uri, int(major) * 10 + int(minor))
    match = _METHOD.match(line)
    if match is None:
        return None
    uri, version = _splitRequest(line[match.end() :])
    if version == 9 and (len(match[1]) < 3 or not uri):
        return None
    return RequestLine(match[1], uri, version)


def _splitRequest(rest: bytes) -> tuple[bytes, int | None]:
    """URI and version of what follows the method."""
    end = _endOf(_URI, rest, 0)
    if end == len(rest) and _PROTOCOL.match(rest):
        end = 0
    found = _PROTOCOL.search(rest, end)
    if found is None:
        return rest[: _endWithoutVersion(rest, end)], 9
    start = found.start()
    uri = rest[: max(end, len(rest[:start].rstrip(_BLANKS)))]
    return uri, parseVersion(rest[start + 5 :]) if start + 8 <= len(rest) else None


def _endWithoutVersion(rest: bytes, end: int) -> int:
    """Where the URI ends in a request line without version; C{end}: its first byte that is not of a URI."""
    if end >= len(rest):
        return end
    kept = rest if rest[-1:] in (b" ", b"\t") else rest[:-1]
    return max(end, len(kept.rstrip(_BLANKS)))


def parseVersion(text: bytes) -> int:
    """The version at the start of C{text}: a digit, a dot and a digit, else 0."""
    match = _VERSION.match(text)
    return int(match[1]) * 10 + int(match[2]) if match is not None else 0


def parseReplyLine(line: bytes) -> ReplyLine | None:
    """Read a status line; None when the line does not even begin with C{HTTP/}."""
    match = _REPLY.match(line)
    if match is None:
        return None
    version, code, blanks, reason = match.groups()
    number = parseVersion(version)
    if code is None:
        return ReplyLine(number, None, None)
    return ReplyLine(number, int(code) if code.isdigit() else 0, reason if blanks else None)


def unescape(uri: bytes) -> bytes:
    """Decode C{%XX} and C{%uXXXX} (a first byte 0 is left out); C{%%} loses its first C{%}; anything else stays."""
    return _ESCAPE.sub(_unescaped, uri) if b"%" in uri else uri


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return bytes.fromhex(match[1].decode())
    if match[2] is not None:
        code = bytes.fromhex(match[2].decode())
        return code[1:] if code[0] == 0 else code
    return b"" if match[0] == b"%" else match[0]


def parseHeader(line: bytes) -> tuple[bytes, bytes] | None:
    """Upper-case name and value of a header field; None when the line is no header field."""
    name, colon, value = line.partition(b":")
    if colon and _SIMPLE_NAME.fullmatch(name):
        return name.upper(), value.lstrip()
    return _parseUnusualHeader(line)


def _parseUnusualHeader(line: bytes) -> tuple[bytes, bytes] | None:
    """A header field whose name has comments, blanks or bytes that no name has around it."""
    position = _skipBlanks(line, 0)
    match = _NAME.match(line, position)
    while match is None and position < len(line):
        position = _skipBlanks(line, _endOf(_JUNK, line, position))
        match = _NAME.match(line, position)
    if match is None:
        return None
    colon = _skipBlanks(line, match.end())
    if line[colon : colon + 1] != b":":
        return None
    return match[0].upper(), line[colon + 1 :].lstrip()


def _skipBlanks(data: bytes, position: int) -> int:
    """The first position from C{position} on that is neither blank nor in a comment."""
    while position < len(data):
        if data[position] in _BLANKS:
            position = _endOf(_SOME_BLANKS, data, position)
        elif data[position] == 0x28:
            position = _skipComment(data, position)
        else:
            break
    return position


def _endOf(pattern: re.Pattern[bytes], data: bytes, position: int) -> int:
    """Where what C{pattern} matches at C{position} ends."""
    match = pattern.match(data, position)
    return match.end() if match is not None else position


def _skipComment(data: bytes, position: int) -> int:
    """The position after the comment that begins at C{position}; comments nest, an open one reaches to the end."""
    depth = 0
    for match in _COMMENT_MARK.finditer(data, position):
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(data)


def findWord(value: bytes, position: int = 0) -> tuple[int, int] | None:
    """Where the first MIME token of C{value} begins and ends, comments and everything that is no token passed over."""
    while position < len(value):
        position = _endOf(_BEFORE_WORD, value, position)
        word = _WORD.match(value, position)
        if word is not None:
            return word.span()
        if position < len(value):
            position = _skipComment(value, position)
    return None


def firstWord(value: bytes) -> bytes:
    """The first MIME token of C{value} in lower case, empty if there is none."""
    word = _WORD.match(value)
    span = word.span() if word is not None else findWord(value)
    return value[span[0] : span[1]].lower() if span is not None else b""


def parseLength(value: bytes) -> int | None:
    """A Content-Length: not a number or negative counts as 0; None when the value has no token at all."""
    word = firstWord(value)
    return max(_signed(_DECIMAL.match(word), 10), 0) if word else None


def parseChunkSize(line: bytes) -> int:
    """The size of a chunk; what cannot be read is 0, like the last chunk's."""
    return max(_signed(_HEXADECIMAL.match(line), 16), 0)


def _signed(match: re.Match[bytes] | None, base: int) -> int:
    """A number as a signed 64-bit counter holds it."""
    if match is None or not match[2] or len(match[2]) > _DIGITS:
        return 0
    number = int(match[2], base) & 0xFFFFFFFFFFFFFFFF
    number = number - (1 << 64) if number >> 63 else number
    return -number if match[1] else number


def parseRange(value: bytes) -> int:
    """How many bytes a Content-Range announces, 0 if it says none that can be understood."""
    span = findWord(value)
    if span is None or value[span[0] : span[1]] != b"bytes":
        return 0
    limits, slash, _ = value[span[1] :].replace(b" ", b"").partition(b"/")
    first, dash, last = limits.partition(b"-")
    if not slash or not dash:
        return 0
    return max(_signed(_DECIMAL.match(last), 10) - _signed(_DECIMAL.match(first), 10) + 1, 0)


def parseMediaType(value: bytes) -> tuple[bytes, bytes | None] | None:
    """Main type in lower case and, for a multipart type, its boundary; None when the value is no media type.

    A main type that does not begin with C{m} is given as empty.
    """
    if _COMMON_TYPE.match(value):
        return b"", None
    main = findWord(value)
    if main is None:
        return None
    slash = _skipBlanks(value, main[1])
    sub = findWord(value, slash + 1) if value[slash : slash + 1] == b"/" else None
    if sub is None:
        return None
    name = value[main[0] : main[1]].lower()
    return name, _boundary(value, sub[1]) if name == b"multipart" else None


def _boundary(value: bytes, position: int) -> bytes | None:
    """The C{boundary} among the parameters of a media type, from C{position} on; the last one counts."""
    boundary = None
    while True:
        position = _skipBlanks(value, position)
        word = findWord(value, position + 1) if value[position : position + 1] == b";" else None
        if word is None:
            return boundary
        position = _skipBlanks(value, word[1])
        if value[position : position + 1] != b"=":
            continue
        isBoundary = value[word[0] : word[1]].lower() == b"boundary"
        found, position = _parameter(value, position + 1, isBoundary)
        boundary = found if isBoundary and found is not None else boundary


def _parameter(value: bytes, position: int, isBoundary: bool) -> tuple[bytes | None, int]:
    """The parameter value at C{position} and where it ends; a boundary is taken as it stands."""
    position = position if isBoundary else _skipBlanks(value, position)
    if value[position : position + 1] == b'"':
        quoted = _QUOTED.match(value, position)
        return (re.sub(rb"\\(.?)", rb"\1", quoted[1]), quoted.end()) if quoted is not None else (None, position)
    if isBoundary:
        match = _BOUNDARY.search(value, position)
        return (match[0], match.end()) if match is not None else (None, position)
    span = findWord(value, position)
    return (value[span[0] : span[1]], span[1]) if span is not None else (None, position)


def parseUser(value: bytes) -> bytes | None:
    """The user name in an Authorization of the basic scheme, None for other schemes."""
    if not _BASIC.match(value):
        return None
    text = _NOT_BASE64.sub(b"", _BASIC_PREFIX.sub(b"", value, count=1).partition(b"=")[0])
    text = text[: len(text) - 1] if len(text) % 4 == 1 else text
    user, colon, _ = base64.b64decode(text + b"=" * (-len(text) % 4)).partition(b":")
    return user if colon else b"<problem-decoding> (" + value + b")"
