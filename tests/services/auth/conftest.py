"""A real auth service in this process: SQLite, a unix socket, cheap hashes."""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from restante.rpc.client import AuthClient
from restante.runtime.settings import ListenAddress
from services.auth.server import AuthServer
from services.auth.settings import AuthSettings

CHEAP = {
    "argon2_time": 1,
    "argon2_memory_kib": 64,
    "failure_seconds": 0.0,
    "throttle_base_seconds": 0.0,
}


@pytest.fixture
def data() -> Iterator[Path]:
    """A short directory: a unix socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        yield Path(name)


def make_settings(data: Path, **changes: Any) -> AuthSettings:
    values = {
        **CHEAP,
        "data": data,
        "mail_uid": 1000,
        "mail_gid": 1000,
        "health_listen": ListenAddress(),
        **changes,
    }
    return AuthSettings(**values)


@asynccontextmanager
async def serving(settings: AuthSettings) -> AsyncIterator[AuthServer]:
    server = AuthServer(settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@pytest.fixture
async def server(data: Path) -> AsyncIterator[AuthServer]:
    async with serving(make_settings(data)) as running:
        yield running


@pytest.fixture
async def client(server: AuthServer) -> AsyncIterator[AuthClient]:
    found = AuthClient(str(server.settings.listen))
    yield found
    await found.close()


AddAccount = Callable[..., Awaitable[None]]


@pytest.fixture
def add(server: AuthServer) -> AddAccount:
    """Add an account through the database, its domain included."""
    from tests.services.auth.accounts import add_account

    async def run(address: str, password: str = "secret", **fields: Any) -> None:
        await add_account(server, address, password, **fields)

    return run


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("RESTANTE_")]:
        monkeypatch.delenv(name)
