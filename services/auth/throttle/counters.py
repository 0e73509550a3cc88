"""Counts failures and spaces the attempts that follow; the engine in this process.

A scope is what is counted: a pair of login and place, a place, a login. After `free` failures in
a row the next attempts of a scope are spaced by base * 2**(n - free - 1) seconds, up to a cap.
An attempt takes its slot in every scope before its secret is looked at, so that attempts sent at
the same time are no way round.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

_MOST: Final = 30  # doublings; more would only overflow


@dataclass(frozen=True, slots=True)
class Scope:
    """What is counted; `free` failures of it cost nothing."""

    key: str
    free: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How attempts are spaced; times in seconds."""

    base: float = 0.25
    cap: float = 15.0
    patience: float = 3.0  # who would wait longer is refused
    forget: float = 900.0

    def delay(self, failures: int, free: int) -> float:
        """Return the space after a number of failures."""
        if failures <= free:
            return 0.0
        return min(self.cap, self.base * 2.0 ** min(failures - free - 1, _MOST))


@dataclass(frozen=True, slots=True)
class Slot:
    """When an attempt may start. `late`: beyond patience, nothing was taken."""

    wait: float = 0.0
    late: bool = False
    dirty: bool = False  # the first scope has failures, which a success should clear


class Counters(Protocol):
    """An engine."""

    async def reserve(self, scopes: Sequence[Scope]) -> Slot:
        """Take a slot in every scope, or in none where one is too late."""

    async def failed(self, scopes: Sequence[Scope]) -> None:
        """Count a failure in every scope."""

    async def clear(self, scope: Scope) -> None:
        """Forget the failures of a scope."""

    async def failures(self, scope: Scope) -> int:
        """Return the failures that still count."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(slots=True)
class _Count:
    failures: int = 0
    last: float = 0.0
    free_at: float = 0.0  # when the next attempt may start


class LocalCounters:
    """In memory, bounded: what was used least recently is forgotten first."""

    def __init__(
        self, pace: Pace, *, limit: int = 65536, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember up to `limit` scopes."""
        self._pace, self._limit, self._clock = pace, limit, clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    async def reserve(self, scopes: Sequence[Scope]) -> Slot:
        """See Counters."""
        now = self._clock()
        found = [self._current(scope, now) for scope in scopes]
        start = max([now, *(count.free_at for count in found if count)])
        dirty = bool(found and found[0])
        if start - now > self._pace.patience:
            return Slot(start - now, late=True, dirty=dirty)
        for scope, count in zip(scopes, found, strict=True):
            if count:
                delay = self._pace.delay(count.failures, scope.free)
                count.free_at = start + delay if delay else 0.0
        return Slot(start - now, dirty=dirty)

    async def failed(self, scopes: Sequence[Scope]) -> None:
        """See Counters."""
        now = self._clock()
        for scope in scopes:
            count = self._current(scope, now)
            if count is None:
                count = self._counts[scope.key] = _Count()
                if len(self._counts) > self._limit:
                    self._counts.popitem(last=False)
            count.failures += 1
            count.last = now
            delay = self._pace.delay(count.failures, scope.free)
            if delay:
                count.free_at = max(count.free_at, now + delay)

    async def clear(self, scope: Scope) -> None:
        """See Counters."""
        self._counts.pop(scope.key, None)

    async def failures(self, scope: Scope) -> int:
        """See Counters."""
        count = self._current(scope, self._clock())
        return count.failures if count else 0

    async def close(self) -> None:
        """Nothing is open."""

    def _current(self, scope: Scope, now: float) -> _Count | None:
        count = self._counts.get(scope.key)
        if count is None:
            return None
        if now - count.last > self._pace.forget:
            del self._counts[scope.key]
            return None
        self._counts.move_to_end(scope.key)
        return count
