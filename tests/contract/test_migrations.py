"""Fresh, upgraded and adopted databases are alike, on every server, whoever starts first."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from restante.model import ErrorKind, MailError
from services.auth.database import drivers, migrate, schema
from services.auth.database.drivers import Limits, database_url
from services.auth.database.engine import Database
from services.auth.database.migrations.versions import r0001_accounts
from tests.contract.mariadb import Mariadb

OLD_ROWS = (
    "INSERT INTO domains VALUES ('example.test', '9S', '', 5)",
    "INSERT INTO accounts VALUES ('fred@example.test', 'example.test', 7, 8, 'h', 'Maildir',"
    " 'Frède', '', '', '{PLAIN}x', FALSE, 5, 6)",
    "INSERT INTO removed_homes VALUES ('gone', 'ann@example.test', 4)",
    "INSERT INTO revocations (address, reason, created) VALUES ('fred@example.test', 1, 5)",
    "INSERT INTO restante_schema VALUES (1)",
)


class Place:
    """Makes empty databases of one kind."""

    def __init__(self, kind: str, request: pytest.FixtureRequest, folder: Path) -> None:
        self.kind, self._folder, self._made = kind, folder, 0
        self._server = None if kind == "sqlite" else request.getfixturevalue(kind)

    def new(self) -> str:
        self._made += 1
        if self._server is None:
            return f"sqlite:///{self._folder}/{self._made}.sqlite"
        url: str = self._server.new_database()
        return url


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, request, tmp_path)


# The first release knew no MySQL.
old = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


def engine_of(url: str) -> Engine:
    return drivers.patient_engine(database_url(url), Limits())


def make_old(url: str) -> None:
    """Make what the first release left behind: tables by create_all, and no revision."""
    engine = engine_of(url)
    with engine.begin() as connection:
        r0001_accounts.metadata.create_all(connection)
        for statement in OLD_ROWS:
            connection.execute(text(statement))
    engine.dispose()


async def opened(url: str) -> None:
    database = Database(database_url(url))
    try:
        await database.open()
    finally:
        await database.close()


def described(url: str) -> dict[str, Any]:
    """Return all that the server says about our tables."""
    engine = engine_of(url)
    found: dict[str, Any] = {}
    with engine.connect() as connection:
        here = inspect(connection)
        for table in sorted(schema.metadata.tables):
            found[table] = {
                "columns": [
                    {**column, "type": repr(column["type"])} for column in here.get_columns(table)
                ],
                "key": here.get_pk_constraint(table),
                "foreign": here.get_foreign_keys(table),
                "unique": sorted(here.get_unique_constraints(table), key=repr),
                "indexes": sorted(here.get_indexes(table), key=repr),
            }
            if connection.dialect.name == "mysql":
                made = connection.exec_driver_sql(f"SHOW CREATE TABLE {table}").one()[1]
                found[table]["made"] = sorted(
                    line.strip(" ,") for line in made.partition("AUTO_INCREMENT=")[0].split("\n")
                )
    engine.dispose()
    return found


async def test_fresh_and_migrated_are_the_same(place: Place) -> None:
    fresh, migrated = place.new(), place.new()
    await opened(fresh)
    engine = engine_of(migrated)
    with engine.begin() as connection:
        migrate.upgrade(connection, None)
    engine.dispose()
    assert described(migrated) == described(fresh)
    await opened(migrated)


async def test_the_server_has_what_the_code_says(place: Place) -> None:
    url = place.new()
    await opened(url)
    engine = engine_of(url)
    with engine.connect() as connection:
        known = schema.metadata.tables
        options = {
            "version_table": schema.revision.name,
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or name in known,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


async def test_addresses_compare_exactly_on_mysql(mariadb: Mariadb) -> None:
    """The server's own defaults (latin1, any case) are not ours."""
    url = mariadb.new_database()
    await opened(url)
    engine = engine_of(url)
    with engine.begin() as connection:
        for address in ("fred", "Fred", "fréd", "frêd", "\U0001f4ec"):
            row = {"address": address, "domains": "", "created": 1}
            connection.execute(schema.masters.insert(), row)
        found = {row.address for row in connection.execute(schema.masters.select())}
        assert found == {"fred", "Fred", "fréd", "frêd", "\U0001f4ec"}
    engine.dispose()


