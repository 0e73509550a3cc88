"""The file of `account apply`: what it says, and what is wrong with it at which line."""

import json
from pathlib import Path

import pytest

from restante.cli import accounts_file
from restante.cli.accounts_file import AccountsFile, Secret
from restante.model import ErrorKind, MailError


def read(tmp_path: Path, text: str, **environ: str) -> AccountsFile:
    path = tmp_path / "accounts.yaml"
    path.write_text(text)
    return accounts_file.read(path, environ)


def wrong(tmp_path: Path, text: str) -> str:
    with pytest.raises(MailError) as caught:
        read(tmp_path, text)
    assert caught.value.kind is ErrorKind.BAD_REQUEST
    assert caught.value.text.startswith(f"{tmp_path}/accounts.yaml:")
    return caught.value.text.removeprefix(f"{tmp_path}/accounts.yaml:")


FULL = """\
domains:
  example.test:
    quota: 100S
    options: "wbnodsn=1,  group=a"
  plain.test:
accounts:
  fred@example.test:
    name: Fred
    quota: 5S,6C
    disabled: yes
    uid: 1000
    home: /srv/fred
    password_hash: $6$abc
  ann@example.test:
    password_file: secret
  joe@example.test: {password_env: JOE}
  sue@example.test: {password_hash: ""}
  tom@example.test:
"""


def test_everything(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("word of Ann\r\n")
    found = read(tmp_path, FULL, JOE="word of Joe")
    assert [(d.name, dict(d.fields)) for d in found.domains] == [
        ("example.test", {"quota": "100S", "options": "wbnodsn=1,group=a"}),
        ("plain.test", {}),
    ]
    fred, ann, joe, sue, tom = found.accounts
    assert dict(fred.fields) == {
        "name": "Fred",
        "quota": "5S,6C",
        "disabled": True,
        "uid": 1000,
        "home": "/srv/fred",
    }
    assert fred.line == 7
    assert fred.secret == Secret(stored="$6$abc")
    assert ann.secret == Secret(password="word of Ann")
    assert joe.secret == Secret(password="word of Joe")
    assert sue.secret == Secret()
    assert tom.secret is None
    assert "word" not in repr(found)
    assert "$6$" not in repr(found)


def test_json_is_read_too(tmp_path: Path) -> None:
    text = json.dumps({"accounts": {"a@x.test": {"disabled": False, "name": "Ä/\t"}}}, indent="\t")
    found = read(tmp_path, text)
    assert dict(found.accounts[0].fields) == {"disabled": False, "name": "Ä/\t"}


@pytest.mark.parametrize("text", ["", "---\n", "domains:\naccounts:\n", "{}"])
def test_nothing(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert (found.domains, found.accounts) == ([], [])


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("account:\n", 1, "unknown key 'account'; known are domains, accounts"),
        ("accounts:\n  a@x:\n    shoe: 1\n", 3, "unknown key 'shoe'"),
        ("domains:\n  x:\n    password_hash: y\n", 3, "unknown key 'password_hash'"),
        ("accounts:\n  a@x:\n  b@x:\n  a@x:\n", 4, "a@x is there twice"),
        ("accounts:\n  - a@x\n", 2, "expected names"),
        ("accounts:\n  a@x: [1]\n", 2, "expected names"),
        ("accounts:\n  a@x:\n    quota: lots\n", 3, "bad quota"),
        ("accounts:\n  a@x:\n    uid: 0\n", 3, "above 0"),
        ("accounts:\n  a@x:\n    uid: -4\n", 3, "above 0"),
        ("accounts:\n  a@x:\n    disabled: maybe\n", 3, "true or false"),
        ("accounts:\n  a@x:\n    name: true\n", 3, "expected a text"),
        ("accounts:\n  a@x:\n    name: [a]\n", 3, "expected a text"),
        ("accounts:\n  a@x:\n    home: srv\n", 3, "absolute path"),
        ("accounts:\n  a@x:\n    password: y\n", 3, "no password stands in this file"),
        ("accounts:\n  a@x:\n    password_hash: y\n    password_env: Z\n", 4, "only one of"),
        ("accounts:\n  a@x:\n    password_file: nowhere\n", 3, "No such file"),
        ("accounts:\n  a@x:\n    password_env: NOT_THERE\n", 3, "NOT_THERE"),
        ("accounts:\n  a@x: &a {name: b}\n  c@x:\n    <<: *a\n", 4, "unknown key '<<'"),
        ("a: b: c\n", 1, "mapping values"),
        ("accounts: {\n", 2, ""),
        ("- a\n", 1, "expected names"),
    ],
)
def test_what_is_wrong_and_where(tmp_path: Path, text: str, line: int, reason: str) -> None:
    told = wrong(tmp_path, text)
    assert told.startswith(f"{line}: ")
    assert reason in told


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(MailError) as caught:
            accounts_file.read(path)
        assert caught.value.kind is ErrorKind.BAD_REQUEST
    (tmp_path / "latin").write_bytes(b"accounts: {\xe9: }")
    with pytest.raises(MailError, match="UTF-8"):
        accounts_file.read(tmp_path / "latin")
