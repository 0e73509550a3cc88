"""The audit log: who logged in, who failed, who changed what, as lines and as a table.

Invariants
- `record` never waits: one line is written at once, the row goes into a queue that a task empties
  once a second, in one transaction. Lines are never dropped. Rows are, where the database cannot
  take them and the queue is full: counted, and said in the log. `flush` waits until what was
  recorded before is in the table (or the database refused it): an administrator's change is
  answered after its row was written.
- No password, hash, token or code is ever given to `record`.
- It is cheap: about 9 us of the loop for a line, as much on a database thread for a row, and one
  sync of the disk for all rows of a second. So logins are in the table by default; where it shall
  stay small, RESTANTE_AUTH_AUDIT_TABLE leaves them out.

What is not here: a login that a worker of imap, pop3 or webmail answers from its own remembered
verdict (restante.rpc.verdicts) never reaches auth; the first login of a client in
RESTANTE_VERDICT_SECONDS does.

Lines go to the service's log (JSON objects with RESTANTE_LOG_FORMAT=json), or as JSON lines to a
file of their own, which is opened again within a second after log rotation renamed it.
"""

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Collection, Sequence
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.log import always, get_logger
from services.auth import audit_table, metrics
from services.auth.audit_table import Entry, Query
from services.auth.database.engine import Database

log = get_logger(__name__)

BATCH_SECONDS: Final = 1.0
QUEUE: Final = 20_000  # rows that wait while the database is away
_MAX: Final = 2_000  # characters of a value
_BATCH: Final = 1_000  # rows of one transaction
_PRUNE_SECONDS: Final = 3600.0
_PRUNE_ROWS: Final = 5_000  # of one transaction: others want the database, too

_TOLD: Final = ("action", "actor", "address", "service", "peer", "result", "detail", "session")


class Kind(Enum):
    """What a record is about; RESTANTE_AUTH_AUDIT_TABLE says which kinds the table keeps."""

    LOGINS = "logins"  # that succeeded
    FAILURES = "failures"  # logins and other requests that were refused
    CHANGES = "changes"  # of accounts, passwords, second factors, by whomever
    READS = "reads"  # what administrators looked at


