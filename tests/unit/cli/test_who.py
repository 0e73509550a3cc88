"""`restante who` on a terminal's behalf: rows, and those who did not answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from restante.cli import kick, who
from restante.cli.main import app
from restante.model import ErrorKind, MailError
from restante.rpc.admin_reports import SessionInfo, SessionList

FRED = SessionInfo(
    "fred@example.test",
    "imap",
    "192.0.2.1",
    "Bad\nClient\x1b[2J",
    True,
    "scram-sha-256",
    1_700_000_000,
    "host1",
    "boss@example.test",
    "a59c071dc9000003",
)
ANN = SessionInfo(
    "ann@example.test", "webmail", "2001:db8::1", "", False, "", 1_700_000_060, "", ""
)


class Fake:
    """What the commands ask of AdminClient."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.kicked: list[str] = []

    def sessions(self, address: str = "", domain: str = "") -> SessionList:
        self.asked.append((address, domain))
        return SessionList([FRED, ANN], 3, 1)

    def kick(self, address: str) -> None:
        if address == "nobody@example.test":
            raise MailError(ErrorKind.NO_SUCH_USER, "no such user")
        self.kicked.append(address)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Fake:
    from restante.cli import output

    fake = Fake()

    @contextmanager
    def admin() -> Iterator[Fake]:
        with output.errors():
            yield fake

    monkeypatch.setattr(who, "admin", admin)
    monkeypatch.setattr(kick, "admin", admin)
    return fake


def test_rows_in_order_and_the_silent(client: Fake) -> None:
    done = CliRunner().invoke(app, ["who", "--domain", "example.test"])
    assert done.exit_code == 0
    assert client.asked == [("", "example.test")]
    assert done.stdout.splitlines() == [
        "ann@example.test\twebmail\t2001:db8::1\t\t2023-11-14 22:14:20Z\t\t\t",
        "fred@example.test\timap\t192.0.2.1\tBad\\nClient\\x1b[2J\t2023-11-14 22:13:20Z\thost1"
        "\tscram-sha-256 TLS as boss@example.test\ta59c071dc9000003",
    ]
    assert done.stderr == (
        "restante: 1 of 4 workers did not answer in time: their sessions are missing\n"
    )


def test_json(client: Fake) -> None:
    found = json.loads(CliRunner().invoke(app, ["who", "--json"]).stdout)
    assert (found["workers"], found["silent"]) == (3, 1)
    assert [s["address"] for s in found["sessions"]] == [ANN.address, FRED.address]
    assert found["sessions"][1]["since"] == 1_700_000_000


def test_kick_says_how_many(client: Fake) -> None:
    done = CliRunner().invoke(app, ["kick", "fred@example.test"])
    assert done.stdout == "ended the sessions of fred@example.test: 2\n"
    assert client.kicked == ["fred@example.test"]
    done = CliRunner().invoke(app, ["kick", "nobody@example.test"])
    assert (done.exit_code, done.stderr) == (3, "restante: no such user\n")
