"""Threads for blocking file work, so that the event loop never waits for a disk.

Leaner than an executor, since a delivery pays for it each time: a job is one tuple in a C queue,
and jobs that end close together wake the loop once. Nothing is queued without bound by the pool
itself: callers are sessions, of which each waits for its one job.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

from restante.store.identity import Identity, acting

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_THREADS: Final = 16

_Job = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], "asyncio.Future[Any]"]


class StorePool:
    """A bounded number of threads that serve one event loop; threads start when first needed."""

    def __init__(self, threads: int = DEFAULT_THREADS) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._pending = 0  # jobs queued or running; touched on the loop's thread only
        self._closed = False

    async def run_as(
        self, identity: Identity | None, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `run`, acting for an owner: one change of identity for all that fn does."""
        if identity is None:
            return await self.run(fn, *args, **kwargs)
        return await self.run(_act, identity, fn, args, kwargs)

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call fn in a thread and return what it returns, or raise what it raises.

        Cancelling the caller does not stop the call: it runs to its end and the result is dropped.
        """
        if self._closed:
            raise RuntimeError("the pool is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending += 1
        if self._pending > len(self._threads) and len(self._threads) < self._limit:
            thread = threading.Thread(
                target=self._work, name=f"store-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            with acting(None):  # a new thread is who its maker is
                thread.start()
        self._jobs.put((fn, args, kwargs, future))
        return await future

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
            fn, args, kwargs, future = job
            result: Any = None
            failure: BaseException | None = None
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised where run() is awaited
                failure = error
            self._done.append((future, result, failure))
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
            future, result, failure = done.popleft()
            self._pending -= 1
            if future.cancelled():
                continue
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)


def _act(
    identity: Identity, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> T:
    with acting(identity):
        return fn(*args, **kwargs)
