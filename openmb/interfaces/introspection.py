"""
Run-time configuration and introspection events: what can be set, what is announced, what can be learned from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import Attribute, Interface

from openmb.state.announcements import Announced, Announcement
from openmb.state.configuration import Configuration, Tree

#: Takes introspection events.
Announce = Callable[[Sequence[Announced]], None]


class IConfigurable(Interface):
    """What can be set while a middlebox runs."""

    configuration: Configuration = Attribute("the kind's schema, and what is configured now")

    def configure(tree: Tree) -> None:
        """
        Go by C{tree} from now on: every key, each checked against the schema, those that cannot change unchanged.

        The host calls it between two batches, and never with another governing configuration while there are
        operations.  C{configuration.tree} and C{IMiddlebox.governing} follow.

        @raise OperationError: it cannot be done, and nothing has changed.
        """


class IAnnouncer(Interface):
    """What a middlebox tells of itself, unasked."""

    announcements: Sequence[Announcement] = Attribute("the introspection events of this kind")

    def listen(wanted: frozenset[str], announce: Announce) -> None:
        """
        From now on hand the events named in C{wanted} to C{announce}, in order, and nothing else.

        What nobody wants must cost nothing.  Events come of packets that are processed in full, and of time; never of
        C{IEngine.reprocess}, since the source has announced those.  C{announce} may be called within any call of
        C{IEngine}, of C{IPerflowState.commit} and of C{ISharedState.commitShared}; it does not raise.
        """


class ILearner(Interface):
    """What a middlebox can learn from the introspection events of others."""

    def learn(events: Sequence[Announced]) -> int:
        """
        Another instance has announced these and has put out what there is to put out: from now on take them as known.

        Nothing is put out, counted or announced for them, now or when they are seen here.  Their keys are empty, values
        say what they are about.  Learning the same again changes nothing.

        @return: how many were news.
        @raise OperationError: C{BAD_REQUEST}, there is nothing to be learned from one of them; then nothing is learned.
        """
