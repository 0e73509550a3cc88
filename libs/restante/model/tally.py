"""What a process counts about itself: plain numbers in memory, for whoever wants to read them.

Every layer counts in this one way: it declares a metric at import, keeps the cell of the labels
that it uses often, and adds to it. Nobody is told and nothing is written: the runtime reads all
metrics together, once a second (restante.runtime.metrics), and so may a test.

A metric is declared once, by a name as Prometheus wants it (`_total`, `_seconds`, `_bytes`) and
docs/metrics.md tells it. Label values come from small fixed sets: never an account, an address or
anything that a client may choose.

Cost on Python 3.11: `Cell.inc` 0.02 us, `Buckets.observe` 0.14 us, a command of a table with both
looks at the clock 0.23 us (`python -m tests.bench.tally`); prometheus_client's multiprocess mode
needs 0.9 us for a counter and 2.1 us for a histogram.

Threads: all may count. An addition is one stretch of bytecode that holds the interpreter's lock:
CPython 3.10 and later give it away at calls and at backward jumps only, and there is none between
reading a number and storing it. A snapshot may see a histogram's count without its sum.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

SECONDS: Final = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Bounds of buckets from what memory answers to what a client gives up on."""

Labels = tuple[str, ...]
Values = float | tuple[list[int], float]
"""Of a counter or gauge the number; of a histogram the count of each bucket, and the sum."""
Family = tuple[str, str, str, Labels, tuple[float, ...], str, dict[Labels, Values]]
"""Name, kind, text, label names, bounds of buckets, how workers' gauges are merged, values."""

_O = TypeVar("_O")

_registry: dict[str, "Metric"] = {}


class Cell:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add to it."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take from it; for gauges."""
        self.value -= amount

    def set(self, value: float) -> None:
        """Replace it; for gauges."""
        self.value = value


class Buckets:
    """One distribution: how many values lie at or below each bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # each bucket alone; the last is without bound
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Add one value."""
        at = bisect_left(self.bounds, value)
        self.counts[at] += 1
        self.sum += value


class Metric(ABC):
    """What is common to all kinds."""

    kind = ""
    merge = "sum"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        if name in _registry:
            raise ValueError(f"metric {name} is declared twice")
        self.name, self.text, self.label_names = name, text, tuple(labels)
        _registry[name] = self

    def _check(self, values: Labels) -> Labels:
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}")
        return values

    @abstractmethod
    def family(self) -> Family:
        """Return the metric as it is now."""

    @abstractmethod
    def reset(self) -> None:
        """Back to nothing, in a process that was just forked."""


class Counter(Metric):
    """A number that only grows; 0 is told as soon as its labels are known."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, text, labels)
        self._cells: dict[Labels, Cell] = {}
        self._one = Cell() if labels else self.labels()

    def labels(self, *values: str) -> Cell:
        """Return the cell of these label values; keep it where it is used often."""
        cell = self._cells.get(values)
        if cell is None:
            cell = self._cells.setdefault(self._check(values), Cell())
        return cell

    def each(self, values: Iterable[str]) -> dict[str, Cell]:
        """Return the cells of all values of the only label."""
        return {value: self.labels(value) for value in values}

    def inc(self, amount: float = 1) -> None:
        """Add to a counter without labels."""
        self._one.value += amount

    @property
    def value(self) -> float:
        """The sum over all labels."""
        return sum(cell.value for cell in list(self._cells.values()))

    def family(self) -> Family:
        """See Metric.family."""
        values: dict[Labels, Values] = {k: c.value for k, c in list(self._cells.items())}
        return self.name, self.kind, self.text, self.label_names, (), self.merge, values

    def reset(self) -> None:
        """See Metric.reset."""
        for cell in self._cells.values():
            cell.value = 0


class Gauge(Counter):
    """A number of now. `merge` says what several workers' make: their sum, min or max."""

    kind = "gauge"

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, merge: str = "sum"
    ) -> None:
        super().__init__(name, text, labels)
        self.merge = merge
        self._followed: dict[Labels, WeakKeyDictionary[Any, Callable[[Any], float]]] = {}
        if not labels:
            del self._cells[()]  # told once it was set
            self._one = Cell()

    def set(self, value: float) -> None:
        """Set a gauge without labels."""
        self.labels().value = value

    def inc(self, amount: float = 1) -> None:
        """Add to a gauge without labels."""
        self.labels().value += amount

    def dec(self, amount: float = 1) -> None:
        """Take from a gauge without labels."""
        self.labels().value -= amount

    def follow(self, owner: _O, read: Callable[[_O], float], *labels: str) -> None:
        """Add `read(owner)` whenever it is asked, as long as `owner` lives. It must not block."""
        found = self._followed.setdefault(self._check(labels), WeakKeyDictionary())
        found[owner] = read

    def family(self) -> Family:
        """See Metric.family."""
        values: dict[Labels, Values] = {k: c.value for k, c in list(self._cells.items())}
        for labels, owners in list(self._followed.items()):
            told = [read(owner) for owner, read in list(owners.items())]
            if told:
                own = self._cells.get(labels)
                values[labels] = sum(told, own.value if own else 0.0)
        return self.name, self.kind, self.text, self.label_names, (), self.merge, values


class Histogram(Metric):
    """A distribution, in seconds unless its name says otherwise."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = SECONDS,
    ) -> None:
        super().__init__(name, text, labels)
        self.bounds = tuple(buckets)
        self._cells: dict[Labels, Buckets] = {}
        self._one = Buckets(self.bounds) if labels else self.labels()

    def labels(self, *values: str) -> Buckets:
        """Return the distribution of these label values; keep it where it is used often."""
        cell = self._cells.get(values)
        if cell is None:
            cell = self._cells.setdefault(self._check(values), Buckets(self.bounds))
        return cell

    def each(self, values: Iterable[str]) -> dict[str, Buckets]:
        """Return the distributions of all values of the only label."""
        return {value: self.labels(value) for value in values}

    def observe(self, value: float) -> None:
        """Add one value to a histogram without labels."""
        self._one.observe(value)

    @property
    def count(self) -> int:
        """How many values there were, over all labels."""
        return sum(sum(cell.counts) for cell in list(self._cells.values()))

    def family(self) -> Family:
        """See Metric.family."""
        values: dict[Labels, Values] = {
            k: (c.counts[:], c.sum) for k, c in list(self._cells.items())
        }
        return self.name, self.kind, self.text, self.label_names, self.bounds, "sum", values

    def reset(self) -> None:
        """See Metric.reset."""
        for cell in self._cells.values():
            cell.counts = [0] * len(cell.counts)
            cell.sum = 0.0


def declared() -> dict[str, Metric]:
    """Return every metric that the imported modules declare, by name."""
    return dict(_registry)


def families() -> list[Family]:
    """Return all that this process has counted so far."""
    return [metric.family() for metric in list(_registry.values())]


def reset() -> None:
    """Begin to count anew, in a process that was just forked."""
    for metric in list(_registry.values()):
        metric.reset()
