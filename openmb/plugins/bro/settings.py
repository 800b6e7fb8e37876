"""
How a Bro middlebox runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from openmb.plugins.bro.policies.settings import PolicySettings
from openmb.plugins.bro.reporting.locality import PRIVATE, LocalNetworks
from openmb.plugins.bro.reporting.uid import DEFAULT_KEY


@dataclass(frozen=True, slots=True)
class BroSettings:
    """
    How a Bro middlebox runs.

    @ivar logs: directory for the logs; None: they are not written.
    @ivar asJSON: JSON lines in place of tab-separated values.
    @ivar maximumFlows: records at most; when more are needed the longest idle are reported and removed.
    @ivar grace: seconds of packet time that a record stays after its end before a sweep removes it.
    @ivar sweep: seconds of packet time between two sweeps.
    @ivar capacity: records for which there is room from the start.
    @ivar append: go on with logs that are there, in place of writing over them.
    @ivar uidKey: the key of the hash that makes connection ids; the same in all of a deployment.
    @ivar local: which addresses are local; the same in all of a deployment.
    @ivar level: of the logs' compression, 1 to 9; 0: none.
    @ivar patience: seconds that rows may wait before the operating system gets them.
    @ivar tunnelled: C{conn.log} has rows of flows inside tunnels too; the same in all of a deployment.
    @ivar policy: what follows from connections that have ended.
    @ivar rotation: seconds of packet time after which a log goes on in a new file; 0: never.
    """

    logs: Path | None = None
    asJSON: bool = False
    maximumFlows: int = 1 << 20
    grace: float = 5.0
    sweep: float = 5.0
    capacity: int = 1024
    append: bool = False
    uidKey: bytes = DEFAULT_KEY
    local: LocalNetworks = PRIVATE
    rotation: int = 0
    level: int = 0
    patience: float = 0.0
    tunnelled: bool = False
    policy: PolicySettings = field(default_factory=PolicySettings)
