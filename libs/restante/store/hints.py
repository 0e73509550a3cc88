"""Hints: "look at this folder again". Never more than that: a hint may be lost, late or doubled.

`Hints` itself only has the slow rescan that backs both engines: each watched folder is called
once in RESCAN seconds, spread evenly. InotifyHints adds the kernel's events of the local disk,
RedisHints messages between hosts; hints_engine.py chooses by the setting RESTANTE_HINTS. What is
correct in the store never depends on either.

Watching happens on the event loop's thread, and callbacks run there; publishing may come from any
thread. A callback must be quick (it schedules work) and must not raise.
"""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from restante.model import FolderName
from restante.store.metrics import WATCHES

RESCAN: Final = 45  # seconds

Callback = Callable[[], None]


class Watch:
    """One watched folder; `cancel` ends it. Small: there are thousands."""

    __slots__ = ("_bucket", "callback", "hints", "key")

    def __init__(self, hints: "Hints", key: object, callback: Callback, bucket: int) -> None:
        self.hints = hints
        self.key = key
        self.callback = callback
        self._bucket = bucket

    @property
    def bucket(self) -> int:
        """The second of the rescan round that is this folder's."""
        return self._bucket

    def cancel(self) -> None:
        """End it; no callback comes afterwards. Harmless more than once."""
        self.hints.cancel(self)


class Hints:
    """Rescans only, and the ground that the engines stand on."""

    def __init__(self, *, rescan: int = RESCAN) -> None:
        """`rescan`: seconds between two calls of every watched folder."""
        self._buckets: list[set[Watch]] = [set() for _ in range(max(1, rescan))]
        self._numbers = itertools.count()
        self._round = itertools.cycle(range(len(self._buckets)))
        self._timer: asyncio.TimerHandle | None = None
        self.rescanning = False  # callbacks come from the slow rescan, not from a hint
        WATCHES.follow(self, lambda hints: sum(map(len, hints._buckets)))

    def start(self) -> None:
        """Bind to the running event loop; what must be there before `publish` can work."""

    def publish(self, maildir: Path, folder: FolderName) -> None:
        """Tell the watchers in other processes that a folder has changed. Any thread."""

    def watch(self, maildir: Path, folder: FolderName, directory: int, callback: Callback) -> Watch:
        """Call `callback` whenever the folder may have changed.

        `directory` is the folder's directory, open during this call. On the loop's thread.
        """
        watch = Watch(self, None, callback, self._next_bucket())
        self._keep(watch)
        return watch

    def cancel(self, watch: Watch) -> None:
        """End a watch (Watch.cancel)."""
        self._buckets[watch.bucket].discard(watch)

    async def close(self) -> None:
        """End everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for bucket in self._buckets:
            bucket.clear()

    def _next_bucket(self) -> int:
        return next(self._numbers) % len(self._buckets)

    def _keep(self, watch: Watch) -> None:
        self._buckets[watch.bucket].add(watch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)
        bucket = self._buckets[next(self._round)]
        self.rescanning = True
        try:
            for watch in list(bucket):
                if watch in bucket:  # not cancelled by a callback before it
                    watch.callback()
        finally:
            self.rescanning = False
