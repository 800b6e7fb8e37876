"""C{openmb run}: a kind of middlebox over captures, alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from twisted.python import usage

from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddleboxPlugin, RunTerms
from openmb.middlebox.faults import SetAside
from openmb.middlebox.offline import OfflineRun, runOffline
from openmb.packets.capture import checkLink, openCapture
from openmb.packets.decode import Decoder
from openmb.packets.quality import checksumWarning
from openmb.plugins.registry import checkMiddlebox, findPlugin


def parseOptions(plugin: IMiddleboxPlugin, arguments: tuple[str, ...]) -> Any:
    """The kind's own options, parsed by the kind's own parser."""
    options = plugin.makeOptions()
    try:
        options.parseOptions(list(arguments))
    except usage.UsageError as error:
        raise click.UsageError(f"{plugin.kind}: {error}") from error
    return options


def report(ran: OfflineRun) -> None:
    """Say in a line what was processed, and on standard error what was strange."""
    for remark in ran.remarks:
        click.echo(f"openmb: {remark}", err=True)
    counts = ran.decoded
    click.echo(
        f"{ran.packets} packets: {counts.malformed} malformed, {counts.ignored} not IP, "
        f"{counts.badChecksums} with a bad checksum, {counts.reassembled} datagrams reassembled"
    )
    if warning := checksumWarning(counts):
        click.echo(f"openmb: {warning}", err=True)
    if ran.forwarded:
        click.echo(f"openmb: {ran.forwarded} packets that were to be sent on went nowhere", err=True)
    if ran.faults:
        click.echo(f"openmb: the engine threw {ran.faults} times; {ran.failed} packets were set aside", err=True)


class RunCommand(click.Command):
    """Shows the kind's own options in its help once the kind is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Answer C{run KIND --help} with the kind's options added; everything else is click's affair."""
        if args and not args[0].startswith("-") and any(word in ("-h", "--help") for word in args):
            click.echo(ctx.get_help())
            click.echo(f"\nOptions of {args[0]}:\n{findPlugin(args[0]).makeOptions().getUsage()}")
            ctx.exit()
        return super().parse_args(ctx, args)


@click.command(
    "run",
    cls=RunCommand,
    context_settings={"ignore_unknown_options": True},
    short_help="Run a kind of middlebox over captures, alone.",
)
@click.argument("kind")
@click.option(
    "--pcap",
    "captures",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A capture, or a pcap stream: a named pipe, a UNIX socket, or - for standard input.",
)
@click.option(
    "--set-aside",
    "aside",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("set-aside"),
    show_default=True,
    help="Directory for captures of packets on which the engine threw, made for this user alone when needed.",
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF THE KIND]")
def command(kind: str, captures: tuple[Path, ...], aside: Path, options: tuple[str, ...]) -> int:
    """
    Run a middlebox of KIND over one or more captures, without controller or network.

    Options that are not of this command are the kind's own (`openmb run KIND --help` lists them), such as --logs DIR,
    where its output goes.
    """
    try:
        plugin = findPlugin(kind)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    own = parseOptions(plugin, _withoutCaptures(options))
    terms = plugin.terms(own)
    _checkOutput(terms, captures)
    opened = [openCapture(capture) for capture in captures]
    for capture in opened:
        checkLink(capture)
    decoder = Decoder(checksums=terms.checksums, reassemble=terms.reassemble, ordered=False)
    middlebox = checkMiddlebox(plugin.makeMiddlebox(own))
    if terms.inline and terms.output is None:
        raise click.UsageError(f"{kind} sends packets on: --out FILE says where they go")
    ran = runOffline(middlebox, decoder, opened, setAside=SetAside(kind, aside))
    report(ran)
    return 1 if ran.faults else 0


def _withoutCaptures(options: tuple[str, ...]) -> tuple[str, ...]:
    """
    The kind's options.

    @raise click.UsageError: one of them is a file that stands by itself: a second capture after one C{--pcap}.
    """
    for before, option in zip(("", *options), options, strict=False):
        if not option.startswith("-") and not before.startswith("-") and Path(option).is_file():
            raise click.UsageError(f"{option} stands by itself: each capture needs its own --pcap")
    return options


def _checkOutput(terms: RunTerms, captures: tuple[Path, ...]) -> None:
    """@raise UsageError: what is written would destroy what is read."""
    out = terms.output
    for path, what in [(path, "capture") for path in captures] + [(path, what) for what, path in terms.reads.items()]:
        if out is not None and out.exists() and path.exists() and path.samefile(out):
            raise click.UsageError(f"--out {out} is the {what} that is read: name another file")
