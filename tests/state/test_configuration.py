"""Schemas and trees of configurations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.state.configuration import TREE_LIMIT, Configuration, Schema, Tree, checkKey, entriesOf, isUnder, sizeOf
from openmb.state.settings import Choice, Plain, Prefix, Real, Setting, Switch, ValueType, Whole

SCHEMA = Schema(
    Setting("a/whole", Whole(-5, 100), ("7",), "a number"),
    Setting("a/real", Real(0, 10), ("0.5",), "a fraction", governs=True),
    Setting("a/b/switch", Switch(), ("true",), "on or off"),
    Setting("ab", Choice(("tsv", "json")), ("tsv",), "begun in one", fixed="files are begun"),
    Setting("nets", Prefix(), (), "a list", least=0, most=3),
    Setting("texts", Plain(), ("x",), "some", least=1, most=4096),
)
_GOOD: dict[str, st.SearchStrategy[tuple[str, ...]]] = {
    "a/whole": st.integers(-5, 100).map(lambda number: (str(number),)),
    "a/real": st.integers(0, 10_000_000).map(lambda number: (f"{number / 1_000_000:.6f}",)),
    "a/b/switch": st.sampled_from((("true",), ("false",))),
    "ab": st.just(("tsv",)),
    "nets": st.lists(st.ip_addresses().map(str), max_size=3).map(tuple),
    "texts": st.lists(st.sampled_from(("", "a", "ä b", "10")), min_size=1, max_size=4).map(tuple),
}
_trees = st.fixed_dictionaries({}, optional=_GOOD)
_keys = st.one_of(st.sampled_from([*_GOOD, "a", "a/b", "*", "b", "a/", "/a", "a//b", ""]), st.text(max_size=6))
_junkTrees = st.dictionaries(_keys, st.lists(st.text(max_size=4), max_size=4).map(tuple), max_size=3)


def plain(tree: Tree) -> dict[str, tuple[str, ...]]:
    return dict(tree)


class TreeTests(SynchronousTestCase):
    """What is written is what is read; what is refused changes nothing."""

    @given(_trees, _trees)
    def test_writtenIsRead(self, first: Tree, second: Tree) -> None:
        """The last write of each key holds, and nothing else has changed."""
        configuration = Configuration(SCHEMA)
        for tree in (first, second):
            configuration.tree = configuration.changed(tree)
        expected = {**SCHEMA.defaults, **SCHEMA.settle(first), **SCHEMA.settle(second)}
        self.assertEqual(expected, plain(configuration.under("*")))

    @given(_trees)
    def test_copy(self, tree: Tree) -> None:
        """The whole tree of one, written to another, makes them equal; settling what is settled changes nothing."""
        one, other = Configuration(SCHEMA, tree), Configuration(SCHEMA)
        other.tree = other.changed(one.under("*"))
        self.assertEqual(one.tree, other.tree)
        self.assertEqual(plain(one.tree), plain(SCHEMA.settle(one.tree)))

    @given(_trees, _keys)
    def test_partsMakeTheWhole(self, tree: Tree, key: str) -> None:
        """What is under a key is what its keys say, or the key is refused."""
        configuration = Configuration(SCHEMA, tree)
        try:
            found = configuration.under(key)
        except OperationError as error:
            self.assertEqual(Refusal.BAD_REQUEST, error.refusal)
            self.assertFalse(any(isUnder(each, key) for each in configuration.tree) and key != "*")
            return
        self.assertEqual({each for each in _GOOD if isUnder(each, key)}, set(found))

    @given(_trees, _trees, _keys)
    def test_reset(self, started: Tree, later: Tree, key: str) -> None:
        """Back to what it was started with, there and below; the rest stays."""
        configuration = Configuration(SCHEMA, started)
        atFirst = configuration.tree
        configuration.tree = after = configuration.changed(later)
        try:
            reset = configuration.reset(key)
        except OperationError:
            return
        for each in SCHEMA.defaults:
            self.assertEqual((atFirst if isUnder(each, key) else after)[each], reset[each])

    @given(_trees, _junkTrees)
    def test_junk(self, good: Tree, junk: Tree) -> None:
        """Whatever is written is taken whole or refused whole, with a reason."""
        configuration = Configuration(SCHEMA)
        before = plain(configuration.tree)
        try:
            after = configuration.changed({**good, **junk})
        except OperationError as error:
            self.assertIn(error.refusal, (Refusal.BAD_REQUEST, Refusal.WRONG_STATE))
            self.assertTrue(error.reason)
        else:
            self.assertEqual(set(before), set(after))
        self.assertEqual(before, configuration.tree)


class RuleTests(SynchronousTestCase):
    """Each rule by itself."""

    def setUp(self) -> None:
        self.configuration = Configuration(SCHEMA)

    def refused(self, tree: Tree) -> tuple[Refusal, str]:
        with self.assertRaises(OperationError) as caught:
            self.configuration.changed(tree)
        return caught.exception.refusal, caught.exception.reason

    def test_badValues(self) -> None:
        """Each names its key."""
        for key, values in (
            *(("a/whole", ("101",)), ("a/whole", ("-6",)), ("a/whole", ("1.0",)), ("a/whole", ("٣",)), ("a/whole", ())),
            *(("a/whole", ("1", "2")), ("a/real", ("nan",)), ("a/real", ("1e1",)), ("a/real", ("10.1",))),
            *(("a/real", ("0.1234567",)), ("a/b/switch", ("yes",)), ("nets", ("10.0.0.0/33",)), ("nets", ("1",) * 4)),
            *(("texts", ("a\nb",)), ("texts", ("x" * 1025,)), ("texts", ("\ud800",)), ("ab", ("TSV",))),
        ):
            refusal, reason = self.refused({"a/b/switch": ("false",), key: values})
            self.assertEqual((Refusal.BAD_REQUEST, key), (refusal, reason.partition(":")[0]))

    def test_badKeys(self) -> None:
        for key in ("", "a", "b", "a/whole/", "/a", "a//b", "..", "*", "a/*", "x" * 256, "a b"):
            refusal, reason = self.refused({key: ("1",)})
            self.assertEqual(Refusal.BAD_REQUEST, refusal)
            self.assertIn("a/whole", reason)

    def test_fixed(self) -> None:
        """What cannot change is accepted when it is equal, and refused with the reason otherwise."""
        self.assertEqual(self.configuration.tree, self.configuration.changed({"ab": ("tsv",)}))
        self.assertEqual(
            (Refusal.WRONG_STATE, "ab cannot change while the middlebox runs: files are begun"),
            self.refused({"ab": ("json",), "a/whole": ("1",)}),
        )

    def test_fixedIsReset(self) -> None:
        """What it was started with is what a deleted key goes back to."""
        configuration = Configuration(SCHEMA, {"ab": ("json",), "a/whole": ("3",)})
        configuration.tree = configuration.changed({"a/whole": ("9",)})
        self.assertEqual((("json",), ("3",)), tuple(configuration.reset("*")[key] for key in ("ab", "a/whole")))

    def test_governs(self) -> None:
        self.assertFalse(
            self.configuration.governs(self.configuration.changed({"a/whole": ("1",), "a/real": ("0.50",)}))
        )
        self.assertTrue(self.configuration.governs(self.configuration.changed({"a/real": ("0.51",)})))

    def test_tooLarge(self) -> None:
        """Together with what is there already."""
        many = tuple("x" * 1000 for _ in range(TREE_LIMIT // 1000 + 1))
        self.assertEqual(Refusal.BAD_REQUEST, self.refused({"texts": many})[0])
        self.configuration.changed({"texts": many[:500]})

    def test_canonical(self) -> None:
        """A value has one text."""
        after = self.configuration.changed(
            {"nets": ("10.1.2.3/8", "2001:DB8::/32"), "a/real": ("2.50",), "a/whole": ("-0",)}
        )
        self.assertEqual(
            (("10.0.0.0/8", "2001:db8::/32"), ("2.5",), ("0",)), tuple(after[k] for k in ("nets", "a/real", "a/whole"))
        )

    def test_entries(self) -> None:
        """Values at a key; a tree at or above its keys."""
        self.assertEqual({"a/whole": ("1",)}, entriesOf("a/whole", ["1"]))
        self.assertEqual({"a/whole": ("1",)}, entriesOf("a", {"a/whole": ("1",)}))
        for key, content in (("*", ["1"]), ("a", {"ab": ("tsv",)}), ("a", {"*": ("1",)}), ("a//b", ["1"])):
            with self.assertRaises(OperationError, msg=key):
                entriesOf(key, content)

    def test_isUnder(self) -> None:
        self.assertEqual(
            (True, True, True, False, False),
            tuple(isUnder(*pair) for pair in (("a/b", "a"), ("a", "a"), ("a", "*"), ("ab", "a"), ("a", "a/b"))),
        )

    def test_keys(self) -> None:
        for key in ("*", "a", "a/b/c", "A.b/c-d_e"):
            checkKey(key)

    def test_size(self) -> None:
        self.assertEqual(2 + 2 + 1, sizeOf({"ab": ("ä", "x")}))

    def test_schemas(self) -> None:
        """Declarations that make no sense are not accepted."""
        one = Setting("a", Switch(), ("true",), "")
        for settings in ((one, one), (one, Setting("a/b", Switch(), ("true",), ""))):
            with self.assertRaises(ValueError):
                Schema(*settings)
        bad: tuple[tuple[str, ValueType, tuple[str, ...]], ...] = (
            ("a b", Switch(), ("true",)),
            ("a", Switch(), ("yes",)),
            ("a", Real(0, 1), ("0.50",)),
        )
        for key, type_, default in bad:
            with self.assertRaises(ValueError):
                Setting(key, type_, default, "")

    def test_document(self) -> None:
        rows = SCHEMA.document().splitlines()
        self.assertEqual("| `ab` | tsv or json | tsv | no: files are begun | begun in one |", rows[5])
        self.assertEqual("| `a/real` | number, 0 to 10 | 0.5 | yes; governs records | a fraction |", rows[3])
