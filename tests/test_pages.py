"""Commands in the README and in docs/ are commands that there are, with options that they have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.northbound.cli import openmb
from openmb.plugins.registry import findPlugin

_ROOT = Path(__file__).resolve().parent.parent
#: A command in a line of a block, or between backquotes in the text.
_BLOCK = re.compile(r"^    +(?:\$ )?(?:\(cd \w+ && )?((?:openmb|twistd) .*)", re.MULTILINE)
_TEXT = re.compile(r"`((?:openmb|twistd) [^`]*)`")
#: Where one command ends and what follows is another's.
_END = re.compile(r"\s(?:\||&&|&|#|>|<).*|\)$")
_OPTION = re.compile(r"--?[A-Za-z][A-Za-z-]*")


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command in a page, without what is optional or stands for something."""
    whole = re.sub(r"\\\n\s+", "", page)
    for found in (*_BLOCK.findall(whole), *(found for found in _TEXT.findall(whole))):
        for each in re.split(r"\s(?:\||&&)\s", found):
            text = _END.sub("", re.sub(r"\]\.\.\.|[][|]", " ", each).replace("\n", " "))
            if re.match(r"(openmb|twistd) [a-z-]", text):
                yield shlex.split(text)


def isOptionOf(word: str, options: usage.Options) -> bool:
    """Has a Twisted parser this option?"""
    name = word.lstrip("-")
    return name in {each.rstrip("=") for each in options.longOpt} if word.startswith("--") else name in options.shortOpt


class PageTests(SynchronousTestCase):
    """What a page says to type can be typed."""

    def setUp(self) -> None:
        self.services = {each.tapname: each for each in getPlugins(IServiceMaker) if each.tapname.startswith("openmb")}
        self.checked = 0

    def check(self, words: list[str]) -> str | None:
        """What is wrong with a command, or None."""
        self.checked += 1
        if words[0] == "twistd":
            return self.service(words)
        context: click.Context = click.Context(openmb)
        command: click.Command = openmb
        kinds: list[str] = []
        for word in words[1:]:
            if isinstance(command, click.Group) and not word.startswith("-"):
                found = command.get_command(context, word)
                if found is None:
                    return f"there is no {word}"
                command = found
            elif _OPTION.fullmatch(word):
                if not self.has(command, word, kinds):
                    return f"it has no {word}"
            elif not kinds:
                kinds.append(word)
        return None

    def has(self, command: click.Command, word: str, kinds: list[str]) -> bool:
        """Is this an option of the command, or of the kind that it runs?"""
        own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if word in own or word in ("--help", "-h"):
            return True
        return command.name == "run" and bool(kinds) and self.kind(word, kinds[0])

    def kind(self, word: str, kind: str) -> bool:
        """Is this an option of the kind?"""
        try:
            return isOptionOf(word, findPlugin(kind).makeOptions())
        except ConfigurationError:
            return False

    def service(self, words: list[str]) -> str | None:
        names = [word for word in words if word in self.services]
        if not names:
            return None  # twistd itself is meant
        options = self.services[names[0]].options()
        behind = words[words.index(names[0]) + 1 :]
        kinds = [word for word in ("bro", "prads", "smartre") if word in behind]
        for place, word in enumerate(behind):
            if _OPTION.fullmatch(word) and not isOptionOf(word, options):
                isBehind = bool(kinds) and place > behind.index(kinds[0])
                if not (isBehind and self.kind(word, kinds[0])):
                    return f"it has no {word}"
        return None

    def test_everyCommand(self) -> None:
        """In every page."""
        wrong = []
        for path in (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))):
            for words in commands(path.read_text()):
                fault = self.check(words)
                if fault is not None:
                    wrong.append(f"{path.name}: {' '.join(words)}: {fault}")
        self.assertEqual([], wrong)
        self.assertGreater(self.checked, 100)

    def test_whatIsWrong(self) -> None:
        """A command, a service's option, a kind's option that are not there are found."""
        for page in (
            "    openmb nothing",
            "    openmb move a b --nothing",
            "see `openmb status --nothing`",
            "    openmb run bro --pcap x --nothing",
            "    twistd openmb-switch --nothing",
            "    twistd openmb-middlebox --name x bro \\\n        --nothing",
        ):
            self.assertEqual([False], [self.check(words) is None for words in commands(page)], page)
