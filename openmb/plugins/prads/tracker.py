"""
Connections and hosts, and what comes of packets: kernels follow them, Python does what they leave to it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.interfaces import Failed
from openmb.packets.batch import PacketBatch
from openmb.packets.loads import plainArrays
from openmb.plugins.prads import decoding, following
from openmb.plugins.prads.announcing import Announcer
from openmb.plugins.prads.connections import connectionLines, endOrder, endStatuses
from openmb.plugins.prads.following import CLIENT, CLIENT_MATCHED, CLIENT_NAMED, SERVER_MATCHED, SERVER_NAMED
from openmb.plugins.prads.hosts import TCP, UDP, Hosts
from openmb.plugins.prads.output import Output, cardLine, serviceLine, systemLine
from openmb.plugins.prads.payloads import Payloads
from openmb.plugins.prads.records import ROW
from openmb.plugins.prads.signatures.fingerprint import Check
from openmb.plugins.prads.signatures.ports import TCP_PORTS, UDP_PORTS
from openmb.plugins.prads.signatures.services import ServiceMatcher
from openmb.plugins.prads.signatures.tables import Signatures
from openmb.plugins.prads.statistics import Counter
from openmb.plugins.prads.tasks import SECOND, TASK, TASKS_PER_PACKET, Due, What, dueTasks
from openmb.state.table import FlowTable

_decode: Any = decoding.decodePackets
_follow: Any = following.followPackets
_keys: Any = following.flowKeysOf
#: Looking up a member of an enumeration costs, before Python 3.12, as much as a call.
_NEW, _SYSTEM, _PAYLOAD, _HIT, _ARP = (int(one) for one in (What.NEW, What.SYSTEM, What.PAYLOAD, What.HIT, What.ARP))
_TCP_OS = int(Counter.TCP_OS)
_NONE = np.zeros(0, np.uint64)
_UNKNOWN = b"unknown"
_NOBODY = b"unknown:unknown"


def _portBits() -> NDArray[np.uint8]:
    bits = np.zeros(65536, np.uint8)
    bits[list(TCP_PORTS)] |= np.uint8(1)
    bits[list(UDP_PORTS)] |= np.uint8(2)
    return bits


_PORTS = _portBits()


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What packets are looked at for, the same for all trackers of a middlebox.

    @ivar does: L{openmb.plugins.prads.tasks.Does} bits.
    @ivar homes: L{openmb.plugins.prads.homenets.HOMES}C{[h]}.
    """

    signatures: Signatures
    servers: ServiceMatcher
    clients: ServiceMatcher
    datagrams: ServiceMatcher
    does: int
    homes: NDArray[Any]

    @classmethod
    def of(cls, signatures: Signatures, does: int, homes: NDArray[Any]) -> Rules:
        """The rules, with their expressions compiled."""
        texts = signatures.servers, signatures.clients, signatures.datagrams
        servers, clients, datagrams = (ServiceMatcher(each) for each in texts)
        return cls(signatures, servers, clients, datagrams, int(does), homes)


