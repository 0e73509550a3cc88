"""The timer wheel on a clock of its own."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from restante.runtime.wheel import Timed, TimerWheel


class FakeLoop:
    """Just enough of a loop: a clock and timers."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], object]]] = []
        self.armed = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> object:
        self.armed += 1
        self.timers.append((when, call))
        return object()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [t for t in self.timers if t[0] <= end]:
            first = min(due, key=lambda t: t[0])
            self.timers.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
        self.now = end


class Item(Timed):
    """Remembers when it expired."""

    def __init__(self, loop: FakeLoop) -> None:
        super().__init__()
        self.loop = loop
        self.fired: list[float] = []
        self.then: Callable[[], object] = lambda: None

    def expire(self) -> None:
        self.fired.append(self.loop.now)
        self.then()


def make() -> tuple[FakeLoop, TimerWheel]:
    loop = FakeLoop()
    return loop, TimerWheel(cast(asyncio.AbstractEventLoop, cast(Any, loop)))


def test_never_early_and_at_most_two_ticks_late() -> None:
    loop, wheel = make()
    for start in (0.0, 0.3, 0.9):
        for seconds in (0.0, 0.1, 1.0, 2.5, 60.0):
            loop.advance(start)
            item = Item(loop)
            at = loop.now
            wheel.set(item, seconds)
            loop.advance(seconds + 3)
            assert len(item.fired) == 1
            assert at + seconds <= item.fired[0] <= at + seconds + 2


def test_later_deadline_moves_without_a_new_timer() -> None:
    loop, wheel = make()
    item = Item(loop)
    wheel.set(item, 5)
    armed = loop.armed
    for _ in range(1000):
        wheel.set(item, 30)
    assert loop.armed == armed
    loop.advance(29)
    assert item.fired == []
    loop.advance(3)
    assert len(item.fired) == 1


def test_earlier_deadline_counts() -> None:
    loop, wheel = make()
    item = Item(loop)
    wheel.set(item, 1800)
    wheel.set(item, 2)
    loop.advance(4)
    assert len(item.fired) == 1
    loop.advance(4000)
    assert len(item.fired) == 1


def test_cleared_and_discarded_do_not_fire() -> None:
    loop, wheel = make()
    one, two = Item(loop), Item(loop)
    wheel.set(one, 2)
    wheel.set(two, 2)
    wheel.clear(one)
    wheel.discard(two)
    loop.advance(10)
    assert one.fired == two.fired == []
    assert loop.timers == [], "an empty wheel does not tick"


def test_wheel_keeps_no_reference_to_what_was_discarded() -> None:
    loop, wheel = make()
    items = [Item(loop) for _ in range(100)]
    for item in items:
        wheel.set(item, 1800)
    for item in items:
        wheel.discard(item)
    assert not any(wheel._buckets.values())


def test_items_may_touch_each_other_while_they_expire() -> None:
    loop, wheel = make()
    items = [Item(loop) for _ in range(4)]
    first, second, third, fourth = items
    for item in items:
        wheel.set(item, 1)
    order: list[Item] = []

    def touch(me: Item) -> None:
        order.append(me)
        for other in items:
            if other not in order:
                wheel.discard(other)
        wheel.set(me, 1)

    for item in items:
        item.then = lambda me=item: touch(me)  # type: ignore[misc] # the default binds the item
    loop.advance(3)
    assert len(order) >= 1
    assert sum(len(item.fired) for item in items) == len(order)
    assert {id(first), id(second), id(third), id(fourth)} >= {id(item) for item in order}


def test_held_up_loop_looks_at_every_bucket() -> None:
    loop, wheel = make()
    items = [Item(loop) for _ in range(50)]
    for number, item in enumerate(items):
        wheel.set(item, number * 7)
    late = Item(loop)

    def hold_up() -> None:
        loop.now += 1000  # expire() of one item blocks the loop
        wheel.set(late, 1)

    items[0].then = hold_up
    loop.advance(5)
    loop.advance(1100)
    assert all(len(item.fired) == 1 for item in items)
    assert len(late.fired) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["set", "clear", "discard"]),
            st.floats(0, 20),
            st.floats(0, 5),
        ),
        max_size=60,
    )
)
def test_against_a_simple_model(steps: list[tuple[int, str, float, float]]) -> None:
    loop, wheel = make()
    items = [Item(loop) for _ in range(5)]
    due: dict[int, float] = {}
    for which, action, seconds, pause in steps:
        item = items[which]
        before = len(item.fired)
        if action == "set":
            wheel.set(item, seconds)
            due[which] = loop.now + seconds
        elif action == "clear":
            wheel.clear(item)
            due.pop(which, None)
        else:
            wheel.discard(item)
            due.pop(which, None)
        assert len(item.fired) == before
        counts = [len(i.fired) for i in items]
        loop.advance(pause)
        for number, item in enumerate(items):
            fired = len(item.fired) - counts[number]
            when = due.get(number)
            if when is None:
                assert fired == 0
            elif fired:
                assert fired == 1
                assert item.fired[-1] >= when
                del due[number]
            else:
                assert loop.now < when + 2
