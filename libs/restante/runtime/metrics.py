# ruff: noqa: PLC0415 - prometheus_client is imported late on purpose, see below
"""Metrics of all workers of a service, added up by prometheus_client's multiprocess mode.

Modules declare metrics at import; the real objects are made at first use, in a worker, when
`start` has said where the workers' files are. prometheus_client decides at its own import whether
it runs in that mode, so nothing else may import it before.

A counter costs about a microsecond: count per session or per batch, not per byte.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import prometheus_client

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def start(directory: Path) -> None:
    """In the parent, before the fork: keep the workers' files in `directory`, emptied first."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    os.environ[_VARIABLE] = str(directory)


def stop(directory: Path) -> None:
    """Remove the files."""
    shutil.rmtree(directory, ignore_errors=True)


def worker_died(pid: int) -> None:
    """Drop a dead worker's gauges; its counters go on counting in the sum."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call] # untyped in the package


def exposition(directory: Path) -> bytes:
    """Return the sum over all workers in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest, multiprocess

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call] # untyped in the package
    return generate_latest(registry)


class Counter:
    """A number that only grows."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._spec = (name, text, labels)

    @cached_property
    def metric(self) -> "prometheus_client.Counter":
        """The real metric."""
        from prometheus_client import Counter as Real

        return Real(*self._spec)

    def inc(self, amount: float = 1) -> None:
        """Add to a counter without labels."""
        self.metric.inc(amount)

    def labels(self, *values: str) -> "prometheus_client.Counter":
        """Return the counter of these label values; keep it where it is used often."""
        return self.metric.labels(*values)


class Gauge:
    """A number of now; the sum over the living workers."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._spec = (name, text, labels)

    @cached_property
    def metric(self) -> "prometheus_client.Gauge":
        """The real metric."""
        from prometheus_client import Gauge as Real

        return Real(*self._spec, multiprocess_mode="livesum")

    def set(self, value: float) -> None:
        """Set a gauge without labels."""
        self.metric.set(value)

    def inc(self, amount: float = 1) -> None:
        """Add to a gauge without labels."""
        self.metric.inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Take from a gauge without labels."""
        self.metric.dec(amount)

    def follow(self, read: Callable[[], float]) -> None:
        """Set it from `read` now; called by the worker's heartbeat for what changes often."""
        self.metric.set(read())

    def labels(self, *values: str) -> "prometheus_client.Gauge":
        """Return the gauge of these label values."""
        return self.metric.labels(*values)


class Histogram:
    """A distribution, in seconds unless its name says otherwise."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    ) -> None:
        self._spec = (name, text, labels)
        self._buckets = buckets

    @cached_property
    def metric(self) -> "prometheus_client.Histogram":
        """The real metric."""
        from prometheus_client import Histogram as Real

        return Real(*self._spec, buckets=self._buckets)

    def observe(self, value: float) -> None:
        """Add one value to a histogram without labels."""
        self.metric.observe(value)

    def labels(self, *values: str) -> "prometheus_client.Histogram":
        """Return the histogram of these label values."""
        return self.metric.labels(*values)
