"""Where accounts can be imported from: userdb, Dovecot's passwd-file, CSV.

Each reader yields, line by line, an account as it is there or why it is left out. Homes, uids,
gids and hashes are taken as they stand; what Restante has no place for is told as a note.
"""

import csv
import grp
import pwd
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.userdb import source

_CSV_COLUMNS: Final = (
    "address",
    "password_hash",
    "name",
    "quota",
    "options",
    "uid",
    "gid",
    "home",
    "maildir",
    "disabled",
)


@dataclass(slots=True)
class Found:
    """One line. `skip` says why it is no account to be made; `notes` what of it is lost."""

    place: str  # "file:17"
    address: str = ""
    uid: int = 0
    gid: int = 0
    home: str = ""
    maildir: str = ""
    name: str = ""
    quota: str = ""
    options: str = ""
    password_hash: str = field(default="", repr=False)
    disabled: bool = False
    skip: str = ""
    notes: list[str] = field(default_factory=list)


class _SkipError(Exception):
    """A line that is no account; the text says why."""


def userdb(path: Path) -> Iterator[Found]:
    """Read a userdb: a file, or a directory of files. Raises OSError."""
    for file in source.files(path):
        text = file.read_bytes().decode("utf-8", "surrogateescape")
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and not line.startswith("#"):
                yield _one(f"{file}:{number}", line, _of_userdb)


def dovecot(path: Path) -> Iterator[Found]:
    """Read a passwd-file of Dovecot. Raises OSError."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            yield _one(f"{path}:{number}", line.rstrip("\r"), _of_dovecot)


def comma_separated(path: Path) -> Iterator[Found]:
    """Read a CSV with a heading. Raises OSError, MailError(BAD_REQUEST) for its heading."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        heading = [name.strip().lower() for name in next(reader, [])]
        if "password" in heading:
            text = "passwords in clear are not read: give password_hash"
            raise MailError(ErrorKind.BAD_REQUEST, f"{path}:1: {text}")
        unknown = [name for name in heading if name not in _CSV_COLUMNS]
        if unknown or "address" not in heading or len(set(heading)) < len(heading):
            text = f"the first line names columns: address and some of {', '.join(_CSV_COLUMNS)}"
            raise MailError(ErrorKind.BAD_REQUEST, f"{path}:1: {text}")
        for row in reader:
            if row:
                place = f"{path}:{reader.line_num}"
                yield _guarded(place, lambda row=row: _of_csv(heading, row))  # type: ignore[misc]  # the row is bound


READERS: Final[dict[str, Callable[[Path], Iterator[Found]]]] = {
    "userdb": userdb,
    "dovecot": dovecot,
    "csv": comma_separated,
}


def _one(place: str, line: str, parse: Callable[[str], Found]) -> Found:
    return _guarded(place, lambda: parse(line))


def _guarded(place: str, parse: Callable[[], Found]) -> Found:
    try:
        found = parse()
        if any(c >= "\ud800" and c <= "\udfff" for c in found.home + found.maildir):
            raise _SkipError(f"{found.address}: its home is not UTF-8")  # noqa: TRY301 - as parse's
    except _SkipError as error:
        return Found(place, skip=str(error))
    found.place = place
    return found


# --- userdb ---------------------------------------------------------------------------------------


def _of_userdb(line: str) -> Found:
    name, tab, rest = line.partition("\t")
    if not tab or source.is_reverse(name):
        raise _SkipError("not an account")
    fields = source.fields_of(rest)
    missing = [word for word in ("home", "uid", "gid") if not fields.get(word)]
    if missing:
        raise _SkipError(f"{name}: without {', '.join(missing)}")
    found = Found(
        "",
        name,
        _number(name, "uid", fields["uid"]),
        _number(name, "gid", fields["gid"]),
        home=fields["home"],
        name=fields.get("gecos", "").partition(",")[0],
        quota=fields.get("quota", ""),
        options=fields.get("options", ""),
        password_hash=fields.get("systempw", ""),
    )
    if fields.get("mail"):
        found.maildir = _below(found.home, fields["mail"])
    lost = sorted(word for word in fields if word.endswith("pw") and word != "systempw")
    if lost:
        found.notes.append(f"{', '.join(lost)} not kept")
    return found


# --- Dovecot --------------------------------------------------------------------------------------

