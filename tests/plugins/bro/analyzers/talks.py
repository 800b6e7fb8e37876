"""Analysers driven by whole conversations, however they are cut, and moved wherever one likes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.analyzer import Analyzer, Finding, Sign, Surroundings

#: Who says what: the originator is C{True}; an empty text is the end of a direction, a number a gap.
Talk = Sequence[tuple[bool, bytes | int]]

CONFIRMED, VIOLATED, EXCEEDED, ENCRYPTED = Sign.CONFIRMED, Sign.VIOLATED, Sign.EXCEEDED, Sign.ENCRYPTED


def pieces(talk: Talk, step: int) -> Iterable[tuple[bool, bytes | int]]:
    """The same talk in pieces of at most C{step} bytes."""
    for originator, said in talk:
        if isinstance(said, int) or not said:
            yield originator, said
        else:
            for start in range(0, len(said), step):
                yield originator, said[start : start + step]


def found(
    kind: type[Analyzer], talk: Talk, step: int = 1 << 30, moving: bool = False, skipping: bool = False
) -> list[Finding]:
    """All findings; C{moving}: dumped and loaded after every piece; C{skipping}: what may be skipped is."""
    analyzer = kind(Surroundings())
    findings: list[Finding] = []
    for originator, said in pieces(talk, step):
        if isinstance(said, int):
            analyzer.gap(originator, said, 0)
        elif not said:
            analyzer.finished(originator, 0)
        else:
            skip = analyzer.skip(originator) if skipping else 0
            if skip > 0:
                analyzer.skipped(originator, min(skip, len(said)), 0)
            if 0 <= skip < len(said):
                analyzer.data(originator, said[skip:], 0)
        findings += analyzer.findings
        analyzer.findings.clear()
        if moving:
            analyzer = kind.load(analyzer.dump(), Surroundings())
    return findings


class TalkTests(SynchronousTestCase):
    """
    What must hold of every analyser. Import the module, not the class, or it is run by itself.

    @cvar kind: the analyser.
    @cvar talks: conversations in which much happens.
    @cvar cutting: findings do not depend on how the stream was cut.
    """

    kind: ClassVar[type[Analyzer]]
    talks: ClassVar[Sequence[Talk]]
    cutting: ClassVar[bool] = True

    def test_anySegmentation(self) -> None:
        for talk in self.talks if self.cutting else ():
            whole = found(self.kind, talk)
            for step in (1, 2, 7):
                self.assertEqual(found(self.kind, talk, step), whole, (step, talk))

    def test_everyCut(self) -> None:
        """One move between any two bytes changes nothing, nor does it to move after each."""
        for talk in self.talks:
            steps = (1, 5, 1 << 30) if self.cutting else (1 << 30,)
            for step in steps:
                self.assertEqual(
                    found(self.kind, talk, step, moving=True),
                    found(self.kind, talk, step),
                )

    def test_skipping(self) -> None:
        """What an analyser can do without, it can do without."""
        for talk in self.talks:
            for step in (1, 10, 1 << 30) if self.cutting else (1 << 30,):
                self.assertEqual(
                    found(self.kind, talk, step, skipping=True),
                    found(self.kind, talk, step),
                )

    def test_junk(self) -> None:
        """Random and mutated conversations never throw, and dump to what can be loaded."""
        dice = random.Random(4)
        for round_ in range(60):
            talk: list[tuple[bool, bytes | int]] = []
            for originator, said in dice.choice(self.talks):
                if isinstance(said, bytes) and said:
                    changed = bytearray(said if round_ % 3 else dice.randbytes(len(said)))
                    for _ in range(dice.randrange(4)):
                        changed[dice.randrange(len(changed))] = dice.choice((0, 10, 13, 255, dice.randrange(256)))
                    said = bytes(changed)
                talk.append((dice.random() < 0.1 or originator, said))
            found(self.kind, talk, dice.choice((9, 40, 1000)), moving=True, skipping=bool(round_ % 2))

    def test_mutatedDumps(self) -> None:
        """A dump with any byte changed is refused, or makes an analyser that survives everything."""
        dice = random.Random(5)
        accepted = 0
        for talk in self.talks:
            analyzer = self.kind(Surroundings())
            for originator, said in list(pieces(talk, 9))[: dice.randrange(1, 12)]:
                if isinstance(said, bytes):
                    analyzer.data(originator, said, 0)
            dump = analyzer.dump()
            for place in sorted(dice.sample(range(len(dump)), min(40, len(dump)))):
                value = dice.choice((0, 1, 2, 5, 127, 255))
                accepted += self._survives(dump[:place] + bytes((value,)) + dump[place + 1 :], talk)
        self.assertGreater(accepted, 0)

    def _survives(self, dump: bytes, talk: Talk) -> bool:
        try:
            analyzer = self.kind.load(dump, Surroundings())
        except OperationError:
            return False
        for originator, said in talk:
            if isinstance(said, int):
                analyzer.gap(originator, said, 0)
            elif said:
                if analyzer.skip(originator) > 0:
                    analyzer.skipped(originator, analyzer.skip(originator), 0)
                analyzer.data(originator, said, 0)
            else:
                analyzer.finished(originator, 0)
        self.kind.load(analyzer.dump(), Surroundings())
        return True

    def test_shortDumps(self) -> None:
        """A dump that is cut short anywhere, or goes on, is refused."""
        dump = self.kind(Surroundings()).dump()
        for length in range(len(dump)):
            self.assertRaises(OperationError, self.kind.load, dump[:length], Surroundings())
        self.assertRaises(OperationError, self.kind.load, dump + b"\0", Surroundings())
        self.assertEqual(dump[0], self.kind.load(dump, Surroundings()).dump()[0])