class Audit:
    """Takes records, in one event loop. `start` before, `stop` after."""

    def __init__(
        self,
        database: Database,
        *,
        kinds: Collection[Kind] = tuple(Kind),
        days: int = 90,
        file: Path | None = None,
        queue: int = QUEUE,
    ) -> None:
        """`kinds` go into the table, for `days`; lines into `file`, None: the service's log."""
        self._database = database
        self._kinds = frozenset(kinds)
        self._days = days
        self._lines = _LineFile(file) if file is not None else None
        self._queue: deque[Entry] = deque()
        self._limit = queue
        self._dropped = 0  # since it was said last
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._prune_at = 0.0
        metrics.AUDIT_WAITING.follow(self, lambda audit: len(audit._queue))
        metrics.AUDIT_AGE.follow(self, lambda audit: audit.oldest)

    @property
    def oldest(self) -> float:
        """Seconds that the oldest row waits for the table, 0 where none does."""
        return max(0.0, time.time() - self._queue[0].time) if self._queue else 0.0

    def start(self) -> None:
        """Write rows from now on. Raises MailError(CANNOT) where the file cannot be opened."""
        if self._lines is not None:
            self._lines.open()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write what is left, as far as the database takes it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        self._dropped += len(self._queue)
        self._queue.clear()
        self._say_dropped()
        if self._lines is not None:
            self._lines.close()

    def record(
        self,
        *,
        action: str,
        actor: str = "",
        address: str = "",
        service: str = "",
        peer: str = "",
        result: str = "ok",
        detail: str = "",
        domain: str = "",
        session: str = "",
        kind: Kind | None = None,
    ) -> None:
        """Note what happened. Returns at once.

        `result` is "ok" or an ErrorKind's value; `domain` is told from the address, `kind` from
        action and result, where they are not given: "login" is LOGINS, what did not succeed
        FAILURES, all else CHANGES. `session` stands in the line alone.
        """
        domain = domain or address.partition("@")[2]
        entry = Entry(time.time(), action, actor, address, domain, service, peer, result, detail)
        if self._lines is None:
            always("audit", _told(entry, session))
        else:
            self._lines.write(entry, session)
        if kind is None:
            if result != "ok":
                kind = Kind.FAILURES
            else:
                kind = Kind.LOGINS if action == "login" else Kind.CHANGES
        if kind in self._kinds:
            if len(self._queue) < self._limit:
                self._queue.append(entry)
                self._wake.set()
            else:
                self._dropped += 1

    async def flush(self) -> None:
        """Write the rows recorded so far; what the database refuses stays in the queue."""
        left = len(self._queue)
        async with self._writing:
            while self._queue and left > 0:
                batch = list(islice(self._queue, _BATCH))
                try:
                    await self._database.run(partial(audit_table.add, entries=batch), write=True)
                except MailError:
                    return  # why stands in the log
                for _ in batch:
                    self._queue.popleft()
                left -= len(batch)

    async def entries(self, query: Query, *, before: int = 0, limit: int = 100) -> Sequence[Entry]:
        """Return entries, newest first, those older than the row `before` (0: from the newest).

        Raises MailError(TEMPORARY).
        """
        return await self._database.run(
            partial(audit_table.page, query=query, before=before, limit=limit)
        )

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_PRUNE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await asyncio.sleep(BATCH_SECONDS)
            await self.flush()
            if self._queue:
                self._wake.set()  # refused, or recorded meanwhile
            self._say_dropped()
            if self._lines is not None:
                self._lines.reopen()
            if loop.time() >= self._prune_at:
                self._prune_at = loop.time() + _PRUNE_SECONDS
                await self._prune()

    async def _prune(self) -> None:
        try:
            gone = _PRUNE_ROWS
            while gone == _PRUNE_ROWS:
                gone = await self._database.run(
                    partial(audit_table.prune, days=self._days, limit=_PRUNE_ROWS), write=True
                )
        except MailError:
            return  # in an hour again

    def _say_dropped(self) -> None:
        if self._dropped:
            metrics.AUDIT_DROPPED.inc(self._dropped)
            log.error("audit rows were lost; their lines stand in the log", rows=self._dropped)
            self._dropped = 0


class _LineFile:
    """JSON lines, each appended by one write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def open(self) -> None:
        """Raises MailError(CANNOT)."""
        try:
            self._handle = self._opened()
        except OSError as error:
            text = f"audit file {self._path}: {error.strerror}"
            raise MailError(ErrorKind.CANNOT, text) from error

    def write(self, entry: Entry, session: str) -> None:
        """Append a line; where that fails it goes to the service's log."""
        values = _told(entry, session)
        try:
            os.write(self._handle, json.dumps({"time": entry.time, **values}).encode() + b"\n")
        except OSError as error:
            always("audit", {**values, "fault": f"the audit file: {error.strerror}"})

    def reopen(self) -> None:
        """Go on in a new file where log rotation took the old one away."""
        try:
            ours = os.fstat(self._handle)
            try:
                same = os.path.samestat(ours, os.stat(self._path))
            except FileNotFoundError:
                same = False
            if not same:
                fresh = self._opened()
                os.close(self._handle)
                self._handle = fresh
        except OSError as error:
            log.warning("the audit file cannot be opened again", error=error.strerror)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _opened(self) -> int:
        return os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )


def _told(entry: Entry, session: str) -> dict[str, str]:
    """Return what a line says: all that is not empty, but for what the address says, too."""
    return {
        name: value[:_MAX]
        for name, value in zip(_TOLD, (*entry[1:4], *entry[5:9], session), strict=True)
        if value
    }
