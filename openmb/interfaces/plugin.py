"""
Plugins: each makes middleboxes of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zope.interface import Attribute, Interface

from openmb.interfaces.engine import IMiddlebox

#: The version of these contracts: raised when a plugin that was written for an earlier one cannot be used any more.
INTERFACE_VERSION = 2


@dataclass(frozen=True, slots=True)
class RunTerms:
    """
    What the options of a kind mean to whoever runs its middleboxes.

    @ivar reassemble: packets are put together from fragments; else each comes as it is.
    @ivar checksums: packets with a wrong checksum are known as such; else nobody looks.
    @ivar inline: it sends packets on.
    @ivar output: the file for the packets that it sends on when it runs over captures; None: none was named.
    @ivar reads: the files that it reads, each with a word for what it is ("dictionary").
    """

    reassemble: bool
    checksums: bool
    inline: bool = False
    output: Path | None = None
    reads: Mapping[str, Path] = field(default_factory=dict)


class IMiddleboxKind(Interface):
    """A kind of middlebox that can be had; what it is made of is not imported yet."""

    kind: str = Attribute("the kind's name, as in certificates and on the command line")
    summary: str = Attribute("one line for help texts")

    def load() -> IMiddleboxPlugin:
        """
        Import it.

        @raise ConfigurationError: it cannot be imported, or not be used with this version of the interfaces.
        """


class IMiddleboxPlugin(Interface):
    """Makes middleboxes of one kind."""

    interfaceVersion: int = Attribute("the C{INTERFACE_VERSION} that it was written for")
    kind: str = Attribute("the kind's name, as in certificates and on the command line")
    summary: str = Attribute("one line for help texts")

    def warmUp() -> None:
        """
        Compile, or load from the cache, whatever a middlebox of this kind would otherwise compile at its first packet.

        Called once, before a middlebox connects to anything.
        """

    def makeOptions() -> Any:
        """A fresh C{twisted.python.usage.Options} with the kind's own options."""

    def terms(options: Any) -> RunTerms:
        """
        What C{options} mean to whoever runs a middlebox after them.

        @raise ConfigurationError: an option cannot be used.
        """

    def makeMiddlebox(options: Any, append: bool = False) -> IMiddlebox:
        """
        A middlebox after C{options}.

        @param append: what its output files hold already is kept, whatever the options say: a service that was started
            again must not lose what it wrote before.
        @raise ConfigurationError: an option or a file it names cannot be used.
        """
