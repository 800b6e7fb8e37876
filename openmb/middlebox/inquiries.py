"""
What the controller asks and sets that concerns no operation: amounts of state, configuration, introspection events.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.interfaces import CellUsage
from openmb.middlebox.environment import Environment
from openmb.middlebox.introspection import Introspection
from openmb.state.configuration import Tree, sizeOf
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell
from openmb.wire import messages as m
from openmb.wire.questions import packTree, unpackTree

#: The messages that are answered here.
INQUIRIES = (
    *(m.Stats, m.GetConfiguration, m.SetConfiguration, m.DeleteConfiguration),
    *(m.EnableEvents, m.DisableEvents, m.Learn),
)


class Inquiries:
    """
    Answers for one host.

    @param introspection: the subscriptions.
    """

    def __init__(self, host: Environment, introspection: Introspection) -> None:
        self._host, self._introspection = host, introspection

    def receive(self, message: m.Message) -> None:
        """
        One of L{INQUIRIES}.

        @raise OperationError: it cannot be answered, or done; nothing has changed.
        @raise InvalidHeaderFields: its flows make no sense.
        """
        configuration = self._host.capabilities.configurable.configuration
        match message:
            case m.Stats():
                cells = tuple(
                    m.CellStats(each.cell, each.records, each.bytes, each.marked, each.estimated)
                    for each in self.usage(HeaderFieldList.parse(message.flows))
                )
                self._host.send(m.StatsAnswer(message.operation, cells))
            case m.GetConfiguration():
                found = configuration.under(message.key)
                self._host.send(m.ConfigurationAnswer(message.operation, packTree(found)))
            case m.SetConfiguration():
                self._configure(
                    message.operation,
                    configuration.changed(unpackTree(message.entries)),
                )
            case m.DeleteConfiguration():
                self._configure(message.operation, configuration.reset(message.key))
            case m.EnableEvents():
                flows = HeaderFieldList.parse(message.flows)
                self._introspection.enable(message.operation, message.events, flows)
                self._host.send(m.EventsEnabled(message.operation))
            case m.DisableEvents():
                self._introspection.disable(message.operation)
            case m.Learn():
                self._host.send(m.Learned(message.operation, self._introspection.learn(message.events)))
            case _:
                raise OperationError(Refusal.BAD_REQUEST, f"{type(message).__name__} is no question")

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """All five cells; configuration counts keys."""
        self._host.capabilities.perflow.check(flows)
        found = {each.cell: each for each in self._host.engine.usage(flows)}
        tree = self._host.capabilities.configurable.configuration.tree
        found[Cell.CONFIGURATION] = CellUsage(Cell.CONFIGURATION, len(tree), sizeOf(tree), 0)
        return tuple(found.get(cell, CellUsage(cell, 0, 0, 0)) for cell in Cell)

    def _configure(self, identifier: int, after: Tree) -> None:
        configuration = self._host.capabilities.configurable.configuration
        if self._host.operations and configuration.governs(after):
            raise OperationError(
                Refusal.WRONG_STATE,
                "this configuration governs records, and there are operations that move some; try again after them",
            )
        if after != configuration.tree:
            self._host.capabilities.configurable.configure(after)
        self._host.send(m.Configured(identifier, self._host.governing))
