"""C{openmb keys}: the keyrings by which middleboxes of one kind seal what they send each other."""

from __future__ import annotations

from pathlib import Path

import click

from openmb.errors import ConfigurationError
from openmb.southbound.keys import makeKeyring, rotateKeyring
from openmb.state.keyring import Keyring

fileArgument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group("keys", short_help="Make and change the keyrings that seal moving state.")
def command() -> None:
    """
    Make and change keyrings, one for each kind of middlebox.

    Every middlebox of the kind needs the same one; the controller must not have it.
    """


@command.command("new")
@click.argument("kind")
@fileArgument
def new(kind: str, file: Path) -> None:
    """Make FILE, a keyring with one new key for the middleboxes of KIND."""
    makeKeyring(file, kind)
    click.echo(f"made {file}: bring it to every middlebox of kind {kind}, and to nobody else")


@command.command("rotate")
@fileArgument
def rotate(file: Path) -> None:
    """Add a new key to FILE and seal with it from now on; the old keys still open what they sealed."""
    keyring = rotateKeyring(file)
    click.echo(f"{file}: key {keyring.current} is current; bring the file to every middlebox, then drop the old key")


@command.command("add")
@fileArgument
def add(file: Path) -> None:
    """Add a new key to FILE that opens but does not seal yet: the first step of a rotation while flows move."""
    keyring = Keyring.load(file).extended()
    keyring.save(file)
    click.echo(f"{file}: key {max(keyring.keys)} is there; bring the file to every middlebox, then 'openmb keys use'")


@command.command("use")
@fileArgument
@click.argument("identifier", type=int)
def use(file: Path, identifier: int) -> None:
    """Seal with the key IDENTIFIER of FILE from now on: the second step, once every middlebox has it."""
    Keyring.load(file).using(identifier).save(file)
    click.echo(f"{file}: key {identifier} is current; bring the file to every middlebox, then drop the old key")


@command.command("drop")
@fileArgument
@click.argument("identifier", type=int)
def drop(file: Path, identifier: int) -> None:
    """Remove the old key IDENTIFIER from FILE."""
    keyring = Keyring.load(file)
    if identifier not in keyring.keys:
        raise ConfigurationError(f"{file} has no key {identifier}; it has {', '.join(map(str, sorted(keyring.keys)))}")
    if identifier == keyring.current:
        raise ConfigurationError(
            f"key {identifier} of {file} is current: it seals what is sent; make another current first "
            f"('openmb keys rotate {file}', or 'openmb keys use')"
        )
    keyring.without(identifier).save(file)
    click.echo(f"{file}: key {identifier} is gone")
