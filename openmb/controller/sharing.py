"""
Runs one clone or merge: performs what its machine asks for, and turns answers, deadlines and deaths into its facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from openmb.controller.operation import OperationPerformer, Surroundings
from openmb.errors import OperationError, Refusal
from openmb.operations.common import Core
from openmb.operations.journal import Entry, Step
from openmb.operations.shared import sharedMachine
from openmb.operations.values import MoveRequest, Stage

#: Stages in which an application may still change its mind.
UNDECIDED = frozenset({Stage.STARTED, Stage.INSTALLED, Stage.FINISHING})


class SharedPerformer(OperationPerformer):
    """
    One clone or merge under way.

    @ivar installed: fires with the report when what was copied or taken is at the destination.
    @ivar finished: fires when the destination has folded it into its own and the source has dropped it; both fail when
        the operation does.
    """

    def __init__(self, request: MoveRequest, around: Surroundings, ended: Callable[[OperationPerformer], None]) -> None:
        super().__init__(request, around, ended)
        self.machine = sharedMachine(Core(request, self))

    # -- for the application

    def finish(self) -> None:
        """
        A clone has been followed for long enough: the copy becomes the destination's own.

        @raise OperationError: it is not installed, or over.
        """
        if self.report.stage is not Stage.INSTALLED:
            raise OperationError(Refusal.WRONG_STATE, f"the operation is {self.report.stage.value}, not installed")
        self.machine.finish()

    def abort(self, reason: str) -> None:
        """
        Undo everything, if the destination has not been told to commit.

        @raise OperationError: it is too late, or it is over.
        """
        if self.report.stage not in UNDECIDED or self._owned:
            raise OperationError(Refusal.WRONG_STATE, f"the operation is {self.report.stage.value}: too late to abort")
        self.machine.abort(Refusal.ABORTED, reason)

    @property
    def exclusive(self) -> bool:
        """Is it still under way?"""
        return self.report.stage not in (Stage.FINISHED, Stage.ABORTED, Stage.FAILED)

    # -- facts

    def recover(self, entry: Entry) -> None:
        """Go on from the journal's last entry; both middleboxes are away until they return."""
        self._recovered()
        for end in (self.source, self.destination):
            end.engaged = entry.step is not Step.OPEN
            self.away(end.peer.name)
        self._owned = entry.step in (Step.COMMIT, Step.COMMITTED)
        match entry.step:
            case Step.COMMIT:
                self.machine.recoverCommit()
            case Step.COMMITTED:
                self.machine.recoverDelete()
            case _:
                self.machine.recoverAbort(entry.reason or "the controller was restarted")

    # -- actions

    def reached(self, stage: Stage) -> None:
        if stage is Stage.FINISHED and self.report.refusal is not None:
            stage = Stage.FAILED
        self.report = replace(self.report, stage=stage)
        self.watcher(self.report)
        if stage is Stage.INSTALLED:
            self.installed.fire(self.report)
        elif stage in (Stage.FINISHED, Stage.ABORTED, Stage.FAILED):
            self._over(stage)
