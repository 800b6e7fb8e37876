"""
When a record ends: a function of its own packets' times alone.

Zeek's timers are taken as exact instants. A packet at or after L{removalTime} finds the record gone, whenever anybody
looked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth
from openmb.plugins.bro.tracking.states import (
    ATTEMPT_DELAY,
    CHECK_INTERVAL,
    DNS_CHECK,
    DNS_IDLE,
    FIRST_CHECK,
    INACTIVE,
    LINGER,
    NEVER,
    RESET,
    SERVICE_DNS,
    SYN_ACK_SENT,
    SYN_SENT,
)


@njit(**INNER)
def _checkAfter(first: Number, interval: Number, earliest: Number) -> Number:
    """The first of the instants C{first}, C{first + interval}, ... that is not before C{earliest}."""
    if earliest <= first:
        return first
    return first + (earliest - first + interval - 1) // interval * interval


@njit(**INNER)
def _isWaitingToEnd(row: Any) -> Truth:
    """Would an expire check remove this TCP connection once it is idle?"""
    first, second = row["state"][0], row["state"][1]
    if row["didClose"][0] or row["didClose"][1]:
        if row["didClose"][0] and row["didClose"][1]:
            return True
        return first in (RESET, INACTIVE) or second in (RESET, INACTIVE)
    return first == INACTIVE and second == INACTIVE


@njit(**INNER)
def _checkedRemoval(row: Any) -> Number:
    """When attempt timer or expire checks remove a TCP connection that has not closed completely."""
    removal = np.int64(NEVER)
    state = row["state"][0]
    if row["attempt"] != NEVER and row["state"][1] == INACTIVE and (state in (SYN_SENT, SYN_ACK_SENT)):
        removal = np.int64(row["attempt"]) + ATTEMPT_DELAY
    if _isWaitingToEnd(row):
        idle = np.int64(row["last"]) + LINGER + 1
        removal = min(removal, _checkAfter(np.int64(row["start"]) + FIRST_CHECK, CHECK_INTERVAL, idle))
        if row["partialClose"] != NEVER:
            first = np.int64(row["partialClose"]) + CHECK_INTERVAL
            removal = min(removal, _checkAfter(first, CHECK_INTERVAL, idle))
    return removal


@njit(**INNER)
def removalTime(row: Any) -> Number:
    """When this record ends if no packet comes, in microseconds."""
    removal = np.int64(row["last"]) + np.int64(row["timeout"])
    if row["analyzer"] == SERVICE_DNS and not row["tcp"]:
        idle = np.int64(row["last"]) + DNS_IDLE
        return min(removal, _checkAfter(np.int64(row["start"]) + DNS_CHECK, DNS_CHECK, idle))
    if row["deadline"] != NEVER:
        return min(removal, np.int64(row["deadline"]))
    if row["tcp"] and not row["finished"]:
        return min(removal, _checkedRemoval(row))
    return removal


@njit(cache=True)
def isExpired(row: Any, now: Number) -> Truth:
    """Has this record ended at C{now}?"""
    if now < np.int64(row["last"]) + LINGER and row["deadline"] == NEVER and row["attempt"] == NEVER:
        return False
    return now >= removalTime(row)


@njit(cache=True)
def expiredSlots(rows: Any, used: NDArray[np.uint8], start: Number, now: Number, slots: NDArray[np.int64]) -> Number:
    """Fill C{slots} with the used slots from C{start} on whose record has ended at C{now}; how many."""
    count = 0
    for slot in range(start, len(used)):
        if used[slot] and removalTime(rows[slot]) <= now:
            if count == len(slots):
                break
            slots[count] = slot
            count += 1
    return count
