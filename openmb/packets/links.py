"""
Kernels for the link layer: where in a frame does the IP header begin?

Encapsulations are those that Zeek unwraps: VLAN tags (also nested), provider backbone bridges, VN-tags, MPLS, PPPoE
sessions, Cisco FabricPath, 802.3 with SNAP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.packets.batch import LinkType
from openmb.packets.loads import Source, load8, load16, load32

#: Instead of a position: nothing that engines look at; cut off or impossible.
NOT_IP = -1
CUT_OFF = -2

NO_VLAN = 0xFFFF
_NULL = int(LinkType.NULL)
_ETHERNET = int(LinkType.ETHERNET)
_SLL = int(LinkType.LINUX_SLL)
_SLL2 = int(LinkType.LINUX_SLL2)

_IP4 = 0x0800
_IP6 = 0x86DD
_VLAN = 0x8100
_SERVICE_VLAN = 0x88A8
_OLD_VLAN = 0x9100
_BACKBONE = 0x88E7
_VN_TAG = 0x8926
_MPLS = 0x8847
_MPLS_MULTICAST = 0x8848
_PPPOE = 0x8864
_FABRIC_PATH = 0x8903
_LOWEST_TYPE = 1536


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
def _unwrap(source: Source, place: np.int64, end: np.int64, record: Any) -> np.int64:
    """Behind all that stands between an EtherType, at C{place}, and the IP header.  Every turn goes forward."""
    while place + 2 <= end:
        kind = load16(source, place)
        place += 2
        if kind in (_IP4, _IP6):
            return place
        if kind in (_VLAN, _SERVICE_VLAN, _OLD_VLAN):
            if place + 4 > end:
                return np.int64(CUT_OFF)
            _noteVlan(load16(source, place), record)
            place += 2
        elif kind in (_MPLS, _MPLS_MULTICAST):
            return _skipLabels(source, place, end)
        elif kind == _PPPOE:
            if place + 8 > end:
                return np.int64(CUT_OFF)
            inner = load16(source, place + 6)
            return place + 8 if inner == 0x0021 or inner == 0x0057 else np.int64(NOT_IP)
        elif kind == _FABRIC_PATH:
            place += 14  # a tag, then an ordinary Ethernet header up to its type
        elif kind == _BACKBONE:
            place += 16
        elif kind == _VN_TAG:
            place += 4
        elif kind < _LOWEST_TYPE:
            # 802.3: the type was a length; SNAP with organisation 0 holds an EtherType again
            if place + 8 > end:
                return np.int64(CUT_OFF)
            if load32(source, place) != 0xAAAA0300 or load16(source, place + 4) != 0:
                return np.int64(NOT_IP)
            place += 6
        else:
            return np.int64(NOT_IP)
    return np.int64(CUT_OFF)


@njit(cache=True)
def findNetwork(source: Source, base: np.int64, end: np.int64, link: np.int64, record: Any) -> np.int64:
    """
    Where the IP header of the frame in C{source[base:end]} begins, or L{NOT_IP} or L{CUT_OFF}.

    Fills in the VLAN fields.  The frame is taken to lie in C{source}.  The position may be C{end}: the caller checks
    for room.
    """
    length = end - base
    if link == _ETHERNET:
        return _unwrap(source, base + 12, end, record) if length > 16 else np.int64(CUT_OFF)
    if link in (_SLL, _SLL2):
        header = 16 if link == _SLL else 20
        if length < header:
            return np.int64(CUT_OFF)
        kind = load16(source, base + 14 if link == _SLL else base)
        return base + header if kind in (_IP4, _IP6) else np.int64(NOT_IP)
    if link == _NULL:
        if length < 4:
            return np.int64(CUT_OFF)
        # the family is in the byte order of the machine that captured
        little = load16(source, base + 2) == 0
        family = load8(source, base) if little else load8(source, base + 3)
        zeros = load16(source, base + 1) if little else load32(source, base) >> 8
        known = family == 2 or family == 24 or family == 28 or family == 30
        return base + 4 if known and zeros == 0 else np.int64(NOT_IP)
    return base
