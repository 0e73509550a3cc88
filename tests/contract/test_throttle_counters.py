"""One contract for both engines of the login throttle, and what happens when Redis goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from services.auth.throttle.counters import Counters, LocalCounters, Pace, Scope
from services.auth.throttle.shared import SharedCounters
from tests.contract.redis_server import Redis, redis_server  # noqa: F401 - a fixture

PACE = Pace(base=10, cap=60, patience=25, forget=600)

Make = Callable[[], Counters]


@pytest.fixture(params=["local", "redis"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    made: Counters = LocalCounters(PACE)
    if request.param == "redis":
        server: Redis = request.getfixturevalue("redis_server")
        made = SharedCounters(server.url, PACE, LocalCounters(PACE))
    yield made
    await made.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A key that no other test uses."""
    return str(request.node.name)


async def test_delays_grow_and_end_in_refusals(counters: Counters, name: str) -> None:
    pair = Scope(name)
    assert await counters.reserve([pair]) == await counters.reserve([pair])
    slot = await counters.reserve([pair])
    assert (slot.wait, slot.late, slot.dirty) == (0, False, False)
    await counters.failed([pair])
    waits = []
    for _ in range(4):
        slot = await counters.reserve([pair])
        waits.append((round(slot.wait), slot.late))
        assert slot.dirty
    assert waits == [(10, False), (20, False), (30, True), (30, True)]
    await counters.failed([pair])
    assert await counters.failures(pair) == 2


async def test_a_success_clears(counters: Counters, name: str) -> None:
    pair = Scope(name)
    for _ in range(5):
        await counters.failed([pair])
    assert (await counters.reserve([pair])).late
    await counters.clear(pair)
    slot = await counters.reserve([pair])
    assert (slot.wait, slot.late, slot.dirty) == (0, False, False)
    assert await counters.failures(pair) == 0


async def test_free_failures_cost_nothing(counters: Counters, name: str) -> None:
    pair, place = Scope(f"{name} pair"), Scope(f"{name} place", free=3)
    for _ in range(3):
        await counters.failed([place])
        assert (await counters.reserve([pair, place])).wait == 0
    await counters.failed([place])
    slot = await counters.reserve([pair, place])
    assert (round(slot.wait), slot.late, slot.dirty) == (10, False, False)


async def test_who_is_late_takes_no_slot(counters: Counters, name: str) -> None:
    late, other = Scope(f"{name} late"), Scope(f"{name} other")
    for _ in range(4):
        await counters.failed([late])
    await counters.failed([other])
    for _ in range(5):
        assert (await counters.reserve([late, other])).late
    assert round((await counters.reserve([other])).wait) == 10


async def test_the_longest_delay(counters: Counters, name: str) -> None:
    pair = Scope(name)
    for _ in range(100):
        await counters.failed([pair])
    slot = await counters.reserve([pair])
    assert slot.late
    assert 50 < slot.wait <= 60


async def test_failures_are_forgotten(redis_server: Redis, name: str) -> None:  # noqa: F811
    pace = Pace(base=10, cap=60, patience=5, forget=0.2)
    for made in (
        LocalCounters(pace),
        SharedCounters(redis_server.url, pace, LocalCounters(pace)),
    ):
        pair = Scope(name)
        await made.failed([pair])
        assert (await made.reserve([pair])).late
        async with asyncio.timeout(10):
            while (await made.reserve([pair])).late:
                await asyncio.sleep(0.05)
        await made.close()


async def test_replicas_share_what_they_count(redis_server: Redis, name: str) -> None:  # noqa: F811
    """Two replicas hand out one row of slots, also when they are asked at the same time."""
    first, second = (SharedCounters(redis_server.url, PACE, LocalCounters(PACE)) for _ in "12")
    pair = Scope(name)
    await first.failed([pair])
    slots = await asyncio.gather(*(c.reserve([pair]) for c in (first, second, first, second)))
    assert sorted(round(slot.wait) for slot in slots) == [10, 20, 30, 30]
    assert [slot.late for slot in slots].count(True) == 2
    await second.clear(pair)
    assert not (await first.reserve([pair])).dirty
    await first.close()
    await second.close()


async def test_without_redis_guessing_is_not_free(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Redis is stopped: the local counters go on, with all failures of this process; then back."""
    now = 1000.0
    server = Redis(tmp_path_factory.mktemp("redis"))
    local = LocalCounters(PACE, clock=lambda: now)
    counters = SharedCounters(server.url, PACE, local, clock=lambda: now)
    pair = Scope("fred")
    for _ in range(5):
        await counters.failed([pair])
    server.stop()
    assert (await counters.reserve([pair])).late
    assert (await counters.reserve([Scope("ann")])).wait == 0
    await counters.failed([Scope("ann")])
    assert (await counters.reserve([Scope("ann")])).dirty
    server.start()
    now += 6  # it is asked again after five seconds
    await counters.clear(pair)
    assert not (await counters.reserve([pair])).dirty
    await counters.failed([pair])
    now += 1000  # what Redis knows does not depend on our clock
    assert (await counters.reserve([pair])).dirty
    await counters.close()
    server.stop()


async def test_a_redis_that_hangs_is_left_alone(redis_server: Redis, name: str) -> None:  # noqa: F811
    import os
    import signal

    now = 1000.0
    counters = SharedCounters(redis_server.url, PACE, LocalCounters(PACE), clock=lambda: now)
    pair = Scope(name)
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            await counters.failed([pair])
            for _ in range(100):  # only the first waits
                assert (await counters.reserve([pair])).dirty
    finally:
        os.kill(redis_server.process.pid, signal.SIGCONT)
    await counters.close()
