"""Declarations of introspection events, and what fits them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.state.announcements import (
    FIELDS_LIMIT,
    Announcement,
    Datum,
    Field,
    FieldType,
    Subject,
    documentAnnouncements,
)

TYPES = tuple(Field(f"a_{each.name.lower()}", each, f"a {each.value}") for each in FieldType)
MIXED = Announcement("some-thing", Subject.HOST, "It happened.", TYPES)


class AnnouncementTests(SynchronousTestCase):
    """One event of every type."""

    def test_fits(self) -> None:
        """Every field may be unset; a whole number is a number, a truth is none."""
        good: tuple[tuple[Datum, ...], ...] = ((1, 1.5, True, "x"), (-1, 2, False, ""), (None,) * 4)
        for values in good:
            self.assertTrue(MIXED.fits(values), values)
        bad: tuple[tuple[Datum, ...], ...] = (
            *((1, 1.5, True), (1, 1.5, True, "x", "y"), (1.0, 1.5, True, "x"), (True, 1.5, True, "x")),
            *((1, "1.5", True, "x"), (1, True, True, "x"), (1, 1.5, 1, "x"), (1, 1.5, True, 5), ()),
        )
        for values in bad:
            self.assertFalse(MIXED.fits(values), values)

    def test_declarations(self) -> None:
        """Names that could not travel, a field twice, too many."""
        for name in ("", "Some", "1a", "a b", "x" * 65):
            self.assertRaises(ValueError, Announcement, name, Subject.FLOW, "", ())
            field = Field(name, FieldType.TEXT, "")
            self.assertRaises(ValueError, Announcement, "a", Subject.FLOW, "", (field,))
        self.assertRaises(ValueError, Announcement, "a", Subject.FLOW, "", (TYPES[0], TYPES[0]))
        many = tuple(Field(f"f{each}", FieldType.TEXT, "") for each in range(FIELDS_LIMIT + 1))
        self.assertRaises(ValueError, Announcement, "a", Subject.FLOW, "", many)
        Announcement("a", Subject.FLOW, "", many[1:])

    def test_document(self) -> None:
        lines = documentAnnouncements([MIXED]).splitlines()
        self.assertEqual(["### some-thing", "", "It happened. About a host."], lines[:3])
        self.assertEqual("| a_whole | whole number | a whole number |", lines[6])
