"""Shared mailboxes: counted, kept warm, bounded."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from restante.store.sharing import SharedMailboxes


class Box:
    def __init__(self, name: str, size: int = 1) -> None:
        self.name = name
        self.size = size
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def __len__(self) -> int:
        return self.size


def test_shared_counted_and_kept() -> None:
    shared: SharedMailboxes[Box] = SharedMailboxes()
    one = shared.acquire("a", lambda: Box("a"))
    assert shared.acquire("a", lambda: Box("other")) is one
    shared.release(one)
    shared.release(one)
    assert one.closed == 0
    assert shared.acquire("a", lambda: Box("other")) is one
    shared.close()
    assert one.closed == 0  # in use
    shared.release(one)
    assert one.closed == 1
    assert shared.acquire("a", lambda: Box("new")).name == "new"


def test_the_least_recently_used_goes_first() -> None:
    shared: SharedMailboxes[Box] = SharedMailboxes(idle_mailboxes=2)
    boxes = {name: shared.acquire(name, lambda n=name: Box(n)) for name in "abc"}  # type: ignore[misc]  # mypy and defaults of lambdas
    for name in "bac":
        shared.release(boxes[name])
    assert [boxes[name].closed for name in "abc"] == [0, 1, 0]


def test_bounded_by_messages() -> None:
    shared: SharedMailboxes[Box] = SharedMailboxes(idle_messages=100)
    small = shared.acquire("small", lambda: Box("small", 60))
    large = shared.acquire("large", lambda: Box("large", 60))
    shared.release(small)
    shared.release(large)
    assert (small.closed, large.closed) == (1, 0)


def test_forgotten() -> None:
    shared: SharedMailboxes[Box] = SharedMailboxes()
    used, idle = (shared.acquire(name, lambda: Box("x")) for name in ("used", "idle"))
    shared.release(idle)
    shared.forget(lambda key: True)
    assert (used.closed, idle.closed) == (0, 1)
    fresh = shared.acquire("used", lambda: Box("fresh"))
    assert fresh is not used
    shared.release(used)
    assert used.closed == 1
    shared.release(fresh)
    assert fresh.closed == 0


def test_a_failed_opening_is_nobody_s_state() -> None:
    shared: SharedMailboxes[Box] = SharedMailboxes()

    def fail() -> Box:
        raise KeyError("no")

    with pytest.raises(KeyError):
        shared.acquire("a", fail)
    assert shared.acquire("a", lambda: Box("a")).name == "a"


def test_opened_once_by_many() -> None:
    shared: SharedMailboxes[Box] = SharedMailboxes()
    made: list[Box] = []
    gate = threading.Barrier(8, timeout=10)

    def make() -> Box:
        made.append(Box("a"))
        return made[-1]

    def use(_: int) -> Box:
        gate.wait()
        return shared.acquire("a", make)

    with ThreadPoolExecutor(8) as pool:
        boxes = set(pool.map(use, range(8)))
    assert len(made) == len(boxes) == 1
