"""
The kernel that follows connections and hosts, and decides what Python has to look at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.prads.decoding import ARP, GRE, NOTHING
from openmb.plugins.prads.signatures.fingerprint import Check, number, readFingerprint
from openmb.plugins.prads.signatures.tcp import matchFingerprint
from openmb.plugins.prads.statistics import Counter
from openmb.plugins.prads.tasks import SECOND, TASKS_PER_PACKET, Does, What
from openmb.state.slots import COUNT, findSlot, insertKey

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
CLIENT, SERVER = 1, 2
#: Bits of C{check}: a payload matched; the port alone was looked up.
SERVER_MATCHED, CLIENT_MATCHED, SERVER_NAMED, CLIENT_NAMED = 4, 8, 16, 32
#: Payload of TCP that is searched, and what is too little of TCP and UDP.
SEARCHED, LEAST_TCP, LEAST_UDP = 600, 10, 5
_SYN_CHECK, _SYNACK_CHECK, _FIN_CHECK, _RST_CHECK, _ACK_CHECK = (int(each) for each in Check)
_DO_SYN, _DO_SYNACK, _DO_FIN, _DO_RST, _DO_ACK, _DO_SERVERS, _DO_CLIENTS, _DO_UDP, _DO_MAC = (int(one) for one in Does)
_NEW, _SYSTEM, _PAYLOAD, _HIT, _PORT, _ARP_REPLY = (int(one) for one in What)


@njit(cache=True)
def flowKey(one: Any, key: Any) -> Any:
    """The native key of a packet's connection; is its source endpoint a?"""
    high, low, high2, low2 = one["high"], one["low"], one["high2"], one["low2"]
    near, far = np.uint64(one["near"]), np.uint64(one["far"])
    forward = high < high2 or (high == high2 and (low < low2 or (low == low2 and near <= far)))
    rest = np.uint64(one["kind"]) << np.uint64(32)
    if not one["four"] and high == 0 and high2 == 0:
        rest |= np.uint64(1) << np.uint64(48)
    if forward:
        key[0], key[1], key[2], key[3] = high, low, high2, low2
        key[4] = rest | near | (far << np.uint64(16))
    else:
        key[0], key[1], key[2], key[3] = high2, low2, high, low
        key[4] = rest | far | (near << np.uint64(16))
    return forward


@njit(cache=True)
def flowKeysOf(found: Any, keys: Any) -> None:
    """L{flowKey} of each packet that has a connection, into C{keys: uint64[n, 5]}."""
    for i in range(len(found)):
        kind = found[i]["kind"]
        if kind != NOTHING and kind != ARP and kind != GRE:
            flowKey(found[i], keys[i])


@njit(cache=True)
def _turn(row: Any) -> None:
    """Client and server change places, and nothing is known of their payload."""
    row["swapped"] = 1 - row["swapped"]
    row["packets"][0], row["packets"][1] = row["packets"][1], row["packets"][0]
    row["bytes"][0], row["bytes"][1] = row["bytes"][1], row["bytes"][0]
    row["flags"][0], row["flags"][1] = row["flags"][1], row["flags"][0]
    row["check"] = 0


@njit(cache=True)
def _connection(one: Any, i: Any, seconds: Any, counters: Any, table: Any, rows: Any, key: Any, task: Any) -> Any:
    """Update a packet's connection: its slot, the role of the packet's sender, and whether it is new."""
    forward = flowKey(one, key)
    slot = insertKey(table, key)
    row = rows[slot]
    side, role = 0, 0
    isNew = row["number"] == 0
    if isNew:
        counters[Counter.SESSIONS] += 1
        counters[Counter.NUMBER] += 1
        row["number"] = counters[Counter.NUMBER]
        row["start"] = seconds
        row["swapped"] = not forward
        task["what"] = _NEW
        task["packet"] = i
        task["number"] = row["number"]
        task["slot"] = slot
    else:
        same = key[0] == key[2] and key[1] == key[3] and one["near"] == one["far"]
        side = 0 if same or forward == (row["swapped"] == 0) else 1
        role = side + 1
    row["last"] = seconds
    row["packets"][side] += np.uint64(1)
    row["bytes"][side] += np.uint64(one["size"])
    row["flags"][side] |= np.uint8(one["flags"])
    return slot, role, isNew


