"""Every alert fires for what it is there for, and none where all is well (promtool test rules).

A case is what must be there beside a healthy system: series in promtool's notation, a value each
minute. Its series take the place of healthy ones of the same name and labels.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.arch.observability import ALERTS, alerts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed"
    ),
]

_MINUTES = 100  # of made-up time
_VOLUME = "/srv/mail"
_SERVICES = {
    "auth": "auth:9101",
    "delivery": "delivery:9102",
    "pop3": "pop3:9103",
    "imap": "imap:9104",
    "webmail": "webmail:9105",
}
Series = dict[str, str]


def series(name: str, service: str, /, **labels: str) -> str:
    """Return a series of a service's metric, without its prefix, as it is scraped."""
    given = {"instance": _SERVICES[service], "job": service, "service": service, **labels}
    return f"restante_{name}{{{','.join(f'{k}={json.dumps(v)}' for k, v in given.items())}}}"


def flat(value: float) -> str:
    return f"{value}x{_MINUTES}"


def grows(step: float) -> str:
    return f"0+{step}x{_MINUTES}"


def histogram(name: str, service: str, *, fast: int, slow: int = 0, **labels: str) -> Series:
    """So many values a minute that are at most 0.1 s, so many that are at most 10 s."""
    bounds = {"0.1": fast, "10.0": fast + slow, "+Inf": fast + slow}
    return {
        series(f"{name}_bucket", service, le=bound, **labels): grows(count)
        for bound, count in bounds.items()
    }


def healthy() -> Series:
    """A system under load in which nothing is wrong."""
    found: Series = {}
    for service, address in _SERVICES.items():
        found |= {
            f'up{{instance="{address}",job="{service}"}}': flat(1),
            series("ready", service): flat(1),
            series("workers", service, state="configured"): flat(2),
            series("worker_restarts_total", service): flat(1),
            series("sessions_failed_total", service): flat(0),
            series("limit", service, name="connections"): flat(100),
            series("worker_open_files", service, worker="0"): flat(100),
            series("worker_open_files_limit", service, worker="0"): flat(1000),
            series("certificate_expiry_timestamp_seconds", service, file="a"): flat(9e9),
            series("errors_total", service, kind="temporary"): flat(3),
            series("errors_total", service, kind="auth_failed"): grows(300),
            series("connections_refused_total", service, reason="total"): flat(7),
            **histogram("event_loop_lag_seconds", service, fast=60),
        }
    for service in ("imap", "pop3", "delivery"):
        found |= {
            series(f"{service}_connections", service): flat(50),
            series("auth_client_watch_synced_workers", service): flat(2),
            series("store_hints_up_workers", service): flat(2),
            series("store_lock_timeouts_total", service): flat(1),
            series("store_index_salvages_total", service, what="damaged"): flat(1),
            series("store_index_salvages_total", service, what="torn"): grows(5),
            series("volume_present", service, volume=_VOLUME): flat(1),
            series("volume_size_bytes", service, volume=_VOLUME): flat(1e12),
            series("volume_free_bytes", service, volume=_VOLUME): flat(5e11),
            series("volume_inodes", service, volume=_VOLUME): flat(1e9),
            series("volume_free_inodes", service, volume=_VOLUME): flat(5e8),
            **histogram("store_lock_wait_seconds", service, fast=600),
            **histogram("store_hint_lag_seconds", service, fast=600),
        }
    for result, step in (("ok", 600), ("auth_failed", 30), ("temporary", 0)):
        for service in ("imap", "pop3"):
            name = f"{service}_logins_total"
            found[series(name, service, mechanism="login", result=result)] = grows(step)
        labels = {"protocol": "imap", "mechanism": "plain", "result": result}
        found[series("auth_logins_total", "auth", **labels)] = grows(step)
    for name in (
        "throttle_refusals_total",
        "verify_refusals_total",
        "throttle_redis_faults_total",
        "database_faults_total",
        "audit_dropped_total",
        "audit_oldest_seconds",
    ):
        found[series(f"auth_{name}", "auth")] = flat(0)
    found |= histogram("auth_verify_wait_seconds", "auth", fast=60)
    for result, step in (("stored", 600), ("temporary", 0), ("over_quota", 60)):
        name = series("delivery_results_total", "delivery", hook="lmtp", result=result)
        found[name] = grows(step)
    found |= histogram("delivery_seconds", "delivery", fast=600, hook="lmtp")
    return found


