"""Our own database by SQLAlchemy Core: SQLite embedded, PostgreSQL or MySQL to scale out.

It holds the accounts of the SQL module and, whatever the modules are, what auth keeps itself:
second factors, app passwords, sessions, API tokens, the audit table, the journal of revocations.

Database calls block, so they run in a few threads of this module. Faults of the database are
MailError(TEMPORARY). A read whose connection turns out to be dead (a restarted server) is tried
once more on a fresh one, a write that the server gave up for a deadlock is tried once more.
SQLite's WAL needs a local disk.

`read` asks a replica where there are some. A replica's answer counts only if it was given out of a
state that holds every revocation which this process has published already (`floor`): the
position of the journal comes out of the same statement as the answer. While this process cannot
follow the journal it cannot know what others changed, and only the primary is asked.

`data_version` (SQLite only) makes caches that are never stale: a number that changes with every
change which a login could depend on (generation.py), made in this process or another; what was
read counts only while the number is the one read *before* it was. It costs microseconds and is
asked at every look-up.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth import metrics
from services.auth.database import drivers, migrate
from services.auth.database.drivers import Limits, database_url
from services.auth.database.generation import Generation
from services.auth.database.replicas import Replicas

__all__ = ["Database", "Limits", "database_url"]

log = get_logger(__name__)

_T = TypeVar("_T")

Floor = Callable[[], int | None]
"""Returns the position that an answer must have, None where only the primary's will do."""

BY_HAND: Final = 10.0  # seconds until what was changed by hand on a server is noticed

# A transaction that was rolled back as a whole because of another one.
_DEADLOCKS: Final = ("40P01", "40001", 1213)


class Database:
    """Engines with their threads. `run` gives a function one transaction."""

    def __init__(
        self,
        url: URL,
        *,
        replicas: Sequence[URL] = (),
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
    ) -> None:
        """Does not connect yet. `replicas` are servers of the same kind that follow `url`."""
        self.url = url
        self.is_sqlite = drivers.is_sqlite(url)
        self._limits = limits
        self._writer = drivers.writing_engine(url, limits)
        self._reader = self._writer if self.is_sqlite else drivers.reading_engine(url, limits)
        self._replicas = Replicas(replicas, limits)
        self._pool = ThreadPoolExecutor(limits.connections, thread_name_prefix="sql")
        metrics.DATABASE_WAITING.follow(self, lambda own: own._pool._work_queue.qsize())
        self._preparing = threading.Lock()
        self._generation: Generation | None = None
        self.prepared = False
        self.floor: Floor = lambda: None  # set by whoever follows the journal

    async def open(self) -> None:
        """Connect, and bring the tables up to date. Raises MailError(TEMPORARY)."""
        await self.run(lambda _: None)

    async def check(self) -> None:
        """Pass while the database answers. Raises MailError(TEMPORARY)."""
        await self.run(_nothing)

    def data_version(self) -> int | None:
        """Return SQLite's number, None where it cannot be told (other servers, a fault)."""
        if self._generation is None:
            if not (self.is_sqlite and self.prepared):
                return None
            self._generation = Generation(self.url.database or "")
        return self._generation.read()

    def stamp(self) -> object:
        """Return what is equal as long as no change was told of; None where that is not known.

        See remembered.py. MySQL tells of changes too late for that.
        """
        if self.is_sqlite:
            return self.data_version()
        position = self.floor() if self.url.get_backend_name() == "postgresql" else None
        return None if position is None else (position, int(time.monotonic() / BY_HAND))

    async def run(
        self, work: Callable[[Connection], _T], *, write: bool = False, retry: bool = True
    ) -> _T:
        """Run `work` on a thread, in a transaction where it writes. Raises MailError.

        TEMPORARY for faults. `work` may be run twice: all that it does is what it does in the
        database, and what it returns.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._transact, work, write, retry)

    async def read(self, work: Callable[[Connection], tuple[int | None, _T]]) -> _T:
        """Run a `work` that only reads, on a replica where one is new enough.

        It returns the newest position of the journal out of the same statement (None where the
        statement gave no row to tell it), and its answer. Raises MailError as `run`.
        """
        floor = self.floor() if self._replicas else None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._read, work, floor)

    def _read(self, work: Callable[[Connection], tuple[int | None, _T]], floor: int | None) -> _T:
        if floor is not None and self.prepared:
            found = self._replicas.ask(work, floor)
            if found is not None:
                return found[0]
        return self._transact(work, False, True)[1]

    def _transact(self, work: Callable[[Connection], _T], write: bool, retry: bool) -> _T:
        try:
            if not self.prepared:
                self._prepare()
            return self._begin(work, write)
        except DBAPIError as error:
            if retry and _may_pass(error, write):
                return self._transact(work, write, False)
            raise self._fault(error) from error
        except (SQLAlchemyError, OSError) as error:
            raise self._fault(error) from error

    def _begin(self, work: Callable[[Connection], _T], write: bool) -> _T:
        started = time.perf_counter()
        try:
            return self._work(work, write)
        finally:
            spent = time.perf_counter() - started
            metrics.DATABASE_SECONDS.labels("write" if write else "read").observe(spent)

    def _work(self, work: Callable[[Connection], _T], write: bool) -> _T:
        if not (write or self.is_sqlite):
            with self._reader.connect() as connection:
                return work(connection)
        with self._writer.begin() as connection:
            if write and self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            return work(connection)

    def _prepare(self) -> None:
        """Create file and tables where they are missing; before the first work that succeeds."""
        with self._preparing:
            if not self.prepared:
                if self.is_sqlite:
                    _private_file(Path(self.url.database or ""))
                    migrate.prepare(self._writer)
                else:
                    self._prepare_server()
                self.prepared = True

    def _prepare_server(self) -> None:
        patient = drivers.patient_engine(self.url, self._limits)
        try:
            migrate.prepare(patient)
        finally:
            patient.dispose()

    def _fault(self, error: Exception) -> MailError:
        metrics.DATABASE_FAULTS.inc()
        log.error("accounts database failed", error=str(getattr(error, "orig", error)))
        return MailError(ErrorKind.TEMPORARY, "the accounts database cannot be used")

    async def close(self) -> None:
        """Close the connections."""
        if self._generation:
            self._generation.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._writer.dispose()
        self._reader.dispose()
        self._replicas.close()


def _nothing(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT 1")


def _may_pass(error: DBAPIError, write: bool) -> bool:
    """True where the same work may succeed now."""
    if write:
        cause = error.orig
        code = getattr(cause, "sqlstate", None) or (cause.args[0] if cause and cause.args else None)
        return code in _DEADLOCKS
    return error.connection_invalidated and not drivers.timed_out(error)


def _private_file(path: Path) -> None:
    """Create the database file, readable by its owner only. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
