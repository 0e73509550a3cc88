"""Courier's authmysqlrc, authpgsqlrc and authsqliterc, read as they stand.

Format, as Debian's courier-authlib 0.71 reads it: "NAME<spaces or tabs>value" on each line, the
name may be indented. Lines that start with "#" and blank lines are skipped. A backslash at the end
of a line joins the next one, without its indentation; a comment is never continued, and any other
backslash is itself. The first of several lines of one name counts. The names carry the module's
prefix (MYSQL_, PGSQL_, SQLITE_), all but DEFAULT_DOMAIN.

The file holds a password. Courier installs it readable for the group of its daemon, so that is
accepted; a file that everybody may read is named in the log.
"""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth.names import domain_name

log = get_logger(__name__)

_LINE: Final = re.compile(r"\s*([A-Z][A-Z0-9_]*)\s+(.+)\Z")
_IGNORED: Final = ("DEFAULTDELIVERY", "MARKER")  # of Courier's own mail server
_EMPTY: Final = "''"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with Courier's columns; each field may be any expression of SQL."""

    name: str
    login: str
    crypt: str  # "" where there is none
    clear: str  # "" where there is none
    uid: str
    gid: str
    home: str
    maildir: str = _EMPTY
    quota: str = _EMPTY
    full_name: str = _EMPTY
    options: str = _EMPTY
    where: str = ""

    def select(self) -> str:
        """Return the query of one account, $(login) in the place of its name."""
        fields = (
            *(self.login, self.crypt or _EMPTY, self.clear or _EMPTY, self.uid, self.gid),
            *(self.home, self.maildir, self.quota, self.full_name, self.options),
        )
        return f"SELECT {', '.join(fields)} FROM {self.name} WHERE {self._one()}"  # noqa: S608 - of the administrator's file

    def enumerate(self) -> str:
        """Return the query of all accounts, in the columns of ENUMERATE_CLAUSE."""
        fields = (self.login, self.uid, self.gid, self.home, self.maildir, self.options)
        only = f" WHERE {self.where}" if self.where else ""
        return f"SELECT {', '.join(fields)} FROM {self.name}{only}"  # noqa: S608 - of the administrator's file

    def update(self) -> str:
        """Return the statement that sets a new password."""
        changes = []
        if self.clear:
            changes.append(f"{self.clear} = '$(newpass)'")
        if self.crypt:
            changes.append(f"{self.crypt} = '$(newpass_crypt)'")
        return f"UPDATE {self.name} SET {', '.join(changes)} WHERE {self._one()}"  # noqa: S608 - of the administrator's file

    def _one(self) -> str:
        only = f" AND ({self.where})" if self.where else ""
        return f"{self.login} = '$(login)'{only}"


@dataclass(frozen=True, slots=True)
class CourierSqlConfig:
    """What a file says. `values` are its own settings of the server, without the prefix."""

    values: Mapping[str, str] = field(repr=False)
    default_domain: str
    select: str
    enumerate: str  # "" where it is not known how
    update: str  # "" where it is not known how


def read(path: Path, prefix: str) -> CourierSqlConfig:
    """Read a file whose names start with `prefix`. Raises MailError(TEMPORARY)."""
    try:
        if path.stat().st_mode & stat.S_IROTH:
            log.warning("everybody may read this file, which holds a password", path=str(path))
        text = path.read_text("utf-8", "surrogateescape")
        return parse(text, prefix)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("a module has no configuration", path=str(path), reason=reason)
        raise MailError(ErrorKind.TEMPORARY, "the accounts' table is not configured") from error


def parse(text: str, prefix: str) -> CourierSqlConfig:
    """Return what a file says. Raises ValueError, which tells no value."""
    every = _values(text)
    values = {
        name.removeprefix(prefix): value
        for name, value in every.items()
        if name.startswith(prefix) and name.removeprefix(prefix) not in _IGNORED
    }
    select = values.get("SELECT_CLAUSE", "")
    table = _table(values, prefix) if "USER_TABLE" in values or not select else None
    update = values.get("CHPASS_CLAUSE", "")
    if not update and table is not None and not select:
        update = table.update()
    domain = every.get("DEFAULT_DOMAIN", "")
    try:
        domain = domain_name(domain) if domain else ""
    except MailError as error:
        raise ValueError("DEFAULT_DOMAIN is no domain") from error
    return CourierSqlConfig(
        values=values,
        default_domain=domain,
        select=select or (table.select() if table else ""),
        enumerate=values.get("ENUMERATE_CLAUSE", "") or (table.enumerate() if table else ""),
        update=update,
    )


def _values(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    lines = iter(text.replace("\r\n", "\n").split("\n"))
    for line in lines:
        if line.lstrip().startswith("#"):
            continue
        whole = line
        while whole.endswith("\\"):
            whole = whole[:-1] + next(lines, "").lstrip()
        match = _LINE.match(whole.rstrip())
        if match:
            found.setdefault(match[1], match[2])
    return found


def _table(values: Mapping[str, str], prefix: str) -> Table:
    if "USER_TABLE" not in values:
        raise ValueError(f"{prefix}USER_TABLE or {prefix}SELECT_CLAUSE is needed")
    crypt, clear = values.get("CRYPT_PWFIELD", ""), values.get("CLEAR_PWFIELD", "")
    if not (crypt or clear or "SELECT_CLAUSE" in values):
        raise ValueError(f"{prefix}CRYPT_PWFIELD or {prefix}CLEAR_PWFIELD is needed")
    return Table(
        name=values["USER_TABLE"],
        login=values.get("LOGIN_FIELD", "id"),
        crypt=crypt,
        clear=clear,
        uid=values.get("UID_FIELD", "uid"),
        gid=values.get("GID_FIELD", "gid"),
        home=values.get("HOME_FIELD", "home"),
        maildir=values.get("MAILDIR_FIELD", _EMPTY),
        quota=values.get("QUOTA_FIELD", _EMPTY),
        full_name=values.get("NAME_FIELD", _EMPTY),
        options=values.get("AUXOPTIONS_FIELD", _EMPTY),
        where=values.get("WHERE_CLAUSE", ""),
    )
