"""
Pairing queries with replies: the rows of dns.log.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DNSRow:
    """One row of dns.log; None is an unset column."""


class Queries:
    """The messages of one connection that wait for their answers."""

    __slots__ = ()