@pytest.mark.parametrize("place", ["postgres", "mariadb"], indirect=True)
async def test_what_is_too_long_is_an_error_and_not_cut(place: Place) -> None:
    """SQLite knows no lengths."""
    url = place.new()
    database = Database(database_url(url))
    row = {"address": "a" * 401, "domains": "", "created": 1}
    with pytest.raises(MailError) as caught:
        await database.run(lambda c: c.execute(schema.masters.insert(), row).rowcount, write=True)
    assert caught.value.kind is ErrorKind.TEMPORARY
    await database.close()


@old
async def test_the_first_release_is_adopted_with_its_rows(place: Place) -> None:
    url, fresh = place.new(), place.new()
    make_old(url)
    before = rows_of(url)
    await opened(url)
    assert rows_of(url) == before
    await opened(fresh)
    assert described(url) == described(fresh)
    assert one(url, "SELECT version FROM restante_schema") == 2  # the first release refuses now
    await opened(url)


def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    engine = engine_of(url)
    with engine.connect() as connection:
        found = {
            name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))]
            for name in ("domains", "accounts", "removed_homes", "revocations")
        }
    engine.dispose()
    return found


def one(url: str, query: str) -> Any:
    engine = engine_of(url)
    with engine.begin() as connection:
        result = connection.execute(text(query))
        found = result.scalar() if result.returns_rows else None
    engine.dispose()
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE restante_revision SET version_num = '9999'",
        "DELETE FROM restante_revision; UPDATE restante_schema SET version = 3",
    ],
)
async def test_a_newer_schema_is_left_alone(place: Place, statement: str) -> None:
    url = place.new()
    await opened(url)
    for part in statement.split("; "):
        one(url, part)
    before = described(url)
    with pytest.raises(MailError) as caught:
        await opened(url)
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert "this program knows 0002" in caught.value.text
    assert described(url) == before


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
async def test_a_table_of_somebody_else_is_not_taken(place: Place) -> None:
    """On MySQL, which cannot undo, what is there may be our own half."""
    url = place.new()
    one(url, "CREATE TABLE accounts (login VARCHAR(20))")
    with pytest.raises(MailError):
        await opened(url)
    engine = engine_of(url)
    assert inspect(engine).get_table_names() == ["accounts"]
    engine.dispose()


async def test_mysql_goes_on_where_it_was_cut_off(mariadb: Mariadb) -> None:
    """Each statement of DDL commits: a crash leaves the first so many of them."""
    whole = mariadb.new_database()
    await opened(whole)
    for done in (1, 4, 9):
        url = mariadb.new_database()
        engine = engine_of(url)
        with engine.begin() as connection:
            for table in schema.metadata.sorted_tables[:done]:
                table.create(connection)
        if done == 9:
            one(url, "DROP INDEX app_passwords_address ON app_passwords")
        engine.dispose()
        await opened(url)
        assert described(url) == described(whole)


PROGRAM = """
import asyncio, sys
from services.auth.database.engine import Database, database_url
async def main():
    database = Database(database_url(sys.argv[1]))
    sys.stdin.readline()
    await database.open()
    await database.close()
asyncio.run(main())
"""


async def test_processes_that_start_at_once(place: Place) -> None:
    await start_together(place.new())


@old
async def test_processes_that_adopt_at_once(place: Place) -> None:
    url = place.new()
    make_old(url)
    await start_together(url)


async def start_together(url: str) -> None:
    programs = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            url,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    results = await asyncio.gather(*(program.communicate(b"\n") for program in programs))
    assert [program.returncode for program in programs] == [0, 0, 0], results
    assert one(url, "SELECT version_num FROM restante_revision") == migrate.REVISIONS[-1]
    assert one(url, "SELECT count(*) FROM restante_schema") == 1


def test_revisions_are_those_of_the_files() -> None:
    folder = Path(migrate.__file__).with_name("migrations")
    script = ScriptDirectory(str(folder))
    found = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(found)) == migrate.REVISIONS


def test_a_fresh_database_does_without_alembic(tmp_path: Path) -> None:
    """It is loaded only where an older schema is found: a start stays quick."""
    code = PROGRAM + "\nassert 'alembic' not in sys.modules"
    url = f"sqlite:///{tmp_path}/a.sqlite"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, url], input=b"\n", check=True)
