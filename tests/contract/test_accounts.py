"""What the SQL module promises, held against SQLite, PostgreSQL and MariaDB alike."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from restante.model import ErrorKind, MailError, Quota
from services.auth import directory
from services.auth.backends.base import PasswordChange
from services.auth.backends.sql import SqlBackend
from services.auth.database import journal, schema
from services.auth.database.engine import Database, Limits, database_url
from services.auth.directory import NewAccount
from services.auth.names import NameRules
from tests.contract.mariadb import Mariadb
from tests.contract.postgres import Postgres

RULES = NameRules()


@pytest.fixture
async def backend(url: str, tmp_path: Path) -> AsyncIterator[SqlBackend]:
    made = SqlBackend(Database(database_url(url)), tmp_path / "mail")
    await made.open()
    yield made
    await made.close()


async def change(backend: SqlBackend, work: Any, *args: Any, **kwargs: Any) -> Any:
    def run(connection: Connection) -> Any:
        return work(connection, *args, **kwargs)

    return await backend.database.run(run, write=True)


async def add(backend: SqlBackend, address: str, **fields: Any) -> Any:
    new = NewAccount(RULES.parse(address), 1000, 1000, **fields)
    return await change(backend, directory.create_account, new, backend.mail_root)


@pytest.fixture
async def domain(backend: SqlBackend) -> str:
    await change(backend, directory.create_domain, "example.test", "9S", "disableimap=1")
    return "example.test"


async def kind_of(awaited: Any) -> ErrorKind:
    with pytest.raises(MailError) as caught:
        await awaited
    return caught.value.kind


async def test_an_account_is_found_as_it_was_made(backend: SqlBackend, domain: str) -> None:
    await add(
        backend,
        "Fred@example.test",
        name="Frède",
        quota="5S,2C",
        options="a=1",
        password="{PLAIN}x",
        disabled=True,
    )
    record = await backend.find(RULES.parse("FRED@Example.test"))
    assert record is not None
    account = record.account
    assert account.address == "fred@example.test"
    assert account.home == backend.mail_root / "example.test/f/fr/fred"
    assert account.maildir == account.home / "Maildir"
    assert (account.uid, account.gid, account.name) == (1000, 1000, "Frède")
    assert account.quota == Quota(5, 2)
    assert str(account.options) == "a=1,disableimap=1"
    assert account.disabled is True
    assert record.password_for("imap") == "{PLAIN}x"
    for other in ("nobody@example.test", "fred", "frêd@example.test", "fréd@example.test"):
        assert await backend.find(RULES.parse(other)) is None, other


async def test_quota_of_the_domain_and_none(backend: SqlBackend, domain: str) -> None:
    await add(backend, "a@example.test")
    await add(backend, "b@example.test", quota="0S")
    found = {r.account.address: r.account.quota async for r in backend.records()}
    assert found == {"a@example.test": Quota(9), "b@example.test": Quota()}


async def test_what_exists_or_is_missing(backend: SqlBackend, domain: str) -> None:
    await add(backend, "fred@example.test")
    assert await kind_of(add(backend, "fred@example.test")) is ErrorKind.ALREADY_EXISTS
    assert await kind_of(add(backend, "fred@nowhere.test")) is ErrorKind.NOT_FOUND
    assert await kind_of(add(backend, "fred")) is ErrorKind.BAD_REQUEST
    again = change(backend, directory.create_domain, domain, "", "")
    assert await kind_of(again) is ErrorKind.ALREADY_EXISTS
    gone = change(backend, directory.delete_account, "x@example.test", dry_run=False)
    assert await kind_of(gone) is ErrorKind.NO_SUCH_USER
    full = change(backend, directory.delete_domain, domain, dry_run=False)
    assert await kind_of(full) is ErrorKind.IN_USE
    for bad in ({"quota": "much"}, {"name": "a\nb"}, {"options": "x" * 5000}):
        assert await kind_of(add(backend, "ann@example.test", **bad)) is ErrorKind.BAD_REQUEST
    assert await backend.find(RULES.parse("ann@example.test")) is None


async def test_changes_are_seen_by_the_next_look(backend: SqlBackend, domain: str) -> None:
    await add(backend, "fred@example.test", password="{PLAIN}0")
    login = RULES.parse("fred@example.test")
    for n in range(1, 20):
        assert await backend.set_password(login, PasswordChange(b"n", f"{{PLAIN}}{n}"))
        record = await backend.find(login)
        assert record is not None
        assert record.password == f"{{PLAIN}}{n}"
    await change(backend, directory.update_account, login.address, {"disabled": True})
    record = await backend.find(login)
    assert record is not None
    assert record.account.disabled
    await change(backend, directory.update_domain, domain, {"default_quota": "77S"})
    record = await backend.find(login)
    assert record is not None
    assert record.account.quota == Quota(77)
    assert not await backend.set_password(RULES.parse("x@example.test"), PasswordChange(b"x", "x"))


async def test_homes_are_never_reused(backend: SqlBackend, domain: str, tmp_path: Path) -> None:
    homes = []
    for _ in range(4):
        row = await add(backend, "fred@example.test")
        homes.append(row["home"])
        await change(backend, directory.delete_account, "fred@example.test", dry_run=False)
        assert await backend.find(RULES.parse("fred@example.test")) is None
    assert homes == [f"example.test/f/fr/fred{n}" for n in ("", "@2", "@3", "@4")]
    (tmp_path / "mail/example.test/a/an").mkdir(parents=True)
    (tmp_path / "mail/example.test/a/an/ann").symlink_to("/nowhere")
    row = await add(backend, "ann@example.test")  # somebody's mail lies there already
    assert row["home"] == "example.test/a/an/ann@2"


async def test_dry_runs_change_nothing(backend: SqlBackend, domain: str) -> None:
    await add(backend, "fred@example.test")
    await change(backend, directory.delete_account, "fred@example.test", dry_run=True)
    assert await backend.find(RULES.parse("fred@example.test")) is not None
    await change(backend, directory.create_domain, "empty.test", "", "")
    await change(backend, directory.delete_domain, "empty.test", dry_run=True)
    await change(backend, directory.get_domain, "empty.test")


async def test_pages(backend: SqlBackend, domain: str) -> None:
    wanted = sorted(f"user{n:03}@example.test" for n in range(25))
    for address in wanted:
        await add(backend, address)
    found: list[str] = []
    after = None
    while True:
        page = await change(
            backend, directory.list_accounts, after=after, limit=7, domain="example.test"
        )
        if not page:
            break
        found += [row["address"] for row in page]
        after = found[-1]
    assert found == wanted
    assert (await change(backend, directory.get_domain, domain))["accounts"] == 25
    assert (
        await change(backend, directory.list_accounts, after=None, limit=9, domain="x.test") == []
    )


async def test_records_come_in_pages_too(
    backend: SqlBackend, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many(connection: Connection) -> None:
        for n in range(503):
            new = NewAccount(RULES.parse(f"u{n}@example.test"), 1, 1)
            directory.create_account(connection, new, backend.mail_root)

    await backend.database.run(many, write=True)
    found = [record.account.address async for record in backend.records()]
    assert len(found) == len(set(found)) == 503


async def test_two_at_once(backend: SqlBackend, domain: str) -> None:
    """One of eight who add the same account succeeds; the others are told so."""
    results = await asyncio.gather(
        *(add(backend, "fred@example.test") for _ in range(8)), return_exceptions=True
    )
    kinds = [r.kind for r in results if isinstance(r, MailError)]
    assert kinds == [ErrorKind.ALREADY_EXISTS] * 7


async def test_a_deadlock_is_tried_again(
    database_server: Postgres | Mariadb, tmp_path: Path
) -> None:
    """Two changes that lock two rows in either order: the server gives up one of them."""
    database = Database(database_url(database_server.new_database()))
    for name in ("a.test", "b.test"):
        await database.run(lambda c, n=name: directory.create_domain(c, n, "", ""), write=True)  # type: ignore[misc]  # n is bound
    both_began = threading.Barrier(2)
    runs: list[str] = []

    def lock(connection: Connection, name: str) -> None:
        row = schema.domains.c.name == name
        connection.execute(update(schema.domains).where(row).values(default_quota="1S"))

    def work(connection: Connection, first: str, second: str) -> str:
        runs.append(first)
        lock(connection, first)
        if runs.count(first) == 1:
            both_began.wait(20)
        lock(connection, second)
        return first

    done = await asyncio.gather(
        database.run(partial(work, first="a.test", second="b.test"), write=True),
        database.run(partial(work, first="b.test", second="a.test"), write=True),
    )
    assert list(done) == ["a.test", "b.test"]
    assert len(runs) == 3
    await database.close()


async def test_positions_of_the_journal_become_visible_in_their_order(backend: SqlBackend) -> None:
    """Else whoever asks for "after N" would miss the one that commits late."""
    noted, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        directory.kick(connection, "slow@example.test")
        noted.set()
        go_on.wait(20)

    async def told() -> list[str]:
        entries = await backend.database.run(partial(journal.after, position=0))
        return [revocation.address for _, revocation in entries]

    first = asyncio.ensure_future(backend.database.run(slow, write=True))
    await asyncio.to_thread(noted.wait, 20)
    second = asyncio.ensure_future(change(backend, directory.kick, "quick@example.test"))
    try:
        await asyncio.wait([second], timeout=0.5)
        assert await told() == []
    finally:
        go_on.set()
        await asyncio.gather(first, second)
    assert await told() == ["slow@example.test", "quick@example.test"]


async def test_old_entries_of_the_journal_go_but_for_the_newest(backend: SqlBackend) -> None:
    await change(backend, directory.kick, "a@example.test")
    await change(backend, directory.kick, "b@example.test")
    await change(
        backend, lambda c: c.execute(update(schema.revocations).values(created=5)).rowcount
    )
    newest = await backend.database.run(journal.last)
    await backend.database.run(journal.prune, write=True)
    assert await backend.database.run(journal.first) == newest
    await change(backend, directory.kick, "c@example.test")
    assert await backend.database.run(journal.last) == newest + 1


async def test_two_services_may_start_at_once(url: str, tmp_path: Path) -> None:
    backends = [SqlBackend(Database(database_url(url)), tmp_path / "mail") for _ in range(4)]
    await asyncio.gather(*(backend.open() for backend in backends))
    await change(backends[0], directory.create_domain, "example.test", "", "")
    await change(backends[1], directory.get_domain, "example.test")
    for backend in backends:
        await backend.close()
    await backend.database.close()


async def test_a_dead_server_is_temporary_and_a_new_one_is_found(
    database_server: Postgres | Mariadb, tmp_path: Path
) -> None:
    url = database_server.new_database()
    backend = SqlBackend(
        Database(database_url(url), limits=Limits(connections=2)), tmp_path / "mail"
    )
    await backend.open()
    await change(backend, directory.create_domain, "example.test", "", "")
    await add(backend, "fred@example.test")
    login = RULES.parse("fred@example.test")
    try:
        database_server.kill()
        for name in ("fred@example.test", "nobody@example.test"):
            assert await kind_of(backend.find(RULES.parse(name))) is ErrorKind.TEMPORARY
        database_server.start()
        # Connections of before the crash are in the pool; nobody gets to see that.
        assert await backend.find(login) is not None
        database_server.kill()
        database_server.start()
        assert await backend.find(login) is not None
    finally:
        await backend.close()
    await backend.database.close()
