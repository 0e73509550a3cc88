"""Sessions of an account that must end."""

import asyncio

import pytest

from restante.runtime import connection as module
from restante.runtime.connection import Connection, Interrupted
from tests.unit.runtime.conftest import Serve, dial


async def polite(connection: Connection) -> None:
    """Log in as whoever the client says, and say goodbye when revoked."""
    name = (await connection.receive(30)).decode().strip()
    if name:
        connection.acquire_user(name)
    connection.write(b"in\n")
    try:
        await connection.receive(30)
    except Interrupted:
        connection.write(b"revoked\n" if connection.revoked else b"interrupted\n")


async def test_only_the_accounts_sessions_end(serve: Serve) -> None:
    listener = await serve(polite)
    clients = {}
    for name in ("fred", "ann", "joe", ""):
        reader, writer = clients[name] = await dial(listener)
        writer.write(name.encode() + b"\n")
        assert await reader.readline() == b"in\n"
    listener.end_sessions("fred")
    assert await clients["fred"][0].read() == b"revoked\n"
    listener.end_sessions("nobody")
    clients["joe"][1].write(b"still here\n")
    assert await clients["joe"][0].read() == b""
    listener.end_sessions("")
    assert await clients["ann"][0].read() == b"revoked\n"
    assert len(listener.connections) == 1  # who has not logged in stays
    for _, writer in clients.values():
        writer.close()


@pytest.mark.parametrize("stuck", ["waiting", "writing"])
async def test_who_does_not_end_is_cut(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, stuck: str
) -> None:
    monkeypatch.setattr(module, "REVOKED", 0.05)
    ended = asyncio.Event()

    async def session(connection: Connection) -> None:
        connection.acquire_user("fred")
        connection.write(b"in\n")
        try:
            if stuck == "waiting":
                await asyncio.Event().wait()
            while True:
                connection.write(b"x" * 65536)
                await connection.drain()
        finally:
            ended.set()

    listener = await serve(session)
    reader, writer = await dial(listener)
    assert await reader.readline() == b"in\n"
    listener.end_sessions("fred")
    async with asyncio.timeout(10):
        await ended.wait()
    writer.close()
