"""Accounts in Courier's userdb text files, read as they stand (makeuserdb is not needed).

Format: `name<TAB>field=value|field=value`; "#" lines and blank lines are skipped. Required
fields: home, uid, gid. The path may be a directory, read recursively without dotfiles. A file or
directory with any permission for group or others, or a symlink, is refused: it holds passwords.

Passwords: `<service>pw` of the service asked for, else `systempw`. HMAC contexts for CRAM:
`<service>-hmac-<hash>pw` and `hmac-<hash>pw`. Records `<uid>=<TAB>name` find names, not accounts.

Invariants: the files are looked at (stat) before every answer and read again when anything
changed. A file whose time is so young that it may have changed again within the clock's tick is
read again next time. Whatever cannot be read is TEMPORARY: the whole module for a file, one
login for a bad line. No account is "unknown" because somebody mistyped its line.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from restante.model import Account, ErrorKind, MailError, Options, Quota
from restante.runtime.log import get_logger
from restante.userdb import source
from services.auth.backends.base import Backend, Check, ModuleContext, PasswordChange, Record
from services.auth.backends.userdb_names import UserdbNames
from services.auth.backends.userdb_passwords import KeptSessions, change_password
from services.auth.names import Login
from services.auth.settings import AuthSettings

log = get_logger(__name__)

_YOUNG_NS: Final = 2_000_000_000
_MAX_ID: Final = 2**32 - 2

Signature = tuple[tuple[str, int, int, int, int], ...]  # path, inode, size, mtime, ctime


@dataclass(slots=True)
class _Table:
    signature: Signature = ()
    trusted: bool = False
    records: dict[str, Record] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)  # names whose line cannot be understood


class UserdbBackend:
    """The accounts of a userdb file or directory."""

    name = "userdb"

    def __init__(
        self, path: Path, names: UserdbNames | None = None, *, writable: bool = False
    ) -> None:
        """Read nothing yet. `writable`: owners may change their passwords."""
        self._path, self._names = path, names or UserdbNames()
        self._writable = writable
        self.kept_sessions = KeptSessions()
        self._table = _Table()
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Read the files."""
        await self._fresh()

    async def find(self, login: Login) -> Record | None:
        """Return the account of a login. Raises MailError(TEMPORARY)."""
        table = await self._fresh()
        if login.address in table.bad:
            raise MailError(ErrorKind.TEMPORARY, "the account's line in userdb cannot be read")
        return table.records.get(login.address)

    async def records(self) -> AsyncIterator[Record]:
        """Yield every account. Raises MailError(TEMPORARY), also for a bad line, at the end."""
        table = await self._fresh()
        for record in table.records.values():
            yield record
        if table.bad:
            raise MailError(ErrorKind.TEMPORARY, "some lines of userdb cannot be read")

    async def table(self) -> tuple[dict[str, Record], set[str]]:
        """Return all accounts, and the names whose line cannot be read; neither to be changed.

        The same objects as last time where the files did not change. Raises MailError(TEMPORARY).
        """
        table = await self._fresh()
        return table.records, table.bad

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Never asked: userdb keeps hashes."""
        return False

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Edit the file; False where it is not ours to write."""
        if not self._writable:
            return False

        def work() -> bool:
            return change_password(self._path, self._names, login, change, index=False)

        return await self.kept_sessions.during(login, change, work)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _fresh(self) -> _Table:
        """Return the table as the files are now; the file system is only touched on a thread."""
        async with self._lock:
            self._table = await asyncio.to_thread(self._current, self._table)
            return self._table

    def _current(self, table: _Table) -> _Table:
        """Return `table`, or a new one where the files have changed."""
        try:
            files = source.files(self._path)
            seen = _signature(self._path, files)
            if table.trusted and seen == table.signature:
                return table
            return self._read(files, seen)
        except OSError as error:
            log.warning("userdb cannot be read", path=str(error.filename), reason=error.strerror)
            raise MailError(ErrorKind.TEMPORARY, "userdb cannot be read") from error

    def _read(self, files: list[Path], seen: Signature) -> _Table:
        youngest = max((entry[3] for entry in seen), default=0)
        table = _Table(seen, time.time_ns() - youngest > _YOUNG_NS)
        for path in files:
            text = source.contents(path)
            for number, line in enumerate(text.split("\n"), 1):
                if line.strip() and not line.startswith("#"):
                    self._add(table, line, f"{path}:{number}")
        return table

    def _add(self, table: _Table, line: str, where: str) -> None:
        name, _, rest = line.partition("\t")
        if source.is_reverse(name):
            return
        address = self._names.address(name)
        if address in table.records or address in table.bad:
            log.warning("userdb names an account twice; the first counts", where=where)
            return
        try:
            table.records[address] = record_of(address, source.fields_of(rest))
        except (MailError, ValueError, KeyError) as error:
            log.warning("userdb has a bad line", where=where, reason=str(error))
            table.bad.add(address)


def record_of(address: str, fields: Mapping[str, str]) -> Record:
    """Return the record of a line's fields. Raises KeyError, ValueError or MailError."""
    home = Path(fields["home"])
    if not home.is_absolute():
        raise ValueError("home is not absolute")
    account = Account(
        address=address,
        uid=_number(fields["uid"]),
        gid=_number(fields["gid"]),
        home=home,
        maildir=home / (fields.get("mail") or "Maildir"),
        name=fields.get("gecos", "").partition(",")[0],
        quota=Quota.parse(fields.get("quota", "")),
        options=Options.parse(fields.get("options", "")),
    )
    passwords = {key[:-2]: value for key, value in fields.items() if key.endswith("pw")}
    return Record(
        account,
        fields.get("systempw", ""),
        {key: v for key, v in passwords.items() if key != "system" and "hmac-" not in key},
        contexts={key: v for key, v in passwords.items() if "hmac-" in key},
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_ID):
        raise ValueError(f"not an id: {text!r}")
    return int(text)


def _signature(top: Path, files: list[Path]) -> Signature:
    """Return what changes when any of the files does; checks permissions. Raises OSError."""
    out = []
    for path in dict.fromkeys((top, *{file.parent for file in files if file != top}, *files)):
        info = os.lstat(path)
        source.check_private(path, info)
        out.append((str(path), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    return tuple(sorted(out))


def make(settings: AuthSettings, context: ModuleContext) -> Backend:
    """Return the module "userdb": the indexed files where they are set, else the text."""
    names = UserdbNames(context.rules.default_domain, context.rules.fold_case)
    if settings.userdb_index is None:
        return UserdbBackend(settings.userdb, names, writable=settings.userdb_writable)
    from services.auth.backends.userdb_index import UserdbIndexBackend  # noqa: PLC0415 - it imports us

    return UserdbIndexBackend(settings.userdb_index, names, writable=settings.userdb_writable)
