"""The thread pool."""

import asyncio
import threading

import pytest

from restante.model import ErrorKind, MailError
from restante.store.pool import StorePool


async def test_results_and_errors() -> None:
    pool = StorePool(2)
    assert await pool.run(int, "12", base=8) == 10

    def fail() -> None:
        raise MailError(ErrorKind.GONE)

    with pytest.raises(MailError):
        await pool.run(fail)
    pool.close()
    with pytest.raises(RuntimeError):
        await pool.run(int)


async def test_it_works_in_parallel_and_is_bounded() -> None:
    pool = StorePool(3)
    barrier = threading.Barrier(3, timeout=10)
    names = await asyncio.gather(
        *(pool.run(lambda: (barrier.wait(), threading.current_thread().name)[1]) for _ in range(9))
    )
    assert len(set(names)) == 3
    pool.close()


async def test_one_job_at_a_time_needs_one_thread() -> None:
    pool = StorePool(8)
    names = [await pool.run(lambda: threading.current_thread().name) for _ in range(20)]
    assert len(set(names)) == 1
    pool.close()


async def test_a_cancelled_caller_does_not_stop_the_job() -> None:
    pool = StorePool(1)
    started, finish, done = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        finish.wait(10)
        done.set()

    task = asyncio.ensure_future(pool.run(job))
    while not started.is_set():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    finish.set()
    assert await pool.run(done.is_set)
    pool.close()


async def test_many_jobs_from_many_tasks() -> None:
    pool = StorePool(4)

    async def session(number: int) -> int:
        total = 0
        for step in range(50):
            total += await pool.run(lambda a, b: a * b, number, step)
        return total

    results = await asyncio.gather(*(session(n) for n in range(20)))
    assert results == [n * 1225 for n in range(20)]
    pool.close()
