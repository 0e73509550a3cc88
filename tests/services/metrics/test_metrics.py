"""All services run and are used; what they tell is what docs/metrics.md says."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.arch.metrics_doc import Metrics, documented, samples_of
from tests.services.metrics.exercise import PASSWORD, USER, everything
from tests.support import System
from tests.support.scrape import total, value, wait_for

pytestmark = pytest.mark.slow

# Told only where something is there that this test does not start.
_ELSEWHERE = {"restante_auth_pam_helpers", "restante_auth_pam_waiting"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("metrics"), env={"RESTANTE_WORKERS": "2"}) as system:
        system.add_account(USER, PASSWORD)
        everything(system)
        wait_for(lambda: value(system["imap"], "restante_imap_idle_seconds_count") == 1, "IDLE")
        wait_for(lambda: value(system["pop3"], "restante_pop3_deleted_messages_total") == 1, "QUIT")
        logins = "restante_auth_logins_total"
        wait_for(lambda: total(system["auth"], logins, result="ok") == 2, "logins")
        yield system


def scraped(system: System) -> Metrics:
    found: Metrics = {}
    for service in system.services.values():
        for family in text_string_to_metric_families(service.http("/metrics")[1]):
            name = family.name + ("_total" if family.type == "counter" else "")
            assert family.documentation, name
            assert all(s.labels["service"] == service.name for s in family.samples)
            labels = {
                tuple(k for k in s.labels if k not in ("service", "le")) for s in family.samples
            }
            if family.samples:
                (one,) = labels
                assert found.setdefault(name, (family.type, one)) == (family.type, one)
                assert {s.name for s in family.samples} == samples_of(name, family.type)
    return found


def test_what_is_told_is_documented(system: System) -> None:
    told, known = scraped(system), documented()
    assert {name: known.get(name) for name in told} == told
    silent = {
        name for name, (_, labels) in known.items() if name not in told and not labels
    } - _ELSEWHERE
    assert not silent, "metrics without labels are told from the start"


def test_what_was_done_is_counted(system: System) -> None:
    imap, pop3, delivery, auth = (system[n] for n in ("imap", "pop3", "delivery", "auth"))
    logins = "restante_imap_logins_total"
    assert value(imap, logins, mechanism="login", result="ok") == 1
    assert value(imap, logins, mechanism="login", result="auth_failed") == 1
    for command in ("STARTTLS", "LOGIN", "SELECT", "FETCH", "APPEND", "LOGOUT"):
        count = value(imap, "restante_imap_command_seconds_count", command=command)
        assert count >= 1, command
    failures = "restante_imap_command_failures_total"
    assert value(imap, failures, command="SELECT", result="no") == 1
    assert value(imap, failures, command="bad", result="bad") >= 1
    assert value(imap, "restante_tls_handshakes_total", result="ok", version="TLSv1.3") == 1
    assert total(imap, "restante_store_hint_lag_seconds_count") >= 1
    assert total(imap, "restante_store_notice_seconds_count") >= 1
    assert total(imap, "restante_volume_present") == 1
    assert total(imap, "restante_volume_free_bytes") > 0
    assert value(imap, "restante_auth_client_watch_synced_workers") == 2
    assert (
        value(pop3, "restante_pop3_logins_total", mechanism="plain", result="ok")
        + value(pop3, "restante_pop3_logins_total", mechanism="login", result="ok")
        == 1
    )
    assert value(pop3, "restante_pop3_command_seconds_count", command="RETR") == 1
    results = "restante_delivery_results_total"
    assert value(delivery, results, hook="lmtp", result="stored") == 2
    assert value(delivery, results, hook="http", result="stored") == 1
    checks = "restante_delivery_recipient_checks_total"
    assert value(delivery, checks, result="no_such_user") == 1
    requests = "restante_http_request_seconds_count"
    assert value(delivery, requests, route="/v1/deliver", status="2xx") == 1
    assert value(delivery, requests, route="/v1/deliver", status="4xx") == 1
    assert value(system["webmail"], requests, route="other", status="4xx") == 1
    assert total(auth, "restante_auth_logins_total", result="ok") == 2
    assert total(auth, "restante_auth_logins_total", result="auth_failed") == 2
    assert total(auth, "restante_auth_calls_total", method="Lookup") >= 2
    assert value(auth, "restante_auth_watch_streams") == 6
    assert value(auth, "restante_ready") == 1


def test_the_number_of_samples_is_bounded(system: System) -> None:
    for service in system.services.values():
        lines = [line for line in service.http("/metrics")[1].splitlines() if line[0] != "#"]
        assert len(lines) < 3000, service.name
