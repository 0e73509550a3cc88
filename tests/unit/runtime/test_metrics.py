"""Snapshots of workers, their sum, and the text that is served."""

import asyncio
import os
import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from restante.model import tally
from restante.runtime import metrics
from restante.runtime.metrics import Counter, Gauge, Histogram, Sheets


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No metrics but the test's own."""
    monkeypatch.setattr(tally, "_registry", {})


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    made = Sheets("imap", 3)
    yield made
    made.close()


def test_workers_are_added_up(sheets: Sheets) -> None:
    counter = Counter("c_total", "Counts.", ("result",))
    least, most = Gauge("least", "Min.", merge="min"), Gauge("most", "Max.", merge="max")
    histogram = Histogram("h_seconds", "Times.", buckets=(0.1, 1))
    assert sheets.exposition() == b""
    for worker, value in ((0, 1), (1, 5), (0, 2)):  # worker 0 says something newer
        tally.reset()
        counter.labels("ok").inc(value)
        least.set(value)
        most.set(value)
        histogram.observe(value / 5)
        sheets.write(worker)
    assert sheets.exposition().decode().splitlines() == [
        "# HELP c_total Counts.",
        "# TYPE c_total counter",
        'c_total{service="imap",result="ok"} 7',
        "# HELP h_seconds Times.",
        "# TYPE h_seconds histogram",
        'h_seconds_bucket{service="imap",le="0.1"} 0',
        'h_seconds_bucket{service="imap",le="1.0"} 2',
        'h_seconds_bucket{service="imap",le="+Inf"} 2',
        'h_seconds_sum{service="imap"} 1.4',
        'h_seconds_count{service="imap"} 2',
        "# HELP least Min.",
        "# TYPE least gauge",
        'least{service="imap"} 2',
        "# HELP most Max.",
        "# TYPE most gauge",
        'most{service="imap"} 5',
    ]


def test_the_dead_go_on_counting(sheets: Sheets) -> None:
    counter, held = Counter("c_total", "Counts."), Gauge("held", "Now.")
    size = 0
    for restart in range(50):
        tally.reset()
        counter.inc(2)
        held.set(1)
        sheets.write(restart % 3)
        sheets.worker_died(restart % 3)
        text = sheets.exposition().decode()
        assert f'c_total{{service="imap"}} {2 * (restart + 1)}\n' in text
        assert "held" not in text
        size = size or len(text)
    assert len(text) <= size + 2, "one more digit or two, and nothing else"


def test_a_worker_that_dies_while_it_writes_leaves_what_was_before(
    sheets: Sheets, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter("c_total", "Counts.")
    counter.inc()
    sheets.write(0)

    class Killed(BaseException):
        pass

    def pack_into(*_: object) -> None:
        raise Killed

    for fault in ("_HEAD", "struct"):
        counter.inc()
        with monkeypatch.context() as patched:
            real = getattr(metrics, fault)
            patched.setattr(
                metrics,
                fault,
                type("", (), {"pack_into": pack_into, "unpack_from": metrics._HEAD.unpack_from}),
            )
            with pytest.raises(Killed):
                sheets.write(0)
            assert real is not getattr(metrics, fault)
        assert b'c_total{service="imap"} 1\n' in sheets.exposition()


def test_another_process_writes(sheets: Sheets) -> None:
    counter = Counter("c_total", "Counts.")
    pid = os.fork()
    if pid == 0:
        counter.inc(41)
        sheets.write(2)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert b'c_total{service="imap"} 41\n' in sheets.exposition()


def test_others_can_read_it(sheets: Sheets) -> None:
    odd = 'a "quoted\\ name"\nof two lines'
    Counter("c_total", "Counts.", ("what",)).labels(odd).inc(1.5)
    Histogram("h_seconds", "Times.", ("what",)).labels("x").observe(0.02)
    sheets.write(0)
    own = [metrics.family("own", "gauge", "The parent's.", ("a",), {("b",): 1e18})]
    found = {f.name: f for f in text_string_to_metric_families(sheets.exposition(own).decode())}
    (sample,) = found["c"].samples
    assert sample.labels == {"service": "imap", "what": odd}
    assert sample.value == 1.5
    assert found["own"].samples[0].value == 1e18
    counts = [s.value for s in found["h_seconds"].samples if s.name == "h_seconds_bucket"]
    assert counts == sorted(counts)
    assert counts[-1] == 1


def test_too_much_leaves_what_was_before(sheets: Sheets) -> None:
    counter = Counter("c_total", "Counts.", ("what",))
    counter.labels("x").inc()
    sheets.write(0)
    counter.labels("y" * (1 << 20)).inc()
    sheets.write(0)
    assert re.search(r'what="x"', sheets.exposition().decode())


async def test_the_pulse_goes_on_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gauge that cannot be read costs a snapshot, not all that follow."""
    monkeypatch.setattr(metrics, "EVERY", 0.01)
    faults: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    written = asyncio.Event()
    calls = 0

    def write() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a gauge that cannot be read")
        written.set()

    before = metrics._LAG.count
    metrics.Pulse(write)
    await asyncio.wait_for(written.wait(), 10)
    assert len(faults) == 1
    assert metrics._LAG.count >= before + 2
