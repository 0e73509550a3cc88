"""The module sqlite: accounts in tables of an SQLite file, described by authsqliterc.

The file must be there: none is made. SQLite writes beside it, so a change of a password needs a
directory that we may write to.
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from services.auth.backends.base import ModuleContext
from services.auth.backends.courier_sql import CourierSqlBackend, Kind
from services.auth.backends.courier_sql_rc import CourierSqlConfig
from services.auth.backends.courier_sql_servers import Servers
from services.auth.database.drivers import Limits
from services.auth.settings import AuthSettings


def make(settings: AuthSettings, context: ModuleContext) -> CourierSqlBackend:
    """Return the module "sqlite"."""
    kind = Kind("sqlite", "SQLITE_", "sqlite", _servers)
    return CourierSqlBackend(
        kind,
        settings.sqliterc,
        context.rules,
        settings.sql_limits(),
        settings.courier_sql_password_scheme,
    )


def _servers(config: CourierSqlConfig, limits: Limits) -> Servers:
    """Raises ValueError."""
    path = Path(config.values.get("DATABASE", ""))
    if not path.is_absolute():
        raise ValueError("SQLITE_DATABASE is the absolute path of a file")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=limits.answer,
            isolation_level=None,
            check_same_thread=False,
        )

    return Servers("sqlite", [(str(path), connect)], limits)
