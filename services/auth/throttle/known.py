"""From where each account has logged in: its owner is let in there however others behave.

Kept in our database (table known_places), written in batches behind the logins and read only
when an attempt would have to wait. Losing an entry costs its owner a wait under attack, no more:
so faults are "not known", and what does not fit into the queue is left out.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from restante.model import MailError
from restante.runtime.log import get_logger
from services.auth.database.engine import Database
from services.auth.database.schema import known_places

log = get_logger(__name__)

KEPT: Final = 60 * 86400  # seconds since the last login
_AGAIN: Final = 86400  # seconds until a login from the same place is noted anew
_FLUSH: Final = 1.0  # seconds
_QUEUE: Final = 10_000
_REMEMBERED: Final = 65536
_BATCH: Final = 500


class KnownPlaces:
    """Places by account."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._queue: dict[tuple[str, str], None] = {}
        self._task: asyncio.Task[None] | None = None
        self._prune_at = 0.0

    def note(self, address: str, place: str) -> None:
        """A login came from a place."""
        key, now = (address, place), time.monotonic()
        if now - self._noted.get(key, -_AGAIN) < _AGAIN or len(self._queue) >= _QUEUE:
            return
        self._noted[key] = now
        self._noted.move_to_end(key)
        if len(self._noted) > _REMEMBERED:
            self._noted.popitem(last=False)
        self._queue[key] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_later())

    async def known(self, address: str, place: str) -> bool:
        """True where the account logged in from a place within KEPT seconds."""
        if (address, place) in self._noted:
            return True
        query = select(known_places.c.seen).where(
            known_places.c.address == address, known_places.c.place == place
        )
        try:
            seen = await self._database.run(lambda c: c.execute(query).scalar())
        except MailError:
            return False
        return seen is not None and seen > time.time() - KEPT

    async def close(self) -> None:
        """Write what waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._flush()

    async def _write_later(self) -> None:
        await asyncio.sleep(_FLUSH)
        await self._flush()

    async def _flush(self) -> None:
        while self._queue:
            batch = list(self._queue)[:_BATCH]
            for key in batch:
                del self._queue[key]
            try:
                await self._database.run(lambda c, batch=batch: _store(c, batch), write=True)  # type: ignore[misc]  # the batch is bound
            except MailError:
                self._queue.clear()
                log.warning("places of logins could not be noted")
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _AGAIN
            old = delete(known_places).where(known_places.c.seen < int(time.time()) - KEPT)
            try:
                await self._database.run(lambda c: c.execute(old).rowcount, write=True)
            except MailError:
                log.warning("old places of logins could not be removed")


def _store(connection: Connection, batch: Sequence[tuple[str, str]]) -> None:
    """Insert or refresh the rows of a batch, in one order: replicas may write the same ones."""
    now = int(time.time())
    rows = [{"address": address, "place": place, "seen": now} for address, place in sorted(batch)]
    key = ["address", "place"]
    if connection.dialect.name == "mysql":
        mine = mysql.insert(known_places)
        connection.execute(mine.on_duplicate_key_update(seen=mine.inserted.seen), rows)
    elif connection.dialect.name == "postgresql":
        theirs = postgresql.insert(known_places)
        new = {"seen": theirs.excluded.seen}
        connection.execute(theirs.on_conflict_do_update(index_elements=key, set_=new), rows)
    else:
        lite = sqlite.insert(known_places)
        new = {"seen": lite.excluded.seen}
        connection.execute(lite.on_conflict_do_update(index_elements=key, set_=new), rows)
