"""Two auth replicas on one server: what one changes, the other tells; no news, no verdicts."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from sqlalchemy import text

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from restante.rpc.revocation import Reason, Revocation
from services.auth import directory
from services.auth.server import AuthServer
from tests.contract.mariadb import Mariadb
from tests.contract.postgres import Postgres
from tests.services.auth.accounts import add_account, sql_of
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.watching import Watcher, watching

FRED = "fred@example.test"


@asynccontextmanager
async def two(url: str) -> AsyncIterator[list[AuthServer]]:
    async with AsyncExitStack() as stack:
        servers = []
        for _ in range(2):
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rst")))
            settings = make_settings(data, sql_url=url)
            servers.append(await stack.enter_async_context(serving(settings)))
        yield servers


@pytest.fixture
async def replicas(database_server: Postgres | Mariadb) -> AsyncIterator[list[AuthServer]]:
    async with two(database_server.new_database()) as servers:
        await add_account(servers[0], FRED)
        yield servers


async def change(server: AuthServer, work: Any, *args: Any) -> None:
    await sql_of(server).database.run(lambda c: work(c, *args), write=True)


def target(server: AuthServer) -> str:
    return str(server.settings.listen)


@asynccontextmanager
async def both(replicas: list[AuthServer]) -> AsyncIterator[tuple[Watcher, Watcher]]:
    async with watching(target(replicas[0])) as one, watching(target(replicas[1])) as two:
        await one.synced()
        await two.synced()
        await change(replicas[0], directory.kick, "start@example.test")
        for watcher in (one, two):
            while (await watcher.revocation()).address != "start@example.test":
                pass
        yield one, two


async def test_each_replica_tells_what_the_other_changed(replicas: list[AuthServer]) -> None:
    async with both(replicas) as watchers:
        for server in replicas:
            await change(server, directory.update_account, FRED, {"password": "x"})
            for watcher in watchers:
                assert await watcher.revocation() == Revocation(FRED, Reason.PASSWORD)


async def test_changes_at_once_are_all_told_in_one_order(replicas: list[AuthServer]) -> None:
    """Ids are taken in one order and could commit in another: then "after N" would miss some."""
    names = [f"u{n}@example.test" for n in range(40)]
    async with both(replicas) as watchers:
        calls = [change(replicas[n % 2], directory.kick, name) for n, name in enumerate(names)]
        await asyncio.gather(*calls)
        told = [[(await w.revocation()).address for _ in names] for w in watchers]
    assert sorted(told[0]) == sorted(names)
    assert told[0] == told[1]


async def test_a_change_that_is_rolled_back_is_not_told(replicas: list[AuthServer]) -> None:
    def fail(connection: Any) -> None:
        directory.kick(connection, FRED)
        raise MailError(ErrorKind.CANNOT)

    async with both(replicas) as (watcher, _):
        with pytest.raises(MailError):
            await change(replicas[1], fail)
        await change(replicas[1], directory.kick, "ann@example.test")
        assert await watcher.revocation() == Revocation("ann@example.test", Reason.KICKED)


async def test_a_password_with_any_character_is_followed_too(postgres: Postgres) -> None:
    url = postgres.new_database().replace("restante@", "restante:a%20b+c%2Fd%40e%25@")
    async with two(url) as servers:
        await add_account(servers[0], FRED)
        async with both(servers) as watchers:
            await change(servers[1], directory.kick, FRED)
            for watcher in watchers:
                assert await watcher.revocation() == Revocation(FRED, Reason.KICKED)


async def login(client: AuthClient) -> ErrorKind | None:
    await asyncio.sleep(0)  # an answer from memory gives the loop no turn to hear of a break
    try:
        await client.authenticate(FRED, "secret", service="imap")
    except MailError as error:
        return error.kind
    return None


async def test_a_dead_server_is_a_break_for_all_and_heals(
    database_server: Postgres | Mariadb,
) -> None:
    async with two(database_server.new_database()) as replicas:
        await add_account(replicas[0], FRED)
        client = AuthClient(target(replicas[1]), verdict_seconds=600)
        client.watch()
        async with asyncio.timeout(30):
            while not len(client.verdicts):
                assert await login(client) is None
        async with both(replicas) as watchers:
            try:
                database_server.kill()
                for watcher in watchers:
                    assert await watcher.ended()
                async with asyncio.timeout(30):
                    while await login(client) is not ErrorKind.TEMPORARY:
                        pass
                assert not len(client.verdicts)
            finally:
                database_server.start()
            positions = [watcher.position for watcher in watchers]
        for server, position in zip(replicas, positions, strict=True):
            async with watching(target(server), position) as again:
                assert await again.synced() == []
        async with asyncio.timeout(30):
            while not len(client.verdicts):
                assert await login(client) in (None, ErrorKind.TEMPORARY)
        await client.close()


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_a_lost_listener_is_a_break_and_misses_nothing(replicas: list[AuthServer]) -> None:
    def kick_and_hang_up(connection: Any) -> None:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                " AND query IN ('LISTEN restante_revocations', 'SELECT 1')"
            )
        )
        directory.kick(connection, FRED)

    async with both(replicas) as (watcher, _):
        await change(replicas[0], kick_and_hang_up)
        told = []
        with contextlib.suppress(aio.AioRpcError):
            while True:
                told.append(await watcher.revocation())
        async with watching(target(replicas[0]), watcher.position) as again:
            told += await again.synced()
        assert told == [Revocation(FRED, Reason.KICKED)]


async def test_a_server_that_hangs_is_a_break(
    database_server: Postgres | Mariadb, replicas: list[AuthServer]
) -> None:
    """Its connections stay open and silent, as those to a host that fell off the network."""
    async with both(replicas) as watchers:
        stopped = database_server.serving()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            for watcher in watchers:
                assert await watcher.ended()
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
    async with both(replicas):
        pass
