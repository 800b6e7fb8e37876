"""
C{openmb dictionary}: what SmartRE's second stage learns of traffic beforehand.
"""

from __future__ import annotations

from pathlib import Path

import click

from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.plugins.smartre.payloads import payloadsOf
from openmb.plugins.smartre.secondstage import DICTIONARY, train


@click.command("dictionary")
@click.option(
    "--pcap",
    "captures",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A capture of traffic like that which is to come; may be given again.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to be written.")
@click.option("--size", type=click.IntRange(1024, 1 << 24), default=DICTIONARY, show_default=True, help="Bytes of it.")
def command(captures: tuple[Path, ...], out: Path, size: int) -> int:
    """
    Train a dictionary for SmartRE's second stage; encoder and decoder get the same (--dictionary).

    It is learned from the payloads that an encoder would look at.
    """
    if any(out.exists() and capture.exists() and capture.samefile(out) for capture in captures):
        raise click.UsageError(f"--out {out} is a capture that is read: name another file")
    decoder = Decoder(checksums=False, reassemble=False)
    payloads = [
        payload
        for capture in captures
        for batch in openCapture(capture).batches(4096)
        for payload in payloadsOf(decoder.decode(batch))
    ]
    try:
        dictionary = train(payloads, size)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    try:
        out.write_bytes(dictionary)
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    click.echo(f"{out}: {len(dictionary):,} bytes, of {len(payloads):,} payloads")
    return 0
