"""The thread pool."""

import asyncio
import threading

import pytest

from restante.model import ErrorKind, MailError
from restante.store.identity import identity_of
from restante.store.pool import StorePool
from tests.unit.store.owners import ANN, BOB, fsuid, needs_root


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


@needs_root
async def test_no_owner_gets_all_threads() -> None:
    pool = StorePool(4)
    ann, bob = identity_of(ANN, ANN), identity_of(BOB, BOB)
    held, going = threading.Event(), threading.Semaphore(0)
    begun = 0

    def hold() -> int:
        nonlocal begun
        begun += 1
        going.release()
        assert held.wait(30)
        return fsuid()

    jobs = [asyncio.create_task(pool.run_as(ann, hold)) for _ in range(10)]
    for _ in range(3):
        await asyncio.to_thread(going.acquire)
    # The fourth thread is for the others, however many come one after another.
    for _ in range(20):
        assert await pool.run_as(bob, fsuid) == BOB
        assert await pool.run(fsuid) == 0
    assert begun == 3
    for job in (jobs[2], jobs[5], jobs[9]):  # one that runs, two that wait
        job.cancel()
    await asyncio.gather(*(jobs[n] for n in (2, 5, 9)), return_exceptions=True)
    assert await pool.run_as(bob, fsuid) == BOB
    assert begun == 3  # the cancelled one still holds its thread
    held.set()
    rest = [job for number, job in enumerate(jobs) if number not in (2, 5, 9)]
    assert await asyncio.gather(*rest) == [ANN] * 7
    assert begun == 8
    assert await pool.run_as(ann, fsuid) == ANN
    pool.close()
    assert (pool._busy, pool._parked) == ({}, {})
