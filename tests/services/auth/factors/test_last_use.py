"""When an app password was used last: one write a minute, and none is lost at the end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from services.auth.database.engine import Database, database_url
from services.auth.factors import store
from services.auth.factors.app_passwords import AppPassword
from services.auth.factors.last_use import LastUse

FRED = "fred@example.test"


@pytest.fixture
async def database(data: Path) -> AsyncIterator[Database]:
    found = Database(database_url(f"sqlite:///{data}/a.sqlite"))
    await found.run(
        lambda c: store.add_app_password(c, FRED, AppPassword("1", "phone", "d")), write=True
    )
    yield found
    await found.close()


async def used(database: Database) -> tuple[int, str, str]:
    (found,) = await database.run(lambda c: store.list_app_passwords(c, FRED))
    return found.last_used, found.last_service, found.last_peer


async def test_the_first_use_is_written_at_once_the_next_wait(database: Database) -> None:
    now = 1_800_000_000
    uses = LastUse(database, clock=lambda: now)
    uses.note("1", "imap", "192.0.2.1")
    while not (await used(database))[0]:
        await asyncio.sleep(0.01)
    now += 7
    for n in range(100):
        uses.note("1", "pop3", f"192.0.2.{n}")
    await asyncio.sleep(0)
    assert await used(database) == (1_800_000_000, "imap", "192.0.2.1")
    await uses.close()
    assert await used(database) == (1_800_000_007, "pop3", "192.0.2.99")


async def test_an_older_use_of_another_replica_changes_nothing(database: Database) -> None:
    late, early = LastUse(database, clock=lambda: 2000), LastUse(database, clock=lambda: 1000)
    late.note("1", "imap", "late")
    await late.close()
    early.note("1", "imap", "early")
    await early.close()
    assert await used(database) == (2000, "imap", "late")


async def test_what_the_database_does_not_take_now_waits(database: Database) -> None:
    uses = LastUse(database, clock=lambda: 1000)
    run = text("ALTER TABLE app_passwords RENAME TO away")
    await database.run(lambda c: c.execute(run) and None, write=True)
    uses.note("1", "imap", "x")
    await uses.flush()
    run = text("ALTER TABLE away RENAME TO app_passwords")
    await database.run(lambda c: c.execute(run) and None, write=True)
    await uses.close()
    assert await used(database) == (1000, "imap", "x")
