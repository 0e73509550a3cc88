"""Lets a number of attempts in at once; the others wait in their order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from restante.model import ErrorKind, MailError
from services.auth.metrics import THROTTLE_REFUSALS


def refusal() -> MailError:
    """Return, and count, what an attempt meets that would have to wait too long."""
    THROTTLE_REFUSALS.inc()
    return MailError(ErrorKind.TEMPORARY, "too many failed logins, try again later")


@dataclass(slots=True)
class _Gate:
    active: int = 0
    queue: "deque[asyncio.Future[None]]" = field(default_factory=deque)

    @property
    def idle(self) -> bool:
        return not self.active and not self.queue

    async def enter(self, limit: int, patience: float) -> None:
        if self.active < limit and not self.queue:
            self.active += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self.queue.append(turn)
        try:
            await asyncio.wait_for(turn, patience)  # the turn hands `active` over
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn in self.queue:
                self.queue.remove(turn)
            elif turn.done() and not turn.cancelled():
                self.leave()
            if isinstance(error, TimeoutError):
                raise refusal() from None
            raise

    def leave(self) -> None:
        """Give the place to the next who still waits."""
        while self.queue:
            turn = self.queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.active -= 1


class Gates:
    """A gate for each key; one is held only while it has attempts."""

    def __init__(self, limit: int) -> None:
        """`limit` attempts of one key are under way at once."""
        self._limit = limit
        self._gates: dict[str, _Gate] = {}

    def __len__(self) -> int:
        return len(self._gates)

    @asynccontextmanager
    async def through(self, key: str, patience: float) -> AsyncIterator[None]:
        """Wait for a place, hold it inside. Raises MailError(TEMPORARY) after `patience` s."""
        gate = self._gates.setdefault(key, _Gate())
        try:
            await gate.enter(self._limit, patience)
            try:
                yield
            finally:
                gate.leave()
        finally:
            if gate.idle and self._gates.get(key) is gate:
                del self._gates[key]
