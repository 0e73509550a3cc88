"""What was read of accounts, as long as nothing has changed that a login could depend on.

Everything hangs on Database.stamp, which is equal as long as nothing changed: what was read
counts only while the stamp is the one taken *before* it was read. On SQLite it is never stale.
On PostgreSQL it follows the journal: a change through another replica is heard of within
milliseconds, one made by hand within some seconds. That nothing was found (None) is remembered on
SQLite only: an account that somebody adds by hand must not bounce its mail for some seconds.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from services.auth import metrics
from services.auth.database.engine import Database

_T = TypeVar("_T")

_MOST: Final = 65536


class Remembered(Generic[_T]):
    """A bounded cache of answers by address; used from the event loop."""

    def __init__(
        self, database: Database, read: Callable[[str], Awaitable[_T]], most: int = _MOST
    ) -> None:
        """`read` asks the database; its faults are the caller's."""
        self._database, self._read, self._most = database, read, most
        self._known: OrderedDict[str, _T] = OrderedDict()
        self._stamp: object = None

    async def of(self, address: str) -> _T:
        """Return what is remembered or read of an address."""
        stamp = self._database.stamp()
        if stamp is None:
            metrics.ACCOUNT_UNSURE.inc()
            return await self._read(address)
        if stamp != self._stamp:
            self._known.clear()
            self._stamp = stamp
        elif address in self._known:
            self._known.move_to_end(address)
            metrics.ACCOUNT_HIT.inc()
            return self._known[address]
        metrics.ACCOUNT_MISS.inc()
        found = await self._read(address)
        certain = found is not None or self._database.is_sqlite
        if certain and stamp == self._stamp:  # nobody else saw a newer one meanwhile
            self._known[address] = found
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return found
