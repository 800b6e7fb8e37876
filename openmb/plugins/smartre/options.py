"""
The options of this kind, on the command line of C{openmb run} and C{twistd openmb-middlebox}.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from twisted.python import usage

from openmb.errors import InvalidOption
from openmb.plugins.smartre.caches import parseFlows
from openmb.plugins.smartre.settings import DEFAULT_CACHES, MOST_CACHES, Role, SmartreSettings

#: Bytes of the longest IP packet there is.
_LONGEST_PACKET = 65535


class SmartreOptions(usage.Options):
    """Options of an encoder or a decoder."""

    optFlags = [
        ["no-gate", None, "Encoder: refer to packets that the decoder has not acknowledged, too."],
        ["keep-newest", None, "Encoder: let a newer packet take an older one's place in the fingerprint table."],
        ["second-stage", None, "Encoder: compress what is left of a packet (a decoder restores it unasked)."],
        ["no-bypass", None, "Encoder: look at flows that do not pay, too."],
    ]
    optParameters = [
        ["role", None, None, "encoder or decoder."],
        ["out", None, None, "Over captures: the capture to be written; nobody acknowledges anything, so no gate."],
        ["caches", None, 1, "Encoder: how many caches.", int],
        ["max-caches", None, DEFAULT_CACHES, "Decoder: caches that it makes at most; packets of others pass.", int],
        ["slots", None, 1 << 16, "Packets in a cache, a power of two; a decoder needs as many as the encoder.", int],
        ["slot-bytes", None, 1536, "The longest payload that is stored, at most 2048.", int],
        ["entries", None, 1 << 20, "Encoder: entries of a fingerprint table, a power of two.", int],
        ["sampling", None, 32, "Encoder: one place in so many is looked up, a power of two.", int],
        ["dictionary", None, None, "Of the second stage, the same at both ends."],
        ["mtu", None, None, "Bytes of the longest IP packet on the path (1500; over captures 65535).", int],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["cache-flows"], self["keeps"] = [], []

    def opt_cache_flows(self, text: str) -> None:
        """Encoder, once for each cache: its destinations, as 10.1.0.0/16,2001:db8::/32, and a share, as 0-0.5."""
        self["cache-flows"].append(text)

    def opt_keeps(self, number: str) -> None:
        """Decoder, several times: the number of a cache that it keeps (all)."""
        self["keeps"].append(number)


def settingsOf(options: Any) -> SmartreSettings:
    """
    What the options say.

    @raise InvalidOption: a value that cannot be used.
    """
    try:
        role = Role(options["role"])
    except ValueError as error:
        raise InvalidOption("--role must be encoder or decoder") from error
    out = None if options["out"] is None else Path(options["out"])
    mtu = options["mtu"] if options["mtu"] is not None else 1500 if out is None else _LONGEST_PACKET
    settings = SmartreSettings(
        role,
        caches=options["caches"],
        cacheFlows=tuple(options["cache-flows"]),
        keeps=_numbers(options["keeps"]),
        mostCaches=options["max-caches"],
        slots=options["slots"],
        slotBytes=options["slot-bytes"],
        entries=options["entries"],
        sampling=options["sampling"],
        keepOldest=not options["keep-newest"],
        gated=out is None and not options["no-gate"],
        feedback=out is None,
        epoch=1 if out is not None else secrets.randbelow(0xFFFF) + 1,
        bypass=not options["no-bypass"],
        mtu=mtu,
        secondStage=bool(options["second-stage"]),
        dictionary=None if options["dictionary"] is None else Path(options["dictionary"]),
        out=out,
    )
    _check(settings)
    return settings


def _numbers(texts: list[str]) -> tuple[int, ...]:
    if not all(text.isdecimal() and int(text) < MOST_CACHES for text in texts):
        raise InvalidOption(f"--keeps takes numbers of caches, below {MOST_CACHES}")
    return tuple(map(int, texts))


def _check(settings: SmartreSettings) -> None:
    bounds = (
        ("caches", settings.caches, 1, MOST_CACHES),
        ("max-caches", settings.mostCaches, 1, MOST_CACHES),
        ("slots", settings.slots, 64, 1 << 24),
        ("slot-bytes", settings.slotBytes, 64, 2048),
        ("entries", settings.entries, 64, 1 << 30),
        ("sampling", settings.sampling, 8, 1024),
        ("mtu", settings.mtu, 576, _LONGEST_PACKET),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise InvalidOption(f"--{name} must be from {least} to {most}")
    for name, value in (("slots", settings.slots), ("entries", settings.entries), ("sampling", settings.sampling)):
        if value & (value - 1):
            raise InvalidOption(f"--{name} must be a power of two")
    if len(settings.cacheFlows) > settings.caches:
        raise InvalidOption(f"{len(settings.cacheFlows)} --cache-flows for {settings.caches} caches")
    try:
        parseFlows(settings.cacheFlows)
    except ValueError as error:
        raise InvalidOption(f"--cache-flows: {error}") from error
