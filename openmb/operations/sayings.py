"""
Who may say what, in which state: by these tables the controller checks every message of the two ends of an operation.

C{docs/protocol.md} shows the same tables, and tests hold both, and the machines' transitions, against each other.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from openmb.wire.formats import BY_CLASS
from openmb.wire.messages import Credit, Message, MessageType, Refused, Side, Sort, StreamFrame

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION

#: The states of a move, as its machine names them.
TRANSFERRING = ("preparing", "exporting", "installed", "holding", "diverting")
RECOVERING = ("recoveringRoute", "recoveringAlone")
ROUTING = ("routing", "routingAlone")
COMMITTED = ("committing", "draining")
GONE_FORWARD = ("deleting", "window")
GOING_BACK = ("settingBack", "settingBackToSource", "settingBackToDestination", "awaitingRoute")
UNDOING = ("aborting", "awaitingSource", "awaitingDestination")
MOVE_STATES = (*TRANSFERRING, *RECOVERING, *ROUTING, *COMMITTED, *GONE_FORWARD, *GOING_BACK, *UNDOING)
#: The states of a clone or merge.
SHARED_STATES = ("preparing", "exporting", "installed", "finishing", "committing", "deleting", *UNDOING)

#: Which commands each end is given, and so may refuse; 0: the operation failed by itself.
REFUSABLE: Mapping[Side, frozenset[int]] = {
    SOURCE: frozenset(
        {0, MessageType.GET, MessageType.DIVERT, MessageType.FINISH, MessageType.DELETE} | {MessageType.UNMARK}
    ),
    DESTINATION: frozenset({0, MessageType.PREPARE, MessageType.HOLD, MessageType.COMMIT, MessageType.DISCARD}),
}
REFUSED, REFUSED_COMMIT, REFUSED_DELETE = "REFUSED", "REFUSED (COMMIT)", "REFUSED (DELETE)"


class Verdict(enum.Enum):
    """What is done with a message: the machine is told; it is passed over, for it will come again; it is wrong."""

    TAKEN = "taken"
    PASSED = "passed over"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One message of one end.

    @ivar taken: states in which the machine is told (STREAM and CREDIT: in which it is relayed).
    @ivar passed: states in which it may cross a command, or come too early after a restart; it changes nothing.
    """

    side: Side
    message: str
    taken: tuple[str, ...]
    passed: tuple[str, ...] = ()


def _without(states: tuple[str, ...], *those: str) -> tuple[str, ...]:
    return tuple(state for state in states if state not in those)


