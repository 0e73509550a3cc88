"""The modules together: order, fall-through, faults, default options."""

import os
import sqlite3
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from services.auth.database.engine import Database
from tests.services.auth.accounts import add_account, sql_of
from tests.services.auth.conftest import make_settings, serving


def userdb(data: Path, text: str) -> Path:
    path = data / "userdb"
    path.write_text(text)
    path.chmod(0o600)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


async def login(client: AuthClient, user: str, password: str) -> str:
    """Return the home that a login gets, or the kind of its refusal."""
    try:
        account = await client.authenticate(user, password, service="imap")
    except MailError as error:
        return error.kind.value
    return str(account.home)


async def test_the_first_module_whose_password_fits_wins(data: Path) -> None:
    path = userdb(
        data,
        "fred@example.test\thome=/home/fred|uid=1|gid=1|systempw={PLAIN}old\n"
        "only@example.test\thome=/home/only|uid=1|gid=1|systempw={PLAIN}old\n",
    )
    settings = make_settings(data, modules="sql userdb", userdb=path)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test", "new")
        client = AuthClient(str(settings.listen))
        in_sql = str(settings.mail_root / "example.test/f/fr/fred")
        assert await login(client, "fred@example.test", "new") == in_sql
        assert await login(client, "fred@example.test", "old") == "/home/fred"
        assert await login(client, "only@example.test", "old") == "/home/only"
        assert await login(client, "only@example.test", "new") == "auth_failed"
        assert str((await client.lookup("fred@example.test")).home) == in_sql
        names = [account.address async for account in client.enumerate()]
        assert names == ["fred@example.test", "fred@example.test", "only@example.test"]
        await client.close()


async def test_a_fault_stops_the_search(data: Path) -> None:
    path = userdb(data, "fred@example.test\thome=/home/fred|uid=1|gid=1|systempw={PLAIN}old\n")
    settings = make_settings(data, modules="userdb,sql", userdb=path)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test", "new")
        await add_account(server, "ann@example.test", "new")
        client = AuthClient(str(settings.listen))
        path.chmod(0o644)
        # Neither the wrong account of that name, nor "unknown": the fault is told.
        assert await login(client, "fred@example.test", "new") == "temporary"
        assert await login(client, "ann@example.test", "new") == "temporary"
        for address in ("fred@example.test", "nobody@example.test"):
            with pytest.raises(MailError) as caught:
                await client.lookup(address)
            assert caught.value.kind is ErrorKind.TEMPORARY
        path.chmod(0o600)
        assert await login(client, "fred@example.test", "old") == "/home/fred"
        assert await login(client, "nobody@example.test", "x") == "auth_failed"
        await client.close()


async def test_default_options_fill_what_is_absent(data: Path) -> None:
    settings = make_settings(data, default_options="disableimap=1,group=all")
    async with serving(settings) as server:
        await add_account(server, "fred@example.test", options="disableimap=0,wbnodsn=1")
        client = AuthClient(str(settings.listen))
        account = await client.lookup("fred@example.test")
        assert str(account.options) == "disableimap=0,wbnodsn=1,group=all"
        await client.close()


async def test_default_domain(data: Path) -> None:
    settings = make_settings(data, default_domain="Example.TEST")
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        client = AuthClient(str(settings.listen))
        assert (await client.lookup("fred")).address == "fred@example.test"
        assert await login(client, "FRED", "secret") != "auth_failed"
        await client.close()


async def test_a_broken_database_is_temporary(data: Path) -> None:
    settings = make_settings(data)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        client = AuthClient(str(settings.listen))
        path = data / "auth/accounts.sqlite"
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE accounts RENAME TO hidden")
        assert await login(client, "fred@example.test", "secret") == "temporary"
        with pytest.raises(MailError) as caught:
            await client.lookup("nobody@example.test")
        assert caught.value.kind is ErrorKind.TEMPORARY
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE hidden RENAME TO accounts")
        other.close()
        assert await login(client, "fred@example.test", "wrong") == "auth_failed"
        await client.close()


async def test_the_database_may_come_later(data: Path) -> None:
    (data / "sql").write_text("not a directory")
    settings = make_settings(data, sql_url=f"sqlite:///{data}/sql/accounts.sqlite")
    async with serving(settings) as server:
        client = AuthClient(str(settings.listen))
        assert await login(client, "fred@example.test", "secret") == "temporary"
        (data / "sql").unlink()
        await add_account(server, "fred@example.test")
        assert await login(client, "fred@example.test", "secret") != "temporary"
        await client.close()


async def test_changes_by_another_process_count_at_once(data: Path) -> None:
    settings = make_settings(data)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        backend = sql_of(server)
        found = server.rules.parse("fred@example.test")
        for n in range(20):
            with sqlite3.connect(data / "auth/accounts.sqlite") as other:
                other.execute("UPDATE accounts SET name = ?", (f"name {n}",))
            other.close()
            record = await backend.find(found)
            assert record is not None
            assert record.account.name == f"name {n}"


async def test_cached_records_cost_no_query(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(data)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        backend = sql_of(server)
        for name in ("fred@example.test", "nobody@example.test"):
            await backend.find(server.rules.parse(name))
        with monkeypatch.context() as patch:
            patch.setattr(Database, "run", None)
            patch.setattr(Database, "read", None)
            assert await backend.find(server.rules.parse("fred@example.test")) is not None
            assert await backend.find(server.rules.parse("nobody@example.test")) is None


async def test_nonsense_in_a_row_is_temporary(data: Path) -> None:
    settings = make_settings(data)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        with sqlite3.connect(data / "auth/accounts.sqlite") as other:
            other.execute("UPDATE accounts SET quota = 'much'")
        other.close()
        client = AuthClient(str(settings.listen))
        assert await login(client, "fred@example.test", "secret") == "temporary"
        await client.close()


async def test_the_database_is_private(data: Path) -> None:
    async with serving(make_settings(data)):
        assert (data / "auth/accounts.sqlite").stat().st_mode & 0o077 == 0
        assert (data / "run/admin.token").stat().st_mode & 0o077 == 0
