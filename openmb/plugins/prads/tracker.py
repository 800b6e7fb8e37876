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
from openmb.plugins.prads.connections import connectionLine, endOrder, endStatus
from openmb.plugins.prads.following import CLIENT, CLIENT_MATCHED, CLIENT_NAMED, SERVER_MATCHED, SERVER_NAMED
from openmb.plugins.prads.hosts import TCP, UDP, Hosts
from openmb.plugins.prads.output import Output, addressText, cardLine, serviceLine, systemLine
from openmb.plugins.prads.payloads import Payloads
from openmb.plugins.prads.records import ROW
from openmb.plugins.prads.signatures.fingerprint import Check
from openmb.plugins.prads.signatures.ports import TCP_PORTS, UDP_PORTS
from openmb.plugins.prads.signatures.services import ServiceMatcher
from openmb.plugins.prads.signatures.tables import Signatures
from openmb.plugins.prads.statistics import Counter
from openmb.plugins.prads.tasks import TASK, TASKS_PER_PACKET, What
from openmb.state.table import FlowTable

_decode: Any = decoding.decodePackets
_follow: Any = following.followPackets
_keys: Any = following.flowKeysOf
_NONE = np.zeros(0, np.uint64)
SECOND = 1_000_000_000
_UNKNOWN = b"unknown"
_NOBODY = b"unknown:unknown"


def _portBits() -> NDArray[np.uint8]:
    bits = np.zeros(65536, np.uint8)
    bits[list(TCP_PORTS)] |= np.uint8(1)
    bits[list(UDP_PORTS)] |= np.uint8(2)
    return bits


