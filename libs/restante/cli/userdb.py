"""`userdb`: look at and change single records of a userdb, as Courier's command of that name.

The userdb is the one that the auth service reads (RESTANTE_AUTH_USERDB); where it is a directory,
`dir/file/name` is the record `name` in its file `dir/file`.
"""

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from restante.cli import classic
from restante.model import ErrorKind, MailError
from restante.userdb import edit

_USAGE = (
    "userdb [FILE/ | -f FILE] NAME set FIELD[=VALUE]...",
    "userdb [FILE/ | -f FILE] NAME unset FIELD...",
    "userdb [FILE/ | -f FILE] NAME del",
    "userdb -show [FILE | -f FILE] [NAME]",
)


def command(words: Sequence[str]) -> int:
    """Do what the words say. Raises MailError, OSError."""
    rest = list(words)
    if rest[:1] == ["-show"]:
        return _show(rest[1:])
    path = None
    if rest[:1] == ["-f"]:
        if len(rest) < 2:
            return classic.usage(*_USAGE)
        path, rest = Path(rest[1]), rest[2:]
    if len(rest) < 2 or not rest[0]:
        return classic.usage(*_USAGE)
    name, verb, fields = rest[0], rest[1], rest[2:]
    folder = ""
    if path is None:
        folder, slash, last = name.rpartition("/")
        name = last if slash else name
        path = _top() / folder
    if verb == "set":
        given = _values(name, fields)
        if folder:
            _make_folders(path.parent)
        edit.set_fields(path, name, given)
    elif verb == "unset":
        edit.unset_fields(path, name, fields)
    elif verb == "del" and not fields:
        edit.delete(path, name)
    else:
        return classic.usage(*_USAGE)
    return 0


def _show(words: list[str]) -> int:
    if words[:1] == ["-f"]:
        if not 2 <= len(words) <= 3:
            return classic.usage(*_USAGE)
        path, name = Path(words[1]), words[2] if len(words) == 3 else None
    elif len(words) <= 2:
        path, name = _named(words)
    else:
        return classic.usage(*_USAGE)
    for line in edit.show(path, name):
        classic.emit(line)
    return 0


def _named(words: list[str]) -> tuple[Path, str | None]:
    """Return file and name of "FILE", "FILE/", "FILE/NAME", "FILE NAME" or "NAME"."""
    top = _top()
    if not words:
        return top, None
    if len(words) == 2:
        return top / words[0], words[1]
    folder, slash, name = words[0].rpartition("/")
    if top.is_dir() and (top / words[0]).is_file():
        return top / words[0], None
    if slash:
        return top / folder, name or None
    return top, name


def _values(name: str, fields: Sequence[str]) -> dict[str, str]:
    """Return the fields to be set; a value that is not given is asked for, or read from a pipe."""
    found = {}
    for field in fields:
        key, equals, value = field.partition("=")
        edit.check_field(key, "")
        if not equals:
            value = _ask(f"{name}.{key}: ")
        found[key] = value
    return found


def _ask(prompt: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    line = sys.stdin.buffer.readline().decode("utf-8", "surrogateescape")
    if not line:
        raise MailError(ErrorKind.BAD_REQUEST, "a value is missing on standard input")
    return line.removesuffix("\n").removesuffix("\r")


def _top() -> Path:
    """Return the userdb; through a symlink Courier's commands would refuse to read it."""
    top = classic.userdb_path()
    if top.is_symlink():
        raise MailError(ErrorKind.PERMISSION, f"{top}: is a symlink")
    return top


def _make_folders(path: Path) -> None:
    """Make the folders of a userdb that is a directory, with no access for others."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700)


app = classic.application(
    "userdb", command, "Change records of a userdb, as Courier's userdb.", *_USAGE
)


def main() -> int:
    """Run as a command of its own."""
    return classic.run_command("userdb", command, sys.argv[1:])
