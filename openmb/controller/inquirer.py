"""
The northbound calls that concern no operation: amounts of state, and configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from openmb.controller.questions import Questions
from openmb.controller.registry import Registry, Session
from openmb.state.configuration import Tree, checkKey, entriesOf
from openmb.wire import messages as m
from openmb.wire.questions import packTree


class Inquirer:
    """
    Asks middleboxes by name.

    @param identify: makes ids of questions.
    @param governed: is told when the configuration that governs a middlebox's records has changed.
    """

    def __init__(
        self,
        registry: Registry,
        questions: Questions,
        identify: Callable[[], int],
        governed: Callable[[Session], None],
    ) -> None:
        self._registry, self._questions, self._identify, self._governed = registry, questions, identify, governed

    async def stats(self, middlebox: str, flows: str) -> tuple[m.CellStats, ...]:
        """How much state of C{flows} a middlebox holds, for each cell."""
        session = self._registry.find(middlebox)
        answer = await self._questions.ask(session, m.Stats(self._identify(), flows))
        return cast(m.StatsAnswer, answer).cells

    async def readConfig(self, middlebox: str, key: str) -> Tree:
        """What is configured at C{key} and below."""
        session = self._registry.find(middlebox)
        checkKey(key)
        answer = await self._questions.ask(session, m.GetConfiguration(self._identify(), key))
        return {entry.key: entry.values for entry in cast(m.ConfigurationAnswer, answer).entries}

    async def writeConfig(self, middlebox: str, key: str, content: Tree | Sequence[str]) -> None:
        """Set the values of C{key}, or what a tree with whole keys at and below C{key} says: all of it, or nothing."""
        session = self._registry.find(middlebox)
        entries = packTree(entriesOf(key, content))
        await self._change(session, m.SetConfiguration(self._identify(), entries))

    async def delConfig(self, middlebox: str, key: str) -> None:
        """Put C{key} and what is below back to what the middlebox was started with."""
        session = self._registry.find(middlebox)
        checkKey(key)
        await self._change(session, m.DeleteConfiguration(self._identify(), key))

    async def tell(self, middlebox: str, events: Sequence[m.Event]) -> int:
        """Have a middlebox take as known what others of its kind have announced; how many were news."""
        session = self._registry.find(middlebox)
        answer = await self._questions.ask(session, m.Learn(self._identify(), tuple(events)))
        return cast(m.Learned, answer).news

    async def _change(self, session: Session, request: m.SetConfiguration | m.DeleteConfiguration) -> None:
        session.changing.add(request.operation)
        await self._questions.ask(session, request)

    def changed(self, session: Session, message: m.Message) -> None:
        """Whatever a middlebox says: if it answers a change, however late, the change is known to be done or not."""
        if isinstance(message, m.Configured | m.Refused) and message.operation in session.changing:
            session.changing.discard(message.operation)
            if isinstance(message, m.Configured) and message.governing != session.hello.governing:
                session.hello = replace(session.hello, governing=message.governing)
                self._governed(session)
