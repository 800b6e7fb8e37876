"""
The northbound verbs that concern no operation: amounts of state, configuration, what others have announced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from openmb.controller.controller import Controller
from openmb.rpc.arguments import badRequest, names, text
from openmb.rpc.server import Notify, Verb
from openmb.state.announcements import Datum
from openmb.state.configuration import EVERYTHING, Tree
from openmb.wire.messages import Event, EventField

#: Events that are told at once.
EVENTS_LIMIT = 256


class InquiryVerbs:
    """
    Turns requests into calls of the controller.

    @ivar verbs: for L{openmb.rpc.server.ServerFactory}.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.verbs: dict[str, Verb] = {
            "stats": self.stats,
            "readConfig": self.readConfig,
            "writeConfig": self.writeConfig,
            "delConfig": self.delConfig,
            "tell": self.tell,
        }

    async def stats(self, arguments: Mapping[str, Any], notify: Notify) -> list[dict[str, Any]]:
        """C{middlebox}, C{flows}: records, bytes and marked records of each of the five cells."""
        cells = await self._controller.stats(text(arguments, "middlebox"), text(arguments, "flows"))
        return [{**asdict(cell), "cell": cell.cell.name} for cell in cells]

    async def readConfig(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, list[str]]:
        """C{middlebox}, C{key}: the keys there and below, with their values."""
        tree = await self._controller.readConfig(text(arguments, "middlebox"), _key(arguments))
        return {key: list(values) for key, values in tree.items()}

    async def writeConfig(self, arguments: Mapping[str, Any], notify: Notify) -> None:
        """C{middlebox}, C{key}, and C{values} (a list) or C{tree} (an object, whole keys to lists)."""
        key, present = _key(arguments), {"values", "tree"} & arguments.keys()
        if len(present) != 1:
            raise badRequest("either values or tree is needed")
        content = _tree(arguments["tree"]) if "tree" in present else names(arguments, "values")
        await self._controller.writeConfig(text(arguments, "middlebox"), key, content)

    async def delConfig(self, arguments: Mapping[str, Any], notify: Notify) -> None:
        """C{middlebox}, C{key}: back to what the middlebox was started with, there and below."""
        await self._controller.delConfig(text(arguments, "middlebox"), _key(arguments))

    async def tell(self, arguments: Mapping[str, Any], notify: Notify) -> int:
        """C{middlebox}, C{events} (as C{subscribe} gives them): what others have announced; how many were news."""
        events = arguments.get("events")
        if not isinstance(events, list) or len(events) > EVENTS_LIMIT:
            raise badRequest(f"events must be a list of at most {EVENTS_LIMIT}")
        return await self._controller.tell(text(arguments, "middlebox"), [_event(each) for each in events])


def _event(content: Any) -> Event:
    """
    The inverse of C{happeningToPlain} for events.

    @raise OperationError: it is none.
    """
    fields = content.get("fields") if isinstance(content, dict) else None
    if not isinstance(fields, dict) or not all(isinstance(value, Datum) for value in fields.values()):
        raise badRequest("an event needs fields: names to numbers, texts, truths or null")
    stamp = content.get("stamp")
    if type(stamp) is not int or not -(1 << 63) <= stamp < 1 << 63:
        raise badRequest("an event needs a stamp: nanoseconds, a whole number of 64 bits")
    return Event(text(content, "event"), stamp, tuple(EventField(name, value) for name, value in fields.items()))


def _key(arguments: Mapping[str, Any]) -> str:
    return text(arguments, "key") if "key" in arguments else EVERYTHING


def _tree(content: Any) -> Tree:
    if not isinstance(content, dict):
        raise badRequest("tree must be an object: keys to lists of texts")
    return {key: names(content, key) for key in content}
