"""The sources of revocations: who notices that an account changed, and how soon.

JournalChanges reads the journal that every change of ours is written to: at once after our own
              changes, on a notification of PostgreSQL, within POLL seconds on SQLite and MySQL.
              A change that somebody made to an SQLite file by hand is noticed too, though not
              whose: then all verdicts are void, and no session ends.
UserdbChanges, UserdbIndexChanges (userdb_changes.py) compare userdb with what it was.

A database that cannot be read, or does not answer in time, or a lost connection to PostgreSQL, is
told to the hub: nobody can be sure of what he has kept then.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import Connection

from restante.model import MailError
from restante.rpc.revocation import Reason, Revocation
from restante.runtime.log import get_logger
from services.auth.backends.base import Backend
from services.auth.backends.userdb import UserdbBackend
from services.auth.backends.userdb_index import UserdbIndexBackend
from services.auth.database import journal
from services.auth.database.engine import Database
from services.auth.hub import Hub
from services.auth.sessions import ASKED, SessionReports
from services.auth.userdb_changes import UserdbChanges, UserdbIndexChanges

if TYPE_CHECKING:
    import psycopg

log = get_logger(__name__)

POLL: Final = 0.4  # seconds
RETRY: Final = 0.5  # seconds after a fault
BEAT: Final = 0.5  # seconds between proofs that PostgreSQL still answers
DEAD: Final = 3.0  # seconds without an answer of a server
_PRUNE: Final = 86400.0  # seconds

_UNKNOWN: Final = Revocation("", Reason.CHANGED)


class JournalChanges:
    """Follows the journal of one database."""

    def __init__(self, database: Database, hub: Hub, sessions: SessionReports) -> None:
        """`sessions` hears when another replica asks."""
        self._database, self._hub, self._sessions = database, hub, sessions
        self._position: int | None = None  # of the last entry published
        self._version: int | None = None  # SQLite's, when the journal was read last
        self._lock = asyncio.Lock()
        self._prune_at = 0.0
        hub.lost(self)
        database.floor = self._floor

    def _floor(self) -> int | None:
        """Return what every answer must know of, None where we cannot tell just now."""
        return self._position if self._hub.sees(self) else None

    async def run(self) -> None:
        """Publish until cancelled."""
        first = True
        while True:
            try:
                if self._database.is_sqlite:
                    await self._poll()
                elif self._database.url.get_backend_name() == "mysql":
                    await self._ask()
                else:
                    await self._listen()
            except (MailError, OSError) as error:
                if first or self._hub.sees(self):  # else it was said already
                    reason = error.text if isinstance(error, MailError) else str(error)
                    log.warning("changes of accounts cannot be followed", reason=reason)
            finally:
                self._hub.lost(self)
                first = False
            await asyncio.sleep(RETRY)

    async def catch_up(self) -> None:
        """Publish what was changed before this call. A fault ends all streams instead."""
        try:
            await self._look()
        except MailError:
            self._hub.lost(self)  # run() goes on when it can look again

    async def replay(self, position: int) -> Sequence[journal.Entry] | None:
        """Return the next entries after a position, None where they are no longer known."""

        def read(connection: Connection) -> Sequence[journal.Entry] | None:
            if journal.first(connection) > position + 1:
                return None
            return journal.after(connection, position)

        return await self._database.run(read)

    async def _poll(self) -> None:
        while True:
            version = self._database.data_version()
            if version is None or version != self._version or not self._hub.sees(self):
                await self._look()
                self._hub.found(self)
            await asyncio.sleep(POLL)
            await self._prune()

    async def _ask(self) -> None:
        """MySQL tells nobody when something is new."""
        while True:
            with self._in_time():
                await self._look()
            self._hub.found(self)
            self._sessions.asked()
            await asyncio.sleep(POLL)
            await self._prune()

    async def _listen(self) -> None:
        import psycopg  # noqa: PLC0415 - an extra, there only where PostgreSQL is used

        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            async with asyncio.timeout(DEAD):
                connection = await psycopg.AsyncConnection.connect(
                    url.replace(" ", "%20"),  # SQLAlchemy leaves blanks of a password as they are
                    autocommit=True,
                    application_name=self._sessions.application_name,
                )
            async with connection:
                await connection.execute(f"LISTEN {journal.CHANNEL}")
                while True:
                    await self._prove(connection)
                    async for notice in connection.notifies(timeout=BEAT, stop_after=1):
                        if notice.payload == ASKED:
                            self._sessions.asked()
                    await self._prune()
        except psycopg.Error as error:
            raise OSError(str(error).strip()) from error

    async def _prove(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        """Look, and see that notifications can come."""
        with self._in_time():
            async with asyncio.timeout(DEAD):
                await connection.execute("SELECT 1")
            await self._look()
        self._hub.found(self)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """The hub hears of it when what happens inside hangs."""
        watchdog = asyncio.get_running_loop().call_later(DEAD, self._hub.lost, self)
        try:
            yield
        finally:
            watchdog.cancel()

    async def _look(self) -> None:
        """Publish what is new in the journal. Raises MailError(TEMPORARY)."""
        async with self._lock:
            # Before the rows: a change between the two is looked at again.
            version = self._database.data_version()
            if self._position is None:
                self._position = self._hub.position = await self._database.run(journal.last)
            elif not await self._publish(self._position):
                by_hand = version is not None and self._version not in (None, version)
                if by_hand:
                    self._hub.publish(_UNKNOWN)
            self._version = version

    async def _publish(self, position: int) -> bool:
        """Publish the entries after a position; False if there are none."""
        start = position
        while True:
            entries = await self._database.run(partial(journal.after, position=position))
            for at, revocation in entries:
                self._hub.publish(revocation, at)
                self._position = position = at
            if len(entries) < journal.PAGE:
                return position > start

    async def _prune(self) -> None:
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _PRUNE
            await self._database.run(journal.prune, write=True)


class _Source(Protocol):
    async def run(self) -> None:
        """Publish until cancelled."""


class Changes:
    """The sources of all modules as one."""

    def __init__(
        self,
        database: Database,
        modules: Sequence[Backend],
        hub: Hub,
        sessions: SessionReports,
    ) -> None:
        self._database = database
        self._journal = JournalChanges(database, hub, sessions)
        self._sources: list[_Source] = [self._journal]
        for module in modules:
            if isinstance(module, UserdbBackend):
                self._sources.append(UserdbChanges(module, hub, self._end_others))
            elif isinstance(module, UserdbIndexBackend):
                self._sources.append(UserdbIndexChanges(module, hub, self._end_others))
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Follow all; Watch streams wait until each source has looked once."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(source.run()) for source in self._sources]

    async def catch_up(self) -> None:
        """Publish what our own changes wrote to the journal."""
        await self._journal.catch_up()

    async def _end_others(self, address: str, keep_session: str) -> None:
        def work(connection: Connection) -> None:
            journal.record(connection, address, Reason.PASSWORD, keep_session=keep_session)

        await self._database.run(work, write=True)
        await self.catch_up()

    async def replay(self, position: int) -> Sequence[journal.Entry] | None:
        """Return the next entries after a position; None where they are no longer known."""
        return await self._journal.replay(position)

    async def stop(self) -> None:
        """End all tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
