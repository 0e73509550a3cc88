"""Look-ups from replicas: never staler than what this process has already told.

The "replica" is a second database which the test itself brings up to date, or does not. Its
accounts have another name, so that it shows who answered.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, delete, insert, select, update

from restante.model import MailError
from services.auth import directory
from services.auth.backends.sql import SqlBackend
from services.auth.database import engine, schema
from services.auth.database.engine import Database, Limits, database_url
from services.auth.server import AuthServer
from tests.contract.mariadb import Mariadb
from tests.contract.postgres import Postgres
from tests.services.auth.accounts import add_account, sql_of
from tests.services.auth.conftest import make_settings, serving

FRED = "fred@example.test"
COPIED = (schema.domains, schema.accounts, schema.revocations)


@pytest.fixture(autouse=True)
def nothing_is_remembered_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read from one server would be told for as long as nothing changes."""
    monkeypatch.setattr(engine, "BY_HAND", 0.05)


class Pair:
    """A service with a primary and one replica."""

    def __init__(self, server: AuthServer, primary: str, replica: str) -> None:
        self.server = server
        self.primary, self.replica = (create_engine(database_url(u)) for u in (primary, replica))

    def replicate(self) -> None:
        """Bring the replica up to date."""
        with self.primary.connect() as source, self.replica.begin() as target:
            rows = {t: source.execute(select(t)).mappings().all() for t in COPIED}
            for table in reversed(COPIED):
                target.execute(delete(table))
            for table in COPIED:
                if rows[table]:
                    target.execute(insert(table), [dict(row) for row in rows[table]])
            target.execute(update(schema.accounts).values(name="replica"))

    async def change(self, **values: Any) -> None:
        """Change the account as the admin service does, up to its answer."""

        def work(connection: Connection) -> None:
            directory.update_account(connection, FRED, values)

        await sql_of(self.server).database.run(work, write=True)
        await self.server.changes.catch_up()

    async def answered(self) -> str:
        return (await self.server.authenticator.lookup(FRED)).name

    async def answers_at_last(self, wanted: str) -> None:
        async with asyncio.timeout(20):
            while await self.answered() != wanted:
                await asyncio.sleep(0.02)

    def close(self) -> None:
        self.primary.dispose()
        self.replica.dispose()


@pytest.fixture(params=["postgres", "mariadb"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    server: Postgres | Mariadb = request.getfixturevalue(request.param)
    primary, replica = server.new_database(), server.new_database()
    copy = Database(database_url(replica))
    await copy.open()
    await copy.close()
    with tempfile.TemporaryDirectory(prefix="rst") as data:
        settings = make_settings(Path(data), sql_url=primary, sql_read_urls=(replica,))
        async with serving(settings) as running:
            made = Pair(running, primary, replica)
            await add_account(running, FRED, name="primary")
            await running.changes.catch_up()
            yield made
            made.close()


async def test_a_replica_answers_when_it_knows_what_was_told(pair: Pair) -> None:
    assert await pair.answered() == "primary"
    pair.replicate()
    await pair.answers_at_last("replica")
    await pair.change(quota="5S")
    for _ in range(20):  # the change was answered: nobody may hear of the old state again
        account = await pair.server.authenticator.lookup(FRED)
        assert (account.name, account.quota.bytes) == ("primary", 5)
    pair.replicate()
    await pair.answers_at_last("replica")
    account = await pair.server.authenticator.lookup(FRED)
    assert account.quota.bytes == 5


async def test_an_account_that_is_gone_is_gone_everywhere(pair: Pair) -> None:
    pair.replicate()
    await pair.answers_at_last("replica")

    def remove(connection: Connection) -> None:
        directory.delete_account(connection, FRED, dry_run=False)

    await sql_of(pair.server).database.run(remove, write=True)
    await pair.server.changes.catch_up()
    for _ in range(5):
        with pytest.raises(MailError, match="no such user"):
            await pair.server.authenticator.lookup(FRED)
    pair.replicate()
    with pytest.raises(MailError, match="no such user"):
        await pair.server.authenticator.lookup(FRED)


async def test_enumerate_too(pair: Pair) -> None:
    async def names() -> set[str]:
        return {record.account.name async for record in sql_of(pair.server).records()}

    assert await names() == {"primary"}
    pair.replicate()
    await pair.answers_at_last("replica")
    assert await names() == {"replica"}
    await pair.change(quota="5S")
    assert await names() == {"primary"}


async def test_only_the_primary_is_asked_while_changes_cannot_be_followed(pair: Pair) -> None:
    pair.replicate()
    await pair.answers_at_last("replica")
    journal = pair.server.changes._journal
    await pair.server.changes.stop()
    pair.server.hub.lost(journal)
    for _ in range(5):
        assert await pair.answered() == "primary"
    pair.server.hub.found(journal)
    await pair.answers_at_last("replica")


async def test_a_dead_replica_is_left_aside(postgres: Postgres, tmp_path: Path) -> None:
    """It costs one look-up its time, not each."""
    calls = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.close()

    dead = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = dead.sockets[0].getsockname()[1]
    limits = Limits(aside=60)
    gone = database_url(f"postgresql://restante@127.0.0.1:{port}/none?sslmode=disable")
    database = Database(database_url(postgres.new_database()), replicas=[gone], limits=limits)
    backend = SqlBackend(database, tmp_path)
    await database.open()
    database.floor = lambda: 0
    for _ in range(5):
        assert [record async for record in backend.records()] == []
    assert calls == 1
    await database.close()
    dead.close()


async def test_a_second_replica_takes_the_turn_of_a_dead_one(
    postgres: Postgres, tmp_path: Path
) -> None:
    url, copy = postgres.new_database(), postgres.new_database()
    gone = database_url("postgresql://restante@/none?host=/nonexistent")
    database = Database(database_url(url), replicas=[gone, database_url(copy)])
    replica = Database(database_url(copy))
    await database.open()
    await replica.open()
    for one, name in ((database, "primary"), (replica, "replica")):
        await one.run(lambda c, n=name: fill(c, n), write=True)  # type: ignore[misc]  # n is bound
    backend = SqlBackend(database, tmp_path)
    database.floor = lambda: 0
    for _ in range(4):
        assert [record.account.name async for record in backend.records()] == ["replica"]
    await database.close()
    await replica.close()


def fill(connection: Connection, name: str) -> None:
    directory.create_domain(connection, "example.test", "", "")
    connection.execute(
        insert(schema.accounts).values(
            address=FRED,
            domain="example.test",
            uid=1,
            gid=1,
            home="h",
            maildir="Maildir",
            name=name,
            quota="",
            options="",
            password="",
            disabled=False,
            created=1,
            updated=1,
        )
    )


def test_a_file_has_no_replicas(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no replicas"):
        make_settings(tmp_path, sql_read_urls=("sqlite:////x",))
