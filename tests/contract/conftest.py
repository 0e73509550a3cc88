"""Servers and databases for the contracts, each started once for a module of tests; both event
loops for the modules of accounts that bring their own protocol.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.contract.mariadb import Mariadb, running_mariadb
from tests.contract.postgres import Postgres, running_postgres

_BOTH = ("test_ldap", "test_ldap_down", "test_pipe_module", "test_http_module")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these on the loop of the services and on the standard one; the others on the latter."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.stem in _BOTH:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of the module's own."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Mariadb]:
    """A MariaDB of the module's own."""
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["postgres", "mariadb"])
def database_server(request: pytest.FixtureRequest) -> Postgres | Mariadb:
    """Each of the two servers."""
    server: Postgres | Mariadb = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/accounts.sqlite"
    server: Postgres | Mariadb = request.getfixturevalue(request.param)
    return server.new_database()
