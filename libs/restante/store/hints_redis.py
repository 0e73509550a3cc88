"""Hints between hosts: one Redis pub/sub channel for each watched folder.

Channels are named by the Maildir's path below the mail root, which is the same volume on all
hosts, whatever its mount point. Publishing never waits: hints are gathered and sent by a task, and
are dropped while Redis cannot be reached, since the slow rescan finds what they would have told.
Subscriptions are made by a task too; when one is confirmed the folder is called once, for what was
published before, and so is every folder after a reconnection.

A message holds the time of the change in ms, by the clock of the host that made it, for the metric
of the hints' lag alone: hosts keep their clocks by NTP, and what their clocks differ by is added or
taken away (never below 0). Older versions send nothing, and are not measured.

Inotify on the local disk sees only this host's changes, therefore a Redis setting uses Redis only:
a process also hears of its own host's changes through it, exim's own writes by rescan.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import redis.asyncio
import redis.exceptions
import structlog

from restante.model import FolderName
from restante.store.hints import RESCAN, Callback, Hints, Watch
from restante.store.layout import disk_name
from restante.store.metrics import HINT_LAG, HINTS_DROPPED, HINTS_SENT, HINTS_UP

PREFIX: Final = "restante:hint:"

_BATCH: Final = 500  # channels or messages sent at once
_MAX_WAITING: Final = 50_000  # hints to be sent; beyond, Redis is as good as down
_PAUSES: Final = (0.1, 5.0)  # seconds before reconnecting: first, longest
_IDLE: Final = 15.0  # seconds without a message, after which the connection is asked for life

_log = structlog.get_logger(__name__)
_ERRORS: Final = (redis.exceptions.RedisError, OSError, TimeoutError)


class RedisHints(Hints):
    """Hints over Redis. The constructor does no I/O; tasks start with the first use in a loop."""

    def __init__(self, url: str, mail_root: Path, *, rescan: int = RESCAN) -> None:
        """`url`: redis://, rediss:// or unix://."""
        super().__init__(rescan=rescan)
        self._client = redis.asyncio.Redis.from_url(
            url, socket_keepalive=True, socket_connect_timeout=5, health_check_interval=_IDLE
        )
        self._mail_root = mail_root
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._watches: dict[bytes, tuple[Watch, ...]] = {}
        self._unsubscribed: set[bytes] = set()  # watched channels that Redis is not told of
        self._left: set[bytes] = set()  # channels that nobody watches any more
        self._waiting: dict[bytes, float] = {}  # hints to send, and when the first was made
        self._listening = False
        HINTS_UP.follow(self, lambda hints: hints._listening)
        self._publish_event: asyncio.Event
        self._subscribe_event: asyncio.Event
        self._woken = False
        self._down = False

    def start(self) -> None:
        """Bind to the running loop, so that hints can be published from threads. Idempotent."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._publish_event = asyncio.Event()
        self._subscribe_event = asyncio.Event()
        self._tasks = [
            self._loop.create_task(self._keep_publishing()),
            self._loop.create_task(self._keep_listening()),
        ]

    def publish(self, maildir: Path, folder: FolderName) -> None:
        """See Hints.publish. Before `start` there is nobody to send it."""
        if self._loop is None:
            return
        if len(self._waiting) >= _MAX_WAITING:
            HINTS_DROPPED.inc()
            return
        self._waiting.setdefault(self._channel(maildir, folder), time.time())
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._publish_event.set)

    def watch(self, maildir: Path, folder: FolderName, directory: int, callback: Callback) -> Watch:
        """See Hints.watch."""
        self.start()
        channel = self._channel(maildir, folder)
        watch = Watch(self, channel, callback, self._next_bucket())
        others = self._watches.get(channel, ())
        self._watches[channel] = (*others, watch)
        if not others:
            self._left.discard(channel)
            self._unsubscribed.add(channel)
            self._subscribe_event.set()
        self._keep(watch)
        return watch

    def cancel(self, watch: Watch) -> None:
        """See Hints.cancel."""
        super().cancel(watch)
        channel = watch.key
        if not isinstance(channel, bytes) or channel not in self._watches:
            return
        rest = tuple(other for other in self._watches[channel] if other is not watch)
        if rest:
            self._watches[channel] = rest
        else:
            del self._watches[channel]
            self._unsubscribed.discard(channel)
            self._left.add(channel)
            self._subscribe_event.set()

    async def close(self) -> None:
        """See Hints.close."""
        await super().close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._watches.clear()
        with suppress(*_ERRORS):
            await self._client.aclose()

    def _channel(self, maildir: Path, folder: FolderName) -> bytes:
        try:
            path = maildir.relative_to(self._mail_root)
        except ValueError:
            path = maildir
        return f"{PREFIX}{path}/{disk_name(folder)}".encode("utf-8", "surrogateescape")

    # -- sending -----------------------------------------------------------------------------

    async def _keep_publishing(self) -> None:
        while True:
            await self._publish_event.wait()
            self._publish_event.clear()
            self._woken = False
            # Taken out one by one: other threads put in at any time.
            while batch := self._take(_BATCH):
                pipeline = self._client.pipeline(transaction=False)
                for channel, made in batch:
                    pipeline.publish(channel, b"%d" % (made * 1000))
                try:
                    await pipeline.execute()
                    HINTS_SENT.inc(len(batch))
                except _ERRORS as error:
                    self._complain(error)
                    HINTS_DROPPED.inc(len(batch) + len(self._waiting))
                    self._waiting.clear()

    def _take(self, count: int) -> list[tuple[bytes, float]]:
        taken: list[tuple[bytes, float]] = []
        with suppress(KeyError):
            while len(taken) < count:
                taken.append(self._waiting.popitem())
        return taken

    # -- listening ---------------------------------------------------------------------------

    async def _keep_listening(self) -> None:
        pause, longest = _PAUSES
        while True:
            try:
                await self._listen()
            except _ERRORS as error:
                self._complain(error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = _PAUSES[0] if not self._down else min(pause * 2, longest)

    async def _listen(self) -> None:
        """Subscribe to everything that is watched and call back, until the connection fails."""
        pubsub = self._client.pubsub()
        try:
            # Its own channel keeps the connection in the subscribed state.
            await pubsub.subscribe(PREFIX.encode())
            self._down = False
            self._listening = True
            self._unsubscribed = set(self._watches)
            self._left.clear()
            self._subscribe_event.set()
            subscriber = asyncio.create_task(self._keep_subscribing(pubsub))
            try:
                while not subscriber.done():
                    message = await pubsub.get_message(timeout=_IDLE)
                    if message is not None and message["type"] in ("message", "subscribe"):
                        _measure(message["data"])
                        for watch in self._watches.get(message["channel"], ()):
                            watch.callback()
                subscriber.result()
            finally:
                subscriber.cancel()
                await asyncio.gather(subscriber, return_exceptions=True)
        finally:
            self._listening = False
            with suppress(*_ERRORS):
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis forgot it

    async def _keep_subscribing(self, pubsub: redis.asyncio.client.PubSub) -> None:
        while True:
            await self._subscribe_event.wait()
            self._subscribe_event.clear()
            left, self._left = self._left, set()
            for batch in _batches(left):
                await pubsub.unsubscribe(*batch)
            wanted, self._unsubscribed = self._unsubscribed, set()
            for batch in _batches(wanted):
                await pubsub.subscribe(*batch)

    def _complain(self, error: BaseException) -> None:
        if not self._down:
            self._down = True
            _log.warning("no hints over redis: folders are rescanned", error=str(error))


def _measure(data: object) -> None:
    """Tell how old a hint is, by the publisher's clock and ours."""
    if isinstance(data, bytes) and data.isdigit() and len(data) < 16:
        HINT_LAG.observe(max(0.0, time.time() - int(data) / 1000))


def _batches(channels: Iterable[bytes]) -> list[list[bytes]]:
    everything = list(channels)
    return [everything[at : at + _BATCH] for at in range(0, len(everything), _BATCH)]
