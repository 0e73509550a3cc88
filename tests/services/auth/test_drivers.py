"""URLs of databases, and a driver that is not there."""

import sys

import pytest

from restante.model import ErrorKind, MailError
from services.auth.database.drivers import database_url
from services.auth.database.engine import Database


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("sqlite:////x/y", "sqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("mysql://u@h/d", "mysql+pymysql"),
        ("mariadb://u:p@h:3307/d?ssl_ca=/x", "mysql+pymysql"),
    ],
)
def test_urls(text: str, driver: str) -> None:
    assert database_url(text).drivername == driver


@pytest.mark.parametrize(
    "text", ["", "x", "sqlite://", "sqlite:///:memory:", "mysql://u@h", "oracle://u@h/d", "mysql:/"]
)
def test_what_is_no_url_of_ours(text: str) -> None:
    with pytest.raises(ValueError, match="expected sqlite"):
        database_url(text)


@pytest.mark.parametrize(
    ("url", "module"), [("mysql://u@h/d", "pymysql"), ("postgresql://u@h/d", "psycopg")]
)
def test_a_driver_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MailError, match=f"needs {module}") as caught:
        Database(database_url(url))
    assert caught.value.kind is ErrorKind.CANNOT