def _hostKey(one: np.void) -> bytes:
    """The native key of a packet's sender."""
    return np.array([one["high"], one["low"]], np.uint64).tobytes()


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

    @param output: None: nothing is written.
    """

    def __init__(self, rules: Rules, maximum: int, output: Output | None) -> None:
        self.table = FlowTable(ROW, maximum=maximum)
        self.hosts = Hosts()
        self.counters = np.zeros(len(Counter), np.int64)
        self.rules, self._output = rules, output
        self._signatures = rules.signatures
        self.announcer = Announcer()
        self._ports = _portBits()
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
        Apply packets in order.

        @param births: marks for new connections; None: 0.
        @param makeRoom: ends so many connections when the table is full.
        @return: C{uint64[n]}, the mark of each packet's connection.
        @raise OperationError: C{BUFFER_FULL}, the table is full and no room can be made.
        """
        data, offsets, lengths, wire, stamps = plainArrays(packets)
        found = np.zeros(len(packets), decoding.FOUND)
        _decode(data, offsets, lengths, wire, stamps, self.counters, self.rules.homes, found)
        self._payloads.begin(data, offsets, lengths.astype(np.int64))
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
                *(self.hosts.seen.arrays, *self._signatures.systems, self._ports, self._tasks),
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
        payloads = self._payloads.texts(
            wanted.tolist(), found["payload"][wanted].tolist(), found["left"][wanted].tolist()
        )
        for place, hit in zip(wanted.tolist(), self.rules.datagrams.match(payloads), strict=True):
            if hit is not None:
                found["hit"][place] = hit[0] + 1
                texts[place] = hit[1]
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
        payloads = np.flatnonzero(tasks["what"] == What.PAYLOAD)
        hits = self._searchPayloads(tasks, payloads)
        done = tasks["what"] != What.PAYLOAD
        done[payloads] = tasks["known"][payloads] != 0
        done[list(hits)] = True
        for place in np.flatnonzero(done).tolist():
            task = tasks[place]
            packet = int(task["packet"])
            now = int(stamps[packet]) // SECOND
            what = task["what"]
            try:
                if what == What.SYSTEM:
                    self._system(task, found[packet], now)
                elif what == What.PAYLOAD:
                    self._payload(task, hits.get(place), found[packet], now)
                elif what == What.NEW:
                    self._begun(task, found[packet], now)
                elif what == What.ARP:
                    self._card(task, data, found[packet], now)
                else:
                    self._datagram(task, texts.get(packet), found[packet], now)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other packets must not suffer for it
                where = traceback.extract_tb(error.__traceback__)[-1]
                self._failed.append(Failed(packet, f"{error!r} at {where.name}:{where.lineno}"))
        self.table.rows["pending"][tasks["slot"][payloads]] = 0

    def _searchPayloads(self, tasks: NDArray[Any], places: NDArray[np.intp]) -> dict[int, tuple[bytes, bytes]]:
        """Service and application text for each place among the tasks where a signature was found."""
        hits = {}
        roles = tasks["role"][places]
        for matcher, signatures, chosen in (
            (self.rules.clients, self._signatures.clients, places[roles == CLIENT]),
            (self.rules.servers, self._signatures.servers, places[roles != CLIENT]),
        ):
            some = tasks[chosen]
            payloads = self._payloads.texts(some["packet"].tolist(), some["begin"].tolist(), some["length"].tolist())
            for place, hit in zip(chosen.tolist(), matcher.match(payloads), strict=True):
                if hit is not None:
                    hits[place] = signatures[hit[0]].service, hit[1]
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

    def _address(self, one: np.void) -> str:
        return addressText(int(one["high"]), int(one["low"]))

    def _begun(self, task: np.void, one: np.void, now: int) -> None:
        if self._output is None:
            return
        row = np.zeros(1, ROW)[0]
        row["number"], row["start"], row["last"] = task["number"], now, now
        row["packets"][0], row["bytes"][0], row["flags"][0] = 1, one["size"], one["flags"]
        slots = task["slot"] + np.zeros(1, np.int64)
        key = self.table.flowKeys(slots)[0]
        isFirst = (int(key["a_high"]), int(key["a_low"]), int(key["a_port"])) == (
            int(one["high"]),
            int(one["low"]),
            int(one["near"]),
        )
        row["swapped"] = not isFirst
        self._output.connections.write(f"{connectionLine(key, row, 'New')}\n".encode())

    def _system(self, task: np.void, one: np.void, now: int) -> None:
        check, line = Check(int(task["check"])), int(task["line"])
        self.counters[Counter.TCP_OS] += 1
        host = self.hosts.at(int(task["host"]))
        host.systems[int(check), line] = None
        host.revision += 1
        if self._output is not None:
            name = _NOBODY
            if line >= 0:
                system = self._signatures.named[check][line]
                name = system.name + b":" + system.details
            port, vlan = int(task["port"]), int(one["vlan"])
            self._output.assets.write(systemLine(self._address(one), vlan, port, check, task["print"], name, now))
            self.announcer.system(_hostKey(one), now * SECOND, check.name, line, name)

    def _payload(self, task: np.void, hit: tuple[bytes, bytes] | None, one: np.void, now: int) -> None:
        row, role = self.table.rows[task["slot"]], int(task["role"])
        matched, named = (CLIENT_MATCHED, CLIENT_NAMED) if role == CLIENT else (SERVER_MATCHED, SERVER_NAMED)
        if row["check"] & matched:
            return
        port = int(task["port"])
        if hit is not None:
            row["check"] |= matched
            self._serve(task, (port, TCP), *hit, one, now)
        elif not row["check"] & named:
            row["check"] |= named
            self._serve(task, (port, TCP), _UNKNOWN, TCP_PORTS[port], one, now)

    def _datagram(self, task: np.void, text: bytes | None, one: np.void, now: int) -> None:
        port = int(task["port"])
        if task["what"] == What.HIT:
            name = self._signatures.datagrams[int(task["line"])].service
            if not task["role"]:
                port = int(one["near"])
            self._serve(task, (port, UDP), name, text or b"", one, now)
        else:
            self._serve(task, (port, UDP), _UNKNOWN, UDP_PORTS[port], one, now)

    def _serve(
        self, task: np.void, key: tuple[int, int], name: bytes, application: bytes, one: np.void, now: int
    ) -> None:
        role = int(task["role"])
        service = self.hosts.serve(int(task["host"]), key, name, application, role, int(one["ttl"]), now, self.counters)
        if service is not None and self._output is not None:
            self._output.assets.write(serviceLine(self._address(one), int(one["vlan"]), key, service, now))
            self.announcer.service(_hostKey(one), now * SECOND, key, service)

    def _card(self, task: np.void, data: NDArray[np.uint8], one: np.void, now: int) -> None:
        host = self.hosts.at(int(task["host"]))
        begin = int(one["network"]) + 8
        card = data[begin : min(begin + 6, int(one["stop"]))].tobytes().ljust(6, b"\0")
        if card == host.card:
            return
        if host.vendor is None:
            host.vendor = self._signatures.vendors.find(card)
        host.card = card
        host.revision += 1
        if self._output is not None:
            self._output.assets.write(cardLine(self._address(one), int(task["port"]), card, host.vendor, now))
            self.announcer.card(_hostKey(one), now * SECOND, card, host.vendor)

    def end(self, slots: NDArray[np.int64]) -> None:
        """The connections in C{slots} end, in the real program's order."""
        if self._output is not None:
            keys, rows = self.table.flowKeys(slots), self.table.rows[slots]
            for place in endOrder(keys, rows).tolist():
                line = connectionLine(keys[place], rows[place], endStatus(keys[place], rows[place]))
                self._output.connections.write(f"{line}\n".encode())
        self.table.remove(slots)
