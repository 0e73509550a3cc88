"""Coarse timers for very many connections: one shared tick instead of a heap entry per read.

An item sits in the bucket of one tick. Setting its deadline later costs one store: when the
bucket comes up, an item whose deadline moved on is put into its new bucket. So a busy connection
touches the wheel once per timeout period, not once per command. Deadlines are rounded up to the
tick: a timeout never fires early and at most two ticks late. Used from the loop's thread only.
"""

import asyncio
from abc import abstractmethod
from typing import Final
from weakref import WeakKeyDictionary

TICK: Final = 1.0  # seconds


class Timed:
    """Something with at most one deadline. Subclasses override `expire`."""

    __slots__ = ("_bucket", "_deadline")

    _bucket: int  # the tick in whose bucket this item sits, 0 = in none
    _deadline: int  # the tick at which it expires, 0 = never

    def __init__(self) -> None:
        self._bucket = 0
        self._deadline = 0

    @abstractmethod
    def expire(self) -> None:
        """Called once when the deadline has passed."""


class TimerWheel:
    """The timers of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: float = TICK) -> None:
        self._loop = loop
        self._tick = tick
        self._buckets: dict[int, set[Timed]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._done = int(loop.time() / tick)  # every bucket up to this tick was looked at

    def set(self, item: Timed, seconds: float) -> None:
        """Let `item` expire in `seconds` (replaces its earlier deadline)."""
        deadline = int((self._loop.time() + seconds) / self._tick) + 1
        item._deadline = deadline
        if item._bucket:
            if item._bucket <= deadline:
                return
            self.discard(item)
            item._deadline = deadline
        self._put(item, deadline)

    def clear(self, item: Timed) -> None:
        """Forget the deadline. The item may stay in its bucket for later use: see `discard`."""
        item._deadline = 0

    def discard(self, item: Timed) -> None:
        """Forget the item altogether; the wheel keeps no reference to it."""
        item._deadline = 0
        if item._bucket:
            bucket = self._buckets.get(item._bucket)
            if bucket is not None:  # None: it is being looked at right now
                bucket.discard(item)
                item._bucket = 0

    def _put(self, item: Timed, tick: int) -> None:
        item._bucket = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
        bucket.add(item)
        if self._handle is None:
            self._done = int(self._loop.time() / self._tick)
            self._arm()

    def _arm(self) -> None:
        self._handle = self._loop.call_at((self._done + 1) * self._tick, self._advance)

    def _advance(self) -> None:
        now = int(self._loop.time() / self._tick)
        # After a long hold-up of the loop, walk the buckets rather than every tick missed.
        if now - self._done > len(self._buckets):
            due = sorted(tick for tick in self._buckets if tick <= now)
        else:
            due = [tick for tick in range(self._done + 1, now + 1) if tick in self._buckets]
        self._done = now
        for tick in due:
            for item in self._buckets.pop(tick):
                item._bucket = 0
                if item._deadline > now:
                    self._put(item, item._deadline)
                elif item._deadline:
                    item._deadline = 0
                    item.expire()
        if self._buckets:
            self._arm()
        else:
            self._handle = None


_WHEELS: WeakKeyDictionary[asyncio.AbstractEventLoop, TimerWheel] = WeakKeyDictionary()


def wheel_of(loop: asyncio.AbstractEventLoop) -> TimerWheel:
    """Return the loop's wheel, made on first use."""
    wheel = _WHEELS.get(loop)
    if wheel is None:
        wheel = _WHEELS[loop] = TimerWheel(loop)
    return wheel