_UNITS: Final = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE: Final = re.compile(r"(\d{1,15}) ?([BKMGT]?)(?:I?B)?\Z", re.IGNORECASE)
_TELLING: Final = ("allow_nets", "nopassword", "proxy", "host", "master_user", "deny")


def _of_dovecot(line: str) -> Found:
    pieces = line.split(":", 7)
    if len(pieces) < 2 or not pieces[0]:
        raise _SkipError("not a line of a passwd-file")
    pieces += [""] * (8 - len(pieces))
    user, password, uid, gid, gecos, home, _, extra = pieces
    found = Found(
        "",
        user,
        _owner(user, uid, lambda name: pwd.getpwnam(name).pw_uid),
        _owner(user, gid, lambda name: grp.getgrnam(name).gr_gid),
        home=home,
        name=gecos.partition(",")[0],
        password_hash=password,
    )
    for word in extra.split():
        key, _, value = word.partition("=")
        _extra(found, key.removeprefix("userdb_"), value)
    return found


def _extra(found: Found, key: str, value: str) -> None:
    if key == "mail":
        kind, _, location = value.partition(":")
        if kind != "maildir" or "%" in location:
            raise _SkipError(f"{found.address}: its mail is at {value!r}, which is no Maildir path")
        found.maildir = _below(found.home, location.partition(":")[0])
    elif key == "home":
        found.home = value
    elif key in ("uid", "gid") and value.isdigit():
        setattr(found, key, int(value))
    elif key == "quota_rule":
        found.quota = _quota(found, value)
    elif key == "quota_storage_size":
        found.quota = f"{_size(found, value, 1)}S"
    elif key == "nologin":
        found.disabled = True
    elif key in _TELLING:
        found.notes.append(f"{key} not kept")


def _quota(found: Found, rule: str) -> str:
    """Return the quota of "*:storage=1G:messages=1000"; storage counts KiB without a unit."""
    root, _, limits = rule.partition(":")
    if root != "*":
        found.notes.append("a quota rule of a folder not kept")
        return found.quota
    parts = []
    for limit in limits.split(":"):
        key, _, value = limit.partition("=")
        if key in ("storage", "bytes"):
            parts.append(f"{_size(found, value, 1024 if key == 'storage' else 1)}S")
        elif key == "messages" and value.isdigit():
            parts.append(f"{value}C")
        else:
            found.notes.append(f"quota {limit!r} not kept")
    return ",".join(parts)


def _size(found: Found, text: str, unit: int) -> int:
    match = _SIZE.match(text)
    if match is None:
        raise _SkipError(f"{found.address}: quota {text!r} cannot be read")
    return int(match[1]) * (_UNITS[match[2].upper()] if match[2] else unit)


def _owner(user: str, text: str, find: Callable[[str], int]) -> int:
    if not text:
        return 0
    if text.isascii() and text.isdigit():
        return _number(user, "uid or gid", text)
    try:
        return find(text)
    except KeyError:
        raise _SkipError(f"{user}: no user or group {text!r} on this machine") from None


# --- CSV ------------------------------------------------------------------------------------------


def _of_csv(heading: list[str], row: list[str]) -> Found:
    if len(row) > len(heading):
        raise _SkipError("more fields than the heading has")
    fields = dict(zip(heading, (value.strip() for value in row), strict=False))
    address = fields.get("address", "")
    if not address:
        raise _SkipError("without an address")
    disabled = fields.get("disabled", "").lower()
    if disabled not in ("", "0", "1", "no", "yes", "false", "true"):
        raise _SkipError(f"{address}: disabled is yes or no")
    home = fields.get("home", "")
    return Found(
        "",
        address,
        _number(address, "uid", fields.get("uid") or "0"),
        _number(address, "gid", fields.get("gid") or "0"),
        home=home,
        maildir=_below(home, fields["maildir"]) if fields.get("maildir") else "",
        name=fields.get("name", ""),
        quota=fields.get("quota", ""),
        options=fields.get("options", ""),
        password_hash=fields.get("password_hash", ""),
        disabled=disabled in ("1", "yes", "true"),
    )


def _number(user: str, what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**32 - 1):
        raise _SkipError(f"{user}: {what} {text!r} is no number")
    return int(text)


def _below(home: str, path: str) -> str:
    """Return an absolute path; a relative one, or one with "~", is below the home."""
    path = path.removeprefix("~/") if path.startswith("~/") else path
    if path.startswith("/") or not home:
        return path
    return f"{home.rstrip('/')}/{path.removeprefix('./')}"
