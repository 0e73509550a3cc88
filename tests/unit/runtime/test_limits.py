"""Limits: sums over workers, dead workers, full buckets, what counts as one address."""

import asyncio
import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restante.runtime import limits as module
from restante.runtime.connection import Connection
from restante.runtime.limits import ConnectionLimits, SharedCounts, address_key
from tests.unit.runtime.conftest import Serve, dial

BUSY = b"-ERR [SYS/TEMP] too many connections\r\n"


async def hold(connection: Connection) -> None:
    connection.write(b"+OK\r\n")
    await connection.receive(30)


def in_child(counts: SharedCounts, worker: int, names: list[str], limit: int) -> list[bool]:
    """Acquire in a forked process that is then killed; return what it was told."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        counts.worker = worker
        os.write(write_end, bytes(counts.acquire(name, limit) for name in names))
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(write_end)
    os.waitpid(pid, 0)
    answers = os.read(read_end, 65536)
    os.close(read_end)
    return [bool(answer) for answer in answers]


def test_workers_share_one_limit_and_a_dead_one_gives_back() -> None:
    counts = SharedCounts(workers=2)
    assert [counts.acquire("a", 5) for _ in range(3)] == [True] * 3
    assert in_child(counts, 1, ["a"] * 4, 5) == [True, True, False, False]
    assert counts.count("a") == 5
    assert not counts.acquire("a", 5)
    counts.clear_worker(1)
    assert counts.count("a") == 3
    assert counts.acquire("a", 5)


def test_a_worker_killed_with_the_lock_held_does_not_block_others() -> None:
    counts = SharedCounts(workers=2)
    pid = os.fork()
    if pid == 0:
        with counts._locked():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert counts.acquire("a", 1)


def test_two_processes_never_pass_the_limit_together() -> None:
    counts = SharedCounts(workers=2)
    pids = []
    for worker in (0, 1):
        pid = os.fork()
        if pid == 0:
            counts.worker = worker
            for _ in range(3000):
                counts.acquire("a", 1000)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    assert counts.count("a") == 1000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=200))
def test_against_a_simple_model(steps: list[tuple[bool, int]]) -> None:
    counts = SharedCounts()
    model: dict[int, int] = {}
    for take, name in steps:
        if take:
            assert counts.acquire(str(name), 3) == (model.get(name, 0) < 3)
            model[name] = min(3, model.get(name, 0) + 1)
        else:
            counts.release(str(name))
            model[name] = max(0, model.get(name, 0) - 1)
    assert all(counts.count(str(name)) == number for name, number in model.items())


def test_places_without_counts_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUCKETS", 1)
    counts = SharedCounts()
    for number in range(1000):
        assert counts.acquire(str(number), 1)
        counts.release(str(number))
    held = [counts.acquire(f"held {number}", 1) for number in range(20)]
    assert held == [True] * 16 + [False] * 4, "a full bucket refuses; it never forgets a count"


def test_what_counts_as_one_address() -> None:
    assert address_key("192.0.2.1") == "192.0.2.1"
    assert address_key("2001:db8:1:2:3::4") == address_key("2001:db8:1:2:ffff::1")
    assert address_key("2001:db8:1:2::1") != address_key("2001:db8:1:3::1")
    assert address_key("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_key("fe80::1%eth0") == "fe80::/64"


async def test_total_limit_answers_busy(serve: Serve) -> None:
    limits = ConnectionLimits(total=2)
    listener = await serve(hold, limits=limits, busy=BUSY)
    clients = [await dial(listener) for _ in range(2)]
    for reader, _ in clients:
        assert await reader.readline() == b"+OK\r\n"
    reader, writer = await dial(listener)
    assert await reader.read() == BUSY
    writer.close()
    clients[0][1].close()
    while limits.connections == 2:
        await asyncio.sleep(0)
    reader, writer = await dial(listener)
    assert await reader.readline() == b"+OK\r\n"
    for _, each in [*clients, (reader, writer)]:
        each.close()
    async with asyncio.timeout(10):
        await listener._empty.wait()
    assert limits.connections == 0


async def test_address_limit_answers_busy_and_gives_back(serve: Serve) -> None:
    limits = ConnectionLimits(total=10, per_address=1)
    listener = await serve(hold, limits=limits, busy=BUSY)
    first, one = await dial(listener)
    assert await first.readline() == b"+OK\r\n"
    second, two = await dial(listener)
    assert await second.read() == BUSY
    one.close()
    two.close()
    async with asyncio.timeout(10):
        await listener._empty.wait()
    third, three = await dial(listener)
    assert await third.readline() == b"+OK\r\n"
    three.close()
