"""Connections to each kind of server: URLs, pools, timeouts.

Timeouts are the program's own: a server that hangs holds a thread for `Limits.connect` or
`Limits.answer` seconds. MySQL has no timeout for every statement at the server, so there the
socket has one, a second longer than that of lock waits.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import URL, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from restante.model import ErrorKind, MailError

_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_MYSQL: Final = ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")

_EXPECTED: Final = (
    "expected sqlite:///path, postgresql://user@host/database or mysql://user@host/database"
)

# Too long a text is an error, not cut off.
_SQL_MODE: Final = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, and connections to one server."""

    connections: int = 4
    connect: int = 3
    answer: int = 4  # of one statement
    recycle: int = 1800  # a connection is not used longer
    aside: float = 10.0  # a dead replica is not asked again


def database_url(text: str) -> URL:
    """Parse a database URL; "postgresql://" means psycopg 3, "mysql://" PyMySQL.

    Raises ValueError.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ValueError(_EXPECTED) from error
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in _MYSQL:
        if not url.database:
            raise ValueError(_EXPECTED)
        return url.set(drivername="mysql+pymysql")
    if url.drivername != "sqlite" or not url.database or url.database == ":memory:":
        raise ValueError(_EXPECTED)
    return url


def is_sqlite(url: URL) -> bool:
    """True for a file, False for a server."""
    return url.get_backend_name() == "sqlite"


def writing_engine(url: URL, limits: Limits) -> Engine:
    """Return connections for transactions that write; on SQLite for all."""
    if is_sqlite(url):
        return _sqlite(url)
    if url.get_backend_name() == "mysql":
        # Without locks on gaps between rows; every transaction of ours looks at rows by key.
        return _server(url, limits, isolation_level="READ COMMITTED")
    return _server(url, limits)


def reading_engine(url: URL, limits: Limits) -> Engine:
    """Return connections to a server that go without BEGIN and COMMIT: one round trip a SELECT."""
    return _server(url, limits, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)


def patient_engine(url: URL, limits: Limits) -> Engine:
    """Return connections for work that may take its time, to be closed after it."""
    if is_sqlite(url):
        return _sqlite(url)
    return create_engine(url, poolclass=NullPool, connect_args=_arguments(url, limits.connect))


def _server(url: URL, limits: Limits, **options: Any) -> Engine:
    """Raises MailError(CANNOT) where the driver, an extra of ours, is not installed."""
    try:
        return create_engine(
            url,
            pool_size=limits.connections,
            max_overflow=0,
            pool_timeout=limits.connect,
            pool_recycle=limits.recycle,
            connect_args=_arguments(url, limits.connect, limits.answer),
            **options,
        )
    except ModuleNotFoundError as error:
        text = f"the database needs {error.name}, which is not installed"
        raise MailError(ErrorKind.CANNOT, text) from error


def _arguments(url: URL, connect: int, answer: int | None = None) -> dict[str, Any]:
    if url.get_backend_name() == "mysql":
        mysql: dict[str, Any] = {
            "connect_timeout": connect,
            "charset": "utf8mb4",
            "sql_mode": _SQL_MODE,
        }
        if answer is not None:
            mysql["init_command"] = f"SET SESSION innodb_lock_wait_timeout = {answer}"
            mysql["read_timeout"] = mysql["write_timeout"] = answer + 1
        return mysql
    postgres: dict[str, Any] = {"connect_timeout": connect}
    if answer is not None:
        postgres["tcp_user_timeout"] = (answer + 1) * 1000
        postgres["options"] = f"-c statement_timeout={answer * 1000}"
    return postgres


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 5.0, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by us, not by the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def timed_out(error: DBAPIError) -> bool:
    """True where the server did not answer in time: asking again would take as long."""
    cause = error.orig
    return cause is not None and isinstance(cause.__context__, TimeoutError)
