"""Sessions by name, and which two fit together."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.registry import Registry, Session, checkPair
from openmb.errors import OperationError, Refusal
from openmb.wire.messages import LayoutVersion, Message
from tests.controller.rig import LAYOUTS, hello


def keep(message: Message) -> None:
    """Takes what is sent."""


class RegistryTests(SynchronousTestCase):
    """One registry."""

    def setUp(self) -> None:
        self.registry = Registry()
        self.session = Session(hello("a"), keep)

    def refusal(self, name: str) -> Refusal:
        with self.assertRaises(OperationError) as caught:
            self.registry.find(name)
        return Refusal(caught.exception.refusal)

    def test_find(self) -> None:
        """Unknown, connected, disconnected."""
        self.assertEqual(Refusal.UNKNOWN_MIDDLEBOX, self.refusal("a"))
        self.assertIsNone(self.registry.add(self.session))
        self.assertIs(self.session, self.registry.find("a"))
        self.assertTrue(self.registry.remove(self.session))
        self.assertEqual(Refusal.DISCONNECTED, self.refusal("a"))
        self.assertFalse(self.registry.remove(self.session))

    def test_replaced(self) -> None:
        """The end of a session that was replaced does not end the one that took its place."""
        self.registry.add(self.session)
        later = Session(hello("a"), keep)
        self.assertIs(self.session, self.registry.add(later))
        self.assertFalse(self.registry.remove(self.session))
        self.assertEqual([later], list(self.registry))

    def test_pairs(self) -> None:
        """Same, different kinds, other layouts, other governing configuration: each with its reason."""
        ours = hello("a")
        for theirs, refusal in (
            (ours, Refusal.SAME_MIDDLEBOX),
            (replace(hello("b"), kind="prads"), Refusal.DIFFERENT_KINDS),
            (replace(hello("b"), layouts=(replace(LAYOUTS[0], version=2),)), Refusal.INCOMPATIBLE_RECORDS),
            (replace(hello("b"), layouts=()), Refusal.INCOMPATIBLE_RECORDS),
            (replace(hello("b"), governing=bytes(31) + b"x"), Refusal.INCOMPATIBLE_RECORDS),
        ):
            with self.assertRaises(OperationError) as caught:
                checkPair(Session(ours, keep), Session(theirs, keep))
            self.assertEqual(refusal, caught.exception.refusal)

    def test_orderOfLayouts(self) -> None:
        """The order in which layouts are listed does not matter."""
        more = (*LAYOUTS, LayoutVersion(LAYOUTS[0].cell, 2, 1))
        ours, theirs = replace(hello("a"), layouts=more), replace(hello("b"), layouts=more[::-1])
        checkPair(Session(ours, keep), Session(theirs, keep))
