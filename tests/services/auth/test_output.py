"""How commands print: on a terminal, piped, as JSON; and what they read at a prompt."""

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from restante.cli import output
from restante.model import ErrorKind, MailError

ROWS = [
    {"name": "one", "disabled": True, "note": "a\tb\x1b[31m"},
    {"name": "[bold]two", "disabled": False, "note": None},
]
COLUMNS = ("name", "disabled", "note")

Capture = pytest.CaptureFixture[str]


def test_piped_rows_are_lines(capsys: Capture) -> None:
    output.rows(ROWS, COLUMNS, as_json=False, empty="none")
    assert capsys.readouterr().out == "one\tyes\ta\\tb\\x1b[31m\n[bold]two\t\t\n"
    output.rows([], COLUMNS, as_json=False, empty="none")
    assert capsys.readouterr().out == ""


def test_json_is_the_whole_row(capsys: Capture) -> None:
    output.rows([{**ROWS[0], "path": Path("/x")}], ("name",), as_json=True, empty="none")
    assert json.loads(capsys.readouterr().out) == [{**ROWS[0], "path": "/x"}]
    output.rows([], COLUMNS, as_json=True, empty="none")
    assert json.loads(capsys.readouterr().out) == []
    output.facts(ROWS[0], as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS[0]


def test_a_terminal_gets_a_table(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    output.rows(ROWS, COLUMNS, as_json=False, empty="none")
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.split() == ["name", "disabled", "note"]
    assert lines[1].strip() == "[bold]two"  # text, not markup
    assert "\x1b[31m" not in "".join(lines)
    output.rows([], COLUMNS, as_json=False, empty="none yet")
    assert capsys.readouterr().out == "none yet\n"
    output.facts({"full_name": "x", "disabled": False}, as_json=False)
    assert capsys.readouterr().out == "full name  x\ndisabled   \n"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.BAD_REQUEST, 2),
        (ErrorKind.NO_SUCH_USER, 3),
        (ErrorKind.NOT_FOUND, 3),
        (ErrorKind.ALREADY_EXISTS, 4),
        (ErrorKind.TEMPORARY, 5),
        (ErrorKind.PERMISSION, 6),
        (ErrorKind.IN_USE, 1),
        (ErrorKind.INTERNAL, 1),
    ],
)
def test_exit_codes(kind: ErrorKind, code: int, capsys: Capture) -> None:
    with pytest.raises(typer.Exit) as caught, output.errors():
        raise MailError(kind, "a\nb")
    assert caught.value.exit_code == code
    assert capsys.readouterr().err == "restante: a\\nb\n"


def at_terminal(code: str, answer: Callable[[bytes], bytes | None]) -> tuple[str, int]:
    """Run code with a terminal as stdin, stdout and stderr; return what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    asked = b""  # since the last answer: a prompt may come in pieces
    poll = select.poll()  # select() knows no descriptor above 1023
    poll.register(ours, select.POLLIN)
    while poll.poll(30_000):
        try:
            data = os.read(ours, 1000)
        except OSError:  # the terminal closes when the last process has gone
            break
        if not data:
            break
        shown += data
        asked += data
        reply = answer(asked)
        if reply is not None:
            asked = b""
            os.write(ours, reply)
    os.close(ours)
    try:
        return shown.decode(), process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def test_passwords_are_typed_twice_and_never_shown() -> None:
    code = (
        "from restante.cli.output import read_secret\n"
        "assert read_secret('fred@x', from_stdin=False) == 's3cret'\n"
    )
    shown, status = at_terminal(code, lambda data: b"s3cret\n" if b": " in data else None)
    assert status == 0, shown
    assert shown.startswith("Password for fred@x:")
    assert "s3cret" not in shown


def test_no_means_no() -> None:
    code = (
        "import sys, typer\n"
        "from restante.cli.output import confirm\n"
        "try: confirm('Remove?', yes=False, needed_in_scripts=True)\n"
        "except typer.Exit as error: sys.exit(error.exit_code)\n"
        "print('going on')\n"
    )
    shown, status = at_terminal(code, lambda data: b"n\n" if b"[y/N]" in data else None)
    assert (status, "nothing was changed" in shown, "going on" in shown) == (1, True, False)
    shown, status = at_terminal(code, lambda data: b"y\n" if b"[y/N]" in data else None)
    assert (status, "going on" in shown) == (0, True)
