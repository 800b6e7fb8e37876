"""
What every kind must do, as a mixin for trial: the adapter's suite, that of shared state, and what is said of
configuration and events.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.middlebox.capabilities import capabilitiesOf
from openmb.state.announcements import Announced
from openmb.testing.adapters import OPERATION
from openmb.testing.sharedstate import SharedStateTestsMixin


class MiddleboxTestsMixin(SharedStateTestsMixin):
    """The suite that every kind passes; hooks as in L{SharedStateTestsMixin}."""

    def test_configuration(self) -> None:
        """The whole tree written back changes nothing; what governs records follows what the schema says of it."""
        middlebox = self.makeMiddlebox()
        configuration, before = middlebox.configuration, middlebox.governing
        tree = dict(configuration.tree)
        self.assertEqual({setting.key for setting in configuration.schema}, set(tree))
        middlebox.configure(configuration.changed(tree))
        self.assertEqual((tree, before), (configuration.tree, middlebox.governing))
        middlebox.configure(configuration.reset("*"))
        self.assertEqual((tree, before), (configuration.tree, middlebox.governing))

    def test_listening(self) -> None:
        """Who listens hears what was declared, and changes nothing of the output; nobody hears after that."""
        quiet = self.finished(self.fed(self.traffic()))
        middlebox, heard = self.makeMiddlebox(), list[Announced]()
        known = {each.name: each for each in middlebox.announcements}
        middlebox.listen(frozenset(known), heard.extend)
        self.feed(middlebox, self.traffic())
        self.assertEqual(quiet, self.finished(middlebox))
        self.assertEqual([], [each for each in heard if not known[each.name].fits(each.values)])
        self.assertEqual(bool(known), bool(heard))
        middlebox, heard = self.makeMiddlebox(), []
        middlebox.listen(frozenset(known), heard.extend)
        middlebox.listen(frozenset(), heard.extend)
        self.feed(middlebox, self.traffic())
        self.finished(middlebox)
        self.assertEqual([], heard)

    def test_learning(self) -> None:
        """What one announces another learns, in silence and without a trace of flows, or refuses to learn."""
        teller, heard = self.makeMiddlebox(), list[Announced]()
        teller.listen(frozenset(each.name for each in teller.announcements), heard.extend)
        self.feed(teller, self.traffic())
        self.finished(teller)
        listener, quiet, said = self.makeMiddlebox(), self.finished(self.makeMiddlebox()), list[Announced]()
        learner = capabilitiesOf(listener).learner
        listener.listen(frozenset(each.name for each in listener.announcements), said.extend)
        events = [Announced(each.name, each.stamp, b"", each.values) for each in heard]
        try:
            self.assertEqual(0, learner.learn([]))
            news = learner.learn(events)
        except OperationError as error:
            self.assertIs(Refusal.BAD_REQUEST, error.refusal)
        else:
            self.assertTrue(0 < news <= len(events))
            self.assertEqual(0, learner.learn(events))
        self.assertEqual([], said)
        self.assertEqual((0, 0), self.count(listener))
        self.assertEqual(quiet, self.finished(listener))

    def test_nothingAnnouncedTwice(self) -> None:
        """Re-processing says nothing: the source has said it."""
        source, destination, heard = self.makeMiddlebox(), self.makeMiddlebox(), list[Announced]()
        destination.listen(frozenset(each.name for each in destination.announcements), heard.extend)
        self.put(destination, self.exported(source))
        destination.reprocess(OPERATION, self.decode(self.traffic()))
        self.assertEqual([], heard)
