"""Connections to servers that hold somebody else's tables: in turn, with pools and timeouts.

The servers are tried in the order of the file; one that cannot be reached is left for the last
during `Limits.aside` seconds. A connection that broke is replaced by one to whichever server
answers then. Statements run one by one, without a transaction around them.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import URL, Engine, NullPool, create_engine

from restante.runtime.log import get_logger
from services.auth.database.drivers import Limits

log = get_logger(__name__)

Connect = Callable[[], Any]
"""Returns a new connection of the driver. Raises the driver's error."""


class Servers:
    """The servers of one module, as engines of SQLAlchemy."""

    def __init__(self, driver: str, servers: Sequence[tuple[str, Connect]], limits: Limits) -> None:
        """`driver` as in "mysql+pymysql"; each server has a name for the log. Connects later."""
        self._servers, self._limits = servers, limits
        self._aside_until = [0.0] * len(servers)
        self._url: Final = URL.create(driver, database="none")  # what to connect to is `_connect`'s
        self.engine = create_engine(
            self._url,
            creator=self._connect,
            pool_size=limits.connections,
            max_overflow=0,
            pool_timeout=limits.connect,
            pool_recycle=limits.recycle,
            isolation_level="AUTOCOMMIT",
            **({} if driver == "sqlite" else {"skip_autocommit_rollback": True}),
        )

    def streaming_engine(self) -> Engine:
        """Return an engine for one long read that keeps no connection; to be disposed."""
        return create_engine(self._url, creator=self._connect, poolclass=NullPool)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def _connect(self) -> Any:
        now = time.monotonic()
        order = sorted(range(len(self._servers)), key=lambda n: (self._aside_until[n] > now, n))
        for number in order[:-1]:
            try:
                return self._connect_to(number)
            except Exception as error:  # noqa: BLE001 - each driver has its own errors
                reason = str(error).strip()
                log.warning(
                    "a server cannot be used", server=self._servers[number][0], reason=reason
                )
        return self._connect_to(order[-1])

    def _connect_to(self, number: int) -> Any:
        try:
            made = self._servers[number][1]()
        except Exception:
            self._aside_until[number] = time.monotonic() + self._limits.aside
            raise
        self._aside_until[number] = 0.0
        return made
