"""
Stands between a tracker and its logs, and lets the policies see what is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.fastpath.lanes import Lanes
from openmb.plugins.bro.policies.policies import Policies
from openmb.plugins.bro.tracking.identity import Identity
from openmb.plugins.bro.tracking.talks import IOutput


class Witness:
    """
    Provides C{IOutput}.

    @param failed: takes what went wrong with the policies: rows that are written must not be written again for it.
    """

    def __init__(self, output: IOutput, policies: Policies, failed: Callable[[Exception], None]) -> None:
        self._output, self._policies, self._failed = output, policies, failed

    def connections(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """See C{IOutput}."""
        self._output.connections(keys, rows)
        self._tell(lambda: self._policies.connections(keys, rows))

    def messages(self, identity: Identity, rows: list[HTTPRow | DNSRow]) -> None:
        """See C{IOutput}."""
        self._output.messages(identity, rows)
        requests = sum(isinstance(row, HTTPRow) for row in rows)
        self._tell(lambda: self._policies.messages(requests, len(rows) - requests))

    def requests(self, lanes: Lanes, rows: NDArray[np.int32]) -> None:
        """See C{IOutput}."""
        self._output.requests(lanes, rows)
        self._tell(lambda: self._policies.messages(len(rows), 0))

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, the rows are written
            self._failed(error)
