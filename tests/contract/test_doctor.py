"""`restante doctor` connects to the database servers as auth does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.cli.doctor import backends
from restante.cli.doctor.finding import Finding
from tests.contract.mariadb import Mariadb, running_mariadb
from tests.contract.postgres import Postgres, running_postgres
from tests.services.auth.conftest import make_settings


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Mariadb]:
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["postgres", "mariadb"])
def database_server(request: pytest.FixtureRequest) -> Postgres | Mariadb:
    server: Postgres | Mariadb = request.getfixturevalue(request.param)
    return server


def ask(url: str) -> list[Finding]:
    settings = make_settings(Path("/nowhere"), sql_url=url)
    return list(backends._databases({"auth": settings}))


def test_a_server_that_answers_and_one_without_that_database(
    database_server: Postgres | Mariadb,
) -> None:
    url = database_server.new_database()
    (found,) = ask(url)
    assert (found.status, found.text.endswith(" answers")) == ("OK", True)
    database = url.partition("?")[0].rpartition("/")[2]
    (found,) = ask(url.replace(f"/{database}", "/not_there", 1))
    assert found.status == "FAIL"
    assert "not_there" in found.text
