"""All commands: how they may be asked for JSON, and that docs/commands.md shows each."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from restante.cli.main import app

DOCUMENT = Path(__file__).parents[3] / "docs/commands.md"

# Courier's commands print what Courier's print; the others run until they are stopped.
WITHOUT_JSON = {
    "all",
    "serve",
    "authtest",
    "authenumerate",
    "authpasswd",
    "maildirmake",
    "userdb",
    "userdbpw",
    "makeuserdb",
    "pw2userdb",
}
FROM_MAIN = {"serve", "doctor", "healthy"}  # services.__main__ adds them


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", [n for n in ALL if n not in WITHOUT_JSON])
def test_json(name: str) -> None:
    options = {option for parameter in ALL[name].params for option in parameter.opts}
    assert "--json" in options
    assert not options & {"--install-completion", "--show-completion"}


def test_every_command_says_what_it_does() -> None:
    for name, command in ALL.items():
        assert command.help, name


def test_the_document_shows_every_command() -> None:
    shown = re.findall(r"^\$ restante (.+)$", DOCUMENT.read_text(), re.MULTILINE)
    missing = [
        name
        for name in {*ALL, *FROM_MAIN}
        if not any(line == name or line.startswith(f"{name} ") for line in shown)
    ]
    assert missing == []


def test_the_document_shows_no_other_options() -> None:
    """Every option of an example exists."""
    for line in re.findall(r"^\$ restante (.+)$", DOCUMENT.read_text(), re.MULTILINE):
        name = max((n for n in ALL if line == n or line.startswith(f"{n} ")), key=len, default="")
        if not name or name in WITHOUT_JSON:
            continue
        known = {option for parameter in ALL[name].params for option in parameter.opts}
        used = set(re.findall(r"(?<!\S)(--[a-z-]+|-[a-z])\b", line.partition(" < ")[0]))
        assert used <= known, line


def test_a_wrong_command_is_usage() -> None:
    result = CliRunner().invoke(app, ["nonsense"])
    assert result.exit_code == 2
