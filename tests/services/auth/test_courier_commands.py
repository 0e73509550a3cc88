"""`restante auth test`, `who`, and Courier's commands under their own names, on a running system.

The expected text is what Debian's courier-authlib 0.72 prints for the same accounts.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from restante.cli.authenumerate import authenumerate
from restante.cli.authtest import authtest
from restante.cli.main import app
from tests.services.auth.process import AuthProcess, auth_process

HASH = "$1$nhpB9Tpb$4b4OuITz0lH/0KXM3tYJR."  # of "secret"
USERS = f"""\
fred@example.test\thome=/srv/fred|uid=1000|gid=1000|mail=/srv/fred/Maildir|quota=1000000S,100C\
|systempw={HASH}|gecos=Fred Foo, Room 5|options=disableimap=1,group=staff
ann@example.test\thome=/srv/ann|uid=1001|gid=1001|options=disableshared=1
"""


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthProcess]:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        data = Path(name)
        users = data / "userdb"
        users.write_text(USERS)
        users.chmod(0o600)
        with auth_process(
            data,
            RESTANTE_AUTH_MODULES="userdb sql",
            RESTANTE_AUTH_USERDB=str(users),
            RESTANTE_AUTH_DEFAULT_OPTIONS="wbnodsn=1",
        ) as process:
            yield process


@pytest.fixture(autouse=True)
def data(auth: AuthProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_DATA", str(auth.data))


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


def test_authtest_as_couriers(capsys: pytest.CaptureFixture[str]) -> None:
    expected = f"""\
Authentication succeeded.

     Authenticated: fred@example.test  (uid 1000, gid 1000)
    Home Directory: /srv/fred
           Maildir: /srv/fred/Maildir
             Quota: 1000000S,100C
Encrypted Password: {HASH}
Cleartext Password: (none)
           Options: disableimap=1,group=staff,wbnodsn=1
"""
    assert authtest(["fred@example.test"]) == 0
    assert capsys.readouterr().out == expected
    assert authtest(["-s", "imap", "fred@example.test", "secret"]) == 0
    assert capsys.readouterr().out == expected.replace("(none)", "secret")
    for words in (["fred@example.test", "wrong"], ["ann@example.test", "x"]):
        assert authtest(words) == 1
        assert capsys.readouterr().err == "Authentication FAILED: Operation not permitted\n"
    for words in ([], ["-x"], ["-s", "imap"], ["a", "b", "c", "d"]):
        assert authtest(words) == 1
        usage = "Usage: authtest [-s service] userid [ password [ newpassword ] ]\n"
        assert capsys.readouterr().err == usage


def test_authtest_changes_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    run("domain", "add", "change.test")
    run("account", "add", "sue@change.test", "--password-stdin", stdin="first Word 1\n")
    assert authtest(["sue@change.test", "first Word 1", "second Word 2"]) == 0
    assert capsys.readouterr().out == "Password change succeeded.\n"
    assert authtest(["sue@change.test", "first Word 1"]) == 1
    assert authtest(["sue@change.test", "second Word 2"]) == 0
    assert authtest(["sue@change.test", "first Word 1", "third Word 3"]) == 1


def test_authtest_without_a_running_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESTANTE_DATA", str(tmp_path))
    monkeypatch.setenv("RESTANTE_ADMIN_TOKEN", "x")
    assert authtest(["fred@example.test"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ERR: ")
    assert captured.err.endswith("\nAuthentication FAILED: Invalid argument\n")
    assert run("authenumerate").exit_code == 1


def test_authenumerate_as_couriers(capsys: pytest.CaptureFixture[str]) -> None:
    fred = "fred@example.test\t1000\t1000\t/srv/fred\t/srv/fred/Maildir"
    ann = "ann@example.test\t1001\t1001\t/srv/ann\t/srv/ann/Maildir"

    def listed(*words: str) -> set[str]:
        assert authenumerate(words) == 0
        lines = capsys.readouterr().out.splitlines()
        return {line for line in lines if "example.test" in line}

    assert listed() == {fred, ann}
    assert listed("-s") == {fred}
    options = f"{fred}\tdisableimap=1,group=staff,wbnodsn=1"
    assert listed("-s", "-o") == {options}
    assert listed("-o") == {options, f"{ann}\tdisableshared=1,wbnodsn=1"}
    for words in (["-so"], ["x"], ["-m", "authuserdb"]):
        assert authenumerate(words) == 1
        assert capsys.readouterr().err == "Usage: authenumerate [-s] [-o]\n"


def test_the_same_as_sub_commands() -> None:
    done = run("authtest", "-s", "imap", "fred@example.test", "wrong")
    assert (done.exit_code, done.stderr) == (1, "Authentication FAILED: Operation not permitted\n")
    assert run("authenumerate", "-s").exit_code == 0
    assert run("authpasswd", "md5", stdin="abc\n").stdout == "{MD5}kAFQmDzST7DWlj99KOF/cg==\n"


def test_auth_test(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("auth", "test", "fred@example.test", "--password-stdin", "--trace", stdin="secret\n")
    assert done.exit_code == 0
    steps, _, shown = done.stdout.partition("\n\n")
    assert [line.split("\t")[:2] for line in steps.splitlines()] == [
        ["throttle", "go on"],
        ["module userdb", "found"],
        ["password md5-crypt", "fits"],
    ]
    assert shown.startswith("Authentication succeeded.\n")
    assert "Encrypted Password: (hidden: --show-hash)\n" in shown
    assert "Cleartext Password: (none)\n" in shown
    assert HASH not in done.stdout
    assert "secret" not in done.stdout
    done = run("auth", "test", "fred@example.test", "--lookup", "--show-hash")
    assert f"Encrypted Password: {HASH}\n" in done.stdout
    done = run("auth", "test", "fred@example.test", "--password-stdin", "--json", stdin="no\n")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["outcome"], found["account"]) == ("auth_failed", None)
    assert found["steps"][1]["who"] == "module userdb"
    assert run("auth", "test", "fred@example.test").exit_code == 2  # nobody to ask
    assert run("auth", "test", "a", "--lookup", "--password-stdin", stdin="x\n").exit_code == 2
    done = run("auth", "test", "a", "--mechanism", "external", "--password-stdin", stdin="x\n")
    assert done.exit_code == 2
    assert done.stderr.startswith("restante: tried are plain")


def test_who_without_sessions() -> None:
    assert run("who").stdout == ""
    found = json.loads(run("who", "--json", "--domain", "example.test").stdout)
    assert found == {"sessions": [], "workers": 0, "silent": 0}
    assert run("who", "fred@example.test", "--domain", "example.test").exit_code == 2
    assert run("who", "not an address").exit_code == 2
    done = json.loads(run("kick", "fred@example.test", "--json").stdout)
    assert done == {"address": "fred@example.test", "sessions": 0, "silent_workers": 0}
    assert run("kick", "nobody@example.test").exit_code == 3
