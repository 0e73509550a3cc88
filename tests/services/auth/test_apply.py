"""`restante account apply`, `export` and `import` against a running auth service."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from restante.cli.main import app
from tests.services.auth.process import AuthProcess, auth_process
from tests.services.auth.test_cli import can_log_in


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthProcess]:
    with tempfile.TemporaryDirectory(prefix="rst") as name, auth_process(Path(name)) as process:
        yield process


@pytest.fixture(autouse=True)
def data(auth: AuthProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_DATA", str(auth.data))


def run(*words: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def ok(*words: str | Path) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(code: int, *words: str | Path) -> str:
    result = run(*words)
    assert result.exit_code == code, result.output
    return result.stderr


FILE = """\
domains:
  apply.test: {quota: 100S}
accounts:
  fred@apply.test:
    name: Fred
    options: disableimap=1
    password_file: fred.secret
  ann@apply.test: {password_hash: "{PLAIN}her word 1", quota: 5S}
  joe@apply.test: {home: /srv/joe, maildir: /srv/joe/box, uid: 77, disabled: true}
"""


async def test_a_file_is_carried_out_once(auth: AuthProcess, tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(FILE)
    (tmp_path / "fred.secret").write_text("his own Word 9\n")
    plan = ok("account", "apply", file, "--dry-run")
    assert plan.splitlines() == [
        "+ domain apply.test: quota 100S",
        "+ account fred@apply.test: name Fred, options disableimap=1, password",
        "+ account ann@apply.test: quota 5S, password",
        "+ account joe@apply.test: home /srv/joe, maildir /srv/joe/box, uid 77, disabled",
        "would be: 4 added, 0 changed, 0 removed, 0 unchanged",
    ]
    fails(3, "domain", "show", "apply.test")
    assert ok("account", "apply", file).endswith("\n4 added, 0 changed, 0 removed, 0 unchanged\n")
    assert ok("account", "apply", file) == "0 added, 0 changed, 0 removed, 4 unchanged\n"
    assert await can_log_in(auth, "fred@apply.test", "his own Word 9") == "yes"
    assert await can_log_in(auth, "ann@apply.test", "her word 1") == "yes"
    joe = json.loads(ok("account", "show", "joe@apply.test", "--json"))
    assert (joe["home"], joe["maildir"], joe["uid"], joe["disabled"]) == (
        "/srv/joe",
        "/srv/joe/box",
        77,
        True,
    )
    for secret in ("his own Word", "her word"):
        assert secret not in plan
        assert secret not in auth.log()


async def test_differences_are_shown_and_only_they_are_made(
    auth: AuthProcess, tmp_path: Path
) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("domains: {diff.test: }\naccounts: {a@diff.test: {name: A, quota: 5S}}\n")
    ok("account", "apply", file)
    ok("account", "update", "a@diff.test", "--options", "disablepop3=1")
    file.write_text(
        "domains: {diff.test: {options: wbnodsn=1}}\n"
        "accounts: {A@Diff.test: {quota: '7S', disabled: true, password_hash: '{PLAIN}x'}}\n"
    )
    assert ok("account", "apply", file).splitlines() == [
        '~ domain diff.test: options "" -> "wbnodsn=1"',
        '~ account a@diff.test: quota "5S" -> "7S", disabled, password',
        "0 added, 2 changed, 0 removed, 0 unchanged",
    ]
    shown = json.loads(ok("account", "show", "a@diff.test", "--json"))
    assert (shown["name"], shown["quota"], shown["options"], shown["disabled"]) == (
        "A",
        "7S",
        "disablepop3=1",
        True,
    )
    again = json.loads(ok("account", "apply", file, "--json"))
    assert again == {
        "applied": True,
        "changes": [],
        "added": 0,
        "changed": 0,
        "removed": 0,
        "unchanged": 2,
    }


def test_removal_only_where_told(tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("domains: {prune.test: }\naccounts: {a@prune.test: , b@prune.test: }\n")
    ok("account", "apply", file)
    file.write_text("domains: {prune.test: }\naccounts: {a@prune.test: }\n")
    assert ok("account", "apply", file).endswith("0 removed, 2 unchanged\n")
    assert "- account b@prune.test\n" in ok("account", "apply", file, "--prune", "--dry-run")
    assert "--yes" in fails(2, "account", "apply", file, "--prune")
    ok("account", "show", "b@prune.test")
    assert ok("account", "apply", file, "--prune", "--yes").endswith("1 removed, 2 unchanged\n")
    fails(3, "account", "show", "b@prune.test")
    file.write_text("accounts: {a@prune.test: }\n")  # names no domain: nothing to prune
    ok("account", "apply", file, "--prune")


def test_refusals_have_a_line_and_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("domains: {ref.test: }\naccounts:\n  a@ref.test: {home: /srv/ref}\n")
    ok("account", "apply", file)
    for text, reason in (
        ("accounts:\n  a@none.test: {}\n", "accounts.yaml:2: a@none.test: there is no domain"),
        ("accounts:\n  a@ref.test: {home: /srv/other}\n", ":2: a@ref.test: its home is /srv/ref"),
        ("accounts:\n  a@ref.test: {}\n  A@ref.test: {}\n", ":3: a@ref.test is there twice"),
        ("accounts:\n  a@ref.test: {shoe: 1}\n", ":2: unknown key 'shoe'"),
    ):
        file.write_text(text)
        assert reason in fails(2, "account", "apply", file)
    file.write_text("accounts:\n  b@ref.test: {password_hash: nonsense}\n")
    assert "b@ref.test: a hash of an unknown scheme" in fails(2, "account", "apply", file)
    fails(3, "account", "show", "b@ref.test")
    fails(2, "account", "apply", tmp_path / "nowhere")


async def test_an_export_makes_the_same_elsewhere(auth: AuthProcess, tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(
        "domains: {out.test: {quota: 9S, options: wbnodsn=1}}\n"
        "accounts:\n"
        "  a@out.test: {name: 'Ä: #1', quota: 5S, password_hash: '{PLAIN}the Word'}\n"
        "  b@out.test: {disabled: true, options: 'group=a,group=b'}\n"
    )
    ok("account", "apply", file)
    exported = ok("account", "export", "out.test")
    assert "the Word" not in exported
    assert "home" not in exported
    file.write_text(exported)
    assert ok("account", "apply", file) == "0 added, 0 changed, 0 removed, 3 unchanged\n"
    whole = ok("account", "export", "out.test", "--hashes", "--homes")
    file.write_text(whole)
    assert ok("account", "apply", file) == "0 added, 0 changed, 0 removed, 3 unchanged\n"
    for address in ("a@out.test", "b@out.test"):
        ok("account", "remove", address)
    ok("domain", "remove", "out.test")
    file.write_text(whole.replace("/out.test/", "/moved.test/"))  # a home is never given twice
    assert ok("account", "apply", file).endswith("3 added, 0 changed, 0 removed, 0 unchanged\n")
    assert await can_log_in(auth, "a@out.test", "the Word") == "yes"
    assert json.loads(ok("account", "export", "out.test", "--json"))["domains"] == {
        "out.test": {"quota": "9S", "options": "wbnodsn=1"}
    }


USERS = """\
fred\thome=/srv/imp/fred|uid=1000|gid=1001|mail=/srv/imp/fred/Maildir|quota=5S|systempw={PLAIN}w1
ann@imp2.test\thome=/srv/imp/ann|uid=1002|gid=1001|systempw={PLAIN}w2|imappw={PLAIN}w3
bad\tuid=1
sue\thome=/srv/imp/ann|uid=1|gid=1
"""


async def test_an_import(auth: AuthProcess, tmp_path: Path) -> None:
    file = tmp_path / "userdb"
    file.write_text(USERS)
    words = ("account", "import", file, "--from", "userdb", "--domain", "imp.test")
    for extra, would in (("--dry-run", "would be: "), ("", "")):
        result = run(*words, *filter(None, (extra,)))
        assert result.exit_code == 1
        assert result.stdout == (
            f"{would}2 created, 0 updated, 0 unchanged, 0 exists, 1 refused, 1 skipped\n"
        )
        assert result.stderr.splitlines() == [
            f"{file}:2: ann@imp2.test: imappw not kept",
            f"{file}:3: bad: without home, gid",
            f"{file}:4: sue@imp.test: the home /srv/imp/ann belongs, or belonged, to ann@imp2.test",
        ]
    assert await can_log_in(auth, "fred@imp.test", "w1") == "yes"
    fred = json.loads(ok("account", "show", "fred@imp.test", "--json"))
    assert (fred["home"], fred["maildir"], fred["uid"], fred["gid"], fred["quota"]) == (
        "/srv/imp/fred",
        "/srv/imp/fred/Maildir",
        1000,
        1001,
        "5S",
    )
    file.write_text("fred@imp.test\thome=/srv/imp/fred|uid=1000|gid=1001|quota=6S\n")
    assert ", 1 exists," in ok(*words)
    found = json.loads(ok(*words, "--update", "--json"))
    assert (found["updated"], found["lines"]) == (1, [])
    assert await can_log_in(auth, "fred@imp.test", "w1") == "yes"


def test_an_import_of_what_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in fails(2, "account", "import", tmp_path / "x", "--from", "csv")
    assert "one of userdb" in fails(2, "account", "import", tmp_path / "x", "--from", "mysql")
    (tmp_path / "a.csv").write_text("address,password\na@b.test,x\n")
    fails(2, "account", "import", tmp_path / "a.csv", "--from", "csv")


def test_an_import_of_many(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    lines = [f"u{n}@many.test,{{PLAIN}}{'x' * 900}" for n in range(1001)]
    file.write_text("\n".join(["address,password_hash", *lines]))
    words = ("account", "import", file, "--from", "csv")
    assert ok(*words).startswith("1001 created, 0 updated, 0 unchanged,")
    assert ok(*words).startswith("0 created, 0 updated, 1001 unchanged,")