@njit(cache=True)
def seeHost(one: Any, seconds: Any, counters: Any, hosts: Any, hostRows: Any, key: Any) -> Any:
    """The slot of a packet's sender among the hosts, who was seen now."""
    key[0], key[1] = one["high"], one["low"]
    known = hosts.counts[COUNT]
    host = insertKey(hosts, key)
    row = hostRows[host]
    if hosts.counts[COUNT] != known:
        counters[Counter.ASSETS] += 1
        row["first"] = seconds
        row["vlan"] = one["vlan"]
    row["last"] = seconds
    if one["kind"] != ARP:
        row["vlan"] = one["vlan"]
    return host


@njit(cache=True)
def _seeSystem(
    data: Any, one: Any, check: Any, host: Any, seen: Any, signatures: Any, starts: Any, key: Any, task: Any
) -> Any:
    """Does this packet's fingerprint, if it has one, tell something new of its sender?  Then C{task} has it."""
    made = task["print"]
    if not readFingerprint(data, one["network"], one["transport"], one["stop"], one["end"], one["four"], check, made):
        return False
    line = matchFingerprint(signatures, starts, check, made)
    key[0] = np.uint64(host)
    key[1] = np.uint64(check) << np.uint64(32) | np.uint64(line + 1)
    known = seen.counts[COUNT]
    insertKey(seen, key)
    if seen.counts[COUNT] == known:
        return False
    task["what"] = _SYSTEM
    task["check"] = check
    task["line"] = line
    task["port"] = one["near"]
    return True


@njit(cache=True)
def _tcpCheck(flags: Any, role: Any, does: Any) -> Any:
    """Which fingerprint a packet of TCP shows that is neither SYN nor SYN-ACK; -1 for none."""
    if role == 0:
        return -1
    if does & _DO_ACK and flags & _ACK and not flags & (_SYN | _RST | _FIN):
        return _ACK_CHECK
    if flags & _FIN:
        return _FIN_CHECK if does & _DO_FIN else -1
    if flags & _RST:
        return _RST_CHECK if does & _DO_RST else -1
    return -1


@njit(cache=True)
def _payload(one: Any, row: Any, role: Any, does: Any, ports: Any, task: Any) -> Any:
    """Is payload of TCP to be searched?"""
    if role == CLIENT:
        matched, named, port = CLIENT_MATCHED, CLIENT_NAMED, one["far"]
        wanted = does & _DO_CLIENTS
    else:
        matched, named, port = SERVER_MATCHED, SERVER_NAMED, one["near"]
        wanted = does & _DO_SERVERS
    left = np.int64(one["left"])
    # a negative length is, to the real program, a very large one
    if not wanted or row["check"] & matched or 0 <= left < LEAST_TCP:
        return False
    there = max(left, 0)
    task["what"] = _PAYLOAD
    task["role"] = role
    task["port"] = port
    task["begin"] = one["payload"]
    task["length"] = there if role == CLIENT and not one["four"] else min(there, SEARCHED)
    # if the first such payload has no signature its port is named, and no other's is; if it has one, none is looked at
    task["known"] = ports[port] & 1 != 0 and not (row["check"] | row["pending"]) & named
    row["pending"] |= named
    return True


