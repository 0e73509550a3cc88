"""Accounts in a SQL database by SQLAlchemy Core: SQLite embedded, PostgreSQL to scale out.

Database calls block, so they run in a few threads of this module. Faults of the database are
MailError(TEMPORARY). A read whose connection turns out to be dead (a restarted server) is tried
once more on a fresh one.

Cache (SQLite only): records are kept in memory and are never stale. PRAGMA data_version, asked
of a connection that never writes, changes with every commit of any other connection, in this
process or another; a record counts only while the number is the one read *before* its row was.
The pragma costs microseconds and is asked at every lookup. SQLite's WAL needs a local disk.
"""

import asyncio
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    RowMapping,
    bindparam,
    create_engine,
    event,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from restante.model import Account, ErrorKind, MailError, Options, Quota
from restante.rpc.revocation import Reason
from restante.runtime.log import get_logger
from services.auth.backends import journal, schema
from services.auth.backends.base import Record
from services.auth.names import Login

log = get_logger(__name__)

_T = TypeVar("_T")

_CACHED: Final = 65536  # records
_PAGE: Final = 500

_WITH_DEFAULTS: Final = select(
    schema.accounts, schema.domains.c.default_quota, schema.domains.c.default_options
).join_from(schema.accounts, schema.domains)
_BY_ADDRESS: Final = _WITH_DEFAULTS.where(schema.accounts.c.address == bindparam("address"))
_AFTER: Final = (
    _WITH_DEFAULTS.where(schema.accounts.c.address > bindparam("after"))
    .order_by(schema.accounts.c.address)
    .limit(_PAGE)
)


def database_url(text: str) -> URL:
    """Parse a database URL; "postgresql://" means psycopg 3. Raises ValueError."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ValueError("expected sqlite:///path or postgresql://user@host/database") from error
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite" or not url.database or url.database == ":memory:":
        raise ValueError("expected sqlite:///path or postgresql://user@host/database")
    return url


class Database:
    """An engine with its threads. `run` gives a function one transaction."""

    def __init__(self, url: URL, *, threads: int = 4) -> None:
        """Does not connect yet."""
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url, threads)
        # Reads on a server go without BEGIN and COMMIT: one round trip for one SELECT.
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sql")
        self._preparing = threading.Lock()
        self.prepared = False

    async def run(
        self, work: Callable[[Connection], _T], *, write: bool = False, retry: bool = True
    ) -> _T:
        """Run `work` in a transaction on a thread. Raises MailError, TEMPORARY for faults."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._transact, work, write, retry)

    def _transact(self, work: Callable[[Connection], _T], write: bool, retry: bool) -> _T:
        try:
            if not self.prepared:
                self._prepare()
            return self._begin(work, write)
        except DBAPIError as error:
            if retry and not write and error.connection_invalidated:
                return self._transact(work, write, False)
            raise self._fault(error) from error
        except (SQLAlchemyError, OSError) as error:
            raise self._fault(error) from error

    def _begin(self, work: Callable[[Connection], _T], write: bool) -> _T:
        if not (write or self.is_sqlite):
            with self._reader.connect() as connection:
                return work(connection)
        with self._engine.begin() as connection:
            if write and self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            return work(connection)

    def _prepare(self) -> None:
        """Create file and tables where they are missing; before the first work that succeeds."""
        with self._preparing:
            if not self.prepared:
                if self.is_sqlite:
                    _private_file(Path(self.url.database or ""))
                self._begin(schema.create, True)
                self.prepared = True

    def _fault(self, error: Exception) -> MailError:
        log.error("accounts database failed", error=str(getattr(error, "orig", error)))
        return MailError(ErrorKind.TEMPORARY, "the accounts database cannot be used")

    async def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._engine.dispose()


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 5.0, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _postgres_engine(url: URL, threads: int) -> Engine:
    return create_engine(
        url,
        pool_size=threads,
        max_overflow=0,
        pool_timeout=3,
        pool_recycle=1800,
        connect_args={"connect_timeout": 3, "options": "-c statement_timeout=4000"},
    )


class SqlBackend:
    """The accounts of a database."""

    name = "sql"

    def __init__(self, database: Database, mail_root: Path) -> None:
        """`mail_root` is absolute; relative homes start there."""
        self.database = database
        self.mail_root = mail_root
        self._watch: _Watch | None = None
        self._cache: OrderedDict[str, Record | None] = OrderedDict()
        self._version: object = None

    async def open(self) -> None:
        """Connect, and create the tables where they are missing."""
        await self.database.run(lambda _: None)

    async def find(self, login: Login) -> Record | None:
        """Return the account of login.address."""
        address = login.address
        version = self.data_version()
        if version is None:
            return await self._read(address)
        if version != self._version:
            self._cache.clear()
            self._version = version
        elif address in self._cache:
            self._cache.move_to_end(address)
            return self._cache[address]
        record = await self._read(address)
        if version == self._version:  # nobody else saw a newer one meanwhile
            self._cache[address] = record
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return record

    async def records(self) -> AsyncIterator[Record]:
        """Yield every account, by address, in pages: no long transaction, no big list."""
        after = ""
        while True:
            rows = await self.database.run(partial(_rows, after=after))
            for row in rows:
                yield self.record_of(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["address"]

    async def set_password(self, login: Login, stored: str) -> bool:
        """Store a new hash; False without such an account."""
        accounts = schema.accounts

        def work(connection: Connection) -> bool:
            done = connection.execute(
                update(accounts).where(accounts.c.address == login.address).values(password=stored)
            )
            if done.rowcount == 1:
                journal.record(connection, login.address, Reason.PASSWORD)
            return done.rowcount == 1

        return await self.database.run(work, write=True)

    async def close(self) -> None:
        """Close the database."""
        if self._watch:
            self._watch.close()
        await self.database.close()

    def data_version(self) -> int | None:
        """Return SQLite's number, None where it cannot be told (PostgreSQL, a fault)."""
        if self._watch is None:
            if not (self.database.is_sqlite and self.database.prepared):
                return None
            self._watch = _Watch(self.database.url.database or "")
        return self._watch.version()

    async def _read(self, address: str) -> Record | None:
        row = await self.database.run(
            lambda c: c.execute(_BY_ADDRESS, {"address": address}).mappings().first()
        )
        return None if row is None else self.record_of(row)

    def record_of(self, row: RowMapping) -> Record:
        """Return the record of a row joined with its domain. Raises MailError(TEMPORARY)."""
        try:
            home = self.mail_root / row["home"]
            account = Account(
                address=row["address"],
                uid=row["uid"],
                gid=row["gid"],
                home=home,
                maildir=home / row["maildir"],
                name=row["name"],
                quota=Quota.parse(row["quota"] or row["default_quota"]),
                options=Options.parse(row["options"]).merged(Options.parse(row["default_options"])),
                disabled=row["disabled"],
            )
        except MailError as error:  # somebody wrote nonsense into the table by hand
            text = error.text
            log.warning("account has a bad field", address=row["address"], field=text)
            raise MailError(ErrorKind.TEMPORARY, "the account cannot be read") from error
        return Record(account, row["password"])


def _rows(connection: Connection, after: str) -> Sequence[RowMapping]:
    return connection.execute(_AFTER, {"after": after}).mappings().all()


def _private_file(path: Path) -> None:
    """Create the database file, readable by its owner only. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


class _Watch:
    """Tells by a number whether the database changed: a reader that never writes."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA query_only=ON").close()

    def version(self) -> int | None:
        """Return the number, None where it cannot be told just now."""
        try:
            row = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        return int(row[0])

    def close(self) -> None:
        self._connection.close()
