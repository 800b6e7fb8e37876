"""
What follows from the connections that have ended: notices, known hosts and services, counters.

Everything goes by finished records: each connection is reported exactly once, by whoever holds it in the end, so each
attempt counts exactly once too, wherever its packets went.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.login import Login
from openmb.plugins.bro.policies.failures import established, failedAttempts
from openmb.plugins.bro.policies.ledger import Changes, Counted, Fact, Ledger, Note
from openmb.plugins.bro.policies.logs import SUPPRESSED_FOR, Notice, PolicyLogs
from openmb.plugins.bro.policies.observations import SESSION, Address, Observation, Sort, Suspicion
from openmb.plugins.bro.policies.settings import Policy, PolicySettings
from openmb.plugins.bro.reporting.connections import addressText
from openmb.plugins.bro.reporting.locality import LocalNetworks
from openmb.state.origins import Tallies, originOf

_SECOND = 1_000_000
#: Microseconds after the end of its epoch for which a suspicion is kept: connections end late.
LATE = 900 * _SECOND
#: Microseconds after which a fact is logged again: Zeek's C{Known::host_store_expiry}.
FACT_LIFETIME = 86_400 * _SECOND
_POLICIES = {Sort.ADDRESS_SCAN: Policy.SCAN, Sort.PORT_SCAN: Policy.SCAN, Sort.GUESSING: Policy.GUESSING}
_TOKEN = struct.Struct("<3Q")  # an address, and what tells attempts on it apart
_SAMPLED = 5
_TCP, _UDP = 6, 17
_COUNTED_BY_PROTOCOL = {_TCP: Counted.TCP, _UDP: Counted.UDP, 1: Counted.ICMP, 58: Counted.ICMP}
#: What is distinct about a service: address, port and protocol, the first services.
_SERVICE = np.dtype([("address", "<u8", 2), ("port", "<u2"), ("protocol", "u1"), ("services", "u1", 4)])


class Policies:
    """
    The policies of one instance.

    @ivar own: what is known, and was counted, here or elsewhere.
    @ivar taken: what merges in progress have taken away.
    @ivar said: what was put out before a merge took it away: it belongs to the destination, and is not said again here.
    @ivar announce: takes notices as they are written; None: nobody.
    @ivar endured: takes what was thrown while state from elsewhere was judged, which is folded in all the same.
    """

    def __init__(self, settings: PolicySettings, local: LocalNetworks, logs: PolicyLogs) -> None:
        self.logs, self.own = logs, Ledger()
        self.taken: dict[int, Ledger] = {}
        self.said = Ledger()
        self.watches: dict[int, Changes] = {}
        self.announce: Callable[[list[Notice]], None] | None = None
        self.endured: Callable[[Exception], None] = _raised
        self._me, self._epoch = originOf("offline", bytes(16)), 0
        self.adjust(settings, local)

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{ISharedState}."""
        self._me = originOf(name, incarnation)

    def adjust(self, settings: PolicySettings, local: LocalNetworks) -> None:
        """Go by these from now on."""
        self.settings, self._local = settings, local

    # -- what comes

    def connections(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """Connections have ended: C{uint64[n, 5]}, C{ROW[n]}."""
        wanted = self.settings.policies
        if not wanted or not len(rows):
            return
        failed, reversed_ = failedAttempts(rows)
        open_ = established(rows)
        if Policy.STATS in wanted:
            self._count(keys, rows, len(failed), int(np.count_nonzero(open_)))
        if Policy.SCAN in wanted and len(failed):
            self._attempts(_ends(keys[failed], rows[failed], reversed_), rows["start"][failed].tolist())
        if Policy.KNOWN in wanted:
            self._facts(keys, rows, open_)
        if Policy.GUESSING in wanted:
            guesses = np.flatnonzero(rows["login"] == Login.FAILED)
            if len(guesses):
                self._guesses(keys[guesses], rows[guesses])

    def messages(self, requests: int, queries: int) -> None:
        """So many rows of http.log and dns.log."""
        if Policy.STATS in self.settings.policies:
            self._tally(Counted.REQUESTS, requests)
            self._tally(Counted.QUERIES, queries)

    def advance(self, now: int) -> None:
        """Forget what is over; C{now} in microseconds."""
        for ledger in (self.own, self.said):
            ledger.age(now, LATE, FACT_LIFETIME)

    def conclude(self, now: int) -> None:
        """The input has ended, at C{now} or with the last packet that was counted: the row of stats.log, once."""
        total = self.own.counters.total
        if total.any():
            self.logs.totals(max(now, self.own.latest), total.tolist())
            self.own.counters = Tallies(len(Counted))

    # -- counting

    @property
    def _counts(self) -> NDArray[np.int64]:
        return self.own.counters.of((self._me, self._epoch))

    def _tally(self, what: Counted, number: int) -> None:
        """So many more, if anybody wants to know; what others counted is passed on all the same."""
        if number and Policy.STATS in self.settings.policies:
            self._counts[what] += number

    def _count(self, keys: NDArray[np.uint64], rows: NDArray[Any], failed: int, opened: int) -> None:
        counts = self._counts
        self.own.latest = max(self.own.latest, int(rows["last"].max()))
        protocols, numbers = np.unique((keys[:, 4] >> np.uint64(32)) & np.uint64(0xFF), return_counts=True)
        for protocol, number in zip(protocols.tolist(), numbers.tolist(), strict=True):
            counts[_COUNTED_BY_PROTOCOL.get(protocol, Counted.OTHER)] += number
        counts[Counted.PACKETS] += int(rows["packets"].sum())
        counts[Counted.BYTES] += int(rows["bytes"].sum())
        counts[Counted.FAILED] += failed
        counts[Counted.ESTABLISHED] += opened

    # -- scans

    def _attempts(self, ends: Iterable[tuple[Address, Address, int]], starts: list[int]) -> None:
        length = self._length(Sort.ADDRESS_SCAN)
        for (who, victim, port), start in zip(ends, starts, strict=True):
            epoch = start - start % length
            address = Suspicion(Sort.ADDRESS_SCAN, epoch, length, who, port=port)
            self._suspect(address, _TOKEN.pack(*victim, 0), start)
            self._suspect(Suspicion(Sort.PORT_SCAN, epoch, length, who, victim), _TOKEN.pack(0, 0, port), start)

    def _guesses(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        length, octets = self._length(Sort.GUESSING), keys.tobytes()
        times = zip(rows["start"].tolist(), rows["last"].tolist(), strict=True)
        ends = _ends(keys, rows, np.zeros(len(rows), np.bool_))
        for place, ((who, server, _), (start, last)) in enumerate(zip(ends, times, strict=True)):
            which = hashlib.sha256(octets[40 * place : 40 * place + 40] + start.to_bytes(8, "little", signed=True))
            token = _TOKEN.pack(*server, int.from_bytes(which.digest()[:8], "little"))
            suspicion = Suspicion(Sort.GUESSING, start - start % length, length, who)
            self._suspect(suspicion, token, min(last, suspicion.end + SESSION))

    def _length(self, sort: Sort) -> int:
        """Of an epoch, microseconds."""
        return (self.settings.guessEpoch if sort is Sort.GUESSING else self.settings.scanEpoch) * _SECOND

    def _suspect(self, suspicion: Suspicion, token: bytes, stamp: int) -> None:
        """One more attempt."""
        own = self.own.observations
        found = own.get(suspicion)
        if found is None:
            if self.said.isNoticed(suspicion):
                return
            found = own[suspicion] = Observation(stamp, stamp)
            self._bound()
        elif found.noticed or token in found.tokens:
            return
        found.tokens.add(token)
        found.first, found.last = min(found.first, stamp), max(found.last, stamp)
        self._judge(suspicion, found)
        for watch in self.watches.values():
            watch.suspicions.add(suspicion)

    def _bound(self, forgotten: int = 0) -> None:
        """Forget the earliest, if there are too many; C{forgotten} are already."""
        self._tally(Counted.FORGOTTEN, forgotten + self.own.bound(self.settings.most))

    def _judge(self, suspicion: Suspicion, found: Observation) -> None:
        """Write the notice that is due, if one is; none of a policy that is not followed."""
        settings, distinct = self.settings, len(found.tokens)
        if _POLICIES[suspicion.sort] not in settings.policies:
            return
        if self.said.isNoticed(suspicion):
            found.close()
            return
        enough = {
            Sort.ADDRESS_SCAN: settings.addresses,
            Sort.PORT_SCAN: settings.ports,
            Sort.GUESSING: settings.guesses,
        }
        if distinct >= enough[suspicion.sort]:
            self._notice(self._noticeOf(suspicion, found))
            found.close()

    def _noticeOf(self, suspicion: Suspicion, found: Observation) -> Notice:
        """As Zeek's scripts word it."""
        distinct = len(found.tokens)
        who, last = addressText(*suspicion.who), found.last
        if suspicion.sort is Sort.GUESSING:
            text = f"{who} appears to be guessing SSH passwords (seen in {distinct} connections)."
            servers = [addressText(*_TOKEN.unpack(token)[:2]) for token in sorted(found.tokens)[:_SAMPLED]]
            return Notice(Note.PASSWORD_GUESSING, last, text, f"Sampled servers:  {', '.join(servers)}", suspicion.who)
        seconds = (last - found.first) // _SECOND
        took, side = f"{seconds // 60}m{seconds % 60}s", "local" if self._local.isLocal(*suspicion.who) else "remote"
        if suspicion.sort is Sort.ADDRESS_SCAN:
            text = f"{who} scanned at least {distinct} unique hosts on port {suspicion.port}/tcp in {took}"
            return Notice(Note.ADDRESS_SCAN, last, text, side, suspicion.who, port=suspicion.port)
        victim = addressText(*suspicion.victim)
        text = f"{who} scanned at least {distinct} unique ports of host {victim} in {took}"
        return Notice(Note.PORT_SCAN, last, text, side, suspicion.who, suspicion.victim)

    def _notice(self, notice: Notice) -> None:
        """Write a notice, unless there was one like it not long ago."""
        matter = notice.note, notice.source
        if any(ledger.quiet.get(matter, notice.stamp) > notice.stamp for ledger in (self.own, self.said)):
            self._tally(Counted.SUPPRESSED, 1)
            return
        self.logs.notices([notice])
        self.own.hush(matter, notice.stamp + SUPPRESSED_FOR)
        self._bound()
        for watch in self.watches.values():
            watch.matters.add(matter)
        self._tally(Counted.NOTICES, 1)
        if self.announce is not None:
            self.announce([notice])

    # -- hosts and services

    def _facts(self, keys: NDArray[np.uint64], rows: NDArray[Any], opened: NDArray[np.bool_]) -> None:
        swapped = rows["swapped"] == 1
        responders = np.where(swapped[:, None], keys[:, 0:2], keys[:, 2:4])
        originators = np.where(swapped[:, None], keys[:, 2:4], keys[:, 0:2])
        starts = rows["start"]
        for ends in (originators, responders):
            for place, address in _distinct(ends[opened]):
                self._learn(Fact(address), int(starts[opened][place]))
        spoken = (rows["size"] >= 0).all(axis=1) & (rows["services"][:, 0] != 0)
        offered = opened | (spoken & (((keys[:, 4] >> np.uint64(32)) & np.uint64(0xFF)) == _UDP))
        self._services(responders[offered], keys[offered, 4], rows[offered])

    def _services(self, addresses: NDArray[np.uint64], words: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        found = np.zeros(len(rows), _SERVICE)
        shift = np.where(rows["swapped"] == 1, np.uint64(0), np.uint64(16))
        found["address"], found["port"] = addresses, (words >> shift) & np.uint64(0xFFFF)
        found["protocol"], found["services"] = (words >> np.uint64(32)) & np.uint64(0xFF), rows["services"][:, :4]
        _, places = np.unique(found.view(f"V{_SERVICE.itemsize}"), return_index=True)
        for place in np.sort(places).tolist():
            address, port, protocol, services = found[place].tolist()
            names = [each for each in services if each] or [0]
            for service in names:
                self._learn(
                    Fact((int(address[0]), int(address[1])), protocol, port, service), int(rows["start"][place])
                )

    def _learn(self, fact: Fact, stamp: int) -> None:
        """Log C{fact}, if it is one and is news."""
        if not self._local.isLocal(*fact.address):
            return
        logged = [ledger.known[fact] for ledger in (self.own, self.said) if fact in ledger.known]
        if logged and stamp < max(logged) + FACT_LIFETIME:
            return
        self.logs.fact(fact, stamp)
        self.own.log(fact, stamp)
        self._bound()
        for watch in self.watches.values():
            watch.facts.add(fact)

    # -- what operations make of it

    def take(self, operation: int, cells: Any) -> Ledger:
        """See C{ISharedState.takeShared}."""
        taken = self.taken[operation] = self.own.take(cells)
        self._epoch += 1
        self.said.fold(taken.said())
        self.said.bound(self.settings.most)
        return taken

    def check(self, other: Ledger) -> None:
        """@raise OperationError: somebody says what only this instance can know."""
        if other.counters.claims(self._me, self._epoch):
            raise OperationError(Refusal.BAD_REQUEST, "not shared records of Bro: counters of this instance's own")

    def fold(self, other: Ledger, forgotten: int = 0) -> int:
        """State from elsewhere, or given back, joins; how many records.  C{forgotten} more were too many."""
        records = self.own.fold(other)
        for watch in self.watches.values():
            watch.note(other)
        self._bound(forgotten)
        return records

    def judge(self, other: Ledger) -> None:
        """
        Write the notices that are due now that C{other} was folded.

        Nothing is raised: what is folded cannot be refused any more.  A notice that could not be written is due still.
        """
        for suspicion in other.observations:
            found = self.own.observations.get(suspicion)
            if found is not None and not found.noticed:
                try:
                    self._judge(suspicion, found)
                except Exception as error:  # noqa: BLE001 - whatever it is, state must not be lost for it
                    self.endured(error)


def _raised(error: Exception) -> None:
    raise error


def _ends(
    keys: NDArray[np.uint64], rows: NDArray[Any], isReversed: NDArray[np.bool_]
) -> Iterable[tuple[Address, Address, int]]:
    """Who tried, whom, and which port."""
    isSecond = (rows["swapped"] == 1) != isReversed
    for words, second in zip(keys.tolist(), isSecond.tolist(), strict=True):
        first, other = (words[0], words[1]), (words[2], words[3])
        yield (other, first, words[4] & 0xFFFF) if second else (first, other, (words[4] >> 16) & 0xFFFF)


def _distinct(addresses: NDArray[np.uint64]) -> Iterable[tuple[int, Address]]:
    """The first place of each address in C{uint64[n, 2]}, and the address."""
    if not len(addresses):
        return ()
    _, places = np.unique(np.ascontiguousarray(addresses).view("V16"), return_index=True)
    return [(place, (int(addresses[place, 0]), int(addresses[place, 1]))) for place in np.sort(places).tolist()]
