"""
What a host tells the clones of its shared state: whatever changes it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from openmb.errors import OperationError, Refusal
from openmb.interfaces import ISharedState, Processed
from openmb.middlebox.faults import engineFaults
from openmb.middlebox.sharedsource import SharedSource
from openmb.packets.batch import PacketBatch


class Following:
    """
    Asks the engine after everything that it does.

    @param operations: those under way, by id; the host's own.
    """

    def __init__(self, shared: ISharedState, operations: Mapping[int, object]) -> None:
        self._shared, self._operations = shared, operations

    @property
    def _watching(self) -> tuple[SharedSource, ...]:
        return tuple(each for each in self._operations.values() if isinstance(each, SharedSource) and each.watching)

    def processed(self, packets: PacketBatch, processed: Processed) -> None:
        """The engine has processed C{packets}: tell which of them changed shared state, and what changed otherwise."""
        if processed.shared is not None and processed.shared.any():
            changing = packets.select(np.flatnonzero(processed.shared))
            for operation in self._watching:
                operation.raised(changing)
        self.ask()

    def ask(self) -> None:
        """The engine has had a turn: tell what changed otherwise."""
        for operation in self._watching:
            try:
                with engineFaults("looking for changes of shared state"):
                    changes = self._shared.sharedChanges(operation.identifier)
            except OperationError as error:
                operation.giveUp(error.refusal, error.reason)
                continue
            if changes:
                operation.changed(changes)

    def lost(self) -> None:
        """The engine threw, and nobody knows what it had changed: no copy can be kept current."""
        for operation in self._watching:
            operation.giveUp(Refusal.ENGINE_FAILED, "the engine threw on packets that may have changed what is cloned")
