"""What a service says at /metrics."""

import time
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import ServiceProcess

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(service: ServiceProcess) -> Samples:
    """Return the value of every sample by its name and labels, without `service`."""
    status, text = service.http("/metrics")
    assert status == 200
    return {
        (sample.name, frozenset(item for item in sample.labels.items() if item[0] != "service")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(service: ServiceProcess, name: str, **labels: str) -> float:
    """Return a sample's value; 0 where there is none."""
    return samples(service).get((name, frozenset(labels.items())), 0)


def total(service: ServiceProcess, name: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels, whatever others they have."""
    wanted = labels.items()
    found = samples(service).items()
    return sum(number for (own, all_), number in found if own == name and wanted <= all_)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait until the workers have told what they counted."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
