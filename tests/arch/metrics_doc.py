"""What docs/metrics.md, and the code, say of metrics: name -> (type, labels)."""

import importlib
import re
from pathlib import Path

from restante.model import tally

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "metrics.md"

Metrics = dict[str, tuple[str, tuple[str, ...]]]

_ROW = re.compile(r"^\| `(restante_\w+)` \| (\w+) \| ([`\w ]*) \| (.+) \| (.*) \|$", re.MULTILINE)
_DECLARATION = re.compile(r"\b(?:Counter|Gauge|Histogram)\(\s*\"restante_")
_MADE = re.compile(r"\bfamily\(\s*\"(restante_\w+)\",\s*\"(\w+)\",\s*\"[^\"]+\",\s*\(([^)]*)\)")


def documented() -> Metrics:
    """Return what the document tells."""
    text = DOCUMENT.read_text()
    rows = _ROW.findall(text)
    assert len(rows) == text.count("\n| `restante_"), "a row is not written as the others"
    assert len({row[0] for row in rows}) == len(rows), "a metric is told twice"
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, *_ in rows}


def declared() -> Metrics:
    """Return what the code declares, and what the parent makes for each scrape."""
    found: Metrics = {}
    for base in (ROOT / "libs", ROOT):
        for tree in ("restante", "services"):
            for path in sorted((base / tree).rglob("*.py")):
                source = path.read_text()
                for name, kind, labels in _MADE.findall(source):
                    found[name] = kind, tuple(re.findall(r"\"(\w+)\"", labels))
                if _DECLARATION.search(source):
                    importlib.import_module(".".join(path.relative_to(base).with_suffix("").parts))
    for name, metric in tally.declared().items():
        if name.startswith("restante_"):
            found[name] = metric.kind, metric.label_names
    return found


def samples_of(name: str, kind: str) -> set[str]:
    """Return the names under which Prometheus knows a metric."""
    if kind == "histogram":
        return {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {name}
