"""
How a PRADS middlebox runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from openmb.plugins.prads.homenets import DEFAULT as EVERYWHERE
from openmb.plugins.prads.tasks import DEFAULT, Does

SIGNATURES = Path("/etc/prads")


@dataclass(frozen=True, slots=True)
class PradsSettings:
    """
    How a PRADS middlebox runs.

    @ivar logs: directory for the files; None: they are not written.
    @ivar signatures: directory of the real program's signature files.
    @ivar does: what is looked at; the same in all of a deployment.
    @ivar homes: home networks, as the real program takes them; the same in all of a deployment.
    @ivar maximumFlows: connections at most; when more are needed the longest idle end.
    @ivar maximumHosts: hosts at most; when more are needed those that were not seen for the longest time are forgotten.
    @ivar append: go on with files that are there, in place of writing over them.
    """

    logs: Path | None = None
    signatures: Path = field(default=SIGNATURES)
    does: Does = DEFAULT
    homes: str = EVERYWHERE
    maximumFlows: int = 1 << 20
    maximumHosts: int = 1 << 18
    append: bool = False
