"""Servers that follow the primary and answer look-ups in its place.

One that cannot be reached, or fails, is left aside for `Limits.aside` seconds, one that lags for
LAGGING; the others take its turn, and the primary answers where none is left. Used on database
threads, several at once.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from restante.runtime.log import get_logger
from services.auth.database import drivers
from services.auth.database.drivers import Limits

log = get_logger(__name__)

_T = TypeVar("_T")

LAGGING: Final = 0.25  # seconds


class _Replica:
    def __init__(self, url: URL, limits: Limits) -> None:
        self.engine = drivers.reading_engine(url, limits)
        self.name = url.render_as_string(hide_password=True)
        self.aside_until = 0.0

    def leave_aside(self, seconds: float) -> None:
        self.aside_until = time.monotonic() + seconds


class Replicas:
    """All of them, asked in turn."""

    def __init__(self, urls: Sequence[URL], limits: Limits) -> None:
        """Does not connect yet."""
        self._replicas = [_Replica(url, limits) for url in urls]
        self._aside = limits.aside
        self._turn = itertools.count()

    def __len__(self) -> int:
        return len(self._replicas)

    def ask(
        self, work: Callable[[Connection], tuple[int | None, _T]], floor: int
    ) -> tuple[_T] | None:
        """Return an answer that holds the journal's position `floor`; None where nobody has one.

        A fault of a replica is never raised.
        """
        start = next(self._turn)
        for number in range(len(self._replicas)):
            replica = self._replicas[(start + number) % len(self._replicas)]
            if replica.aside_until > time.monotonic():
                continue
            try:
                with replica.engine.connect() as connection:
                    position, answer = work(connection)
            except (SQLAlchemyError, OSError) as error:
                self._failed(replica, error)
                continue
            if position is None:
                return None
            if position >= floor:
                return (answer,)
            log.debug("a replica lags", replica=replica.name, position=position, floor=floor)
            replica.leave_aside(LAGGING)
        return None

    def close(self) -> None:
        """Close the connections."""
        for replica in self._replicas:
            replica.engine.dispose()

    def _failed(self, replica: _Replica, error: Exception) -> None:
        replica.leave_aside(self._aside)
        reason = str(getattr(error, "orig", error))
        log.warning("a replica of the database failed", replica=replica.name, reason=reason)