@njit(cache=True)
def _datagram(one: Any, row: Any, role: Any, ports: Any, task: Any) -> Any:
    """Does a datagram tell of a service?"""
    near, far = one["near"], one["far"]
    if far == 53:
        role = CLIENT
    elif near == 53:
        role = SERVER
    if 0 <= one["left"] < LEAST_UDP:
        return False
    task["what"] = _PORT
    if one["hit"]:
        row["check"] |= SERVER_MATCHED
        task["what"] = _HIT
        task["line"] = one["hit"] - 1
    elif role:
        named = CLIENT_NAMED if role == CLIENT else SERVER_NAMED
        service, other = (far, near) if role == CLIENT else (near, far)
        if row["check"] & named or not (ports[service] | ports[other]) & 2:
            return False
        if not ports[service] & 2:
            _turn(row)
            role = CLIENT + SERVER - role
        row["check"] |= named
    else:
        return False
    task["role"] = role
    task["port"] = far if role == CLIENT else near
    return True


@njit(cache=True)
def followPackets(
    data: Any,
    stamps: Any,
    found: Any,
    first: Any,
    births: Any,
    does: Any,
    counters: Any,
    table: Any,
    rows: Any,
    hosts: Any,
    hostRows: Any,
    seen: Any,
    signatures: Any,
    starts: Any,
    ports: Any,
    tasks: Any,
) -> tuple[Any, Any]:
    """
    Follow packets from C{first} on, until the end or until Python must do its tasks before the next packet.

    There is room for a connection, a host and a fingerprint for each packet.

    @param found: L{openmb.plugins.prads.decoding.FOUND}C{[n]}, filled.
    @param births: marks for new connections, C{uint64[n]}, or empty for none.
    @param does: L{Does} bits.
    @param ports: C{uint8[65536]}, 1: has a name for TCP, 2: for UDP.
    @param tasks: L{openmb.plugins.prads.tasks.TASK}C{[t]}, all zeros; filled.
    @return: the packet to go on with, and how many tasks there are.
    """
    key, pair = np.zeros(5, np.uint64), np.zeros(2, np.uint64)
    count = 0
    for i in range(first, len(found)):
        if count + TASKS_PER_PACKET > len(tasks):
            return i, count
        one = found[i]
        kind = one["kind"]
        seconds = stamps[i] // SECOND
        if kind == NOTHING:
            continue
        if kind == ARP:
            if does & _DO_MAC and one["home"] and number(data, one["network"] + 6, one["stop"], 2) == 2:
                task = tasks[count]
                task["what"] = _ARP_REPLY
                task["packet"] = i
                task["slot"] = -1
                host = seeHost(one, seconds, counters, hosts, hostRows, pair)
                task["host"] = host
                task["port"] = hostRows[host]["vlan"]
                count += 1
            continue
        if kind == GRE:
            seeHost(one, seconds, counters, hosts, hostRows, pair)
            continue
        flags = np.int64(one["flags"])
        isTurning = kind == 6 and flags & _SYN and flags & _ACK and does & _DO_SYNACK and one["home"]
        if isTurning:
            flowKey(one, key)
            slot = findSlot(table, key)
            if slot >= 0 and rows[slot]["pending"]:
                # what was found in its payload must be noted before client and server change places
                return i, count
        slot, role, isNew = _connection(one, i, seconds, counters, table, rows, key, tasks[count])
        one["slot"] = slot
        if isNew and len(births):
            table.marks[slot] = births[i]
        count += isNew
        if not one["home"] or (kind == 0 and not one["four"]):
            continue
        host = seeHost(one, seconds, counters, hosts, hostRows, pair)
        row = rows[slot]
        known = count
        if kind == 17:
            if does & _DO_UDP:
                count += _datagram(one, row, role, ports, tasks[count])
        elif kind == 6:
            check = -1
            if flags & _SYN and not flags & _ACK and does & _DO_SYN:
                check = _SYN_CHECK
            elif isTurning:
                check = _SYNACK_CHECK
                if role != SERVER:
                    _turn(row)
            elif role:
                count += _payload(one, row, role, does, ports, tasks[count])
                check = _tcpCheck(flags, role, does)
            if check >= 0:
                count += _seeSystem(data, one, check, host, seen, signatures, starts, pair, tasks[count])
        for place in range(known, count):
            tasks[place]["packet"] = i
            tasks[place]["host"] = host
            tasks[place]["slot"] = slot
    return len(found), count
