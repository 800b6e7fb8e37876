"""
Kernels for the link layer: where in a frame does the IP header begin, and where does the frame's length field end it?

Encapsulations are those that Zeek 8.2 unwraps, each only where it looks for them: VLAN tags, provider backbone
bridges, VN-tags (with a VLAN tag inside), MPLS, PPPoE sessions, Cisco FabricPath, 802.3 with LLC and SNAP, PPP.
Source: Zeek's packet analysers and what they are registered for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.packets.batch import LinkType
from openmb.packets.loads import Source, load8, load16, loadLittle16, loadLittle32
from openmb.packets.wireless import NO_DATA, behindRadiotap, behindWireless

#: Instead of a position: nothing that engines look at; cut off or impossible.
NOT_IP = -1
CUT_OFF = -2

NO_VLAN = 0xFFFF
_NULL = int(LinkType.NULL)
_ETHERNET = int(LinkType.ETHERNET)
_PPP = int(LinkType.PPP)
_FDDI = int(LinkType.FDDI)
_PPP_SERIAL = int(LinkType.PPP_SERIAL)
_WIRELESS = int(LinkType.IEEE802_11)
_SLL = int(LinkType.LINUX_SLL)
_RADIOTAP = int(LinkType.IEEE802_11_RADIOTAP)
_NFLOG = int(LinkType.NFLOG)
_SLL2 = int(LinkType.LINUX_SLL2)

_IP4 = 0x0800
_IP6 = 0x86DD
_VLAN = 0x8100
_SERVICE_VLAN = 0x88A8
_OLD_VLAN = 0x9100
_BACKBONE = 0x88E7
_VN_TAG = 0x8926
_MPLS = 0x8847
_PPPOE = 0x8864
_FABRIC_PATH = 0x8903
_PPP_IP4, _PPP_IP6, _PPP_MPLS = 0x0021, 0x0057, 0x0281
_LOWEST_TYPE, _LARGEST_LENGTH = 1536, 1500
#: In what an EtherType stands: not all are looked for everywhere.
_IN_FRAME, _IN_VLAN, _IN_TAG, _IN_SNAP = 0, 1, 2, 3
_FDDI_HEADER = 21  # with LLC and SNAP
_PAYLOAD_ATTRIBUTE = 9


@njit(cache=True)
def _skipLabels(source: Source, place: np.int64, end: np.int64) -> np.int64:
    """Behind a stack of MPLS labels; what follows tells by its version nibble whether it is IP."""
    while place + 4 <= end:
        bottom = load8(source, place + 2) & 1
        place += 4
        if bottom:
            return place
    return np.int64(CUT_OFF)


@njit(cache=True)
def _noteVlan(tag: np.int64, record: Any) -> None:
    """The first tag is the outer one, the last of the others the inner one."""
    if record["vlan"] == NO_VLAN:
        record["vlan"] = tag & 0xFFF
    else:
        record["inner_vlan"] = tag & 0xFFF


@njit(cache=True)
def _isVlan(kind: np.int64, layer: np.int64) -> bool:
    """Is a VLAN tag announced?  Inside another one only the ordinary one counts, inside SNAP none."""
    if layer == _IN_SNAP:
        return False
    return kind == _VLAN or (layer != _IN_VLAN and kind in (_SERVICE_VLAN, _OLD_VLAN))


@njit(cache=True)
def _behindControl(source: Source, place: np.int64, end: np.int64) -> np.int64:
    """802.3: where, behind LLC and the SNAP header of organisation 0 at C{place}, an EtherType stands."""
    if place + 3 > end:
        return np.int64(CUT_OFF)
    if load16(source, place) != 0xAAAA:
        return np.int64(NOT_IP)
    organisation = place + 3 + (load8(source, place + 2) & 3 != 3)
    if organisation + 5 > end:
        return np.int64(CUT_OFF)
    isStandard = load16(source, organisation) == 0 and load8(source, organisation + 2) == 0
    return organisation + 3 if isStandard else np.int64(NOT_IP)


@njit(cache=True)
def _behindSession(source: Source, place: np.int64, end: np.int64) -> tuple[np.int64, np.int64]:
    """Where, in the PPPoE session packet at C{place}, IP begins and, by its length field, ends."""
    if place + 8 > end:
        return np.int64(CUT_OFF), end
    protocol = load16(source, place + 6)
    if protocol != _PPP_IP4 and protocol != _PPP_IP6:
        return np.int64(NOT_IP), end
    return place + 8, max(min(end, place + 6 + load16(source, place + 4)), place + 8)


@njit(cache=True)
def _unwrap(source: Source, place: np.int64, end: np.int64, record: Any) -> tuple[np.int64, np.int64]:
    """
    Behind all that stands between an EtherType, at C{place}, and the IP header; where the shortest length field met
    ends the packet.  Every turn goes forward.
    """
    layer = np.int64(_IN_FRAME)
    while place + 2 <= end:
        kind = load16(source, place)
        place += 2
        if kind in (_IP4, _IP6) and layer != _IN_TAG:
            return place, end
        if _isVlan(kind, layer):
            if place + 4 > end:
                return np.int64(CUT_OFF), end
            _noteVlan(load16(source, place), record)
            place += 2
            layer = np.int64(_IN_VLAN)
        elif layer in (_IN_TAG, _IN_SNAP):
            return np.int64(NOT_IP), end
        elif kind == _MPLS:
            return _skipLabels(source, place, end), end
        elif kind == _PPPOE:
            return _behindSession(source, place, end)
        elif kind == _BACKBONE:
            place += 16
            layer = np.int64(_IN_FRAME)
        elif kind == _FABRIC_PATH and layer == _IN_FRAME:
            place += 14  # a tag, then an ordinary Ethernet header up to its type
        elif kind == _VN_TAG and layer == _IN_FRAME:
            place += 4
            layer = np.int64(_IN_TAG)
        elif kind <= _LARGEST_LENGTH:
            if layer == _IN_FRAME and kind > end - place:
                return np.int64(CUT_OFF), end
            end = min(end, place + kind)
            place = _behindControl(source, place, end)
            if place < 0:
                return place, end
            layer = np.int64(_IN_SNAP)
        else:
            return np.int64(NOT_IP), end
    return np.int64(CUT_OFF), end


@njit(cache=True)
def _behindPoint(source: Source, place: np.int64, end: np.int64, link: np.int64) -> np.int64:
    """PPP: in HDLC-like framing or without, or on a serial line."""
    if link == _PPP_SERIAL or (end - place >= 2 and load16(source, place) == 0xFF03):
        place += 2
    if place + 2 >= end:
        return np.int64(CUT_OFF)
    protocol = load16(source, place)
    if protocol == _PPP_MPLS:
        return _skipLabels(source, place + 2, end)
    return place + 2 if protocol in (_PPP_IP4, _PPP_IP6) else np.int64(NOT_IP)


@njit(cache=True)
def _behindLog(source: Source, place: np.int64, end: np.int64) -> np.int64:
    """NFLOG: a header, then attributes in the capturing machine's byte order (little), of which one is the packet."""
    if place + 4 >= end:
        return np.int64(CUT_OFF)
    family, version = load8(source, place), load8(source, place + 1)
    if version != 0 or (family != 2 and family != 10):
        return np.int64(NOT_IP)
    place += 4
    while place + 4 < end:
        size, kind = loadLittle16(source, place), loadLittle16(source, place + 2)
        if kind == _PAYLOAD_ATTRIBUTE:
            return place + 4
        if size < 4:
            return np.int64(NOT_IP)
        place += (size + 3) & ~3
    return np.int64(CUT_OFF)


