"""Alerts and autoscaling go by the metrics that there are."""

import re

import yaml

from tests.k8s.looking import named, of_kind
from tests.k8s.rendering import K8S, ROOT, needs_kustomize, objects
from tests.k8s.rules import ALERTS, RULES, made


def test_the_rules_are_those_of_deploy_observability() -> None:
    """Run `python -m tests.k8s.rules` where this fails."""
    assert RULES.read_text() == made()
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    assert yaml.safe_load(RULES.read_text())["spec"]["groups"] == groups
    assert groups


@needs_kustomize
def test_they_are_rendered() -> None:
    rendering = objects("overlays/isp")
    groups = named(rendering, "PrometheusRule", "restante")["spec"]["groups"]
    assert groups == yaml.safe_load(ALERTS.read_text())["groups"]


@needs_kustomize
def test_autoscalers_go_by_metrics_that_the_adapter_makes() -> None:
    """And that docs/metrics.md, which is held against the services, has as gauges."""
    values = K8S / "components" / "prometheus-operator" / "adapter-values.yaml"
    (rule,) = yaml.safe_load(values.read_text())["rules"]["custom"]
    series = re.search(r'__name__=~"(.*?)"', rule["seriesQuery"])
    assert series
    document = (ROOT / "docs" / "metrics.md").read_text()
    asked = [
        metric["pods"]["metric"]["name"]
        for scaler in of_kind(objects("overlays/isp"), "HorizontalPodAutoscaler")
        for metric in scaler["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    assert sorted(asked) == ["restante_imap_connections", "restante_pop3_connections"]
    for name in asked:
        assert re.fullmatch(series[1], name)
        assert f"| `{name}` | gauge |" in document


@needs_kustomize
def test_jobs_of_pods_are_those_that_the_alerts_ask_for() -> None:
    monitor = named(objects("overlays/isp"), "PodMonitor", "restante")["spec"]
    (relabelling,) = monitor["podMetricsEndpoints"][0]["relabelings"]
    assert relabelling["targetLabel"] == "job"
    (names,) = monitor["selector"]["matchExpressions"]
    (wanted,) = set(re.findall(r'up\{job=~"(.*?)"\}', ALERTS.read_text()))
    assert set(wanted.split("|")) == set(names["values"])
