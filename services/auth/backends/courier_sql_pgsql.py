"""The module pgsql: accounts in tables of PostgreSQL, described by authpgsqlrc.

PGSQL_CONNECTION is libpq's own connection string, which may name several hosts; beside it Courier
looks at no PGSQL_DATABASE, which its file always has. Files of older releases have PGSQL_HOST,
PGSQL_PORT, PGSQL_DATABASE, PGSQL_USERNAME, PGSQL_PASSWORD and PGSQL_OPT instead.
"""

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from services.auth.backends.base import ModuleContext
from services.auth.backends.courier_sql import CourierSqlBackend, Kind
from services.auth.backends.courier_sql_rc import CourierSqlConfig
from services.auth.backends.courier_sql_servers import Servers
from services.auth.database.drivers import Limits
from services.auth.settings import AuthSettings

_OLD: Final = {
    "HOST": "host",
    "PORT": "port",
    "DATABASE": "dbname",
    "USERNAME": "user",
    "PASSWORD": "password",
    "OPT": "options",
}


def make(settings: AuthSettings, context: ModuleContext) -> CourierSqlBackend:
    """Return the module "pgsql"."""
    kind = Kind("pgsql", "PGSQL_", "pgsql", _servers)
    return CourierSqlBackend(
        kind,
        settings.pgsqlrc,
        context.rules,
        settings.sql_limits(),
        settings.courier_sql_password_scheme,
    )


def _servers(config: CourierSqlConfig, limits: Limits) -> Servers:
    """libpq tries several hosts in their order by itself. Raises ValueError."""
    text = _conninfo(config.values, limits)

    def connect() -> "psycopg.Connection[Any]":
        # Names of prepared statements would be in the way of poolers.
        made = psycopg.connect(text, prepare_threshold=None)
        made.execute(f"SET statement_timeout = {limits.answer * 1000}")
        made.commit()
        return made

    return Servers("postgresql+psycopg", [("the servers of PGSQL_CONNECTION", connect)], limits)


def _conninfo(values: Mapping[str, str], limits: Limits) -> str:
    known: dict[str, Any] = {}
    if "CONNECTION" not in values:
        known = {n: values[o] for o, n in _OLD.items() if values.get(o) not in (None, "0")}
    try:
        return make_conninfo(
            values.get("CONNECTION", ""),
            **known,
            client_encoding=values.get("CHARACTER_SET", "UTF8"),
            connect_timeout=limits.connect,
            tcp_user_timeout=(limits.answer + 1) * 1000,
        )
    except psycopg.Error as error:  # its text may hold the password
        raise ValueError("PGSQL_CONNECTION cannot be understood") from error
