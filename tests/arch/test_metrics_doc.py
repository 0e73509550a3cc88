"""docs/metrics.md and the code say the same, and names follow Prometheus' conventions."""

import re

from tests.arch.metrics_doc import declared, documented


def test_every_metric_is_documented_as_it_is() -> None:
    assert documented() == declared()


def test_names_are_as_prometheus_wants_them() -> None:
    for name, (kind, labels) in declared().items():
        assert re.fullmatch(r"restante_[a-z0-9_]+", name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not name.endswith(("_count", "_sum", "_bucket", "_info_total")), name
        assert not re.search(r"_(ms|milliseconds|kb|mb|minutes)(_|$)", name), name
        assert not {"service", "le", "quantile", "job", "instance"} & set(labels), name
        assert not {"user", "account", "address", "peer", "path"} & set(labels), name
