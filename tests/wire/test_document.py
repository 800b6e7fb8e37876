"""The protocol's page."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.wire.document import main, updatedPage
from openmb.wire.messages import MessageType

_PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"


class PageTests(SynchronousTestCase):
    """C{docs/protocol.md} says what the formats say."""

    def test_upToDate(self) -> None:
        page = _PAGE.read_text("utf-8")
        self.assertEqual(page, updatedPage(page), "run: python -m openmb.wire.document docs/protocol.md")

    def test_everyMessageHasATable(self) -> None:
        page = _PAGE.read_text("utf-8")
        for type in MessageType:
            self.assertIn(f"### {type.name} ({type:d})\n", page)

    def test_staleSectionIsReplaced(self) -> None:
        path = Path(self.mktemp())
        path.write_text("before\n<!-- begin header -->\nstale\n<!-- end header -->\nafter\n", "utf-8")
        main([str(path)])
        text = path.read_text("utf-8")
        self.assertNotIn("stale", text)
        self.assertIn("| 12 | 8 | u64 | operation |", text)
        self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"))

    def test_unknownSection(self) -> None:
        with self.assertRaises(KeyError):
            updatedPage("<!-- begin nonsense -->\n<!-- end nonsense -->")
