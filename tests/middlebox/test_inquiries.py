"""Configuration of a host, by messages."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.testing.adapters import manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, End, Pair

TIMEOUT, GREETING, ORDER = "flows/timeout", "flows/greeting", "flows/order"


def entry(key: str, *values: str) -> m.ConfigurationEntry:
    return m.ConfigurationEntry(key, values)


class ConfigurationTests(SynchronousTestCase):
    """One host of the counting kind."""

    def setUp(self) -> None:
        self.end = End("a")

    def tree(self, key: str = "*") -> dict[str, tuple[str, ...]]:
        self.end.tell(m.GetConfiguration(3, key))
        (answer,) = self.end.take(m.ConfigurationAnswer)
        return {each.key: each.values for each in answer.entries}

    def test_get(self) -> None:
        self.assertEqual({TIMEOUT: ("0.5",), GREETING: (), ORDER: ("crc32",)}, self.tree())
        self.assertEqual({TIMEOUT: ("0.5",)}, self.tree(TIMEOUT))
        self.assertEqual(self.tree(), self.tree("flows"))

    def test_set(self) -> None:
        """What is set holds; the digest of what governs is the one that a HELLO has from then on."""
        before = self.end.host.hello().governing
        self.end.tell(m.SetConfiguration(4, (entry(GREETING, "b", "a"),)))
        self.end.tell(m.SetConfiguration(5, (entry(TIMEOUT, "0.250"),)))
        one, two = self.end.take(m.Configured)
        self.assertEqual((4, before, 5), (one.operation, one.governing, two.operation))
        self.assertEqual(self.end.host.hello().governing, two.governing)
        self.assertNotEqual(before, two.governing)
        self.assertEqual({TIMEOUT: ("0.25",), GREETING: ("b", "a"), ORDER: ("crc32",)}, self.tree())

    def test_delete(self) -> None:
        """Back to the start, the digest too."""
        before = self.end.host.hello().governing
        self.end.tell(m.SetConfiguration(4, (entry(TIMEOUT, "9"), entry(GREETING, "x"))), m.DeleteConfiguration(5, "*"))
        self.assertEqual(before, self.end.take(m.Configured)[1].governing)
        self.assertEqual({TIMEOUT: ("0.5",), GREETING: (), ORDER: ("crc32",)}, self.tree())

    def test_refused(self) -> None:
        """Nothing of it is done."""
        before = self.tree()
        for entries, refusal in (
            ((entry(GREETING, "x"), entry(TIMEOUT, "-1")), Refusal.BAD_REQUEST),
            ((entry(GREETING, "x"), entry("flows/nonsense", "1")), Refusal.BAD_REQUEST),
            ((entry(GREETING, "x"), entry(ORDER, "md5")), Refusal.BAD_REQUEST),
            ((entry(GREETING, "x"), entry(GREETING, "y")), Refusal.BAD_REQUEST),
        ):
            self.end.tell(m.SetConfiguration(4, entries))
            (refused,) = self.end.take(m.Refused)
            self.assertEqual(
                (4, m.MessageType.SET_CONFIGURATION, refusal), (refused.operation, refused.request, refused.refusal)
            )
        for message in (m.GetConfiguration(4, "nonsense"), m.DeleteConfiguration(4, "flow")):
            self.end.tell(message)
            self.assertEqual(Refusal.BAD_REQUEST, self.end.refusal())
        self.assertEqual(before, self.tree())

    def test_governingDuringOperations(self) -> None:
        """While there are operations what governs records stays; the rest may change, and so may what stays equal."""
        pair = Pair()
        pair.b.tell(pair.prepare)
        for request in (m.SetConfiguration(4, (entry(TIMEOUT, "2"), entry(GREETING, "x"))),):
            pair.b.tell(request)
            self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())
        pair.b.tell(m.SetConfiguration(5, (entry(TIMEOUT, "0.5"), entry(GREETING, "x"))))
        self.assertEqual([5], [each.operation for each in pair.b.take(m.Configured)])
        pair.b.tell(m.Discard(OP, False), m.Close(OP), m.SetConfiguration(6, (entry(TIMEOUT, "2"),)))
        self.assertEqual([6], [each.operation for each in pair.b.take(m.Configured)])

    def test_effect(self) -> None:
        """A shorter time-out ends flows that the old one would not have ended."""
        self.end.feed(manyFlows())
        self.end.tell(m.SetConfiguration(4, (entry(TIMEOUT, "0.01"),)))
        self.end.feed(manyFlows([7], start=int(manyFlows().stamps[-1]) + 200_000_000))
        self.assertEqual(6, len(self.end.rows))
