"""Slows failed logins per user and address; nobody else feels it.

The key is (canonical login, client network): guessing at one account from one place gets slow,
while its owner elsewhere, and other users of that place, log in as usual. An IPv6 client counts
by its /64. After n failures in a row the next attempts of the pair are spaced by
base * 2**(n-1) seconds, up to a cap. An attempt that would have to wait longer than `patience`
is refused at once, without touching a hash, as TEMPORARY: the right password is not called wrong.

One place may not keep the hashing busy either, whatever names it tries: at most PARALLEL_PLACE of
its attempts are under way, the rest queue.

Invariants: nothing here blocks the loop; an attempt counts against the pair from before its
hash is computed, so that attempts sent at the same time are no way round (at most PARALLEL are
under way; the rest queue); a success clears the pair; TEMPORARY outcomes count as nothing. Memory
is bounded: the least recently used pair is forgotten first, and pairs under way are never; a
place is held only while it has attempts.
"""

import asyncio
import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from restante.model import ErrorKind, MailError

PARALLEL: Final = 4
PARALLEL_PLACE: Final = 16


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str:
    """Return what counts as one place: an IPv4 address, an IPv6 /64, or the text itself."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False).network_address)


@dataclass(slots=True)
class _Gate:
    """Lets a number of attempts in at once; the others wait in their order."""

    active: int = 0
    queue: "deque[asyncio.Future[None]]" = field(default_factory=deque)

    @property
    def idle(self) -> bool:
        return not self.active and not self.queue

    async def enter(self, limit: int, patience: float) -> None:
        """Raises MailError(TEMPORARY) after `patience` seconds."""
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
                raise _refusal() from None
            raise

    def leave(self) -> None:
        """Give the place to the next who still waits."""
        while self.queue:
            turn = self.queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.active -= 1


@dataclass(slots=True)
class _Pair(_Gate):
    failures: int = 0
    last_failure: float = 0.0
    free_at: float = 0.0  # when the next attempt may start


@dataclass(slots=True)
class Attempt:
    """One login under way. Set `ok` once its outcome is known; None counts as nothing."""

    ok: bool | None = None


class Throttle:
    """Failures by (login, place)."""

    def __init__(
        self,
        *,
        base: float = 0.25,
        cap: float = 15.0,
        patience: float = 3.0,
        forget: float = 900.0,
        pairs: int = 65536,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], "asyncio.Future[None] | object"] = asyncio.sleep,
    ) -> None:
        """All times in seconds; `base` 0 switches the delays off."""
        self._base, self._cap, self._patience, self._forget = base, cap, patience, forget
        self._limit = pairs
        self._clock, self._sleep = clock, sleep
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()
        self._places: dict[str, _Gate] = {}

    def __len__(self) -> int:
        """Return how much is remembered."""
        return len(self._pairs) + len(self._places)

    def failures(self, user: str, peer: str) -> int:
        """Return the failures in a row that still count."""
        pair = self._pairs.get((user, network_of(peer)))
        return pair.failures if pair else 0

    @asynccontextmanager
    async def attempt(self, user: str, peer: str) -> AsyncIterator[Attempt]:
        """Wait for this pair's turn. Raises MailError(TEMPORARY) where it is too far away."""
        place = network_of(peer)
        key = (user, place)
        attempt = Attempt()
        pair = self._pair(key)
        try:
            await pair.enter(PARALLEL, self._patience)
            try:
                await self._take_slot(pair)
                # Last, so that only attempts about to hash hold the place, not those told to wait.
                async with self._in_place(place):
                    yield attempt
            finally:
                self._count(pair, attempt.ok)
                pair.leave()
        finally:
            if pair.idle and not pair.failures and self._pairs.get(key) is pair:
                del self._pairs[key]

    @asynccontextmanager
    async def _in_place(self, place: str) -> AsyncIterator[None]:
        gate = self._places.setdefault(place, _Gate())
        try:
            await gate.enter(PARALLEL_PLACE, self._patience)
            try:
                yield
            finally:
                gate.leave()
        finally:
            if gate.idle and self._places.get(place) is gate:
                del self._places[place]

    def _pair(self, key: tuple[str, str]) -> _Pair:
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _Pair()
            if len(self._pairs) > self._limit:
                self._drop_one()
        else:
            self._pairs.move_to_end(key)
        if pair.failures and self._clock() - pair.last_failure > self._forget:
            pair.failures, pair.free_at = 0, 0.0
        return pair

    def _drop_one(self) -> None:
        for key, pair in self._pairs.items():
            if pair.idle:
                del self._pairs[key]
                return

    async def _take_slot(self, pair: _Pair) -> None:
        if not pair.failures:
            return
        now = self._clock()
        start = max(now, pair.free_at)
        if start - now > self._patience:
            raise _refusal()
        pair.free_at = start + self._delay(pair.failures)
        if start > now:
            await self._sleep(start - now)  # type: ignore[misc]  # any awaitable

    def _delay(self, failures: int) -> float:
        return min(self._cap, self._base * 2.0 ** min(failures - 1, 30))

    def _count(self, pair: _Pair, ok: bool | None) -> None:
        if ok is True:
            pair.failures, pair.free_at = 0, 0.0
        elif ok is False:
            now = self._clock()
            pair.failures += 1
            pair.last_failure = now
            pair.free_at = max(pair.free_at, now + self._delay(pair.failures))


def _refusal() -> MailError:
    return MailError(ErrorKind.TEMPORARY, "too many failed logins, try again later")
