"""
What another PRADS has logged: taken as known here, and not logged again.

A fact that two instances discover, each for itself after flows were divided between them, stands in the union of their
files twice; an application that tells each what the other announces brings that down to what its delay explains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from openmb.errors import OperationError, Refusal
from openmb.plugins.prads.announcing import CARD_FOUND, SERVICE_FOUND, SYSTEM_FOUND, octetsOf
from openmb.plugins.prads.hosts import TCP, UDP, Host, Hosts, Service
from openmb.plugins.prads.records import LATEST, NAME
from openmb.plugins.prads.signatures.fingerprint import Check
from openmb.plugins.prads.signatures.services import TEXT
from openmb.plugins.prads.signatures.tables import Signatures
from openmb.plugins.prads.signatures.vendors import VENDOR
from openmb.plugins.prads.tasks import SECOND
from openmb.state.addresses import addressWords
from openmb.state.announcements import Announced, Datum

_CARD = 6


@dataclass(frozen=True, slots=True)
class Lesson:
    """
    One event, understood.

    @ivar words: the host's address.
    @ivar vlan: the VLAN tag it was seen with.
    @ivar now: seconds.
    @ivar host: what is known of the host by it.
    """

    words: tuple[int, int]
    vlan: int
    now: int
    host: Host


def lessonsOf(events: Sequence[Announced], signatures: Signatures) -> list[Lesson]:
    """
    What C{events} teach.

    @raise OperationError: one of them teaches nothing.
    """
    lessons = []
    for event in events:
        try:
            words = addressWords(str(event.values[0]))
            now = min(max(event.stamp // SECOND, 0), LATEST)
            vlan = _number(event.values[1], 0, 65535)
            lessons.append(Lesson(words, vlan, now, _READERS[event.name](event.values[2:], now, signatures)))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise OperationError(Refusal.BAD_REQUEST, f"nothing to learn from {event.name!r}: {error!r}") from error
    return lessons


def _system(values: Sequence[Datum], now: int, signatures: Signatures) -> Host:
    check, line = Check[str(values[0])], _number(values[1], -1, 1 << 31)
    if line >= len(signatures.named[check]):
        raise ValueError("a signature that there is not here")
    return Host(systems={(int(check), line): None})


def _service(values: Sequence[Datum], now: int, signatures: Signatures) -> Host:
    port, protocol, role = _number(values[0], 0, 65535), _number(values[1], TCP, UDP), _number(values[2], 0, 2)
    if protocol not in (TCP, UDP):
        raise ValueError("neither TCP nor UDP")
    name, application = _octets(values[3], NAME), _octets(values[4], TEXT)
    service = Service(name, application, role, _number(values[5], 0, 255), now, now)
    return Host(services={(port, protocol): service})


def _card(values: Sequence[Datum], now: int, signatures: Signatures) -> Host:
    card = bytes.fromhex(str(values[0]))
    if len(card) != _CARD or not any(card):
        raise ValueError("no address of a network card")
    return Host(card=card, vendor=None if values[1] is None else _octets(values[1], VENDOR))


_READERS: dict[str, Callable[[Sequence[Datum], int, Signatures], Host]] = {
    SYSTEM_FOUND.name: _system,
    SERVICE_FOUND.name: _service,
    CARD_FOUND.name: _card,
}


def _number(value: Datum, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r} is not from {least} to {most}")
    return value


def _octets(value: Datum, most: int) -> bytes:
    if not isinstance(value, str):
        raise TypeError("no text")
    octets = octetsOf(value)
    if len(octets) > most:
        raise ValueError(f"a text of {len(octets)} bytes, more than {most}")
    return octets


def learn(hosts: Hosts, lessons: Sequence[Lesson]) -> int:
    """All of it is known from now on; how much was not."""
    news = 0
    for lesson in lessons:
        hosts.reserve(1)
        slot = int(hosts.table.insert(np.array([lesson.words], np.uint64))[0])
        row = hosts.table.rows[slot]
        isNew = not row["last"]
        row["first"] = lesson.now if isNew else min(int(row["first"]), lesson.now)
        isLater = lesson.now >= int(row["last"])
        if isLater:
            row["last"], row["vlan"] = lesson.now, lesson.vlan
        news += not _isKnown(hosts.known.get(slot), lesson.host)
        hosts.merge(slot, lesson.host, isLater)
    return news


def _isKnown(known: Host | None, told: Host) -> bool:
    if known is None:
        return False
    services = all(
        (mine := known.services.get(key)) is not None and mine.application == theirs.application
        for key, theirs in told.services.items()
    )
    return services and told.systems.keys() <= known.systems.keys() and (not any(told.card) or told.card == known.card)
