"""What deploy/observability asks of metrics: every expression, and the names in it."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.arch.metrics_doc import documented, samples_of

DIRECTORY = Path(__file__).resolve().parents[2] / "deploy" / "observability"
ALERTS = DIRECTORY / "alerts.yml"
DASHBOARDS = sorted((DIRECTORY / "grafana" / "dashboards").glob("*.json"))

_NAME = re.compile(r"(?<![\w:])[a-z][\w]*:?restante_[\w:]+|(?<![\w:])restante_\w+")
_OTHERS = {"up", "ALERTS"}


def rules() -> list[dict[str, Any]]:
    """Return all rules of alerts.yml."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Return those that are alerts."""
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[tuple[str, str, str]]:
    """Return (dashboard, panel, expression as Prometheus gets it) of every query."""
    found = []
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"].replace("$__rate_interval", "1m")
                for variable in ("$service", "$instance"):
                    expression = expression.replace(variable, ".*")
                found.append((path.stem, panel["title"], expression))
    return found


def expressions() -> list[str]:
    """Return every expression of rules and dashboards."""
    return [rule["expr"] for rule in rules()] + [expression for *_, expression in panels()]


def unknown_names(expression: str) -> set[str]:
    """Return the names in an expression that neither the document nor a rule makes."""
    known = {
        sample for name, (kind, _) in documented().items() for sample in samples_of(name, kind)
    }
    known |= {rule["record"] for rule in rules() if "record" in rule} | _OTHERS
    return set(_NAME.findall(expression)) - known
