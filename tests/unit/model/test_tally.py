"""Counting in memory."""

import threading
import uuid

import pytest

from restante.model import tally
from restante.model.tally import Counter, Gauge, Histogram


def fresh() -> str:
    return f"test_{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_registry", dict(tally._registry))


def test_counters_are_told_as_zero_before_they_count() -> None:
    counter = Counter(fresh(), "A test.")
    assert counter.family()[-1] == {(): 0}
    counter.inc()
    counter.inc(2)
    assert counter.family()[-1] == {(): 3}
    labelled = Counter(fresh(), "A test.", ("result",))
    assert labelled.family()[-1] == {}
    cells = labelled.each(("ok", "no"))
    cells["ok"].inc()
    assert labelled.labels("ok") is cells["ok"]
    assert labelled.family()[-1] == {("ok",): 1, ("no",): 0}
    assert labelled.value == 1


def test_labels_must_fit() -> None:
    counter = Counter(fresh(), "A test.", ("one", "two"))
    with pytest.raises(ValueError, match="has the labels"):
        counter.labels("only one")


def test_a_name_is_declared_once() -> None:
    name = fresh()
    Counter(name, "A test.")
    with pytest.raises(ValueError, match="declared twice"):
        Gauge(name, "A test.")
    assert name in tally.declared()


def test_gauges_are_told_once_they_were_set() -> None:
    gauge = Gauge(fresh(), "A test.", merge="max")
    assert gauge.family()[-1] == {}
    gauge.set(5)
    gauge.dec(2)
    assert gauge.family()[-2:] == ("max", {(): 3})


def test_a_gauge_follows_what_lives() -> None:
    class Queue:
        length = 4

    gauge = Gauge(fresh(), "A test.", ("queue",))
    one, two = Queue(), Queue()
    gauge.follow(one, lambda queue: queue.length, "a")
    gauge.follow(two, lambda queue: queue.length, "a")
    two.length = 1
    assert gauge.family()[-1] == {("a",): 5}
    del one
    assert gauge.family()[-1] == {("a",): 1}
    del two
    assert gauge.family()[-1] == {}


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram(fresh(), "A test.", buckets=(1, 10))
    for value in (0, 1, 1.5, 10, 11):
        histogram.observe(value)
    assert histogram.family()[-1] == {(): ([2, 2, 1], 23.5)}
    assert histogram.count == 5


def test_reset_keeps_the_cells() -> None:
    counter, histogram = Counter(fresh(), "A test.", ("a",)), Histogram(fresh(), "A test.")
    cell = counter.labels("x")
    cell.inc()
    histogram.observe(1)
    tally.reset()
    assert (cell.value, histogram.count) == (0, 0)
    cell.inc()
    assert counter.value == 1


def test_no_addition_is_lost_between_threads() -> None:
    counter, histogram = Counter(fresh(), "A test."), Histogram(fresh(), "A test.")

    def work() -> None:
        for _ in range(20_000):
            counter.inc()
            histogram.observe(0.5)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counter.value, histogram.count) == (160_000, 160_000)
