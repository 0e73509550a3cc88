"""The command userdb's work: fields of single records, in the text.

Comments and all other lines stay as they are; a record that is new comes last; fields keep their
order. The file is replaced by rename, 0600 and of the old one's owner, under the lock
`.lock.<file>` beside it, Courier's own.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from restante.model import ErrorKind, MailError
from restante.userdb.make import sync_directory

Fields = dict[str, str | None]  # None: a field without "="


def show(path: Path, name: str | None = None) -> list[str]:
    """Return the names in a file, or one record's fields as "field=value".

    Nothing for a file or a record that is not there. Raises MailError, OSError.
    """
    found = []
    for line in _lines(path):
        known, _, rest = line.partition("\t")
        if not known or line.startswith("#"):
            continue
        if name is None:
            found.append(known)
        elif known == name:
            return rest.split("|") if rest else []
    return found


def set_fields(path: Path, name: str, fields: Mapping[str, str]) -> None:
    """Give a record these fields; others it has stay. Raises MailError(BAD_REQUEST), OSError."""
    _check_name(name)
    for key, value in fields.items():
        check_field(key, value)
    _change(path, name, lambda old: {**(old or {}), **fields})


def change_fields(path: Path, name: str, new: Callable[[Fields], Fields]) -> bool:
    """Set what `new` returns for a record's fields; False where there is no such record.

    `new` runs under the lock. Raises MailError(BAD_REQUEST), OSError.
    """

    def change(old: Fields | None) -> Fields | None:
        if old is None:
            return None
        fields = new(old)
        for key, value in fields.items():
            check_field(key, value or "")
        return {**old, **fields}

    return _change(path, name, change)


def unset_fields(path: Path, name: str, fields: Sequence[str]) -> bool:
    """Take fields from a record; False where there is no such record."""

    def change(old: Fields | None) -> Fields | None:
        return None if old is None else {k: v for k, v in old.items() if k not in fields}

    return bool(fields) and _change(path, name, change)


def delete(path: Path, name: str) -> bool:
    """Remove a record; False where there is none."""
    return _change(path, name, lambda old: None)


def check_field(key: str, value: str) -> None:
    """Raise MailError(BAD_REQUEST) for what cannot stand in a record. The text has no value."""
    if not key or any(c in "|=" or c < " " or c == "\x7f" for c in key):
        raise MailError(ErrorKind.BAD_REQUEST, f"{key!r} cannot be the name of a field")
    if any(c == "|" or c < " " or c == "\x7f" for c in value):
        raise MailError(ErrorKind.BAD_REQUEST, f"this cannot be the value of {key}")


def _check_name(name: str) -> None:
    if not name or name.startswith("#") or any(c < " " or c == "\x7f" for c in name):
        raise MailError(ErrorKind.BAD_REQUEST, f"{name!r} cannot be the name of an account")


def _change(path: Path, name: str, change: Callable[[Fields | None], Fields | None]) -> bool:
    """Replace the record of a name by what `change` makes of it; False if it was not there.

    `change` gets None for no record, and returns None for none.
    """
    path = path.resolve()
    with _locked(path.with_name(f".lock.{path.name}")):
        lines = _lines(path)
        at = next((n for n, line in enumerate(lines) if line.partition("\t")[0] == name), None)
        if at is None:
            made = change(None)
            if made is None:
                return False
            lines.append(_line(name, made))
        else:
            made = change(_fields(lines[at].partition("\t")[2]))
            lines[at : at + 1] = [] if made is None else [_line(name, made)]
        _replace(path, "".join(f"{line}\n" for line in lines))
        return at is not None


def _lines(path: Path) -> list[str]:
    """Return a file's lines, none where there is no file. Raises MailError(CANNOT), OSError."""
    if path.exists() and not path.is_file():
        raise MailError(ErrorKind.CANNOT, f"{path}: not a file")
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return []
    return text.removesuffix("\n").split("\n") if text else []


def _fields(text: str) -> Fields:
    found: Fields = {}
    for piece in text.split("|") if text else ():
        key, equals, value = piece.partition("=")
        found[key] = value if equals else None
    return found


def _line(name: str, fields: Fields) -> str:
    pieces = (key if value is None else f"{key}={value}" for key, value in fields.items())
    return f"{name}\t{'|'.join(pieces)}"


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".tmp.{path.name}")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            if path.exists():
                _take_owner(handle, os.stat(path))
            os.fsync(handle)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _take_owner(handle: int, old: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.fchown(handle, old.st_uid, old.st_gid)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
