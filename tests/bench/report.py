"""Medians over the rounds and ratios against the other peers, as JSON and as Markdown."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.bench.mail import Plan
from tests.bench.workloads import Sample, Workload


@dataclass
class Results:
    """Everything one run has measured."""

    plan: Plan
    cpus: int
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    disk: dict[str, float] = field(default_factory=dict)

    def add(self, workload: str, peer: str, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.setdefault(workload, {}).setdefault(peer, []).append(sample)

    def medians(self, workload: str, peer: str) -> dict[str, float]:
        """Return the median of each value over the rounds; {} if there is no sample."""
        samples = self.samples.get(workload, {}).get(peer, [])
        names = dict.fromkeys(name for sample in samples for name in sample.values)
        return {
            name: median([s.values[name] for s in samples if name in s.values]) for name in names
        }


def ratio(workload: Workload, ours: dict[str, float], theirs: dict[str, float]) -> float | None:
    """Return how many times better than the peer we are by the main value; None if unknown."""
    mine, other = ours.get(workload.main), theirs.get(workload.main)
    if not mine or not other:
        return None
    return mine / other if workload.more else other / mine


def as_json(results: Results, workloads: Sequence[Workload], peers: Sequence[str]) -> Any:
    """Return the report as data for json.dump."""
    table = {}
    for workload in workloads:
        ours = results.medians(workload.name, peers[0])
        table[workload.name] = {
            "title": workload.title.format(**asdict(results.plan)),
            "main": workload.main,
            "peers": {
                peer: {
                    "median": results.medians(workload.name, peer),
                    "ratio": None
                    if peer == peers[0]
                    else ratio(workload, ours, results.medians(workload.name, peer)),
                    "rounds": [
                        asdict(sample)
                        for sample in results.samples.get(workload.name, {}).get(peer, [])
                    ],
                }
                for peer in peers
            },
        }
    return {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "cpus": results.cpus,
        "disk_files_per_second": results.disk,
        "workloads": table,
        "failures": results.failures,
        "missing": results.missing,
    }


def as_markdown(results: Results, workloads: Sequence[Workload], peers: Sequence[str]) -> str:
    """Return the report as a Markdown table and notes."""
    ours = peers[0]
    lines = [
        f"{results.cpus} CPUs, Python {platform.python_version()}, {platform.platform()}.",
        "Medians over the rounds; ratios above 1 are in favour of " + ours + ".",
        "",
        "| workload | "
        + " | ".join(peers)
        + " | "
        + " | ".join(f"vs {p}" for p in peers[1:])
        + " |",
        "|" + "---|" * (2 * len(peers)),
    ]
    notes = []
    for workload in workloads:
        if workload.name not in results.samples:
            continue
        mine = results.medians(workload.name, ours)
        cells = [_cell(results.medians(workload.name, peer)) for peer in peers]
        for peer in peers[1:]:
            value = ratio(workload, mine, results.medians(workload.name, peer))
            cells.append("–" if value is None else f"**{value:.2f}x**")
        title = workload.title.format(**asdict(results.plan))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
        for peer, samples in results.samples[workload.name].items():
            notes += [f"- {workload.name}, {peer}: {n}" for s in samples for n in s.notes]
    for name, rate in results.disk.items():
        lines.append(f"| disk alone: {name} | {rate:,.0f}/s |" + " |" * (2 * len(peers) - 2))
    notes += [f"- failed: {text}" for text in results.failures]
    notes += [f"- left out: {text}" for text in results.missing]
    return "\n".join([*lines, "", *notes, ""])


_SHOWN = (
    ("per_second", "{:,.0f}/s"),
    ("median_ms", "{:.1f} ms"),
    ("kib_each", "{:.1f} KiB"),
    ("cpu_ms_each", "{:.2f} CPU-ms"),
    ("push_ms", "push {:.1f} ms"),
    ("connections", "{:.0f} connections"),
)


def _cell(values: dict[str, float]) -> str:
    shown = [form.format(values[name]) for name, form in _SHOWN if name in values]
    return ", ".join(shown) or "–"
