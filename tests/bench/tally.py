"""`python -m tests.bench.tally`: what counting costs, and what a scrape of 8 workers costs.

Beside it prometheus_client in its multiprocess mode, which writes each number into a mapped file.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Final

from restante.model import tally
from restante.runtime.metrics import Counter, Histogram, Sheets

_TIMES: Final = 200_000
_COMMANDS: Final = 200  # names with a histogram each
_RESULTS: Final = 500  # counters
_WORKERS: Final = 8


def microseconds(work: Callable[[], object]) -> float:
    """Return what a call costs, the median of five rounds, without the loop around it."""

    def spent(call: Callable[[], object]) -> float:
        started = time.perf_counter()
        for _ in range(_TIMES):
            call()
        return (time.perf_counter() - started) / _TIMES * 1e6

    return statistics.median(spent(work) for _ in range(5)) - spent(lambda: None)


def ours() -> None:
    """Counting, a command, a snapshot, a scrape."""
    cell = Counter("bench_total", "Bench.", ("result",)).labels("ok")
    histogram = Histogram("bench_seconds", "Bench.", ("command",))
    cells = {str(n): histogram.labels(str(n)) for n in range(_COMMANDS)}
    by_type = {type(n): cells["7"] for n in (1, "", b"")}
    clock = time.perf_counter

    def command() -> None:
        started = clock()
        by_type[str].observe(clock() - started)

    print(f"Cell.inc                    {microseconds(cell.inc):.3f} us")
    print(f"Buckets.observe             {microseconds(lambda: cells['7'].observe(0.02)):.3f} us")
    print(f"Histogram.labels            {microseconds(lambda: histogram.labels('7')):.3f} us")
    print(f"a command, with two clocks  {microseconds(command):.3f} us")
    results = Counter("bench_results_total", "Bench.", ("result",))
    for number in range(_RESULTS):
        results.labels(str(number)).inc()
    sheets = Sheets("bench", _WORKERS)
    for number in range(_WORKERS):
        sheets.write(number)
    for name, work in (("a snapshot", lambda: sheets.write(0)), ("a scrape", sheets.exposition)):
        spent = []
        for _ in range(20):
            started = time.perf_counter()
            work()
            spent.append((time.perf_counter() - started) * 1000)
        print(f"{name:27} {statistics.median(spent):.2f} ms")
    families = tally.families()
    samples = sum(len(f[6]) * (len(f[4]) + 3 if f[1] == "histogram" else 1) for f in families)
    print(f"{'samples, workers':27} {samples}, {_WORKERS}")


def theirs() -> None:
    """The same with prometheus_client."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        import prometheus_client

        counter = prometheus_client.Counter("b", "Bench.", ["result"]).labels("ok")
        histogram = prometheus_client.Histogram("b_s", "Bench.", ["command"]).labels("7")
        print(f"prometheus_client inc       {microseconds(counter.inc):.3f} us")
        print(f"prometheus_client observe   {microseconds(lambda: histogram.observe(0.02)):.3f} us")


if __name__ == "__main__":
    ours()
    theirs()
    sys.exit(0)
