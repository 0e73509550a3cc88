"""How commands speak: tables for people, lines and JSON for programs, errors and exit codes.

Exit codes, stable: 0 done, 1 failed, 2 wrong usage or a value that is refused, 3 not found,
4 exists already, 5 the service cannot be reached or is busy (try again), 6 not permitted.

On a terminal a list is a table. Piped it is one line per row, fields separated by a tab, no
heading; control characters in fields are escaped, so that a line is always a row. --json prints
the same rows as one JSON document.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from restante.model import ErrorKind, MailError

FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
EXISTS: Final = 4
UNAVAILABLE: Final = 5
PERMISSION: Final = 6

EPILOG: Final = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or value, 3 not found, 4 exists already, "
    "5 service unavailable, 6 not permitted."
)

_CODES: Final = {
    ErrorKind.BAD_REQUEST: USAGE,
    ErrorKind.NOT_FOUND: NOT_FOUND,
    ErrorKind.NO_SUCH_USER: NOT_FOUND,
    ErrorKind.NO_SUCH_FOLDER: NOT_FOUND,
    ErrorKind.ALREADY_EXISTS: EXISTS,
    ErrorKind.TEMPORARY: UNAVAILABLE,
    ErrorKind.PERMISSION: PERMISSION,
    ErrorKind.AUTH_FAILED: PERMISSION,
}

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

Row = Mapping[str, Any]


@contextmanager
def errors() -> Iterator[None]:
    """Turn a MailError into one line on stderr and its exit code."""
    try:
        yield
    except MailError as error:
        fail(error.text, code_of(error))


def code_of(error: MailError) -> int:
    """Return the exit code of an error."""
    return _CODES.get(error.kind, FAILED)


def fail(text: str, code: int = FAILED) -> None:
    """Print "restante: text" on stderr and end with the exit code."""
    typer.echo(f"restante: {plain(text)}", err=True)
    raise typer.Exit(code)


def plain(value: object) -> str:
    """Return a field's text without control characters: True is yes, None and False are empty."""
    if value is None or value is False:
        return ""
    text = "yes" if value is True else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def rows(found: Sequence[Row], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows; `columns` are keys of each row, in order. JSON shows all keys of a row."""
    if as_json:
        print_json([dict(row) for row in found])
    elif not sys.stdout.isatty():
        for row in found:
            typer.echo("\t".join(plain(row[key]) for key in columns))
    elif not found:
        typer.echo(empty)
    else:
        _table(found, columns)


def facts(found: Row, *, as_json: bool) -> None:
    """Print one thing: a line "key<TAB>value" each, aligned on a terminal."""
    if as_json:
        print_json(dict(found))
        return
    terminal = sys.stdout.isatty()
    width = max(map(len, found), default=0) + 2
    for key, value in found.items():
        label = key.replace("_", " ").ljust(width) if terminal else f"{key}\t"
        typer.echo(label + plain(value))


def print_json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_json_text))


def done(text: str, *, as_json: bool = False, value: Row | None = None) -> None:
    """Say that a change was made: a sentence, or with --json the thing it made."""
    if as_json:
        print_json(dict(value or {}))
    else:
        typer.echo(plain(text))


def confirm(question: str, *, yes: bool, needed_in_scripts: bool) -> None:
    """Ask before something is destroyed; "no" ends with exit code 1.

    Without a terminal nobody can be asked: then it goes on, or where `needed_in_scripts` ends
    with a hint at --yes.
    """
    if yes:
        return
    if sys.stdin.isatty():
        if not typer.confirm(question):
            fail("nothing was changed")
    elif needed_in_scripts:
        fail("this cannot be undone: say --yes, or look first with --dry-run", USAGE)


def read_secret(address: str, *, from_stdin: bool, what: str = "password") -> str:
    """Return a password: the first line of stdin, or typed twice at a hidden prompt."""
    if from_stdin:
        line = sys.stdin.buffer.readline().decode("utf-8", "surrogateescape")
        secret = line.removesuffix("\n").removesuffix("\r")
        if not secret:
            fail(f"no {what} on standard input", USAGE)
        return secret
    return _typed(address, what, twice=True)


def ask_secret(address: str, *, from_stdin: bool) -> str:
    """Return a password that exists: the first line of stdin, or typed once at a hidden prompt."""
    if from_stdin:
        return read_secret(address, from_stdin=True)
    return _typed(address, "password", twice=False)


def _typed(address: str, what: str, *, twice: bool) -> str:
    if not sys.stdin.isatty():
        fail(f"no terminal to ask for a {what}: use --password-stdin", USAGE)
    return str(typer.prompt(f"Password for {address}", hide_input=True, confirmation_prompt=twice))


def _table(found: Sequence[Row], columns: Sequence[str]) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to load, only for terminals
    from rich.markup import escape  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in columns:
        table.add_column(key.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(escape(plain(row[key])) for key in columns))
    Console().print(table)


def _json_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"not for JSON: {type(value)}")
