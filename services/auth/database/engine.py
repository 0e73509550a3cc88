"""Our own database by SQLAlchemy Core: SQLite embedded, PostgreSQL to scale out.

It holds the accounts of the SQL module and, whatever the modules are, what auth keeps itself:
second factors, app passwords, sessions, API tokens, the audit table, the journal of revocations.

Database calls block, so they run in a few threads of this module. Faults of the database are
MailError(TEMPORARY). A read whose connection turns out to be dead (a restarted server) is tried
once more on a fresh one. SQLite's WAL needs a local disk.

`data_version` (SQLite only) makes caches that are never stale: PRAGMA data_version, asked of a
connection that never writes, changes with every commit of any other connection, in this process
or another; what was read counts only while the number is the one read *before* it was. The
pragma costs microseconds and is asked at every look-up.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth.database import migrate

log = get_logger(__name__)

_T = TypeVar("_T")


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
        self._watch: _Watch | None = None
        self.prepared = False

    async def open(self) -> None:
        """Connect, and create the tables where they are missing. Raises MailError(TEMPORARY)."""
        await self.run(lambda _: None)

    def data_version(self) -> int | None:
        """Return SQLite's number, None where it cannot be told (other servers, a fault)."""
        if self._watch is None:
            if not (self.is_sqlite and self.prepared):
                return None
            self._watch = _Watch(self.url.database or "")
        return self._watch.version()

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
                migrate.prepare(self._engine)
                self.prepared = True

    def _fault(self, error: Exception) -> MailError:
        log.error("accounts database failed", error=str(getattr(error, "orig", error)))
        return MailError(ErrorKind.TEMPORARY, "the accounts database cannot be used")

    async def close(self) -> None:
        """Close the connections."""
        if self._watch:
            self._watch.close()
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
