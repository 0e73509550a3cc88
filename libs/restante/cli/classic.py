"""Commands with Courier's names and Courier's way of options: `-f file`, `-show`, `-md5`.

Each is a function of its words that returns an exit code, 0 or 1 as Courier's; it runs as
`restante NAME` and under its own name.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import typer

from restante.cli.output import plain
from restante.model import MailError
from restante.runtime import environment

Command = Callable[[Sequence[str]], int]

_RAW: Final = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "help_option_names": ["--help"],
}


def application(name: str, command: Command, help_text: str, *calls: str) -> typer.Typer:
    """Return the Typer application of `restante NAME`; `calls` are the ways to call it."""
    if calls:
        lines = "\n".join(calls)
        help_text = f"{help_text}\n\n\b\n{lines}"
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command(name, context_settings=dict(_RAW), help=help_text)
    def run(context: typer.Context) -> None:
        raise typer.Exit(run_command(name, command, context.args))

    return app


def run_command(name: str, command: Command, words: Sequence[str]) -> int:
    """Run a command; faults are one line on stderr and exit code 1."""
    try:
        return command(words)
    except MailError as error:
        text = error.text
    except OSError as error:
        text = f"{error.filename or name}: {error.strerror}"
    except KeyboardInterrupt:
        return 1
    sys.stderr.write(f"{name}: {plain(text)}\n")
    return 1


def usage(*lines: str) -> int:
    """Print how a command is called; return its exit code."""
    for number, line in enumerate(lines):
        sys.stderr.write(f"{'usage: ' if number == 0 else '       '}{line}\n")
    return 1


def emit(line: str) -> None:
    """Print a line of a userdb, byte by byte as it stands there."""
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def userdb_path() -> Path:
    """Return the userdb that the auth service reads."""
    return environment.userdb()
