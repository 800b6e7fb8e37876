"""
What the machines of all operations have in common: what they ask of their performer, what they are told, and the words
with which each begins and ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from openmb.errors import Refusal
from openmb.operations.journal import Step
from openmb.operations.values import MoveRequest, Stage
from openmb.state.taxonomy import Cell
from openmb.wire.messages import Close, Message, Peer


class Actions(Protocol):
    """What the machine of any operation asks of its performer; nothing here may raise or wait."""

    def journal(self, step: Step, reason: str = "") -> bool:
        """Write the decision; durable on return.  False: it could not be written, and may not be acted on."""

    def toSource(self, message: Message) -> None:
        """Send to the source, if it is connected."""

    def toDestination(self, message: Message) -> None:
        """Send to the destination, if it is connected."""

    def expect(self, wait: str) -> None:
        """The deadline named C{wait} (a field of L{openmb.operations.values.Deadlines}) replaces any earlier one."""

    def reached(self, stage: Stage) -> None:
        """Tell the application."""

    def failed(self, refusal: Refusal, reason: str) -> None:
        """Remember why the operation will end badly; the first reason stays."""


@dataclass
class Core:
    """What the outputs share."""

    request: MoveRequest
    actions: Actions
    sourceAlive: bool = True
    destinationAlive: bool = True


class Inputs(Protocol):
    """The facts that every operation knows."""

    def begin(self) -> None:
        """Start the operation."""

    def where(self) -> str:
        """The name of the state."""

    def prepared(self, nonce: bytes) -> None:
        """The destination is ready for provisional records; the source's seals are bound to C{nonce}."""

    def installed(self) -> None:
        """Every record has arrived at the destination."""

    def committed(self) -> None:
        """The destination owns the records."""

    def commitRefused(self, refusal: Refusal, reason: str) -> None:
        """The destination says that it does not own the records and will not."""

    def deleted(self) -> None:
        """The source has dropped records and copies."""

    def deleteRefused(self, refusal: Refusal, reason: str) -> None:
        """The source has not dropped anything and will not: it goes on by itself."""

    def discarded(self, returned: int) -> None:
        """The destination has dropped what was provisional, and given back so many packets."""

    def unmarked(self) -> None:
        """The source goes on as if never asked."""

    def abort(self, refusal: Refusal, reason: str) -> None:
        """The application, a refusal, or a shutdown wants the operation undone."""

    def deadline(self) -> None:
        """The wait announced last took too long."""

    def recoverAbort(self, reason: str) -> None:
        """Instead of C{begin}, after a restart: nobody had gone far, or going back had begun."""

    def recoverCommit(self) -> None:
        """Instead of C{begin}, after a restart: the destination may have been told to commit."""

    def recoverDelete(self) -> None:
        """Instead of C{begin}, after a restart: the merge was over."""

    def sourceDied(self) -> None:
        """The source is gone for good."""

    def destinationDied(self) -> None:
        """The destination is gone for good."""


def terms(request: MoveRequest) -> tuple[int, str, tuple[Cell, ...], Peer, Peer, int]:
    """What both ends are told in the beginning: the fields of PREPARE and of GET."""
    settings = request.settings
    return request.operation, request.flows, settings.cells, request.source, request.destination, settings.window


def milliseconds(seconds: float) -> int:
    """As the wire carries durations."""
    return round(seconds * 1000)


def close(core: Core, stage: Stage) -> None:
    """
    Nothing more will happen: journal it, let both ends forget, tell the application.

    The ends forget only what the journal says is over: they must be able to answer a controller that is restarted from
    an earlier entry.  The performer tells them when an entry that could not be written is written at last.
    """
    if core.actions.journal(Step.CLOSED, stage.value):
        core.actions.toSource(Close(core.request.operation))
        core.actions.toDestination(Close(core.request.operation))
    core.actions.reached(stage)
