"""Both event loops, a certificate, and a listener to play with."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from restante.cli.cert import make_certificate
from restante.runtime.address import ListenAddress
from restante.runtime.connection import Connection
from restante.runtime.listener import Listener, listen
from restante.runtime.tls import TlsContexts

Session = Callable[[Any], Awaitable[None]]
Serve = Callable[..., Awaitable[Listener]]

HERE = ListenAddress("127.0.0.1", 0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on the loop of the services and on the standard one."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    paths = directory / "cert.pem", directory / "key.pem"
    make_certificate(*paths, ["localhost", "127.0.0.1"])
    return paths


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> TlsContexts:
    return TlsContexts(*certificate)


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Return listen() for a session given as a function; closed at the end."""
    listeners: list[Listener] = []

    async def start(session: Session, address: ListenAddress = HERE, **options: Any) -> Listener:
        class Under(Connection):
            async def run(self) -> None:
                await session(self)

        listener = await listen(address, Under, **options)
        listeners.append(listener)
        return listener

    yield start
    for listener in listeners:
        await listener.drain(0)
        assert not listener.connections


async def dial(listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a listener."""
    if listener.address.is_unix:
        return await asyncio.open_unix_connection(listener.address.path)
    return await asyncio.open_connection(*listener.address.target)
