"""What auth remembers of accounts on PostgreSQL is used, and no longer than it is true."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from restante.model import MailError
from services.auth import directory
from services.auth.database import engine
from services.auth.server import AuthServer
from tests.contract.postgres import Postgres
from tests.services.auth.accounts import add_account, sql_of
from tests.services.auth.conftest import make_settings, serving

FRED = "fred@example.test"


@pytest.fixture
async def replicas(postgres: Postgres) -> AsyncIterator[list[AuthServer]]:
    url = postgres.new_database()
    async with AsyncExitStack() as stack:
        servers = []
        for _ in range(2):
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rst")))
            made = await stack.enter_async_context(serving(make_settings(data, sql_url=url)))
            servers.append(made)
        await add_account(servers[0], FRED, name="one")
        yield servers


async def name_of(server: AuthServer) -> str:
    return (await server.authenticator.lookup(FRED)).name


async def until(server: AuthServer, name: str) -> None:
    async with asyncio.timeout(20):
        while await name_of(server) != name:
            await asyncio.sleep(0.02)


async def rename(server: AuthServer, name: str) -> None:
    database = sql_of(server).database
    await database.run(lambda c: directory.update_account(c, FRED, {"name": name}), write=True)


async def test_repeated_questions_ask_nobody(replicas: list[AuthServer]) -> None:
    server = replicas[1]
    await until(server, "one")
    backend = sql_of(server)
    async with asyncio.timeout(20):
        while backend.database.stamp() is None:  # it does not follow the journal yet
            await asyncio.sleep(0.02)
    asked = 0
    read = backend.database.read

    async def counting(work: object) -> object:
        nonlocal asked
        asked += 1
        return await read(work)  # type: ignore[arg-type]  # passed on as it came

    backend.database.read = counting  # type: ignore[assignment]  # the original, counted
    for _ in range(200):
        await name_of(server)
    assert asked < 10  # a moment of BY_HAND may end in between


async def test_changes_of_another_replica_and_by_hand_are_seen(
    replicas: list[AuthServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BY_HAND", 3600.0)
    first, second = replicas
    for n in range(20):
        await rename(first, f"name {n}")
        await first.changes.catch_up()
        assert await name_of(first) == f"name {n}"  # what it did itself, at once
        await until(second, f"name {n}")
    monkeypatch.setattr(engine, "BY_HAND", 0.2)
    statement = text("UPDATE accounts SET name = 'by hand'")
    await sql_of(first).database.run(lambda c: c.execute(statement).rowcount, write=True)
    for server in replicas:
        await until(server, "by hand")


async def test_an_account_made_by_hand_is_found_at_once(
    replicas: list[AuthServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BY_HAND", 3600.0)
    server = replicas[1]
    await until(server, "one")
    for _ in range(2):
        with pytest.raises(MailError):
            await server.authenticator.lookup("new@example.test")
    row = text(
        "INSERT INTO accounts SELECT 'new@example.test', domain, uid, gid, 'elsewhere', maildir,"
        " 'new', quota, options, password, disabled, created, updated FROM accounts"
        " WHERE address = 'fred@example.test'"
    )
    await sql_of(server).database.run(lambda c: c.execute(row).rowcount, write=True)
    assert (await server.authenticator.lookup("new@example.test")).name == "new"


async def test_nothing_is_remembered_while_the_journal_is_not_followed(
    replicas: list[AuthServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BY_HAND", 3600.0)
    first, second = replicas
    await until(second, "one")
    second.changes._journal._hub.lost(second.changes._journal)
    await second.changes.stop()
    await rename(first, "two")
    assert await name_of(second) == "two"
