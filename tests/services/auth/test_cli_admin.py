"""`restante token`, `master`, `audit` and `security` against a running auth service."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.cli import times
from restante.rpc.client import AdminClient
from tests.services.auth.process import AuthProcess, auth_process
from tests.services.auth.test_cli import Cli

FRED = "fred@example.test"


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthProcess]:
    with tempfile.TemporaryDirectory(prefix="rst") as name, auth_process(Path(name)) as process:
        yield process


@pytest.fixture
def cli(auth: AuthProcess, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("RESTANTE_DATA", str(auth.data))
    cli = Cli()
    cli("domain", "add", "example.test")
    cli("account", "add", FRED, "--password-stdin", stdin="hidden-word\n")
    return cli


def test_tokens(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = ("--role", "domain-admin", "--domain", "example.test")
    secret = cli.ok("token", "add", "front desk", *bound, "--expires", "4w").strip()
    (line,) = cli.ok("token", "list").splitlines()
    wanted, name, role, domains, expires, last_used = line.split("\t")
    assert (name, role, domains, last_used) == ("front desk", "domain-admin", "example.test", "")
    assert expires.endswith("Z")
    monkeypatch.setenv("RESTANTE_ADMIN_TOKEN", secret)
    assert cli.ok("account", "list").startswith(FRED)
    assert "may not" in cli.fails(6, "token", "list")
    assert "domains" in cli.fails(6, "domain", "show", "other.test")
    monkeypatch.delenv("RESTANTE_ADMIN_TOKEN")
    assert json.loads(cli.ok("token", "list", "--json"))[0]["last_used"] > 0
    assert cli.ok("token", "remove", wanted) == f"removed token {wanted}\n"
    cli.fails(3, "token", "remove", wanted)
    monkeypatch.setenv("RESTANTE_ADMIN_TOKEN", secret)
    cli.fails(6, "account", "list")


def test_wrong_tokens_are_not_made(cli: Cli) -> None:
    assert "superadmin" in cli.fails(2, "token", "add", "x", "--role", "king")
    assert "domains" in cli.fails(2, "token", "add", "x", "--role", "domain-admin")
    assert "90d" in cli.fails(2, "token", "add", "x", "--role", "read-only", "--expires", "soon")


def test_masters(cli: Cli) -> None:
    assert cli.ok("master", "add", FRED, "--domain", "example.test") == (
        f"{FRED} is master of example.test\n"
    )
    cli.fails(4, "master", "add", FRED)
    cli.fails(3, "master", "add", "nobody@example.test")
    assert cli.ok("master", "list").startswith(f"{FRED}\texample.test\t")
    cli.ok("master", "remove", FRED)
    cli.fails(3, "master", "remove", FRED)


def test_the_audit_log(cli: Cli, auth: AuthProcess) -> None:
    cli.ok("account", "update", FRED, "--name", "Fred")
    line = cli.ok("audit", FRED, "--limit", "1").split("\t")
    assert line[1:4] == ["admin.account.update", "admin token", FRED]
    found = json.loads(cli.ok("audit", "--domain", "example.test", "--json"))
    assert [entry["id"] for entry in found] == sorted((e["id"] for e in found), reverse=True)
    actions = {entry["action"] for entry in found}
    assert {"admin.domain.create", "admin.account.create", "admin.account.update"} <= actions
    created = "admin.account.create"
    found = json.loads(cli.ok("audit", FRED, "--action", created, "--json"))
    assert {entry["action"] for entry in found} == {created}
    assert "hidden-word" not in cli.ok("audit") + auth.log()


def test_many_entries(cli: Cli, auth: AuthProcess) -> None:
    token = (auth.data / "run/admin.token").read_text().strip()
    with AdminClient(auth.target, token) as client:
        for _ in range(510):  # more than a page of the client's
            client.kick(FRED)
        found = list(client.audit(FRED, action="admin.account.kick"))
    assert len({entry.id for entry in found}) == 510


def test_security(cli: Cli) -> None:
    assert cli.ok("security", "show", FRED) == ""
    shown = json.loads(cli.ok("security", "show", FRED, "--json"))
    assert (shown["totp"], shown["app_passwords"]) == (False, [])
    cli.ok("security", "reset", FRED)
    cli.fails(3, "security", "show", "nobody@example.test")
    cli.fails(3, "security", "remove-app-password", FRED, "none")


def test_times() -> None:
    assert times.expiry("") == 0
    assert times.expiry("2030-01-31") == 1896048000
    assert abs(times.expiry("90d") - time.time() - 90 * 86400) < 60
    assert times.shown(1896048000) == "2030-01-31 00:00:00Z"
    assert times.shown(0) == ""