MOVE_RULES = (
    Rule(DESTINATION, "PREPARED", ("preparing", *UNDOING)),
    Rule(SOURCE, "GETTING", (), (*_without(TRANSFERRING, "preparing"), *UNDOING)),
    Rule(DESTINATION, "INSTALLED", ("exporting", *UNDOING)),
    Rule(DESTINATION, "HOLDING", ("holding", *UNDOING)),
    Rule(DESTINATION, "DIVERT_CONFIRMED", ("diverting", *UNDOING)),
    Rule(DESTINATION, "COMMITTED", ("committing", *GONE_FORWARD)),
    Rule(DESTINATION, "MERGED", ("draining", *GONE_FORWARD), ("committing",)),
    # a controller that could not write that the destination had committed is told so again after its restart, while the
    # source, which was told to delete before, goes on
    Rule(SOURCE, "DELETED", GONE_FORWARD, COMMITTED),
    Rule(SOURCE, "WINDOW_CLOSED", ("window",), ("deleting", *COMMITTED)),
    Rule(SOURCE, "UNMARKED", (*_without(GOING_BACK, "settingBack"), *UNDOING), ("settingBack",)),
    Rule(DESTINATION, "DISCARDED", (*_without(GOING_BACK, "settingBack"), *UNDOING), ("settingBack",)),
    Rule(DESTINATION, REFUSED_COMMIT, ("committing", *GONE_FORWARD, *GOING_BACK, *UNDOING)),
    Rule(SOURCE, REFUSED_DELETE, GONE_FORWARD, (*GOING_BACK, *UNDOING)),
    Rule(SOURCE, REFUSED, MOVE_STATES),
    Rule(DESTINATION, REFUSED, MOVE_STATES),
    Rule(SOURCE, "STREAM", _without(MOVE_STATES, "preparing")),
    Rule(DESTINATION, "CREDIT", _without(MOVE_STATES, "preparing")),
    Rule(DESTINATION, "STREAM", _without(MOVE_STATES, *TRANSFERRING)),
    Rule(SOURCE, "CREDIT", _without(MOVE_STATES, *TRANSFERRING)),
)
SHARED_RULES = (
    Rule(DESTINATION, "PREPARED", ("preparing", *UNDOING)),
    Rule(SOURCE, "GETTING", (), ("exporting", "installed", "finishing", *UNDOING)),
    Rule(DESTINATION, "INSTALLED", ("exporting", *UNDOING)),
    Rule(DESTINATION, "FINISH_CONFIRMED", ("finishing", "committing", "deleting", *UNDOING)),
    Rule(DESTINATION, "COMMITTED", ("committing", "deleting", *UNDOING)),
    Rule(SOURCE, "DELETED", ("deleting", *UNDOING)),
    Rule(SOURCE, "UNMARKED", UNDOING),
    Rule(DESTINATION, "DISCARDED", UNDOING),
    Rule(DESTINATION, REFUSED_COMMIT, ("committing", "deleting", *UNDOING)),
    Rule(SOURCE, REFUSED_DELETE, ("deleting",), UNDOING),
    Rule(SOURCE, REFUSED, SHARED_STATES),
    Rule(DESTINATION, REFUSED, SHARED_STATES),
    Rule(SOURCE, "STREAM", _without(SHARED_STATES, "preparing")),
    Rule(DESTINATION, "CREDIT", _without(SHARED_STATES, "preparing")),
)


def _indexed(rules: tuple[Rule, ...]) -> dict[tuple[Side, str, str], Verdict]:
    found = {(rule.side, rule.message, state): Verdict.PASSED for rule in rules for state in rule.passed}
    return found | {(rule.side, rule.message, state): Verdict.TAKEN for rule in rules for state in rule.taken}


_MOVE, _SHARED = _indexed(MOVE_RULES), _indexed(SHARED_RULES)


def nameOf(side: Side, message: Message) -> str | None:
    """
    The name under which the tables have what the end C{side} says; None: that end cannot say this at all.

    Each end speaks of its own stream, and gives credit for the other's.
    """
    if isinstance(message, Refused):
        if message.request not in REFUSABLE[side]:
            return None
        return {MessageType.COMMIT: REFUSED_COMMIT, MessageType.DELETE: REFUSED_DELETE}.get(
            MessageType(message.request) if message.request else MessageType.REFUSED, REFUSED
        )
    if isinstance(message, StreamFrame | Credit) and (message.side is side) is isinstance(message, Credit):
        return None
    return BY_CLASS[type(message)].type.name


def judge(sort: Sort, side: Side, message: Message, state: str) -> Verdict:
    """May the end C{side} of an operation of C{sort} say this in that state of the controller's machine?"""
    name = nameOf(side, message)
    rules = _MOVE if sort is Sort.MOVE else _SHARED
    return Verdict.WRONG if name is None else rules.get((side, name, state), Verdict.WRONG)


def tableOf(rules: tuple[Rule, ...], states: tuple[str, ...]) -> str:
    """The rules as the page shows them, of a machine with these states."""
    lines = ["| said by | message | taken in | passed over in |", "|---|---|---|---|"]
    for rule in rules:
        taken, passed = _statesText(rule.taken, states), _statesText(rule.passed, states)
        lines.append(f"| {rule.side.name.lower()} | {rule.message} | {taken} | {passed} |")
    return "\n".join(lines)


def _statesText(some: tuple[str, ...], every: tuple[str, ...]) -> str:
    """Some states: those that are left out, if these are fewer; undoing ones by their common name."""
    others = _without(every, *some)
    if len(others) < len(some):
        return "any but " + _statesText(others, every) if others else "any"
    if set(UNDOING) <= set(some):
        some = (*_without(some, *UNDOING), "*undoing*")
    return ", ".join(some) or "–"
