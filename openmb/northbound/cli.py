"""
The command C{openmb}.

Each subcommand is a module of C{openmb.northbound.commands} that defines C{command}; it is imported only when it is
used, so that the command starts fast.

Exit statuses: 0 done, 1 the answer is no (or what was asked for failed), 2 wrong usage, 3 the input or a file cannot be
read or used, 130 interrupted (Ctrl-C).
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

import click

from openmb._version import __version__
from openmb.errors import CaptureError, ConfigurationError, InvalidHeaderFields, InvalidOption, OpenMBError
from openmb.northbound import commands
from openmb.northbound.ask import SOCKET_VARIABLE

DONE, NO, USAGE, UNREADABLE = range(4)
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are the modules of a package, imported one by one as they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the modules, with dashes for underscores."""
        names = (found.name for found in pkgutil.iter_modules(commands.__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The module's command, or None if there is no such module."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="openmb")
@click.option("--socket", metavar="PATH", help=f"The controller's local socket; also {SOCKET_VARIABLE} says it.")
def openmb(socket: str | None) -> None:
    """Control the internal state of middleboxes: move live flows between them without breaking them."""
    if socket is not None:
        os.environ[SOCKET_VARIABLE] = socket


def statusOf(error: OpenMBError) -> int:
    """The exit status that says what kind of failure C{error} is."""
    if isinstance(error, (InvalidHeaderFields, InvalidOption)):
        return USAGE
    return UNREADABLE if isinstance(error, (CaptureError, ConfigurationError)) else NO


def complain(text: str) -> None:
    """One line on standard error."""
    click.echo(f"openmb: {' '.join(text.split())}", err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line C{arguments} (default: the process's own) and give the exit status."""
    try:
        result = openmb.main(None if arguments is None else list(arguments), prog_name="openmb", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        complain("interrupted")
        return INTERRUPTED
    except OpenMBError as error:
        complain(str(error))
        return statusOf(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter can flush what is left
        return NO
    except OSError as error:
        complain(str(error))
        return UNREADABLE
    return result if isinstance(result, int) else DONE


def run() -> None:
    """The console script."""
    # imports make some hundred thousand objects that stay: looking through them again and again is wasted
    gc.set_threshold(100_000, 50, 50)
    sys.exit(main())


if __name__ == "__main__":
    run()
