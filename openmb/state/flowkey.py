"""
The canonical key of a flow: the same for both directions.

A key is 40 bytes, seen as five little-endian 64-bit words.  Endpoint a is the smaller (address, port) pair, so that
packets of either direction give one key; a one-way flow (see below) keeps its source as a.

For ICMP and ICMPv6 the two "ports" of a flow are the message type and the type of its counterpart (echo 8 and reply 0),
as in Zeek; a type without a counterpart makes a one-way flow whose ports are type and code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.state.addresses import Address, addressWords, wordsAddress

FLOW_KEY = np.dtype(
    [
        ("a_high", "<u8"),
        ("a_low", "<u8"),
        ("b_high", "<u8"),
        ("b_low", "<u8"),
        ("a_port", "<u2"),
        ("b_port", "<u2"),
        ("protocol", "u1"),
        ("oneway", "u1"),
        ("padding", "<u2"),
    ]
)
HOST_KEY = np.dtype([("high", "<u8"), ("low", "<u8")])
#: 64-bit words of either key.
FLOW_WORDS = FLOW_KEY.itemsize // 8
HOST_WORDS = HOST_KEY.itemsize // 8

ICMP, ICMP6 = 1, 58
_PAIRS = {
    ICMP: ((8, 0), (13, 14), (15, 16), (17, 18), (10, 9)),
    ICMP6: ((128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145)),
}
_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}


def _counterparts(protocol: int) -> NDArray[np.int16]:
    table = np.full(256, -1, np.int16)
    for one, other in _PAIRS[protocol]:
        table[one], table[other] = other, one
    return table


#: The type that answers (or is answered by) each ICMP type, -1 for none: C{int16[256]}.
COUNTERPARTS = _counterparts(ICMP)
COUNTERPARTS6 = _counterparts(ICMP6)


@njit(cache=True)
def counterpart(protocol: Any, kind: Any) -> Any:
    """The ICMP type that belongs to type C{kind} in the other direction; -1 if there is none, or no ICMP."""
    if kind > 255:
        return -1
    if protocol == 1:
        return np.int64(COUNTERPARTS[kind])
    if protocol == 58:
        return np.int64(COUNTERPARTS6[kind])
    return -1


@njit(cache=True)
def flowWords(
    sourceHigh: Any,
    sourceLow: Any,
    destinationHigh: Any,
    destinationLow: Any,
    sourcePort: Any,
    destinationPort: Any,
    protocol: Any,
) -> tuple[Any, Any, Any, Any, Any, bool]:
    """
    The five words of a packet's key, from its header fields (for ICMP: type and code in place of the ports).

    @return: the words as C{uint64}, and whether the packet's source is endpoint a.
    """
    oneway = np.uint64(0)
    near, far = np.uint64(sourcePort), np.uint64(destinationPort)
    if protocol == 1 or protocol == 58:
        answer = counterpart(protocol, sourcePort)
        if answer < 0:
            oneway = np.uint64(1)
        else:
            far = np.uint64(answer)
    rest = (np.uint64(protocol) << np.uint64(32)) | (oneway << np.uint64(40))
    forward = (
        oneway != np.uint64(0)
        or sourceHigh < destinationHigh
        or (
            sourceHigh == destinationHigh
            and (sourceLow < destinationLow or (sourceLow == destinationLow and near <= far))
        )
    )
    if forward:
        last = rest | near | (far << np.uint64(16))
        return sourceHigh, sourceLow, destinationHigh, destinationLow, last, True
    last = rest | far | (near << np.uint64(16))
    return destinationHigh, destinationLow, sourceHigh, sourceLow, last, False


@njit(cache=True)
def _keysOfHeaders(headers: Any, words: Any, forward: Any) -> None:
    """Fill C{words: uint64[n, 5]} and C{forward: bool[n]} from decoded C{headers}."""
    for i in range(len(headers)):
        header = headers[i]
        a, b, c, d, e, isA = flowWords(
            header["source_high"],
            header["source_low"],
            header["destination_high"],
            header["destination_low"],
            header["source_port"],
            header["destination_port"],
            header["protocol"],
        )
        words[i, 0] = a
        words[i, 1] = b
        words[i, 2] = c
        words[i, 3] = d
        words[i, 4] = e
        forward[i] = isA


def uniform(array: NDArray[Any]) -> NDArray[Any]:
    """
    C{array} contiguous and read-only, copied only where it must be.

    To numba each mixture of these properties is a type of its own, compiled on its own.
    """
    view = np.ascontiguousarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view


def flowKeys(headers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The L{FLOW_KEY}C{[n]} of decoded C{headers[n]} (C{openmb.packets.headers}), and where the source is a."""
    keys = np.empty(len(headers), FLOW_KEY)
    forward = np.empty(len(headers), np.bool_)
    _keysOfHeaders(uniform(headers), keyWords(keys, FLOW_WORDS), forward)
    return keys, forward


def flowKey(
    source: str | Address, sourcePort: int, destination: str | Address, destinationPort: int, protocol: int
) -> NDArray[Any]:
    """
    The key of one flow, L{FLOW_KEY}C{[1]}; for ICMP the ports are type and code.

    @raise ValueError: an address or a number is out of range.
    """
    if not (0 <= sourcePort < 65536 and 0 <= destinationPort < 65536 and 0 <= protocol < 256):
        raise ValueError(f"no such ports or protocol: {sourcePort}, {destinationPort}, {protocol}")
    fields = (*addressWords(source), *addressWords(destination), sourcePort, destinationPort, protocol)
    words = flowWords(*(np.uint64(field) for field in fields))[:FLOW_WORDS]
    return np.array(words, dtype=np.uint64).view(FLOW_KEY)


def hostKey(address: str | Address) -> NDArray[Any]:
    """The key of one host, L{HOST_KEY}C{[1]}."""
    return np.array(addressWords(address), dtype=np.uint64).view(HOST_KEY)


def keyWords(keys: NDArray[Any], words: int) -> NDArray[np.uint64]:
    """
    Structured, byte (C{uint8[n, 8 * words]}) or word keys as C{uint64[n, words]}, sharing memory where it is possible.

    @raise ValueError: the keys are of another size.
    """
    if keys.dtype == np.uint64 and keys.ndim == 2 and keys.shape[1] == words:
        return keys
    row = keys.dtype.itemsize * (keys.shape[1] if keys.ndim == 2 else 1)
    if row != 8 * words:
        raise ValueError(f"keys of {row} bytes where {8 * words} are due")
    return np.ascontiguousarray(keys).view(np.uint64).reshape(len(keys), words)


def flowText(key: NDArray[Any] | np.void) -> str:
    """One key for people: C{tcp 10.0.0.1:80 - 10.0.0.2:1234}, with C{->} for a one-way flow."""
    entry = key.reshape(-1)[0] if isinstance(key, np.ndarray) else key
    protocol = int(entry["protocol"])
    name = _NAMES.get(protocol, f"protocol {protocol}")
    link = "->" if entry["oneway"] else "-"
    return f"{name} {_end(entry, 'a')} {link} {_end(entry, 'b')}"


def _end(key: np.void | Any, letter: str) -> str:
    address = wordsAddress(int(key[f"{letter}_high"]), int(key[f"{letter}_low"]))
    text = f"[{address}]" if address.version == 6 else str(address)
    return f"{text}:{int(key[f'{letter}_port'])}"


def warmUp() -> None:
    """Compile the kernel for single keys; that for packets is compiled for their dtype, which is not known here."""
    flowKey("10.0.0.1", 1, "10.0.0.2", 2, 6)
