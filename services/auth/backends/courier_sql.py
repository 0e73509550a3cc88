"""Accounts in somebody else's tables, as authmysql, authpgsql and authsqlite have them.

Courier's own configuration file says which tables, or the whole statements (courier_sql_rc.py);
what is asked about goes into them as bound parameters (courier_sql_clause.py).

As Courier: SELECT_CLAUSE's row is username, hash, clear password, uid, gid, home, and as far as it
goes maildir, quota, full name, options. The hash counts where there is one, else the clear
password. ENUMERATE_CLAUSE is asked with "*" for the local part and "enumerate" for the service.

Stricter than some of Courier's modules: a row without a numeric uid and gid or an absolute home is
TEMPORARY, and so are two rows that differ; none is root's, "no such user" or any of the two.

A login's address is what the table calls it: it may be found under an alias, and what auth keeps
about the account (second factors, sessions) is kept once.

Nobody tells us what somebody else changes in the tables: every login asks them (Record.reusable),
and open sessions go on.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from restante.model import Account, ErrorKind, MailError, Options, Quota
from restante.runtime.libcrypt import crypt, new_setting
from restante.runtime.log import get_logger
from services.auth.backends import asked, courier_sql_rc
from services.auth.backends.base import Check, PasswordChange, Record
from services.auth.backends.courier_sql_clause import Clause, Dialect, compile_clause
from services.auth.backends.courier_sql_rc import CourierSqlConfig
from services.auth.backends.courier_sql_servers import Servers
from services.auth.database.drivers import Limits, timed_out
from services.auth.names import Login, NameRules

log = get_logger(__name__)

_PAGE: Final = 500  # rows
_MAX_ID: Final = 2**32 - 2

# Columns of a row, as Courier has them; up to home they must be there.
_SELECTED: Final = (
    *("username", "hashed", "clear", "uid", "gid", "home"),
    *("maildir", "quota", "name", "options"),
)
_NEEDED: Final = 6
_LISTED: Final = ("username", "uid", "gid", "home", "maildir", "options")
_LISTED_NEEDED: Final = 4

_T = TypeVar("_T")

Scheme = Literal["sha512-crypt", "argon2id"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between the three modules."""

    name: str  # of the module
    prefix: str  # of the names in the file
    dialect: Dialect
    servers: Callable[[CourierSqlConfig, Limits], Servers]  # raises ValueError


class _Ready:
    """A configuration that could be read, and the connections it leads to."""

    def __init__(self, kind: Kind, config: CourierSqlConfig, limits: Limits) -> None:
        """Raises ValueError."""
        self.default_domain = config.default_domain
        self.select = compile_clause(config.select, kind.dialect)
        self.enumerate = compile_clause(config.enumerate, kind.dialect)
        self.update = compile_clause(config.update, kind.dialect)
        self.servers = kind.servers(config, limits)