@njit(cache=True)
def _behindCooked(source: Source, base: np.int64, end: np.int64, link: np.int64) -> np.int64:
    """Linux cooked capture, both versions."""
    header = 16 if link == _SLL else 20
    if end - base < header:
        return np.int64(CUT_OFF)
    kind = load16(source, base + 14 if link == _SLL else base)
    return base + header if kind in (_IP4, _IP6) else np.int64(NOT_IP)


@njit(cache=True)
def _behindNull(source: Source, base: np.int64, end: np.int64) -> np.int64:
    """BSD loopback: an address family, which Zeek reads as little-endian whatever machine captured."""
    if end - base < 4:
        return np.int64(CUT_OFF)
    family = loadLittle32(source, base)
    known = family == 2 or family == 24 or family == 28 or family == 30
    return base + 4 if known else np.int64(NOT_IP)


@njit(cache=True)
def _behindRadio(source: Source, base: np.int64, end: np.int64, link: np.int64) -> np.int64:
    """802.11, with or without radiotap: the SNAP header of a data frame that is not encrypted holds an EtherType."""
    if link == _RADIOTAP:
        base = behindRadiotap(source, base, end)
    place = behindWireless(source, base, end) if base >= 0 else base
    if place < 0:
        return np.int64(NOT_IP if place == NO_DATA else CUT_OFF)
    if place + 8 > end:
        return np.int64(CUT_OFF)
    place = _behindControl(source, place, end)
    if place < 0:
        return place
    kind = load16(source, place)
    return place + 2 if kind in (_IP4, _IP6) else np.int64(NOT_IP)


@njit(cache=True)
def findNetwork(
    source: Source, base: np.int64, end: np.int64, link: np.int64, record: Any
) -> tuple[np.int64, np.int64]:
    """
    Where the IP header of the frame in C{source[base:end]} begins, or L{NOT_IP} or L{CUT_OFF}; and where the frame ends
    by its own length fields, at C{end} at the latest.

    Fills in the VLAN fields.  The frame is taken to lie in C{source}.  The position may be the end: the caller checks
    for room.
    """
    if link == _ETHERNET:
        if end - base <= 16:
            return np.int64(CUT_OFF), end
        return _unwrap(source, base + 12, end, record)
    if link in (_SLL, _SLL2):
        return _behindCooked(source, base, end, link), end
    if link == _NULL:
        return _behindNull(source, base, end), end
    if link in (_PPP, _PPP_SERIAL):
        return _behindPoint(source, base, end, link), end
    if link in (_WIRELESS, _RADIOTAP):
        return _behindRadio(source, base, end, link), end
    if link == _NFLOG:
        return _behindLog(source, base, end), end
    if link == _FDDI:
        return base + _FDDI_HEADER if end - base >= _FDDI_HEADER else np.int64(CUT_OFF), end
    return base, end
