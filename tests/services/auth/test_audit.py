"""The audit log: lines at once, rows in batches, nothing lost without a word, nothing secret."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from services.auth import audit as audit_module
from services.auth import audit_table
from services.auth.audit import Audit, Kind
from services.auth.audit_table import Entry, Query
from services.auth.database.engine import Database, database_url
from services.auth.database.schema import audit as table
from services.auth.server import AuthServer
from tests.services.auth.conftest import AddAccount, make_settings, serving

FRED = "fred@example.test"


@pytest.fixture
async def database(data: Path) -> AsyncIterator[Database]:
    found = Database(database_url(f"sqlite:///{data}/audit.db"))
    await found.open()
    yield found
    await found.close()


async def rows(audit: Audit, **query: Any) -> list[Entry]:
    """Return what is in the table, oldest first."""
    return list(reversed(await audit.entries(Query(**query), limit=1000)))


async def test_rows_come_without_being_asked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "BATCH_SECONDS", 0.0)
    audit = Audit(database)
    audit.start()
    audit.record(action="login", actor="owner", address=FRED, service="imap", peer="192.0.2.1")
    while not (found := await rows(audit)):
        await asyncio.sleep(0.01)
    (entry,) = found
    assert entry[1:9] == (*("login", "owner", FRED, "example.test", "imap", "192.0.2.1", "ok", ""),)
    assert abs(entry.time - time.time()) < 60
    await audit.stop()


async def test_stopping_writes_what_is_left(database: Database) -> None:
    audit = Audit(database)
    audit.start()
    for n in range(2500):  # several transactions
        audit.record(action="login", address=f"u{n}@example.test")
    await audit.stop()
    page = await audit.entries(Query(), limit=3000)
    assert [entry.address for entry in reversed(page)] == [
        f"u{n}@example.test" for n in range(2500)
    ]


async def test_kinds(database: Database) -> None:
    audit = Audit(database, kinds=[Kind.FAILURES, Kind.CHANGES])
    audit.record(action="login", address="good@example.test")
    audit.record(action="login", address="bad@example.test", result="auth_failed")
    audit.record(action="account.password", address="changed@example.test")
    audit.record(action="admin.account.get", address="read@example.test", kind=Kind.READS)
    await audit.flush()
    assert [entry.address for entry in await rows(audit)] == [
        "bad@example.test",
        "changed@example.test",
    ]


async def test_without_the_database_lines_stay_and_rows_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    audit = Audit(database, queue=3)
    run = database.run

    async def down(*_: object, **__: object) -> Any:
        raise MailError(ErrorKind.TEMPORARY, "the database cannot be used")

    monkeypatch.setattr(database, "run", down)
    for n in range(5):
        audit.record(action="login", address=f"u{n}@example.test")
    await audit.flush()
    monkeypatch.setattr(database, "run", run)
    await audit.stop()
    assert [entry.address for entry in await rows(audit)] == [
        f"u{n}@example.test" for n in range(3)
    ]
    log = "".join(capfd.readouterr())
    assert all(f"u{n}@example.test" in log for n in range(5))
    assert "audit rows were lost" in log
    assert "rows=2" in log


async def test_any_text_can_be_written(database: Database) -> None:
    """What clients send is never the reason why a batch, and others' rows, are lost."""
    audit = Audit(database)
    for text in ("a\0b", "\udcff\ud800", "x" * 100_000, "\n\r\x1b[31m", "\u202e", "ünïcødé"):
        audit.record(action=text, actor=text, address=text, service=text, peer=text, detail=text)
    await audit.flush()
    found = await rows(audit)
    assert len(found) == 6
    assert found[0].address == "a\N{REPLACEMENT CHARACTER}b"
    assert len(found[2].peer) == 64
    assert found[5].detail == "ünïcødé"


