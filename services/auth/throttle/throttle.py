"""Slows failed logins; who logs in as always does not feel it.

What is counted, each growing (counters.py):
- the pair (canonical login, place): guessing at one account from one place gets slow;
- the place, whatever names it tries, after some failures: lists of passwords, many accounts;
- the login, whatever places it is tried from, after many failures: guessing spread over many hosts.
A place is a network, an IPv6 /64. Place and login do not count for an account that has logged in
from there before (known.py): the victim of an attack keeps logging in from where it always does.

An attempt that would have to wait longer than `patience` is refused at once, without touching a
hash, as TEMPORARY: the right password is not called wrong. At most PARALLEL attempts of a pair
and PARALLEL_PLACE of a place are under way at once, the others wait in their order.

Invariants: nothing here blocks the loop; an attempt counts from before its hash is computed; a
success clears the pair, and only the pair: somebody's own account does not buy guesses at others;
TEMPORARY outcomes count as nothing. Memory is bounded.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from services.auth.metrics import THROTTLE_WAIT
from services.auth.throttle.counters import Counters, LocalCounters, Pace, Scope
from services.auth.throttle.gate import Gates, refusal
from services.auth.throttle.places import network_of
from services.auth.trace import step

PARALLEL: Final = 4
PARALLEL_PLACE: Final = 16


class Known(Protocol):
    """What is known of places (KnownPlaces)."""

    def note(self, address: str, place: str) -> None:
        """A login came from a place."""

    async def known(self, address: str, place: str) -> bool:
        """True where the account has logged in from there."""


@dataclass(slots=True)
class Attempt:
    """One login under way. Set `ok` once its outcome is known; None counts as nothing."""

    ok: bool | None = None


class Throttle:
    """Failures by pair, place and login."""

    def __init__(
        self,
        pace: Pace | None = None,
        *,
        place_free: int = 20,
        login_free: int = 100,
        counters: Counters | None = None,
        known: Known | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`place_free` and `login_free` failures of a place or login cost nothing.

        A base of 0 switches the delays off.
        """
        self._pace = pace or Pace()
        self._place_free, self._login_free = place_free, login_free
        self._counters = LocalCounters(self._pace) if counters is None else counters
        self._known, self._sleep = known, sleep
        self._pairs, self._places = Gates(PARALLEL), Gates(PARALLEL_PLACE)

    @property
    def idle(self) -> bool:
        """True while no attempt is under way."""
        return not (len(self._pairs) or len(self._places))

    async def failures(self, user: str, peer: str) -> int:
        """Return the failures in a row of a pair that still count."""
        return await self._counters.failures(_pair(user, network_of(peer)))

    @asynccontextmanager
    async def attempt(self, user: str, peer: str) -> AsyncIterator[Attempt]:
        """Wait for this attempt's turn. Raises MailError(TEMPORARY) where it is too far away."""
        place = network_of(peer)
        attempt = Attempt()
        patience = self._pace.patience
        async with self._pairs.through(f"{user}\0{place}", patience):
            with step("throttle") as asked:
                dirty = await self._take_slot(user, place)
                asked.answer = "go on"
            # Last, so that only attempts about to hash hold the place, not those told to wait.
            async with self._places.through(place, patience):
                try:
                    yield attempt
                finally:
                    await self._count(user, place, attempt.ok, dirty)

    async def close(self) -> None:
        """Let go of connections."""
        await self._counters.close()

    async def _take_slot(self, user: str, place: str) -> bool:
        """Wait for a slot; True where the pair has failures to clear."""
        if not self._pace.base:
            return False
        scopes = self._scopes(user, place)
        slot = await self._counters.reserve(scopes)
        if slot.wait and self._known is not None and await self._known.known(user, place):
            slot = await self._counters.reserve(scopes[:1])
        if slot.late:
            raise refusal()
        if slot.wait:
            THROTTLE_WAIT.observe(slot.wait)
            await self._sleep(slot.wait)
        return slot.dirty

    async def _count(self, user: str, place: str, ok: bool | None, dirty: bool) -> None:
        if ok is False and self._pace.base:
            await self._counters.failed(self._scopes(user, place))
        elif ok:
            if dirty:
                await self._counters.clear(_pair(user, place))
            if self._known is not None and place:
                self._known.note(user, place)

    def _scopes(self, user: str, place: str) -> tuple[Scope, ...]:
        pair = _pair(user, place)
        login = Scope(f"login:{user}", self._login_free)
        if not place:  # a caller that cannot say is no place that could be blamed
            return pair, login
        return pair, Scope(f"place:{place}", self._place_free), login


def _pair(user: str, place: str) -> Scope:
    return Scope(f"pair:{place}:{user}")
