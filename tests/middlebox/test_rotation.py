"""Keyrings that change while state moves: an operation keeps the keys with which it began."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.packets.marker import BACK_MARKERS
from openmb.state.keyring import Keyring
from openmb.testing.adapters import manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import KEYRING, OP, Pair, single
from tests.middlebox.test_destination import LATER

NEW = KEYRING.rotated()
ONLY_NEW = NEW.without(1)


class RotationTests(SynchronousTestCase):
    """Two hosts whose keyrings are replaced in the middle of a move."""

    def use(self, pair: Pair, a: Keyring, b: Keyring) -> None:
        pair.a.host.keyring, pair.b.host.keyring = a, b

    def test_droppedMeanwhile(self) -> None:
        """Everything is sealed by then with a key that no file has any more: it arrives all the same."""
        pair = Pair()
        pair.a.feed(manyFlows())
        pair.b.tell(pair.prepare)
        pair.a.tell(pair.get)
        self.use(pair, ONLY_NEW, ONLY_NEW)
        while pair.a.host.work():
            pair.relay()
        pair.relay()
        pair.b.tell(m.Hold(OP, bytes(16)))
        pair.a.tell(m.Divert(OP, bytes(16)))
        later = manyFlows(start=LATER)
        pair.a.feed(later)
        pair.relay()
        self.assertEqual([], pair.b.take(m.Refused))
        self.assertEqual([6], [installed.records for installed in pair.b.take(m.Installed)])
        pair.a.tell(m.Unmark(OP, False))
        pair.b.tell(m.Discard(OP, False))
        self.assertEqual(single(manyFlows(), later), pair.finish())

    def test_returnedMeanwhile(self) -> None:
        """What a destination returns is sealed with the operation's key too, or the source could not open it."""
        pair = Pair().confirmed()
        self.use(pair, KEYRING, ONLY_NEW)
        later = manyFlows(start=LATER)
        pair.b.feed(later)
        pair.a.tell(m.Unmark(OP, True))
        pair.b.tell(m.Discard(OP, True))
        pair.b.mark(LATER + 10**9, True, number=BACK_MARKERS + 1)
        pair.relay()
        pair.tick(1.0)
        self.assertEqual([m.Unmarked(OP, 24, 0)], pair.a.take(m.Unmarked))
        self.assertEqual(single(manyFlows(), later), pair.finish())

    def test_twoSteps(self) -> None:
        """Add everywhere, use one after the other, drop everywhere: each pair of neighbours in between can move."""
        added = KEYRING.extended()
        used = added.using(2)
        for a, b in ((added, KEYRING), (KEYRING, added), (used, added), (added, used), (used, used.without(1))):
            pair = Pair()
            self.use(pair, a, b)
            self.assertEqual([6], [installed.records for installed in pair.installed().b.take(m.Installed)])

    def test_oneStep(self) -> None:
        """A source that uses a key which the destination does not have yet: refused, and the source goes on."""
        pair = Pair()
        self.use(pair, NEW, KEYRING)
        pair.installed()
        self.assertEqual(Refusal.SEAL_BROKEN, pair.b.refusal())
        pair.a.tell(m.Unmark(OP, False))
        pair.b.tell(m.Discard(OP, False))
        self.assertEqual(single(manyFlows()), pair.finish())
