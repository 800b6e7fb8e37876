"""
C{openmb config}: what a middlebox is configured to do.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

import click

from openmb.errors import ConfigurationError
from openmb.northbound.ask import ask, defaultSocket

_socket = click.option("--socket", default=defaultSocket, help="the controller's local socket")


@click.group("config")
def command() -> None:
    """Read, change and reset the configuration of a middlebox, a tree of keys such as log/flush."""


@command.command("get")
@click.argument("middlebox")
@click.argument("key", default="*")
@click.option("--json", "asJSON", is_flag=True, help="one JSON document, fit for 'openmb config set --tree'")
@_socket
def get(middlebox: str, key: str, asJSON: bool, socket: str) -> None:
    """Show what is configured at KEY and below; '*', the default, is everything."""
    tree = ask(socket, "readConfig", {"middlebox": middlebox, "key": key})
    if asJSON:
        click.echo(json.dumps(tree, indent=2, ensure_ascii=False))
        return
    for each, values in tree.items():
        click.echo(f"{each}: {', '.join(values)}")


@command.command("set")
@click.argument("middlebox")
@click.argument("key", default="*")
@click.argument("values", nargs=-1)
@click.option("--tree", type=click.File("r", "utf-8"), help="a JSON document as 'openmb config get --json' shows it")
@_socket
def set_(middlebox: str, key: str, values: tuple[str, ...], tree: TextIO | None, socket: str) -> None:
    """
    Set KEY to VALUES (none: an empty list), or with --tree everything at KEY and below that FILE ('-': standard input)
    names.

    All of it is done, or nothing.  'openmb config get bro1 --json | openmb config set bro2 --tree -' copies.
    """
    arguments: dict[str, Any] = {"middlebox": middlebox, "key": key}
    if tree is None:
        arguments["values"] = list(values)
    elif values:
        raise click.UsageError("values or --tree, not both")
    else:
        arguments["tree"] = _read(tree)
    ask(socket, "writeConfig", arguments)


def _read(file: TextIO) -> Any:
    try:
        return json.load(file)
    except ValueError as error:
        raise ConfigurationError(f"{file.name}: not a JSON document: {error}") from error


@command.command("del")
@click.argument("middlebox")
@click.argument("key")
@_socket
def delete(middlebox: str, key: str, socket: str) -> None:
    """Put KEY and what is below back to what the middlebox was started with."""
    ask(socket, "delConfig", {"middlebox": middlebox, "key": key})
