"""deploy/observability: what it asks for is documented, parses, and says what is to be done."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.arch.observability import (
    ALERTS,
    DASHBOARDS,
    DIRECTORY,
    alerts,
    expressions,
    panels,
    unknown_names,
)

PORTS = {"auth": 9101, "delivery": 9102, "pop3": 9103, "imap": 9104, "webmail": 9105}

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed"
)


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(
        ["promtool", *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_documented_metrics_are_asked_for() -> None:
    assert {e: names for e in expressions() if (names := unknown_names(e))} == {}
    assert unknown_names("rate(restante_no_such_thing_total[5m]) / restante_ready") == {
        "restante_no_such_thing_total"
    }


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket"), alert["alert"]
        assert {"summary", "description", "action"} <= alert["annotations"].keys(), alert["alert"]


def test_every_service_is_scraped_where_it_listens() -> None:
    config = yaml.safe_load((DIRECTORY / "prometheus.yml").read_text())
    found = {
        one["names"][0]: one["port"]
        for job in config["scrape_configs"]
        for one in job.get("dns_sd_configs", ())
    }
    assert found == PORTS


def test_dashboards_are_whole() -> None:
    assert len(DASHBOARDS) == 6
    assert all(title and expression for _, title, expression in panels())
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        assert dashboard["uid"] == path.stem
        places = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(places)) == len(places)
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, panel["title"]
            for target in panel.get("targets", ()):
                assert target["datasource"]["uid"] == "prometheus"


@promtool
def test_prometheus_takes_its_files() -> None:
    run("check", "config", "prometheus.yml", cwd=DIRECTORY)
    run("check", "rules", "--lint=all", "--lint-fatal", ALERTS.name, cwd=DIRECTORY)


@promtool
def test_every_expression_parses(tmp_path: Path) -> None:
    made = [{"record": f"panel:{n}", "expr": e} for n, e in enumerate(expressions())]
    group = {"groups": [{"name": "all", "rules": made}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(group))
    run("check", "rules", "rules.yml", cwd=tmp_path)
