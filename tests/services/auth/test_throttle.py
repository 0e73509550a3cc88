"""The attack row "brute force": guessing gets slow, its victim does not. The clock is ours."""

import asyncio

import pytest

from restante.model import ErrorKind, MailError
from services.auth.throttle.counters import LocalCounters, Pace
from services.auth.throttle.places import network_of
from services.auth.throttle.throttle import PARALLEL, PARALLEL_PLACE, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


PACE = Pace(base=0.25, cap=15, patience=3, forget=900)


class Places:
    """Places as KnownPlaces keeps them, in memory."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def note(self, address: str, place: str) -> None:
        self.seen.add((address, place))

    async def known(self, address: str, place: str) -> bool:
        return (address, place) in self.seen


@pytest.fixture
def counters(clock: Clock) -> LocalCounters:
    return LocalCounters(PACE, limit=64, clock=clock)


@pytest.fixture
def throttle(clock: Clock, counters: LocalCounters) -> Throttle:
    return Throttle(PACE, counters=counters, known=Places(), sleep=clock.sleep)


async def attempt(throttle: Throttle, user: str, peer: str, ok: bool | None) -> None:
    async with throttle.attempt(user, peer) as it:
        it.ok = ok


async def guess(throttle: Throttle, user: str, peer: str) -> bool:
    """Make a wrong guess; False where it was refused unseen."""
    try:
        await attempt(throttle, user, peer, False)
    except MailError as error:
        assert error.kind is ErrorKind.TEMPORARY
        return False
    return True


async def test_delays_grow(throttle: Throttle, clock: Clock) -> None:
    for _ in range(5):
        assert await guess(throttle, "fred", "192.0.2.1")
    assert clock.slept == [0.25, 0.5, 1.0, 2.0]
    assert not await guess(throttle, "fred", "192.0.2.1")  # 4 s are beyond patience
    clock.now += 4
    assert await guess(throttle, "fred", "192.0.2.1")


async def test_a_thousand_guesses_from_many_places(throttle: Throttle, clock: Clock) -> None:
    seen = 0
    for n in range(1000):
        seen += await guess(throttle, "fred", f"192.0.2.{n % 4}")
        clock.now += 0.1
    # 100 s: each place got few guesses; the owner elsewhere logs in without any delay.
    assert seen < 4 * 15
    before = len(clock.slept)
    await attempt(throttle, "fred", "198.51.100.7", True)
    await attempt(throttle, "ann", "192.0.2.1", True)
    assert len(clock.slept) == before


async def test_success_clears_the_pair(throttle: Throttle, clock: Clock) -> None:
    for _ in range(3):
        await guess(throttle, "fred", "192.0.2.1")
    await attempt(throttle, "fred", "192.0.2.1", True)
    assert await throttle.failures("fred", "192.0.2.1") == 0
    slept = len(clock.slept)
    await attempt(throttle, "fred", "192.0.2.1", True)
    assert len(clock.slept) == slept


async def test_failures_are_forgotten(throttle: Throttle, clock: Clock) -> None:
    for _ in range(6):
        await guess(throttle, "fred", "192.0.2.1")
    clock.now += 901
    slept = len(clock.slept)
    await attempt(throttle, "fred", "192.0.2.1", None)
    assert len(clock.slept) == slept


async def test_faults_do_not_count(throttle: Throttle, counters: LocalCounters) -> None:
    for _ in range(5):
        with pytest.raises(RuntimeError):
            async with throttle.attempt("fred", "192.0.2.1"):
                raise RuntimeError("the database is down")
    assert len(counters) == 0
    assert throttle.idle


async def test_attempts_at_once_are_no_way_round(throttle: Throttle) -> None:
    """Of 1,000 guesses sent together, only the first few are looked at."""
    running = 0
    most = 0
    seen = 0
    gate = asyncio.Event()

    async def one() -> None:
        nonlocal running, most, seen
        async with throttle.attempt("fred", "192.0.2.1") as it:
            running += 1
            seen += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            it.ok = False

    tasks = [asyncio.ensure_future(one()) for _ in range(1000)]
    while running < PARALLEL:
        await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [r for r in results if isinstance(r, MailError)]
    assert most <= PARALLEL
    assert seen < 20
    assert len(refused) == 1000 - seen


async def test_a_burst_of_right_logins_passes(throttle: Throttle, clock: Clock) -> None:
    async def one() -> None:
        async with throttle.attempt("fred", "192.0.2.1") as it:
            await asyncio.sleep(0)
            it.ok = True

    await asyncio.gather(*(one() for _ in range(200)))
    assert clock.slept == []
    assert throttle.idle


async def test_a_waiter_that_gives_up_leaves_no_trace(throttle: Throttle) -> None:
    gate = asyncio.Event()

    async def one() -> None:
        async with throttle.attempt("fred", "192.0.2.1") as it:
            await gate.wait()
            it.ok = True

    tasks = [asyncio.ensure_future(one()) for _ in range(PARALLEL + 3)]
    await asyncio.sleep(0)
    tasks[-2].cancel()
    tasks[0].cancel()  # its place goes to the first waiter
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert throttle.idle


async def test_one_place_cannot_keep_the_hashing_busy(throttle: Throttle) -> None:
    """Whatever names it tries, a place has a bounded number of attempts; others go on."""
    running = 0
    gate = asyncio.Event()

    async def one(user: str) -> None:
        nonlocal running
        async with throttle.attempt(user, "2001:db8::1"):
            running += 1
            await gate.wait()

    tasks = [asyncio.ensure_future(one(f"user{n}")) for n in range(100)]
    while running < PARALLEL_PLACE:
        await asyncio.sleep(0)
    await attempt(throttle, "ann", "192.0.2.7", True)  # elsewhere nobody waits
    assert running == PARALLEL_PLACE
    tasks[0].cancel()
    tasks[99].cancel()
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert running == 99
    assert throttle.idle


async def test_memory_is_bounded(throttle: Throttle, counters: LocalCounters) -> None:
    for n in range(500):
        await guess(throttle, f"user{n}", f"192.0.2.{n % 250}")
    assert len(counters) <= 64


async def test_a_place_that_tries_many_names_gets_slow(throttle: Throttle, clock: Clock) -> None:
    seen = 0
    for n in range(1000):
        seen += await guess(throttle, f"user{n}", f"2001:db8::{n:x}")  # one /64
        clock.now += 0.1
    assert seen < 60
    assert clock.slept
    slept = len(clock.slept)
    assert await guess(throttle, "user1", "2001:db8:0:1::1")
    assert len(clock.slept) == slept


async def test_an_owner_is_let_in_where_he_was_before(throttle: Throttle, clock: Clock) -> None:
    """The same office, an attacker inside: who has logged in from there still does."""
    await attempt(throttle, "fred", "192.0.2.1", True)
    for n in range(200):
        await guess(throttle, f"user{n}", "192.0.2.1")
    slept = len(clock.slept)
    await attempt(throttle, "fred", "192.0.2.1", True)
    assert len(clock.slept) == slept
    assert not await guess(throttle, "ann", "192.0.2.1")  # nobody knows her here


async def test_guessing_from_everywhere_gets_slow(throttle: Throttle, clock: Clock) -> None:
    await attempt(throttle, "fred", "198.51.100.7", True)
    seen = 0
    for n in range(1000):
        seen += await guess(throttle, "fred", f"10.{n // 250}.{n % 250}.1")
        clock.now += 0.1
    assert seen < 150
    slept = len(clock.slept)
    await attempt(throttle, "fred", "198.51.100.7", True)
    assert len(clock.slept) == slept


async def test_a_good_login_buys_no_guesses_at_others(throttle: Throttle, clock: Clock) -> None:
    seen = 0
    for n in range(300):
        seen += await guess(throttle, f"user{n}", "192.0.2.1")
        await attempt(throttle, "mallory", "192.0.2.1", True) if n == 0 else None
        clock.now += 0.1
    assert seen < 40


def test_places() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::ffff")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("unix") == "unix"
