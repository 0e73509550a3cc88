"""A real Prometheus scrapes really running services; the dashboards' queries find something."""

import contextlib
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.arch.observability import ALERTS, panels
from tests.services.metrics.exercise import PASSWORD, USER, everything
from tests.support import System
from tests.support.scrape import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="prometheus (Debian) is not installed"
    ),
]

_FOUND = {
    "restante-overview": {"Ready replicas", "Connections", "Logins", "Deliveries", "Commands"},
    "restante-logins": {"IMAP logins by result", "Calls by method", "Logins judged"},
    "restante-delivery": {"Recipients by result", "Octets that came in", "HTTP by status"},
    "restante-clients": {"Commands", "IMAP sessions", "TLS handshakes", "NO and BAD"},
    "restante-store": {"There", "Bytes in use", "Listings", "Hints", "Mailboxes in memory"},
    "restante-workers": {"Workers ready", "Processor", "Memory", "Open files"},
}


class Prometheus:
    """One that scrapes every second what `targets` (job -> host:port) tell."""

    def __init__(self, directory: Path, targets: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ALERTS)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target]}]}
                for job, target in targets.items()
            ],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = (directory / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/tsdb",
                f"--web.listen-address={self._url.removeprefix('http://')}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return what a query finds now."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{query}", timeout=20) as answer:
            found = json.load(answer)
        assert found["status"] == "success"
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def ready(self) -> bool:
        """True once it answers."""
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return bool(urllib.request.urlopen(f"{self._url}/-/ready", timeout=5).status == 200)
        return False

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    with System(directory, env={"RESTANTE_WORKERS": "2"}) as system:
        system.add_account(USER, PASSWORD)
        targets = {
            name: "{}:{}".format(*service.address("health_listen"))
            for name, service in system.services.items()
        }
        prometheus = Prometheus(directory, targets)
        try:
            wait_for(prometheus.ready, "prometheus", 60)
            wait_for(lambda: len(prometheus.ask("restante_ready == 1")) == 5, "five services", 60)
            everything(system)
            stored = 'hook:restante_delivery_results:rate5m{hook="http",result="stored"} > 0'
            wait_for(lambda: bool(prometheus.ask(stored)), "a rate of deliveries", 60)
            judged = 'service:restante_auth_logins:rate5m{result="auth_failed"} > 0'
            wait_for(lambda: bool(prometheus.ask(judged)), "a rate of logins", 60)
            requests = 'rate(restante_http_request_seconds_count{service="delivery"}[5m])'
            wait_for(lambda: bool(prometheus.ask(requests)), "a rate of requests", 60)
            yield prometheus
        finally:
            prometheus.stop()


def test_every_panel_can_be_asked_and_the_main_ones_show_something(prometheus: Prometheus) -> None:
    shown: dict[str, set[str]] = {}
    for dashboard, panel, expression in panels():
        if prometheus.ask(expression.replace("[1m]", "[5m]")):
            shown.setdefault(dashboard, set()).add(panel)
    assert {name: wanted - shown.get(name, set()) for name, wanted in _FOUND.items()} == {
        name: set() for name in _FOUND
    }


def test_nothing_is_wrong_with_a_system_that_works(prometheus: Prometheus) -> None:
    # A machine under tests may be slow; that much is true, then.
    slow = {"RestanteEventLoopLag", "RestanteDeliverySlow", "RestanteLockWaits"}
    found = {row["metric"]["alertname"] for row in prometheus.ask('ALERTS{alertstate="firing"}')}
    assert found <= slow
