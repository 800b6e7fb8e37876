"""What can be configured while a Bro middlebox runs."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError, OperationError, Refusal
from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.configuration import SETTINGS, fingerprint, settingsAfter, treeOf
from openmb.plugins.bro.plugin import BroMiddlebox, BroPlugin
from openmb.plugins.bro.reporting.locality import readNetworks
from openmb.plugins.bro.settings import BroSettings
from openmb.state.configuration import Tree
from openmb.state.headers import EVERYTHING
from openmb.testing.adapters import manyFlows
from openmb.testing.kindpage import updatedPage
from tests.plugins.bro.running import makeBro, readLog

_ONLY_CONFIGURED = frozenset(
    ("policies/most", "scan/addresses", "scan/ports", "scan/epoch", "ssh/guesses", "ssh/epoch")
)
_PAGE = Path(__file__).parents[3] / "docs" / "bro.md"


def write(middlebox: BroMiddlebox, tree: Tree) -> None:
    """As a host does."""
    middlebox.configure(middlebox.configuration.changed(tree))


class TreeTests(SynchronousTestCase):
    """Settings and tree stand for each other."""

    def test_defaults(self) -> None:
        """The defaults of the schema are those of the settings and of the command line."""
        options = BroPlugin().makeOptions()
        options.parseOptions([])
        started = BroPlugin().makeMiddlebox(options).configuration.tree
        self.assertEqual(SETTINGS.defaults, started)
        self.assertEqual(SETTINGS.defaults, treeOf(BroSettings()))

    def test_thereAndBack(self) -> None:
        """Whatever can change comes back; what cannot is left alone."""
        other = BroSettings(
            *(None, False, 77, 1.5, 0.25),
            local=readNetworks("8.0.0.0/8,2620::/32", False),
            patience=0.125,
        )
        self.assertEqual(treeOf(other), treeOf(settingsAfter(BroSettings(), treeOf(other))))
        fixed = BroSettings(asJSON=True, rotation=5, level=3, uidKey=b"k" * 16)
        self.assertEqual(fixed.asJSON, settingsAfter(fixed, treeOf(BroSettings())).asJSON)

    def test_options(self) -> None:
        """What the command line says stands in the tree."""
        options = BroPlugin().makeOptions()
        words = ["--json", "--gzip", "3", "--rotate", "60", "--flush", "2", "--max-flows", "9", "--grace", "1.5"]
        words += ["--tunnelled-connections", "--policies", "scan,stats"]
        options.parseOptions([*words, "--local-nets", "8.1.2.3/8", "--no-private-local", "--uid-key", "ab" * 16])
        tree = BroPlugin().makeMiddlebox(options).configuration.tree
        self.assertEqual(
            {
                "networks/local": ("8.0.0.0/8",),
                "networks/private-are-local": ("false",),
                "log/flush": ("2",),
                "log/format": ("json",),
                "log/rotate": ("60",),
                "log/gzip": ("3",),
                "connections/maximum": ("9",),
                "connections/grace": ("1.5",),
                "connections/tunnelled": ("true",),
                "policies/followed": ("scan", "stats"),
                "connections/id-key": (fingerprint(bytes.fromhex("ab" * 16)),),
            },
            {key: tree[key] for key in tree if key != "connections/sweep" and key not in _ONLY_CONFIGURED},
        )

    def test_tooManyNetworks(self) -> None:
        options = BroPlugin().makeOptions()
        options.parseOptions(["--local-nets", ",".join(f"9.{n >> 8}.{n & 255}.0/24" for n in range(5000))])
        self.assertRaises(ConfigurationError, BroPlugin().makeMiddlebox, options)

    def test_page(self) -> None:
        """The documentation has what the schema has."""
        page = _PAGE.read_text("utf-8")
        advice = "run: python -m openmb.testing.kindpage bro docs/bro.md"
        self.assertEqual(page, updatedPage(page, BroMiddlebox(BroSettings())), advice)


class EffectTests(SynchronousTestCase):
    """What is written holds from the next row or packet on."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.middlebox = makeBro(self.folder)

    def feed(self, packets: PacketBatch) -> None:
        self.middlebox.process(Decoder(checksums=False).decode(packets), None)
        self.middlebox.flush()

    def test_networks(self) -> None:
        """Rows written before keep what they said; what governs records follows, and goes back."""
        before = self.middlebox.governing
        self.feed(manyFlows([1]))
        write(self.middlebox, {"networks/local": ("10.0.9.0/24",), "networks/private-are-local": ("false",)})
        self.assertNotEqual(before, self.middlebox.governing)
        self.middlebox.finish()
        (row,) = readLog(self.folder / "conn.log")
        self.assertEqual(("F", "T"), (row["local_orig"], row["local_resp"]))
        self.middlebox.configure(self.middlebox.configuration.reset("networks"))
        self.assertEqual(before, self.middlebox.governing)

    def test_flush(self) -> None:
        """Rows wait as long as they may."""
        log = self.folder / "conn.log"
        write(self.middlebox, {"log/flush": ("3600",)})
        self.feed(manyFlows())
        self.middlebox.advance(manyFlows().stamps[-1] + 7200 * 10**9)
        self.middlebox.flush()
        self.assertEqual([], readLog(log))
        write(self.middlebox, {"log/flush": ("0",)})
        self.middlebox.flush()
        self.assertEqual(6, len(readLog(log)))

    def test_maximum(self) -> None:
        """Fewer than there are: those idle the longest go when more are needed."""
        self.feed(manyFlows())
        write(self.middlebox, {"connections/maximum": ("4",)})
        self.feed(manyFlows([9], start=int(manyFlows().stamps[-1]) + 1))
        self.assertLessEqual(len(self.middlebox._own.table), 4)
        write(self.middlebox, {"connections/maximum": ("1000",)})
        self.feed(manyFlows(range(10, 60), start=int(manyFlows().stamps[-1]) + 10**9))
        self.assertGreater(len(self.middlebox._own.table), 50)

    def test_grace(self) -> None:
        """A sweep removes what has ended longer ago than the grace; the next sweep is that far away."""
        self.feed(manyFlows([1]))
        ended = int(manyFlows([1]).stamps[-1]) + 60 * 10**9
        write(self.middlebox, {"connections/grace": ("100",), "connections/sweep": ("1",)})
        self.middlebox.advance(ended + 50 * 10**9)
        self.assertEqual(1, len(self.middlebox._own.table))
        write(self.middlebox, {"connections/grace": ("0",)})
        self.middlebox.advance(ended + 52 * 10**9)
        self.assertEqual(0, len(self.middlebox._own.table))

    def test_fixed(self) -> None:
        """The reason is given."""
        for key, value in (("log/format", "json"), ("log/gzip", "1"), ("log/rotate", "9"), ("connections/id-key", "x")):
            with self.assertRaises(OperationError) as caught:
                self.middlebox.configuration.changed({"log/flush": ("9",), key: (value,)})
            self.assertEqual(Refusal.WRONG_STATE, caught.exception.refusal)
            self.assertIn(f"{key} cannot change while the middlebox runs", caught.exception.reason)

    def test_provisional(self) -> None:
        """What a move brought before the table's maximum changed is committed all the same."""
        source = BroMiddlebox(BroSettings())
        source.process(Decoder(checksums=False).decode(manyFlows()), None)
        self.middlebox.prepare(1, EVERYTHING)
        for batches in source.getPerflow(EVERYTHING, 1, 64):
            for batch in batches:
                self.middlebox.putPerflow(1, batch)
        write(self.middlebox, {"connections/maximum": ("100",)})
        self.assertEqual(6, self.middlebox.commit(1))