def sick() -> dict[str, Series]:
    """What makes each alert fire."""
    login = {"mechanism": "login"}
    return {
        "RestanteServiceDown": {'up{instance="imap:9104",job="imap"}': flat(0)},
        "RestanteServiceNotReady": {series("ready", "imap"): flat(0)},
        "RestanteServiceAbsent": {series("ready", "auth"): f"_x{_MINUTES}"},
        "RestanteWorkerRestarts": {series("worker_restarts_total", "imap"): grows(1)},
        "RestanteEventLoopLag": histogram("event_loop_lag_seconds", "imap", fast=50, slow=10),
        "RestanteFailedSessions": {series("sessions_failed_total", "imap"): grows(1)},
        "RestanteConnectionsNearLimit": {series("imap_connections", "imap"): flat(90)},
        "RestanteConnectionsRefused": {
            series("connections_refused_total", "imap", reason="total"): grows(120)
        },
        "RestanteOpenFilesNearLimit": {series("worker_open_files", "imap", worker="0"): flat(950)},
        "RestanteCertificateExpires": {
            series("certificate_expiry_timestamp_seconds", "imap", file="a"): flat(1e5)
        },
        "RestanteNoLoginSucceeds": {
            series("imap_logins_total", "imap", **login, result="ok"): flat(7)
        },
        "RestanteAuthUnreachable": {series("auth_client_watch_synced_workers", "imap"): flat(1)},
        "RestanteTemporaryLogins": {
            series("imap_logins_total", "imap", **login, result="temporary"): grows(100)
        },
        "RestanteBruteForce": {series("auth_throttle_refusals_total", "auth"): grows(120)},
        "RestanteThrottleAlone": {
            series("auth_throttle_redis_faults_total", "auth"): grows(1),
        },
        "RestantePasswordQueue": histogram("auth_verify_wait_seconds", "auth", fast=10, slow=50),
        "RestanteDatabaseFaults": {series("auth_database_faults_total", "auth"): grows(1)},
        "RestanteAuditLost": {series("auth_audit_oldest_seconds", "auth"): flat(400)},
        "RestanteDeliveriesFail": {
            series("delivery_results_total", "delivery", hook="lmtp", result="temporary"): grows(
                100
            )
        },
        "RestanteDeliverySlow": histogram(
            "delivery_seconds", "delivery", fast=300, slow=300, hook="lmtp"
        ),
        "RestanteTemporaryFailures": {series("errors_total", "imap", kind="temporary"): grows(120)},
        "RestanteLockWaits": histogram("store_lock_wait_seconds", "imap", fast=300, slow=300),
        "RestanteIndexDamaged": {
            series("store_index_salvages_total", "imap", what="damaged"): grows(1)
        },
        "RestanteHintsDown": {series("store_hints_up_workers", "imap"): flat(0)},
        "RestanteHintLag": histogram("store_hint_lag_seconds", "imap", fast=300, slow=300),
        "RestanteVolumeMissing": {series("volume_present", "imap", volume=_VOLUME): flat(0)},
        "RestanteVolumeNearlyFull": {
            series("volume_free_bytes", "imap", volume=_VOLUME): flat(9e10)
        },
        "RestanteVolumeFull": {series("volume_free_bytes", "imap", volume=_VOLUME): flat(1e10)},
        "RestanteVolumeInodes": {series("volume_free_inodes", "imap", volume=_VOLUME): flat(9e7)},
    }


# What fires beside the alert of a case, since it is so, too.
_ALONG = {
    "RestanteServiceNotReady": {"RestanteServiceAbsent"},
    "RestanteVolumeFull": {"RestanteVolumeNearlyFull"},
}


def _case(changed: Series, firing: set[str]) -> dict[str, object]:
    names = {alert["alert"] for alert in alerts()}
    expected = [
        {"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})', "exp_samples": found}
        for name in sorted(names)
        for found in [[{"labels": "{}", "value": 1}] if name in firing else []]
    ]
    everything = {**healthy(), **changed}
    return {
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in everything.items()],
        "promql_expr_test": [{**one, "eval_time": f"{_MINUTES - 5}m"} for one in expected],
    }


def test_alerts_fire_for_their_cause_and_not_else(tmp_path: Path) -> None:
    cases = sick()
    assert cases.keys() == {alert["alert"] for alert in alerts()}, "each alert has its case"
    tests = [_case({}, set())]
    tests += [_case(changed, {name, *_ALONG.get(name, ())}) for name, changed in cases.items()]
    file = tmp_path / "alerts_test.yml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests},
            sort_keys=False,
        )
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