class Tracker:
    """
    Connections, hosts and counters, and what comes of packets.

    @param maximum: connections at most.
    @param maximumHosts: hosts at most.
    @param output: None: nothing is written.
    """

    def __init__(self, rules: Rules, maximum: int, maximumHosts: int, output: Output | None) -> None:
        self.table = FlowTable(ROW, maximum=maximum)
        self.hosts = Hosts(maximumHosts)
        self.counters = np.zeros(len(Counter), np.int64)
        self.rules, self._output = rules, output
        self._signatures = rules.signatures
        self.announcer = Announcer()
        self._payloads = Payloads()
        self._tasks = np.zeros(0, TASK)
        self._failed: list[Failed] = []

    def process(
        self,
        packets: PacketBatch,
        births: NDArray[np.uint64] | None = None,
        makeRoom: Callable[[int], None] | None = None,
    ) -> NDArray[np.uint64]:
        """
        Apply packets in order, as many at once as there may be new hosts.

        @param births: marks for new connections; None: 0.
        @param makeRoom: ends so many connections when the table is full.
        @return: C{uint64[n]}, the mark of each packet's connection.
        @raise OperationError: C{BUFFER_FULL}, the table is full and no room can be made.
        """
        step = min(max(self.hosts.maximum // 2, 1), max(self.table.maximum // 2, 1))
        if len(packets) <= step:
            return self._process(packets, births, makeRoom)
        marks = np.zeros(len(packets), np.uint64)
        for start in range(0, len(packets), step):
            part = slice(start, start + step)
            marks[part] = self._process(packets.select(part), births if births is None else births[part], makeRoom)
        return marks

    def _process(
        self, packets: PacketBatch, births: NDArray[np.uint64] | None, makeRoom: Callable[[int], None] | None
    ) -> NDArray[np.uint64]:
        data, offsets, lengths, wire, stamps = plainArrays(packets)
        found = np.zeros(len(packets), decoding.FOUND)
        _decode(data, offsets, lengths, wire, stamps, self.counters, self.rules.homes, found)
        self._payloads.begin(data, offsets, lengths)
        texts = self._searchDatagrams(found)
        if makeRoom is not None and self.table.room < len(packets):
            makeRoom(len(packets) - self.table.room)
        self.table.reserve(len(packets))
        self.hosts.reserve(len(packets))
        born = _NONE if births is None else births
        if len(self._tasks) < TASKS_PER_PACKET * len(packets):
            self._tasks = np.zeros(TASKS_PER_PACKET * len(packets), TASK)
        place = 0
        while place < len(packets):
            place, count = _follow(
                *(data, stamps, found, place, born, self.rules.does, self.counters),
                *(self.table.arrays, self.table.rows, self.hosts.table.arrays, self.hosts.table.rows),
                *(self.hosts.seen.arrays, *self._signatures.systems, _PORTS, self._tasks),
            )
            self._perform(self._tasks[:count], data, found, stamps, texts)
        marks = np.zeros(len(packets), np.uint64)
        tracked = found["slot"] >= 0
        marks[tracked] = self.table.marks[found["slot"][tracked]]
        return marks

    def _searchDatagrams(self, found: NDArray[Any]) -> dict[int, bytes]:
        """Search datagrams for signatures: C{hit} says which was found, the result the application texts."""
        wanted = np.flatnonzero((found["kind"] == UDP) & (found["home"] != 0) & (found["four"] != 0))
        left = found["left"][wanted]
        broken = wanted[left < 0]
        wanted = wanted[left >= following.LEAST_UDP]
        texts = {}
        payloads = self._payloads.texts(wanted, found["payload"][wanted], found["left"][wanted].astype(np.int64))
        for place, (line, text) in self.rules.datagrams.match(payloads).items():
            found["hit"][wanted[place]] = line + 1
            texts[int(wanted[place])] = text
        if self._signatures.datagrams:
            # to the real program an error of the search is a match
            first = self._signatures.datagrams[0].template
            for place in broken.tolist():
                found["hit"][place] = 1
                texts[place] = first
        return texts

    def _perform(
        self,
        tasks: NDArray[Any],
        data: NDArray[np.uint8],
        found: NDArray[Any],
        stamps: NDArray[np.int64],
        texts: dict[int, bytes],
    ) -> None:
        """Do the tasks, in order."""
        whats = tasks["what"]
        payloads = np.flatnonzero(whats == _PAYLOAD)
        hits = self._searchPayloads(tasks, payloads)
        isDue = (whats != _PAYLOAD) & (whats != _NEW)
        isDue[payloads] = tasks["known"][payloads] != 0
        isDue[list(hits)] = True
        if self._output is not None:
            self._begin(tasks[whats == _NEW], found, stamps)
        for due in dueTasks(tasks, np.flatnonzero(isDue), found, stamps):
            try:
                if due.what == _PAYLOAD:
                    self._payload(due, hits.get(due.place))
                elif due.what == _SYSTEM:
                    self._system(due, tasks["print"][due.place])
                elif due.what == _ARP:
                    self._card(due, data, found[due.packet])
                else:
                    self._datagram(due, texts.get(due.packet))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other packets must not suffer for it
                where = traceback.extract_tb(error.__traceback__)[-1]
                self._failed.append(Failed(due.packet, f"{error!r} at {where.name}:{where.lineno}"))
        self.table.rows["pending"][tasks["slot"][payloads]] = 0

    def _searchPayloads(self, tasks: NDArray[Any], places: NDArray[np.intp]) -> dict[int, tuple[bytes, bytes]]:
        """
        Service and application text for each place among the tasks where a signature was found; of a connection's and
        role's only the first, nobody looks at the others.
        """
        hits = {}
        roles = tasks["role"][places]
        for matcher, signatures, chosen in (
            (self.rules.clients, self._signatures.clients, places[roles == CLIENT]),
            (self.rules.servers, self._signatures.servers, places[roles != CLIENT]),
        ):
            some = tasks[chosen]
            answers = matcher.match(self._payloads.texts(some["packet"], some["begin"], some["length"]))
            met: set[int] = set()
            for place, slot in zip(answers, some["slot"][list(answers)].tolist(), strict=True):
                if slot not in met:
                    met.add(slot)
                    line, text = answers[place]
                    hits[int(chosen[place])] = signatures[line].service, text
        return hits

    def takeFailed(self) -> tuple[Failed, ...]:
        """What was thrown since the last call."""
        failed, self._failed = tuple(self._failed), []
        return failed

    def keysOf(self, packets: PacketBatch) -> NDArray[np.uint64]:
        """The native keys of packets' connections, C{uint64[n, 5]}; zeros for those that have none."""
        data, offsets, lengths, wire, stamps = plainArrays(packets)
        found = np.zeros(len(packets), decoding.FOUND)
        _decode(data, offsets, lengths, wire, stamps, np.zeros_like(self.counters), self.rules.homes, found)
        keys = np.zeros((len(packets), 5), np.uint64)
        _keys(found, keys)
        return keys

    def _begin(self, tasks: NDArray[Any], found: NDArray[Any], stamps: NDArray[np.int64]) -> None:
        """Write the lines of connections that have begun."""
        assert self._output is not None
        of, slots = found[tasks["packet"]], tasks["slot"]
        rows = np.zeros(len(tasks), ROW)
        rows["number"] = tasks["number"]
        rows["start"] = rows["last"] = stamps[tasks["packet"]] // SECOND
        rows["packets"][:, 0], rows["bytes"][:, 0], rows["flags"][:, 0] = 1, of["size"], of["flags"]
        keys = self.table.flowKeys(slots)
        isFirst = (keys["a_high"] == of["high"]) & (keys["a_low"] == of["low"]) & (keys["a_port"] == of["near"])
        rows["swapped"] = ~isFirst
        self._output.connections.write(connectionLines(keys, rows, ["New"] * len(tasks)))

    def _system(self, due: Due, found: np.void) -> None:
        check = Check(due.check)
        self.counters[_TCP_OS] += 1
        self.hosts.show(due.host, due.check, due.line)
        if self._output is not None:
            name = _NOBODY
            if due.line >= 0:
                system = self._signatures.named[due.check][due.line]
                name = system.name + b":" + system.details
            self._output.assets.write(systemLine(due.address, due.vlan, due.port, check, found, name, due.now))
            self.announcer.system(due.hostKey, due.vlan, due.now * SECOND, check.name, due.line, name)

    def _payload(self, due: Due, hit: tuple[bytes, bytes] | None) -> None:
        checks = self.table.rows["check"]
        known = int(checks[due.slot])
        matched, named = (CLIENT_MATCHED, CLIENT_NAMED) if due.role == CLIENT else (SERVER_MATCHED, SERVER_NAMED)
        if known & matched:
            return
        if hit is not None:
            checks[due.slot] = known | matched
            self._serve(due, (due.port, TCP), *hit)
        elif not known & named:
            checks[due.slot] = known | named
            self._serve(due, (due.port, TCP), _UNKNOWN, TCP_PORTS[due.port])

    def _datagram(self, due: Due, text: bytes | None) -> None:
        if due.what == _HIT:
            name = self._signatures.datagrams[due.line].service
            port = due.port if due.role else due.near
            self._serve(due, (port, UDP), name, text or b"")
        else:
            self._serve(due, (due.port, UDP), _UNKNOWN, UDP_PORTS[due.port])

    def _serve(self, due: Due, key: tuple[int, int], name: bytes, application: bytes) -> None:
        service = self.hosts.serve(due.host, key, name, application, due.role, due.ttl, due.now, self.counters)
        if service is not None and self._output is not None:
            self._output.assets.write(serviceLine(due.address, due.vlan, key, service, due.now))
            self.announcer.service(due.hostKey, due.vlan, due.now * SECOND, key, service)

    def _card(self, due: Due, data: NDArray[np.uint8], one: np.void) -> None:
        host = self.hosts.at(due.host)
        begin = int(one["network"]) + 8
        card = data[begin : min(begin + 6, int(one["stop"]))].tobytes().ljust(6, b"\0")
        if card == host.card:
            return
        if host.vendor is None:
            host.vendor = self._signatures.vendors.find(card)
        host.card = card
        self.hosts.touch(host)
        if self._output is not None:
            self._output.assets.write(cardLine(due.address, due.port, card, host.vendor, due.now))
            self.announcer.card(due.hostKey, due.port, due.now * SECOND, card, host.vendor)

    def end(self, slots: NDArray[np.int64]) -> None:
        """The connections in C{slots} end, in the real program's order."""
        if self._output is not None:
            slots = slots[endOrder(self.table.flowKeys(slots), self.table.rows[slots])]
            keys, rows = self.table.flowKeys(slots), self.table.rows[slots]
            self._output.connections.write(connectionLines(keys, rows, endStatuses(keys, rows)))
        self.table.remove(slots)
