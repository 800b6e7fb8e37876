"""
The northbound verbs of introspection events: a stream of notices that lasts until somebody ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openmb.controller.controller import Controller
from openmb.controller.happenings import Happened, Happening, Lost, Refused, Returned
from openmb.rpc.arguments import badRequest, names, text
from openmb.rpc.server import Notify, Verb

#: Verbs without a deadline.
ENDLESS = frozenset({"subscribe"})


def happeningToPlain(happening: Happening) -> dict[str, Any]:
    """One line of a stream as JSON carries it."""
    match happening:
        case Happened(middlebox, event):
            fields = {each.name: each.value for each in event.fields}
            return {"middlebox": middlebox, "event": event.name, "stamp": event.stamp, "fields": fields}
        case Lost(middlebox, number):
            return {"middlebox": middlebox, "lost": number}
        case Refused(middlebox, refusal, reason):
            return {"middlebox": middlebox, "refusal": refusal.name, "reason": reason}
        case _:
            return {"middlebox": happening.middlebox, "connected": isinstance(happening, Returned)}


class StreamVerbs:
    """
    Turns requests into calls of the controller.

    @ivar verbs: for L{openmb.rpc.server.ServerFactory}.
    """

    def __init__(self, controller: Controller) -> None:
        self._subscriptions = controller.subscriptions
        self.verbs: dict[str, Verb] = {"subscribe": self.subscribe, "unsubscribe": self.unsubscribe}

    async def subscribe(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, int]:
        """
        C{middlebox} (a name, or C{*}), C{events} (names; none: all), C{flows}.

        The first notice has the C{subscription}'s id, each other one line of the stream.  Replies, with how much there
        was, when the subscription is ended by C{unsubscribe} or by the controller; it ends with the connection too.
        """
        middlebox, events = text(arguments, "middlebox"), names(arguments, "events")
        subscription = await self._subscriptions.open(middlebox, events, text(arguments, "flows"))
        try:
            notify({"subscription": f"{subscription.identifier:016x}"})
            while happenings := await subscription.next():
                for happening in happenings:
                    notify(happeningToPlain(happening))
                await notify.whenFree()
        finally:
            self._subscriptions.close(subscription)
        return {"events": subscription.taken, "lost": subscription.lost}

    async def unsubscribe(self, arguments: Mapping[str, Any], notify: Notify) -> None:
        """C{subscription}: it ends; what waits is still delivered."""
        try:
            identifier = int(text(arguments, "subscription"), 16)
        except ValueError as error:
            raise badRequest("subscription must be a hexadecimal number") from error
        self._subscriptions.close(self._subscriptions.find(identifier))
