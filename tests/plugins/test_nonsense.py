"""Configuration that is nonsense: an error that says so, and nothing has changed."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.plugins.prads.settings import PradsSettings
from openmb.plugins.smartre.plugin import SmartreDecoder, SmartreEncoder
from openmb.plugins.smartre.settings import Role
from openmb.testing.smartre.fabric import TALKING
from tests.plugins.prads.running import rules

#: No setting takes any of these.
_NONSENSE = ("-1", "9" * 5000, "1e400", "nan", "inf", "\udcff", "\0", "²", "١", " 1", "1_000", "0x10", "10.0.0.0/33")


class NonsenseTests(SynchronousTestCase):
    """Every key of a kind is given values that it cannot take, alone and twice."""

    def refuses(self, end: SmartreEncoder | SmartreDecoder | PradsMiddlebox) -> None:
        """None of it is taken."""
        before, settings = dict(end.configuration.tree), end.settings
        for key in before:
            for value in _NONSENSE:
                for values in ((value,), (value, value)):
                    with self.assertRaises(OperationError, msg=f"{key} {values!r}"):
                        end.configure(end.configuration.changed({key: values}))
        self.assertEqual((before, settings), (dict(end.configuration.tree), end.settings))

    def test_encoder(self) -> None:
        self.refuses(SmartreEncoder(TALKING))

    def test_decoder(self) -> None:
        self.refuses(SmartreDecoder(replace(TALKING, role=Role.DECODER)))

    def test_prads(self) -> None:
        self.refuses(PradsMiddlebox(PradsSettings(), rules()))