class CourierSqlBackend:
    """The accounts of one configuration file. It is read when it is first needed."""

    def __init__(
        self, kind: Kind, path: Path, rules: NameRules, limits: Limits, scheme: Scheme
    ) -> None:
        """`scheme` of hashes that are stored for new passwords."""
        self.name = kind.name
        self._kind, self._path, self._rules, self._limits = kind, path, rules, limits
        self._scheme = scheme
        self._pool = ThreadPoolExecutor(limits.connections, thread_name_prefix=kind.name)
        self._ready: _Ready | None = None

    async def open(self) -> None:
        """Read the file, and connect."""
        await self._run(lambda connection: connection.exec_driver_sql("SELECT 1").all())

    async def find(self, login: Login) -> Record | None:
        """Return the account of a login. Raises MailError(TEMPORARY)."""
        ready = self._configured()
        work = partial(_rows, clause=ready.select, values=self._values(ready, login))
        rows = await self._run(work)
        if not rows:
            return None
        if tuple(rows[0]) != tuple(rows[-1]):
            raise self._bad(login.address, ValueError("more than one row"))
        return self._record(rows[0], login)

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Never asked: the tables keep hashes, or passwords."""
        return False

    async def records(self) -> AsyncGenerator[Record, None]:
        """Yield every account as the server sends them, in constant memory.

        Passwords are not among what is asked for. Raises MailError(TEMPORARY), also midway; for
        rows that cannot be read, at the end.
        """
        ready = self._configured()
        if not ready.enumerate.sql:
            raise self._misconfigured("there is no ENUMERATE_CLAUSE")
        values = {
            "local_part": "*",
            "domain": ready.default_domain or self._rules.default_domain,
            "service": "enumerate",
        }
        reading = _Reading(ready, values)
        fault: MailError | None = None
        try:
            while rows := await self._on_thread(reading.next):
                for row in rows:
                    try:
                        record = self._listed(row)
                    except MailError as error:
                        fault = error
                    else:
                        yield record
        finally:
            await self._on_thread(reading.close)
        if fault is not None:
            raise fault

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Store a new password; False where nothing says how, or no row was meant."""
        ready = self._configured()
        if not ready.update.sql:
            return False
        values = {
            **self._values(ready, login),
            "newpass": _text_of(change.new),
            "newpass_crypt": await self._on_thread(partial(_hash, self._scheme, change)),
        }
        parameters = ready.update.bind(values)

        def work(connection: Connection) -> bool:
            return connection.exec_driver_sql(ready.update.sql, parameters).rowcount > 0

        return await self._run(work, write=True)

    async def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._ready is not None:
            self._ready.servers.close()

    # --- the database ----------------------------------------------------------------------------

    def _configured(self) -> _Ready:
        if self._ready is None:
            config = courier_sql_rc.read(self._path, self._kind.prefix)
            try:
                self._ready = _Ready(self._kind, config, self._limits)
            except ValueError as error:
                raise self._misconfigured(str(error)) from error
        return self._ready

    async def _run(self, work: Callable[[Connection], _T], *, write: bool = False) -> _T:
        """Run `work` on a thread; a read once more where its connection was dead."""
        ready = self._configured()

        def run() -> _T:
            for last in (write, True):
                try:
                    with ready.servers.engine.connect() as connection:
                        return work(connection)
                except DBAPIError as error:
                    if last or not error.connection_invalidated or timed_out(error):
                        raise
            raise AssertionError

        return await self._on_thread(run)

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, work)
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            reason = str(getattr(error, "orig", error)).strip()
            log.warning("a database of accounts failed", module=self.name, reason=reason)
            raise MailError(ErrorKind.TEMPORARY, "a database of accounts failed") from error

    def _values(self, ready: _Ready, login: Login) -> dict[str, str]:
        domain = login.domain or ready.default_domain
        return {
            "local_part": login.local,
            "domain": domain,
            "service": asked.service(),
            "login": f"{login.local}@{domain}" if domain else login.local,
        }

    # --- rows ------------------------------------------------------------------------------------

    def _record(self, values: Sequence[Any], login: Login) -> Record:
        if len(values) < _NEEDED:
            raise self._misconfigured(f"SELECT_CLAUSE gives {len(values)} columns of {_NEEDED}")
        row = _Row(**dict(zip(_SELECTED, map(_text, values), strict=False)))
        try:
            account = self._account(row, login.address, login.domain)
        except (MailError, ValueError) as error:
            raise self._bad(login.address, error) from error
        stored = row.hashed or (f"{{PLAIN}}{row.clear}" if row.clear else "")
        return Record(account, stored, clear=row.clear, reusable=False)

    def _listed(self, values: Sequence[Any]) -> Record:
        if len(values) < _LISTED_NEEDED:
            raise self._misconfigured(f"ENUMERATE_CLAUSE gives {len(values)} columns")
        row = _Row(**dict(zip(_LISTED, map(_text, values), strict=False)))
        try:
            return Record(self._account(row, row.username, ""))
        except (MailError, ValueError) as error:
            raise self._bad(row.username, error) from error

    def _account(self, row: "_Row", username: str, domain: str) -> Account:
        """`username` and `domain` are for a row that lacks them. Raises MailError, ValueError."""
        username = row.username or username
        if "@" not in username and domain:
            username = f"{username}@{domain}"
        home = Path(row.home)
        if not home.is_absolute():
            raise ValueError("home is not absolute")
        return Account(
            address=self._rules.parse(username).address,
            uid=_number(row.uid),
            gid=_number(row.gid),
            home=home,
            maildir=home / (row.maildir or "Maildir"),
            name=row.name.partition(",")[0],
            quota=Quota.parse(row.quota),
            options=Options.parse(row.options),
        )

    def _bad(self, address: str, error: MailError | ValueError) -> MailError:
        reason = error.text if isinstance(error, MailError) else str(error)
        log.warning("an account cannot be read", module=self.name, address=address, reason=reason)
        return MailError(ErrorKind.TEMPORARY, "the account cannot be read")

    def _misconfigured(self, reason: str) -> MailError:
        log.warning(
            "a module is not configured", module=self.name, path=str(self._path), reason=reason
        )
        return MailError(ErrorKind.TEMPORARY, "the accounts' table is not configured")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as texts, "" for NULL."""

    username: str
    uid: str
    gid: str
    home: str
    maildir: str = ""
    quota: str = ""
    name: str = ""
    options: str = ""
    hashed: str = field(default="", repr=False)
    clear: str = field(default="", repr=False)


class _Reading:
    """One list of all accounts under way, with a connection of its own; used on threads."""

    def __init__(self, ready: _Ready, values: Mapping[str, str]) -> None:
        self._engine = ready.servers.streaming_engine()
        self._clause, self._parameters = ready.enumerate, ready.enumerate.bind(values)
        self._connection: Connection | None = None
        self._result: CursorResult[Any] | None = None
        self._complete = False

    def next(self) -> Sequence[Sequence[Any]]:
        """Return the next rows, none at the end."""
        if self._result is None:
            self._connection = self._engine.connect().execution_options(
                stream_results=True, max_row_buffer=_PAGE
            )
            self._result = self._connection.exec_driver_sql(self._clause.sql, self._parameters)
        rows = self._result.fetchmany(_PAGE)
        self._complete = not rows
        return rows

    def close(self) -> None:
        """Close the connection; what the server would still send is not waited for."""
        with ExitStack() as stack:
            stack.callback(self._engine.dispose)
            if self._connection is not None:
                stack.callback(self._connection.close)
                if not self._complete:
                    _abandon(self._result)
                    self._connection.invalidate()


def _abandon(result: CursorResult[Any] | None) -> None:
    """Leave a list where it is: PyMySQL would read the rest of it, from a closed connection."""
    pending = getattr(result.cursor, "_result", None) if result is not None else None
    if pending is not None:
        pending.unbuffered_active = False


def _rows(
    connection: Connection, clause: Clause, values: Mapping[str, str]
) -> Sequence[Sequence[Any]]:
    """Return the first rows, two at most."""
    return connection.exec_driver_sql(clause.sql, clause.bind(values)).fetchmany(2)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_ID):
        raise ValueError("uid or gid is not a number")
    return int(text)


def _text_of(password: bytes) -> str:
    try:
        return password.decode()
    except UnicodeDecodeError as error:
        raise MailError(ErrorKind.CANNOT, "this password is not UTF-8") from error


def _hash(scheme: Scheme, change: PasswordChange) -> str:
    """Return a hash that others who read the table understand, too."""
    if scheme == "argon2id":
        return change.stored
    setting = new_setting("$6$")
    made = crypt(change.new, setting) if setting else None
    if made is None:
        raise MailError(ErrorKind.CANNOT, "no hash can be made of this password")
    return made.decode()
