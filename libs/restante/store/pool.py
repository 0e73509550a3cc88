"""Threads for blocking file work, so that the event loop never waits for a disk.

Leaner than an executor, since a delivery pays for it each time: a job is one tuple in a C queue,
and jobs that end close together wake the loop once. Nothing is queued without bound by the pool
itself: callers are sessions, of which each waits for its one job.

No owner gets all threads (`run_as`): one who holds a lock on a file of his own Maildir, which he
may as the user that he is, keeps his own sessions waiting and not everybody's.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Final, ParamSpec, TypeVar

from restante.store import metrics
from restante.store.identity import Identity, acting

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_THREADS: Final = 16

_Future = asyncio.Future[Any]
_Job = tuple[Identity | None, Callable[..., Any], tuple[Any, ...], dict[str, Any], _Future, float]


class StorePool:
    """A bounded number of threads that serve one event loop; threads start when first needed."""

    def __init__(self, threads: int = DEFAULT_THREADS) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[Identity | None, _Future, Any, BaseException | None]] = deque()
        self._woken = False
        self._limit = threads
        self._threads: list[threading.Thread] = []
        # The rest is touched on the loop's thread only.
        self._pending = 0  # jobs queued or running
        self._share = max(1, threads - threads // 4)  # of one owner's jobs, queued or running
        self._busy: dict[Identity, int] = {}
        self._parked: dict[Identity, deque[asyncio.Future[None]]] = {}
        self._closed = False
        metrics.POOL_PENDING.follow(self, lambda pool: pool._pending)
        metrics.POOL_THREADS.follow(self, lambda pool: len(pool._threads))
        metrics.POOL_PARKED.follow(self, lambda pool: sum(map(len, pool._parked.values())))

    async def run_as(
        self, identity: Identity | None, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `run`, acting for an owner: one change of identity for all that fn does."""
        if identity is not None:
            await self._enter(identity)
        future: asyncio.Future[T] = self._queue(identity, fn, args, kwargs)
        return await future

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call fn in a thread and return what it returns, or raise what it raises.

        Cancelling the caller does not stop the call: it runs to its end and the result is dropped.
        """
        future: asyncio.Future[T] = self._queue(None, fn, args, kwargs)
        return await future

    def _queue(
        self,
        identity: Identity | None,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> _Future:
        if self._closed:
            raise RuntimeError("the pool is closed")
        future = asyncio.get_running_loop().create_future()
        self._pending += 1
        if self._pending > len(self._threads) and len(self._threads) < self._limit:
            thread = threading.Thread(
                target=self._work, name=f"store-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            with acting(None):  # a new thread is who its maker is
                thread.start()
        self._jobs.put((identity, fn, args, kwargs, future, perf_counter()))
        return future

    async def _enter(self, identity: Identity) -> None:
        """Take one of the owner's places; `_leave` gives it to the next when the job has ended."""
        busy = self._busy.get(identity, 0)
        if busy < self._share:
            self._busy[identity] = busy + 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._parked.setdefault(identity, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came at the same time
                self._leave(identity)
            raise

    def _leave(self, identity: Identity) -> None:
        parked = self._parked.get(identity)
        while parked:
            turn = parked.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._parked.pop(identity, None)
        self._busy[identity] -= 1
        if not self._busy[identity]:
            del self._busy[identity]

    def close(self) -> None:
        """End the threads after the jobs that are queued. BLOCKING; call when sessions are gone."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        get = self._jobs.get
        while (job := get()) is not None:
            identity, fn, args, kwargs, future, queued = job
            metrics.POOL_WAIT.observe(perf_counter() - queued)
            result: Any = None
            failure: BaseException | None = None
            try:
                if identity is None:
                    result = fn(*args, **kwargs)
                else:
                    with acting(identity):
                        result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised where run() is awaited
                failure = error
            self._done.append((identity, future, result, failure))
            loop = future.get_loop()
            # References must not outlive the job while this thread waits for the next one.
            del job, fn, args, kwargs, future, result, failure
            # Appended first, asked second: if the flag is still up, the loop has yet to look.
            if not self._woken:
                self._woken = True
                try:
                    loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the loop was closed: nobody waits any more
                    self._woken = False

    def _deliver(self) -> None:
        self._woken = False
        done = self._done
        while done:
            identity, future, result, failure = done.popleft()
            self._pending -= 1
            if identity is not None:
                self._leave(identity)
            if future.cancelled():
                continue
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
