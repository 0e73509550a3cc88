"""Writes components/prometheus-operator/rules.yaml from deploy/observability/alerts.yml.

Run `python -m tests.k8s.rules` after a change of the alerts.
"""

from typing import Final

from tests.k8s.rendering import K8S, ROOT

ALERTS: Final = ROOT / "deploy" / "observability" / "alerts.yml"
RULES: Final = K8S / "components" / "prometheus-operator" / "rules.yaml"

_HEAD: Final = """\
# Written by `python -m tests.k8s.rules` from deploy/observability/alerts.yml: change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: restante
  labels:
    app.kubernetes.io/part-of: restante
spec:
"""


def made() -> str:
    """Return what rules.yaml should be."""
    lines = [
        line
        for line in ALERTS.read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return _HEAD + "".join(f"  {line}\n" for line in lines)


if __name__ == "__main__":
    RULES.write_text(made())
