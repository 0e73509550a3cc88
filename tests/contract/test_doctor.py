"""`restante doctor` connects to the database servers as auth does."""

from pathlib import Path

from restante.cli.doctor import backends
from restante.cli.doctor.finding import Finding
from tests.contract.mariadb import Mariadb
from tests.contract.postgres import Postgres
from tests.services.auth.conftest import make_settings


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
