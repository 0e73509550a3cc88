"""Brings a database to the schema that this program knows, whoever starts first.

- A fresh database gets all tables at once and is marked with the newest revision; alembic, which
  takes longer to load than that, only runs where an older schema is found.
- A database of the first release (table restante_schema, no revision) is adopted: its tables and
  rows stay, the later revisions add what is missing.
- A revision that this program does not know is TEMPORARY: it belongs to a newer program, and
  what that one guards (a second factor, say) must not be ignored by this one.
- Replicas may start at the same moment: one at a time works here, by an advisory lock on
  PostgreSQL, GET_LOCK on MySQL, BEGIN IMMEDIATE on SQLite. PostgreSQL and SQLite do it in one
  transaction. MySQL commits every statement of DDL by itself: the mark comes last, and what was
  begun is continued by the next.

Functions here run on a database thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, insert, inspect, select, text

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth.database import generation, schema
from services.auth.database.migrations.making import make

log = get_logger(__name__)

REVISIONS: Final = ("0001", "0002")  # in their order; a test compares with the files
LEGACY_VERSION: Final = 2  # what restante_schema says from revision 0002 on

_LOCK: Final = 7_265_737_461  # any number that only we use
_PATIENCE: Final = 60  # seconds; another replica may be busy with an upgrade


def prepare(engine: Engine) -> None:
    """Make or upgrade the tables. Raises MailError(TEMPORARY), SQLAlchemyError, OSError."""
    with engine.connect() as connection, _alone(connection):
        if _found(connection) != REVISIONS[-1]:
            _bring_up_to_date(connection)
        if connection.dialect.name == "sqlite":
            generation.install(connection)


def _bring_up_to_date(connection: Connection) -> None:
    found = _found(connection)
    if found is None:
        fresh(connection)
    elif found not in REVISIONS:
        log.error(
            "the database has the schema of a newer release; this one does not touch it",
            found=found,
            known=REVISIONS[-1],
        )
        raise MailError(
            ErrorKind.TEMPORARY,
            f"the database has schema {found}, this program knows {REVISIONS[-1]}",
        )
    else:
        log.info("upgrading the database", found=found, to=REVISIONS[-1])
        upgrade(connection, found)
        log.info("the database is upgraded", to=REVISIONS[-1])


def _found(connection: Connection) -> str | None:
    """Return the revision of the database, None for a fresh one."""
    here = inspect(connection)
    if here.has_table(schema.revision.name):
        found = connection.execute(select(schema.revision.c.version_num)).scalar()
        if found is not None:
            return str(found)
    if not here.has_table(schema.legacy_version.name):
        return None
    version = connection.execute(select(schema.legacy_version.c.version)).scalar()
    if version is None or version == LEGACY_VERSION:
        return None  # MySQL was cut off while it was made: go on
    return REVISIONS[0] if version == 1 else f"number {version}"


def fresh(connection: Connection) -> None:
    """Make all tables, and mark them with the newest revision."""
    if connection.dialect.name == "mysql":
        make(connection, schema.metadata)
    else:  # what has the name of a table of ours is somebody else's, and an error
        schema.metadata.create_all(connection, checkfirst=False)
    if connection.execute(select(schema.legacy_version)).first() is None:
        connection.execute(insert(schema.legacy_version).values(version=LEGACY_VERSION))
    connection.execute(insert(schema.revision).values(version_num=REVISIONS[-1]))


def upgrade(connection: Connection, found: str | None) -> None:
    """Run the revisions behind `found` (None: all of them) and move the mark."""
    from alembic import command  # noqa: PLC0415 - half a second of loading, hardly ever needed
    from alembic.config import Config  # noqa: PLC0415 - the same

    schema.revision.create(connection, checkfirst=True)
    marked = connection.execute(select(schema.revision.c.version_num)).scalar()
    if found is not None and marked is None:
        connection.execute(insert(schema.revision).values(version_num=found))
    config = Config(attributes={"connection": connection})
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    command.upgrade(config, "head")


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold a transaction while no other program works here."""
    if connection.dialect.name == "mysql":
        with _alone_on_mysql(connection), connection.begin():
            yield
        return
    with connection.begin():
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield


@contextmanager
def _alone_on_mysql(connection: Connection) -> Iterator[None]:
    """Hold a lock by name: names are of the whole server, and it belongs to the connection."""
    database = connection.engine.url.database or ""
    name = {"name": f"restante.{sha256(database.encode()).hexdigest()[:40]}"}
    taken = connection.execute(
        text("SELECT GET_LOCK(:name, :patience)"), {**name, "patience": _PATIENCE}
    ).scalar()
    connection.rollback()
    if taken != 1:
        raise MailError(ErrorKind.TEMPORARY, "another program is busy with the database's tables")
    try:
        yield
    finally:
        try:
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), name)
            connection.rollback()
        except BaseException:
            connection.invalidate()  # the lock goes with the connection
            raise
