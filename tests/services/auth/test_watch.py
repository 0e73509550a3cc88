"""Watch: every change is told, at once, to everybody, also to those who were away."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.admin_client import AdminClient
from restante.rpc.client import AuthClient
from restante.rpc.revocation import Reason, Revocation
from services.auth.backends.base import Record
from services.auth.backends.userdb import UserdbBackend
from services.auth.database import journal
from services.auth.hub import Hub
from services.auth.mechanisms.base import Attempt
from services.auth.server import AuthServer
from services.auth.userdb_changes import Known, compare
from tests.services.auth.accounts import sql_of
from tests.services.auth.conftest import AddAccount, make_settings, serving
from tests.services.auth.watching import Watcher, watching

FRED = "fred@example.test"


@pytest.fixture
async def watcher(server: AuthServer, add: AddAccount) -> AsyncIterator[Watcher]:
    await add(FRED)
    await add("ann@example.test")
    await server.changes.catch_up()
    async with watching(str(server.settings.listen)) as made:
        assert await made.synced() == []
        yield made


Change = Callable[[AdminClient], Any]


async def make(server: AuthServer, change: Change) -> None:
    def run() -> None:
        token = (server.settings.run_dir / "admin.token").read_text().strip()
        with AdminClient(str(server.settings.listen), token) as admin:
            change(admin)

    await asyncio.to_thread(run)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a.set_password(FRED, "new"), Reason.PASSWORD),
        (lambda a: a.set_password_hash(FRED, ""), Reason.PASSWORD),
        (lambda a: a.update_account(FRED, disabled=True), Reason.DISABLED),
        (lambda a: a.update_account(FRED, disabled=False), Reason.CHANGED),
        (lambda a: a.update_account(FRED, quota="5S"), Reason.CHANGED),
        (lambda a: a.update_account(FRED, options="disableimap=1"), Reason.CHANGED),
        (lambda a: a.delete_account(FRED), Reason.REMOVED),
        (lambda a: a.kick(FRED), Reason.KICKED),
    ],
)
async def test_every_change_of_an_account_is_told(
    server: AuthServer, watcher: Watcher, change: Change, told: Reason
) -> None:
    await make(server, change)
    assert await watcher.revocation() == Revocation(FRED, told)


async def test_a_new_account_and_a_domains_defaults_are_told(
    server: AuthServer, watcher: Watcher
) -> None:
    await make(server, lambda a: a.create_account("new@example.test", "x"))
    assert await watcher.revocation() == Revocation("new@example.test", Reason.CHANGED)
    await make(server, lambda a: a.update_domain("example.test", default_quota="9S"))
    assert await watcher.revocation() == Revocation("", Reason.CHANGED)


async def test_what_does_not_happen_is_not_told(server: AuthServer, watcher: Watcher) -> None:
    for change in (
        lambda a: a.kick("nobody@example.test"),
        lambda a: a.set_password("nobody@example.test", "x"),
        lambda a: a.update_account("nobody@example.test", quota="5S"),
        lambda a: a.delete_account("nobody@example.test"),
    ):
        with pytest.raises(MailError) as caught:
            await make(server, change)
        assert caught.value.kind is ErrorKind.NO_SUCH_USER
    await make(server, lambda a: a.delete_account(FRED, dry_run=True))
    await make(server, lambda a: a.kick(FRED))
    assert await watcher.revocation() == Revocation(FRED, Reason.KICKED)


async def test_a_password_changed_by_its_owner_is_told(
    server: AuthServer, watcher: Watcher
) -> None:
    await server.authenticator.change_password(Attempt(FRED, b"secret", "imap"), b"zebra-lamp-42")
    assert await watcher.revocation() == Revocation(FRED, Reason.PASSWORD)


async def test_a_change_is_published_before_it_is_answered(
    server: AuthServer, watcher: Watcher
) -> None:
    before = server.hub.position
    await make(server, lambda a: a.set_password(FRED, "new"))
    assert server.hub.position == before + 1


async def test_who_was_away_hears_what_he_missed(server: AuthServer, watcher: Watcher) -> None:
    await make(server, lambda a: a.kick(FRED))
    await watcher.revocation()
    for _ in range(journal.PAGE // 2 + 3):
        await sql_of(server).database.run(_kick_twice, write=True)
    await server.changes.catch_up()
    async with watching(str(server.settings.listen), watcher.position) as again:
        assert await again.synced() == [Revocation(FRED, Reason.KICKED)] * (journal.PAGE + 6)
        assert again.position == server.hub.position


def _kick_twice(connection: Any) -> None:
    journal.record(connection, FRED, Reason.KICKED)
    journal.record(connection, FRED, Reason.KICKED)


@pytest.mark.parametrize("position", [1, 10**6])
async def test_a_position_that_nobody_remembers_ends_all(
    server: AuthServer, watcher: Watcher, position: int
) -> None:
    def forget(connection: Any) -> None:
        connection.exec_driver_sql("UPDATE revocations SET created = 0")
        journal.prune(connection)

    await make(server, lambda a: a.kick(FRED))
    await sql_of(server).database.run(forget, write=True)
    async with watching(str(server.settings.listen), position) as again:
        assert await again.synced() == [Revocation("", Reason.KICKED)]
    async with watching(str(server.settings.listen), server.hub.position) as again:
        assert await again.synced() == []


async def test_a_change_by_hand_makes_verdicts_void(
    server: AuthServer, watcher: Watcher, data: Path
) -> None:
    by_hand = sqlite3.connect(data / "auth/accounts.sqlite", isolation_level=None)
    by_hand.execute("UPDATE accounts SET password = 'x'")
    by_hand.close()
    assert await watcher.revocation() == Revocation("", Reason.CHANGED)


async def test_two_processes_on_one_sqlite_file(
    server: AuthServer, watcher: Watcher, data: Path
) -> None:
    from restante.runtime.settings import ListenAddress

    other_door = ListenAddress(path=str(data / "other.sock"))
    async with serving(make_settings(data, listen=other_door)) as other:
        async with watching(str(other_door)) as second:
            await second.synced()
            await make(server, lambda a: a.set_password(FRED, "new"))
            assert await second.revocation() == Revocation(FRED, Reason.PASSWORD)
            await make(other, lambda a: a.kick(FRED))
            assert await second.revocation() == Revocation(FRED, Reason.KICKED)
        assert await watcher.revocation() == Revocation(FRED, Reason.PASSWORD)
        assert await watcher.revocation() == Revocation(FRED, Reason.KICKED)


async def test_a_broken_database_ends_streams_until_it_is_back(
    server: AuthServer, watcher: Watcher, data: Path
) -> None:
    by_hand = sqlite3.connect(data / "auth/accounts.sqlite", isolation_level=None)
    by_hand.execute("ALTER TABLE revocations RENAME TO away")
    assert await watcher.ended()
    by_hand.execute("ALTER TABLE away RENAME TO revocations")
    by_hand.execute("INSERT INTO revocations (address, reason, created) VALUES (?, 2, 0)", (FRED,))
    by_hand.close()
    async with watching(str(server.settings.listen), watcher.position) as again:
        assert await again.synced() == [Revocation(FRED, Reason.PASSWORD)]


async def test_stopping_ends_streams_at_once(data: Path) -> None:
    server = AuthServer(make_settings(data))
    await server.start()
    async with watching(str(server.settings.listen)) as watcher:
        await watcher.synced()
        async with asyncio.timeout(20):
            await server.stop(3600)
        assert await watcher.ended()


async def test_a_stream_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.auth.hub._BEHIND", 3)
    hub = Hub()

    async def replay(position: int) -> None:
        return None

    stream = hub.watch(0, replay)
    assert not (await anext(stream)).HasField("revocation")
    for _ in range(4):
        hub.publish(Revocation(FRED, Reason.KICKED))
    with pytest.raises(MailError) as caught:
        await anext(stream)
    assert caught.value.kind is ErrorKind.TEMPORARY


# --- the cache, end to end in one process -------------------------------------------------------


async def login(client: AuthClient, password: str) -> ErrorKind | None:
    try:
        await client.authenticate(FRED, password, service="imap")
    except MailError as error:
        return error.kind
    return None


async def test_an_old_password_fits_nowhere(server: AuthServer, add: AddAccount) -> None:
    """The attack row "auth cache" (CVE-2026-27855): one worker each, caches warm."""
    await add(FRED)
    await server.changes.catch_up()
    told: asyncio.Queue[Revocation] = asyncio.Queue()
    clients = [AuthClient(str(server.settings.listen), verdict_seconds=300) for _ in range(4)]
    for client in clients:
        client.watch(told.put_nowait)
    async with asyncio.timeout(10):
        for client in clients:
            while not len(client.verdicts):
                assert await login(client, "secret") is None
    changes: list[tuple[Change, str, ErrorKind | None]] = [
        (lambda a: a.set_password(FRED, "new"), "secret", ErrorKind.AUTH_FAILED),
        (lambda a: a.update_account(FRED, disabled=True), "new", ErrorKind.DISABLED),
        (lambda a: a.update_account(FRED, disabled=False), "new", None),
        (lambda a: a.delete_account(FRED), "new", ErrorKind.AUTH_FAILED),
    ]
    for change, password, outcome in changes:
        await make(server, change)
        async with asyncio.timeout(10):
            for _ in clients:
                while (await told.get()).address != FRED:
                    pass
        for client in clients:
            assert await login(client, password) is outcome
            if password == "secret":
                assert await login(client, "new") is None
    for client in clients:
        await client.close()


# --- userdb -------------------------------------------------------------------------------------

LINE = "{}\tuid=1|gid=1|home=/h/{}|systempw={}\n"


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name("draft")
    draft.touch(0o600)
    draft.write_text("".join(lines))
    draft.rename(path)


async def test_userdb_is_watched(data: Path) -> None:
    path = data / "userdb"
    fred, ann = (LINE.format(name, name, "old") for name in ("fred", "ann"))
    write(path, fred, ann)
    settings = make_settings(data, modules=("userdb",), userdb=path)
    async with serving(settings), watching(str(settings.listen)) as watcher:
        await watcher.synced()
        write(path, fred.replace("old", "new"), ann)
        assert await watcher.revocation() == Revocation("fred", Reason.PASSWORD)
        write(path, fred.replace("old", "new"))
        assert await watcher.revocation() == Revocation("ann", Reason.CHANGED)
        assert await watcher.revocation() == Revocation("ann", Reason.REMOVED)
        path.chmod(0o644)
        assert await watcher.revocation() == Revocation("", Reason.CHANGED)
        write(path, ann)
        told = {await watcher.revocation() for _ in range(3)}
        assert told == {
            Revocation("fred", Reason.CHANGED),
            Revocation("ann", Reason.CHANGED),
            Revocation("fred", Reason.REMOVED),
        }


async def records(path: Path, *lines: str) -> tuple[dict[str, Record], set[str]]:
    write(path, *lines)
    return await UserdbBackend(path).table()


async def test_half_a_userdb_ends_no_session(tmp_path: Path) -> None:
    path = tmp_path / "userdb"
    fred, ann = (LINE.format(name, name, "x") for name in ("fred", "ann"))
    whole, _ = await records(path, fred, ann)
    known, told = compare(Known(whole), *await records(path))  # truncated, not yet written
    assert {r.reason for r in told} == {Reason.CHANGED}
    known, told = compare(known, *await records(path, fred, "ann\tuid=1|gid=\n"))
    assert told == [Revocation("ann", Reason.CHANGED)]
    known, told = compare(known, *await records(path, fred, ann))
    assert told == []
    known, told = compare(known, *await records(path, ann.replace("x", "y"), fred))
    assert told == [Revocation("ann", Reason.PASSWORD)]
