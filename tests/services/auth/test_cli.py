"""`restante domain` and `restante account` against a running auth service."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from restante.cli.main import app
from restante.model import MailError
from restante.rpc.client import AuthClient
from tests.services.auth.process import AuthProcess, auth_process


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthProcess]:
    with tempfile.TemporaryDirectory(prefix="rst") as name, auth_process(Path(name)) as process:
        yield process


@pytest.fixture
def cli(auth: AuthProcess, monkeypatch: pytest.MonkeyPatch) -> "Cli":
    monkeypatch.setenv("RESTANTE_DATA", str(auth.data))
    return Cli()


class Cli:
    def __call__(self, *words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, list(words), input=stdin)

    def ok(self, *words: str, stdin: str = "") -> str:
        result = self(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def fails(self, code: int, *words: str, stdin: str = "") -> str:
        result = self(*words, stdin=stdin)
        assert result.exit_code == code, result.output
        return result.stderr


async def can_log_in(auth: AuthProcess, user: str, password: str) -> str:
    client = AuthClient(auth.target)
    try:
        await client.authenticate(user, password, service="imap")
    except MailError as error:
        return error.kind.value
    finally:
        await client.close()
    return "yes"


def test_domains(cli: Cli) -> None:
    assert cli.ok("domain", "add", "One.Example.test") == "added domain one.example.test\n"
    made = json.loads(cli.ok("domain", "add", "two.example.test", "--quota", "5S", "--json"))
    assert (made["name"], made["default_quota"], made["accounts"]) == ("two.example.test", "5S", 0)
    lines = cli.ok("domain", "list").splitlines()
    assert "one.example.test\t0\t\t" in lines
    assert "two.example.test\t0\t5S\t" in lines
    assert "exists already" in cli.fails(4, "domain", "add", "one.example.test")
    assert "no domain" in cli.fails(3, "domain", "show", "none.example.test")
    cli.fails(2, "domain", "add", "../etc")
    cli.ok("domain", "update", "two.example.test", "--quota", "")
    assert "default_quota\t\n" in cli.ok("domain", "show", "two.example.test")
    cli.fails(2, "domain", "update", "two.example.test")
    assert "would remove" in cli.ok("domain", "remove", "two.example.test", "--dry-run")
    cli.ok("domain", "show", "two.example.test")
    cli.ok("domain", "remove", "two.example.test")
    cli.fails(3, "domain", "remove", "two.example.test")


async def test_the_life_of_an_account(cli: Cli, auth: AuthProcess) -> None:
    cli.ok("domain", "add", "life.test")
    fred = "fred@life.test"
    cli.ok("account", "add", fred, "--password-stdin", "--name", "Fred", stdin="a pass word\n")
    assert await can_log_in(auth, fred, "a pass word") == "yes"
    assert cli.ok("account", "list", "life.test") == "fred@life.test\tFred\t\t\t\n"
    cli.ok("account", "disable", fred)
    assert await can_log_in(auth, fred, "a pass word") == "disabled"
    assert cli.ok("account", "list", "life.test") == "fred@life.test\tFred\t\t\tyes\n"
    cli.ok("account", "enable", fred)
    cli.ok("account", "passwd", fred, "--password-stdin", stdin="other\r\n")
    assert await can_log_in(auth, fred, "a pass word") == "auth_failed"
    assert await can_log_in(auth, fred, "other") == "yes"
    assert cli.ok("kick", fred) == "ended the sessions of fred@life.test: 0\n"
    assert await can_log_in(auth, fred, "other") == "yes"
    cli.fails(3, "kick", "nobody@life.test")
    cli.ok("account", "passwd", fred, "--hash-stdin", stdin="{PLAIN}moved\n")
    assert await can_log_in(auth, fred, "moved") == "yes"
    cli.ok("account", "passwd", fred, "--clear")
    assert await can_log_in(auth, fred, "") == "auth_failed"
    cli.ok("account", "update", fred, "--quota", "7S", "--options", "disableimap=1")
    shown = json.loads(cli.ok("account", "show", fred, "--json"))
    assert (shown["quota"], shown["options"], shown["has_password"]) == (
        "7S",
        "disableimap=1",
        False,
    )
    assert "password\tnone\n" in cli.ok("account", "show", fred)
    assert "there is no mail" in cli.ok("account", "remove", fred)
    cli.fails(3, "account", "show", fred)


def test_passwords_never_stand_in_the_arguments(cli: Cli) -> None:
    cli.ok("domain", "add", "argv.test")
    message = cli.fails(2, "account", "add", "fred@argv.test")
    assert "--password-stdin" in message
    cli.fails(2, "account", "add", "fred@argv.test", "--password", "secret")
    cli.fails(2, "account", "add", "fred@argv.test", "--password-stdin", stdin="")
    cli.fails(2, "account", "add", "fred@argv.test", "--password-stdin", "--no-password")
    cli.fails(2, "account", "add", "fred@argv.test", "--hash-stdin", stdin="nonsense\n")
    cli.fails(3, "account", "show", "fred@argv.test")


def test_removal_keeps_mail_unless_told(cli: Cli, auth: AuthProcess) -> None:
    cli.ok("domain", "add", "gone.test")
    ann = "ann@gone.test"
    cli.ok("account", "add", ann, "--no-password")
    home = auth.data / "mail/gone.test/a/an/ann"
    (home / "Maildir/new").mkdir(parents=True)
    (home / "Maildir/new/1.M1.host").write_text("canary")
    assert str(home) in cli.ok("account", "remove", ann, "--dry-run")
    cli.ok("account", "show", ann)
    assert "stays" in cli.ok("account", "remove", ann)
    assert (home / "Maildir/new/1.M1.host").exists()

    made = json.loads(cli.ok("account", "add", ann, "--no-password", "--json"))
    second = Path(made["home"])
    assert second != home  # whoever has the address now does not get the old mail
    second.mkdir()
    assert "--yes" in cli.fails(2, "account", "remove", ann, "--purge-mail")
    assert str(second) in cli.ok("account", "remove", ann, "--purge-mail", "--dry-run")
    assert second.exists()
    assert "is gone" in cli.ok("account", "remove", ann, "--purge-mail", "--yes")
    assert not second.exists()
    assert home.exists()
    made = json.loads(cli.ok("account", "add", ann, "--no-password", "--json"))
    assert Path(made["home"]) not in (home, second)
    assert "still has accounts: 1" in cli.fails(1, "domain", "remove", "gone.test")


def test_exit_codes_of_what_is_wrong_outside(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RESTANTE_ADMIN_TOKEN", "not the token")
    assert "token" in cli.fails(6, "domain", "list")
    monkeypatch.setenv("RESTANTE_DATA", str(tmp_path))
    assert "cannot be reached" in cli.fails(5, "domain", "list")
    monkeypatch.delenv("RESTANTE_ADMIN_TOKEN")
    assert "RESTANTE_DATA" in cli.fails(5, "domain", "list")


def test_audit(cli: Cli, auth: AuthProcess) -> None:
    cli.ok("domain", "add", "audit.test")
    cli.ok("account", "add", "eve@audit.test", "--password-stdin", stdin="hidden-word\n")
    cli.fails(4, "account", "add", "eve@audit.test", "--password-stdin", stdin="hidden-word\n")
    log = auth.log()
    assert 'action=admin.account.create actor="admin token"' in log
    assert "address=eve@audit.test peer=unix: result=ok" in log
    assert "address=eve@audit.test peer=unix: result=already_exists" in log
    assert "hidden-word" not in log