async def test_pages_and_filters(database: Database) -> None:
    audit = Audit(database)
    for n in range(10):
        domain = "a.test" if n % 2 else "b.test"
        audit.record(action="login", address=f"u{n % 4}@{domain}")
    audit.record(action="login.test", address="u1@a.test")
    audit.record(action="admin.domain.create", address="a.test", domain="a.test")
    await audit.flush()
    newest = await audit.entries(Query(), limit=5)
    assert [entry.id for entry in newest] == [12, 11, 10, 9, 8]
    assert [e.id for e in await audit.entries(Query(), before=8, limit=3)] == [7, 6, 5]
    assert [e.id for e in await rows(audit, address="u1@a.test")] == [2, 6, 10, 11]
    assert [e.id for e in await rows(audit, address="u1@a.test", action="login")] == [2, 6, 10]
    assert [e.id for e in await rows(audit, domains=["a.test"])] == [2, 4, 6, 8, 10, 11, 12]
    assert await rows(audit, domains=[]) == []


async def test_old_rows_go(database: Database) -> None:
    audit = Audit(database)
    for _ in range(10):
        audit.record(action="login", address=FRED)
    await audit.flush()
    old = int(time.time()) - 3 * 86400
    aged = update(table).where(table.c.id <= 7).values(time=old)
    await database.run(lambda c: c.execute(aged), write=True)

    def prune(days: int) -> Any:
        return database.run(lambda c: audit_table.prune(c, days=days, limit=5), write=True)

    assert await prune(4) == 0
    assert [await prune(2) for _ in range(3)] == [5, 2, 0]
    assert [entry.id for entry in await rows(audit)] == [8, 9, 10]


async def test_a_file_of_json_lines(
    database: Database, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = data / "audit.log"
    audit = Audit(database, file=path)
    audit.start()
    audit.record(action="login", address=FRED, peer="192.0.2.1", detail='a "quoted"\nthing')
    assert path.stat().st_mode & 0o777 == 0o600
    (line,) = map(json.loads, path.read_text().splitlines())
    assert abs(line.pop("time") - time.time()) < 60
    assert line == {
        "action": "login",
        "address": FRED,
        "peer": "192.0.2.1",
        "result": "ok",
        "detail": 'a "quoted"\nthing',
    }
    await audit.stop()
    assert FRED not in capfd.readouterr().err


async def test_the_file_may_be_rotated(
    database: Database, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "BATCH_SECONDS", 0.0)
    path, rotated = data / "audit.log", data / "audit.log.1"
    audit = Audit(database, file=path)
    audit.start()
    audit.record(action="login", address="first@example.test")
    path.rename(rotated)
    audit.record(action="login", address="second@example.test")
    while not path.exists():
        await asyncio.sleep(0.01)
    audit.record(action="login", address="third@example.test")
    await audit.stop()
    assert [json.loads(n)["address"][:5] for n in rotated.read_text().splitlines()] == [
        "first",
        "secon",
    ]
    assert json.loads(path.read_text())["address"] == "third@example.test"


async def test_a_file_that_cannot_be_opened_is_said_at_start(data: Path) -> None:
    with pytest.raises(MailError) as caught:
        async with serving(make_settings(data, audit_file=data / "none" / "audit.log")):
            pass
    assert caught.value.kind is ErrorKind.CANNOT


def test_lines_do_not_depend_on_the_level() -> None:
    program = (
        "from restante.runtime import log; log.configure('error', 'json');"
        "log.always('audit', {'action': 'login', 'address': 'a\\x1b\\n'})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    (line,) = run.stderr.splitlines()
    assert json.loads(line).items() >= {"action": "login", "address": "a\x1b\n"}.items()


async def test_logins_and_changes_of_passwords(
    server: AuthServer, client: AuthClient, add: AddAccount, capfd: pytest.CaptureFixture[str]
) -> None:
    await add(FRED, "hidden-word")
    peer = "192.0.2.7"
    await client.authenticate("FRED@example.test", "hidden-word", service="imap", peer=peer)
    for user in (FRED, "nobody@example.test", "no such/name"):
        with pytest.raises(MailError):
            await client.authenticate(user, "hidden-guess", service="pop3", peer=peer)
    await server.audit.flush()
    found = [
        (e.action, e.actor, e.address, e.service, e.peer, e.result)
        for e in await rows(server.audit)
    ]
    assert found == [
        ("login", "owner", FRED, "imap", peer, "ok"),
        ("login", "", FRED, "pop3", peer, "auth_failed"),
        ("login", "", "nobody@example.test", "pop3", peer, "auth_failed"),
        ("login", "", "no such/name", "pop3", peer, "auth_failed"),
    ]
    assert "hidden" not in str(capfd.readouterr()) + str(await rows(server.audit))
