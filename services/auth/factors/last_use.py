"""When and from where an app password was used last: written once a minute, off the login's path.

A use that no verdict cache let through is noted here; a crash loses at most a minute of that. It
changes no verdict, so it is no entry of the journal.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, update

from restante.model import MailError
from services.auth.database.engine import Database
from services.auth.database.schema import app_passwords

INTERVAL: Final = 60.0  # seconds between two writes of one process
_KEPT: Final = 10_000  # uses that wait to be written


@dataclass(frozen=True, slots=True)
class _Use:
    when: int
    service: str
    peer: str


class LastUse:
    """Collects uses and writes them together; used from the event loop."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock
        self._waiting: dict[str, _Use] = {}  # by id
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def note(self, app_password: str, service: str, peer: str) -> None:
        """Remember a use; returns at once. The first after a quiet minute is written at once."""
        if len(self._waiting) < _KEPT:
            self._waiting[app_password] = _Use(int(self._clock()), service[:32], peer[:64])
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            await self.flush()
            await asyncio.sleep(INTERVAL)

    async def flush(self) -> None:
        """Write what waits; what the database does not take now waits on."""
        async with self._writing:
            uses, self._waiting = self._waiting, {}
            if not uses:
                return
            written = False
            with suppress(MailError):  # logged there
                try:
                    await self._database.run(lambda c: _write(c, uses), write=True)
                    written = True
                finally:
                    if not written:  # a fault, or the end came meanwhile
                        self._waiting = {**uses, **self._waiting}

    async def close(self) -> None:
        """Write what waits and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self.flush()


def _write(connection: Connection, uses: dict[str, _Use]) -> None:
    for found, use in sorted(uses.items()):  # one order: two replicas never wait for each other
        connection.execute(
            update(app_passwords)
            .where(app_passwords.c.id == found, app_passwords.c.last_used <= use.when)
            .values(last_used=use.when, last_service=use.service, last_peer=use.peer)
        )
