"""Fixtures: a running IMAP service per test, one certificate per session."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.imap.server import Server, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a self-signed certificate and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def start(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a service with settings."""
    servers: list[Server] = []

    def make(**settings: Any) -> Server:
        base = tmp_path / f"data{len(servers)}"
        base.mkdir()
        servers.append(Server(base, certificate, **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    """Return a service with default settings and the account joe@example.test."""
    return start()
