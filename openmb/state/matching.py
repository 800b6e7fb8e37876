"""
The kernels that match header fields: one constraint, many packets, flow keys or host keys.

A constraint is C{uint64[CONSTRAINT_WORDS]}, laid out by the constants below.  "Any" is a zero mask for an address and
L{ANY} for a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.state.flowkey import counterpart

#: Places in a constraint: each address takes four (high, low, high mask, low mask).
SOURCE, DESTINATION = 0, 4
FAMILY, PROTOCOL, SOURCE_PORT, DESTINATION_PORT, VLAN, PORTED, ADDRESSED = 8, 9, 10, 11, 12, 13, 14
CONSTRAINT_WORDS = 15
#: A number that no field has.
ANY = 1 << 20
#: Kinds of packets, as numbered by C{openmb.packets.headers.Kind}: those from TCP to FRAGMENT belong to flows.
_FIRST_KIND, _FRAGMENT = 1, 5


@njit(cache=True)
def _within(constraint: Any, place: int, high: Any, low: Any) -> Any:
    """Does the address lie in the prefix at C{place}?"""
    return (high & constraint[place + 2]) == constraint[place] and (low & constraint[place + 3]) == constraint[
        place + 1
    ]


@njit(cache=True)
def _mapped(high: Any, low: Any) -> Any:
    """Is this an IPv4 address?"""
    return high == np.uint64(0) and (low >> np.uint64(32)) == np.uint64(0xFFFF)


@njit(cache=True)
def _number(wanted: Any, found: Any) -> Any:
    return wanted == np.uint64(ANY) or wanted == np.uint64(found)


@njit(cache=True)
def _portsMatch(constraint: Any, ports: tuple[Any, Any], flow: tuple[Any, Any], turned: tuple[Any, Any]) -> Any:
    """
    Do the ports of a flow match, in an orientation in which its addresses match?

    @param ports: of a and b; for ICMP the type of a and that of b, or of a one-way flow type and code.
    @param flow: protocol, and whether it is one-way.
    @param turned: do the addresses match as given, and the other way round?
    """
    source, destination = constraint[SOURCE_PORT], constraint[DESTINATION_PORT]
    protocol, oneway = flow
    if protocol == 1 or protocol == 58:
        if constraint[PROTOCOL] == np.uint64(ANY):
            return False  # a type is not a port: it is meant only where ICMP is asked for
        if oneway:
            return _number(source, ports[0]) and _number(destination, ports[1])
        return (turned[0] and _number(source, ports[0])) or (turned[1] and _number(source, ports[1]))
    return (turned[0] and _number(source, ports[0]) and _number(destination, ports[1])) or (
        turned[1] and _number(source, ports[1]) and _number(destination, ports[0])
    )


@njit(cache=True)
def _addressesMatch(constraint: Any, aHigh: Any, aLow: Any, bHigh: Any, bLow: Any) -> tuple[Any, Any]:
    """Do the addresses of a flow match as given, and the other way round?  Both false if the IP version is wrong."""
    family = constraint[FAMILY]
    if family != np.uint64(ANY) and (_mapped(aHigh, aLow) and _mapped(bHigh, bLow)) != (family == np.uint64(4)):
        return False, False
    if constraint[ADDRESSED] == np.uint64(0):
        return True, True
    return (
        _within(constraint, SOURCE, aHigh, aLow) and _within(constraint, DESTINATION, bHigh, bLow),
        _within(constraint, SOURCE, bHigh, bLow) and _within(constraint, DESTINATION, aHigh, aLow),
    )


@njit(cache=True)
def headersMatch(constraint: Any, headers: Any, oneWay: Any, found: Any) -> None:
    """
    C{found: bool[n]}: which of the decoded C{headers[n]} belong to matching flows.

    @param oneWay: only as given, not with source and destination exchanged.
    """
    for i in range(len(headers)):
        header = headers[i]
        kind, protocol = header["kind"], header["protocol"]
        found[i] = False
        if kind < _FIRST_KIND or kind > _FRAGMENT:
            continue
        if not (_number(constraint[PROTOCOL], protocol) and _number(constraint[VLAN], header["vlan"])):
            continue
        turned = _addressesMatch(
            constraint,
            header["source_high"],
            header["source_low"],
            header["destination_high"],
            header["destination_low"],
        )
        turned = turned[0], turned[1] and not oneWay
        if not (turned[0] or turned[1]):
            continue
        if constraint[PORTED] == np.uint64(0):
            found[i] = True
        elif kind == _FRAGMENT:
            found[i] = constraint[PROTOCOL] != np.uint64(ANY) or not (protocol == 1 or protocol == 58)
        else:
            near = np.int64(header["source_port"])
            answer = np.int64(counterpart(protocol, near))
            far = answer if answer >= 0 else np.int64(header["destination_port"])
            found[i] = _portsMatch(constraint, (near, far), (np.int64(protocol), answer < 0), turned)


@njit(cache=True)
def keysMatch(constraint: Any, words: Any, found: Any) -> None:
    """C{found: bool[n]}: which of the flow keys C{words: uint64[n, 5]} match; VLANs are not looked at."""
    short = np.uint64(0xFFFF)
    for i in range(len(words)):
        last = words[i, 4]
        protocol = (last >> np.uint64(32)) & np.uint64(0xFF)
        found[i] = False
        if not _number(constraint[PROTOCOL], protocol):
            continue
        turned = _addressesMatch(constraint, words[i, 0], words[i, 1], words[i, 2], words[i, 3])
        if not (turned[0] or turned[1]):
            continue
        if constraint[PORTED] == np.uint64(0):
            found[i] = True
        else:
            ports = (np.int64(last & short), np.int64((last >> np.uint64(16)) & short))
            oneway = (last >> np.uint64(40)) & np.uint64(0xFF) != np.uint64(0)
            found[i] = _portsMatch(constraint, ports, (np.int64(protocol), oneway), turned)


@njit(cache=True)
def addressesMatch(constraint: Any, words: Any, found: Any) -> None:
    """C{found: bool[n]}: which of the hosts C{words: uint64[n, 2]} lie in a prefix that the constraint names."""
    source = (constraint[SOURCE + 2] | constraint[SOURCE + 3]) != np.uint64(0)
    destination = (constraint[DESTINATION + 2] | constraint[DESTINATION + 3]) != np.uint64(0)
    family = constraint[FAMILY]
    for i in range(len(words)):
        high, low = words[i, 0], words[i, 1]
        found[i] = (family == np.uint64(ANY) or _mapped(high, low) == (family == np.uint64(4))) and (
            not (source or destination)
            or (source and _within(constraint, SOURCE, high, low))
            or (destination and _within(constraint, DESTINATION, high, low))
        )


def packConstraint(
    addresses: tuple[tuple[int, int, int, int] | None, tuple[int, int, int, int] | None],
    family: int | None,
    numbers: tuple[int | None, int | None, int | None, int | None],
) -> NDArray[np.uint64]:
    """
    A constraint for the kernels.

    @param addresses: source and destination prefix as C{openmb.state.addresses.networkWords} gives them.
    @param family: 4, 6 or None.
    @param numbers: protocol, source port, destination port, VLAN.
    """
    constraint = np.full(CONSTRAINT_WORDS, ANY, np.uint64)
    constraint[SOURCE : DESTINATION + 4] = 0
    for place, words in zip((SOURCE, DESTINATION), addresses, strict=True):
        if words is not None:
            constraint[place : place + 4] = words
    for place, number in zip(range(FAMILY, VLAN + 1), (family, *numbers), strict=True):
        if number is not None:
            constraint[place] = number
    constraint[PORTED] = numbers[1] is not None or numbers[2] is not None
    constraint[ADDRESSED] = addresses != (None, None)
    constraint.flags.writeable = False
    return constraint
