"""Metrics of all workers of a service, added up by their parent, which serves /metrics.

Each worker counts in plain memory (restante.model.tally). Once a second, and when it ends, it
writes all of it as one snapshot into its slot of a mapping that it shares with the parent. So
counting costs no system call and no lock, a scrape disturbs no worker, there are no files, and a
worker that is killed loses at most a second.

A slot has two halves: the snapshot goes into the one that is not valid, then the number of the
slot is raised, which makes it the valid one. A worker that is killed while it writes leaves the
one before. When a worker dies, the parent takes its counters and histograms into its own sum and
clears the slot; its gauges go with it. So no counter falls, and nothing piles up.

Every sample bears the label `service`.
"""

import asyncio
import marshal
import mmap
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from restante.model import tally
from restante.model.tally import SECONDS, Buckets, Cell, Counter, Family, Gauge, Histogram, Labels

__all__ = [
    "EVERY",
    "SECONDS",
    "Buckets",
    "Cell",
    "Counter",
    "Family",
    "Gauge",
    "Histogram",
    "Pulse",
    "Sheets",
    "family",
    "render",
]

EVERY: Final = 1.0  # seconds between two snapshots

_HEAD: Final = struct.Struct("=QQQ")  # how many snapshots there were, bytes in each half
_HALF: Final = 1 << 20  # bytes; what nobody writes to is no memory
_SLOT: Final = mmap.PAGESIZE + 2 * _HALF
_LAG: Final = Histogram(
    "restante_event_loop_lag_seconds",
    "How late a timer of the worker's event loop was; asked once a second.",
)


class Sheets:
    """The snapshots of all workers of a service. Made by the parent before it forks."""

    def __init__(self, service: str, workers: int) -> None:
        self._service = service
        self._workers = workers
        self._map = mmap.mmap(-1, workers * _SLOT)
        self._dead: dict[str, Family] = {}

    # --- in a worker ------------------------------------------------------------------------

    def write(self, worker: int) -> None:
        """Put what this process has counted into its slot."""
        data = marshal.dumps(tally.families())
        if len(data) > _HALF:
            return  # the one before stays; a test holds that this is far away
        base = worker * _SLOT
        number, *sizes = _HEAD.unpack_from(self._map, base)
        half = (number + 1) % 2
        start = base + mmap.PAGESIZE + half * _HALF
        self._map[start : start + len(data)] = data
        sizes[half] = len(data)
        _HEAD.pack_into(self._map, base, number, *sizes)
        struct.pack_into("=Q", self._map, base, number + 1)

    # --- in the parent ----------------------------------------------------------------------

    def worker_died(self, worker: int) -> None:
        """Keep a dead worker's counters and histograms, and make its slot ready for the next."""
        for found in self._read(worker):
            if found[1] != "gauge":
                _add(self._dead, found)
        _HEAD.pack_into(self._map, worker * _SLOT, 0, 0, 0)

    def exposition(self, own: Iterable[Family] = ()) -> bytes:
        """Return the sum over all workers, and the parent's `own`, in Prometheus' text format."""
        total: dict[str, Family] = {}
        for found in self._dead.values():
            _add(total, found)
        for worker in range(self._workers):
            for found in self._read(worker):
                _add(total, found)
        for found in own:
            _add(total, found)
        return render(total.values(), self._service)

    def close(self) -> None:
        """Give the mapping back."""
        self._map.close()

    def _read(self, worker: int) -> list[Family]:
        base = worker * _SLOT
        number, *sizes = _HEAD.unpack_from(self._map, base)
        start = base + mmap.PAGESIZE + number % 2 * _HALF
        data = self._map[start : start + sizes[number % 2]]
        if _HEAD.unpack_from(self._map, base)[0] > number + 1:  # overwritten while we read
            return self._read(worker)
        found: list[Family] = marshal.loads(data) if number else []  # noqa: S302 - our own worker's
        return found


class Pulse:
    """Writes a worker's snapshots, and sees how late its loop is. Runs until the loop ends."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._write = write
        self._due = self._loop.time() + EVERY
        self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        _LAG.observe(max(0.0, now - self._due))
        # First of all: a metric that cannot be read must not end the others.
        self._due = now + EVERY
        self._loop.call_at(self._due, self._beat)
        self._write()


def family(
    name: str, kind: str, text: str, labels: Sequence[str], values: dict[Labels, float]
) -> Family:
    """Return a counter or gauge that is made for one scrape."""
    return name, kind, text, tuple(labels), (), "sum", dict(values)


def render(found: Iterable[Family], service: str) -> bytes:
    """Return families in Prometheus' text format, version 0.0.4, sorted by name."""
    lines: list[str] = []
    add = lines.append
    for name, kind, text, names, bounds, _, values in sorted(found):
        add(f"# HELP {name} {text}\n# TYPE {name} {kind}")
        uppers = [repr(float(bound)) for bound in bounds] + ["+Inf"]
        for labels, value in sorted(values.items()):
            shown = "".join(
                f',{key}="{_escaped(label)}"' for key, label in zip(names, labels, strict=True)
            )
            shown = f'service="{service}"{shown}'
            if not isinstance(value, tuple):
                add(f"{name}{{{shown}}} {_number(value)}")
                continue
            below = 0
            for upper, count in zip(uppers, value[0], strict=True):
                below += count
                add(f'{name}_bucket{{{shown},le="{upper}"}} {below}')
            add(f"{name}_sum{{{shown}}} {_number(value[1])}")
            add(f"{name}_count{{{shown}}} {below}")
    add("")
    return "\n".join(lines).encode()


def _add(total: dict[str, Family], found: Family) -> None:
    name, merge, values = found[0], found[5], found[6]
    known = total.get(name)
    if known is None:
        total[name] = (*found[:6], dict(values))
        return
    sums = known[6]
    for labels, value in values.items():
        old = sums.get(labels)
        if old is None:
            sums[labels] = value
        elif isinstance(value, tuple) and isinstance(old, tuple):
            counts = [a + b for a, b in zip(old[0], value[0], strict=True)]
            sums[labels] = counts, old[1] + value[1]
        elif not isinstance(value, tuple) and not isinstance(old, tuple):
            sums[labels] = _MERGES[merge]((old, value))


_MERGES: Final[dict[str, Callable[[tuple[float, float]], float]]] = {
    "sum": sum,
    "min": min,
    "max": max,
}


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(text: str) -> str:
    if text.isalnum():
        return text
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
