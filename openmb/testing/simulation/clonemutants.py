"""
Mutants of the controller's half of clones and merges; histories with clones and merges among the moves must notice.
"""

from __future__ import annotations

from dataclasses import replace

from openmb.controller.operation import OperationPerformer
from openmb.controller.sharing import SharedPerformer
from openmb.operations.journal import Entry, Step
from openmb.testing.simulation.faults import CLONES
from openmb.testing.simulation.mutants import Mutant
from openmb.wire.messages import Sort


def _restartAborts() -> Mutant:
    """A restart undoes a merge whose COMMIT was in the journal: source and destination both have it."""

    def recover(self: SharedPerformer, entry: Entry) -> None:
        original(self, replace(entry, step=Step.OPEN))

    original = SharedPerformer.recover
    return Mutant("a restart that aborts a merge after COMMIT", ((SharedPerformer, "recover", recover),), CLONES)


def _actFirst() -> Mutant:
    """An entry of a clone or merge is written some milliseconds after the act that it stands for."""
    original = OperationPerformer.journal

    def journal(self: OperationPerformer, step: Step, reason: str = "") -> bool:
        if self.request.sort is Sort.MOVE:
            return original(self, step, reason)
        self._around.clock.callLater(0.02, original, self, step, reason)
        self._owned = self._owned or step is Step.COMMIT
        return True

    return Mutant("act on a merge before writing the journal", ((OperationPerformer, "journal", journal),), CLONES)


def _noDoubt() -> Mutant:
    """A destination that does not answer COMMIT for a while is taken not to have it."""
    original = OperationPerformer.expect

    def expect(self: OperationPerformer, wait: str) -> None:
        original(self, "hold" if wait == "doubt" else wait)

    return Mutant("no doubt about an unanswered COMMIT", ((OperationPerformer, "expect", expect),), CLONES)


#: Every mutant; each must be noticed within 400 seeds of the campaign.
CLONE_MUTANTS = (_restartAborts(), _actFirst(), _noDoubt())
