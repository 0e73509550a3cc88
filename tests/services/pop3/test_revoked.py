"""A session whose account is revoked: told, closed, and nothing removed."""

from collections.abc import AsyncIterator

import pytest

from tests.services.pop3.fakes import ADDRESS, Client, FakeBackend, Server

ENDED = b"-ERR Session ended: the account was changed."


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(FakeBackend([b"a\r\n", b"b\r\n"])) as running:
        yield running


async def closed(client: Client) -> bool:
    return await client.line() == b""


async def test_deletions_are_not_committed(server: Server) -> None:
    client = await server.log_in()
    assert (await client.ask(b"DELE 1")).startswith(b"+OK")
    server.listener.end_sessions(ADDRESS)
    assert await client.line() == ENDED
    assert await closed(client)
    assert server.backend.mailbox.removed == []
    assert server.backend.mailbox.users == 0


async def test_a_quit_that_comes_too_late_commits_nothing(server: Server) -> None:
    client = await server.log_in()
    await client.ask(b"DELE 1")
    (connection,) = server.listener.connections
    connection.data_received(b"NOOP\r\nQUIT\r\n")  # arrived, and not yet read
    server.listener.end_sessions(ADDRESS)
    assert await client.line() == ENDED
    assert await closed(client)
    assert server.backend.mailbox.removed == []


async def test_others_and_those_not_logged_in_stay(server: Server) -> None:
    client, new = await server.log_in(), await server.connect()
    await new.line()
    server.listener.end_sessions("ann@example.test")
    assert await client.ask(b"NOOP") == b"+OK"
    server.listener.end_sessions("")
    assert await client.line() == ENDED
    assert (await new.ask(b"USER fred")).startswith(b"+OK")
