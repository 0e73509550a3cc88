"""The module mysql: accounts in tables of MySQL or MariaDB, described by authmysqlrc."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pymysql
from pymysql.constants import CLIENT

from services.auth.backends.base import ModuleContext
from services.auth.backends.courier_sql import CourierSqlBackend, Kind
from services.auth.backends.courier_sql_rc import CourierSqlConfig
from services.auth.backends.courier_sql_servers import Servers
from services.auth.database.drivers import Limits
from services.auth.settings import AuthSettings

_PORT: Final = 3306

# Where the client library looks for "localhost", which is never TCP there.
_SOCKETS: Final = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108 - MySQL's own default

# Too long a text is an error, not cut off.
_STRICT: Final = (
    "SET SESSION sql_mode = CONCAT_WS(',', NULLIF(@@sql_mode, ''), 'STRICT_ALL_TABLES')"
)


def make(settings: AuthSettings, context: ModuleContext) -> CourierSqlBackend:
    """Return the module "mysql"."""
    kind = Kind("mysql", "MYSQL_", "mysql", _servers)
    return CourierSqlBackend(
        kind,
        settings.mysqlrc,
        context.rules,
        settings.sql_limits(),
        settings.courier_sql_password_scheme,
    )


def _servers(config: CourierSqlConfig, limits: Limits) -> Servers:
    """MYSQL_SERVER may name several, with spaces or commas. Raises ValueError."""
    values = config.values
    if "DATABASE" not in values:
        raise ValueError("MYSQL_DATABASE is missing")
    socket = values.get("SOCKET", "")
    port = _number(values, "PORT") or _PORT
    common: dict[str, Any] = {
        "user": values.get("USERNAME"),
        "password": values.get("PASSWORD", ""),
        "database": values["DATABASE"],
        "charset": values.get("CHARACTER_SET", "utf8mb4"),
        "client_flag": CLIENT.FOUND_ROWS | _number(values, "OPT"),
        "init_command": _STRICT,
        "connect_timeout": limits.connect,
        "read_timeout": limits.answer,
        "write_timeout": limits.answer,
        **_tls(values),
    }
    servers = []
    for host in values.get("SERVER", "localhost").replace(",", " ").split():
        there = socket or (_local_socket() if host == "localhost" else "")
        where = {"unix_socket": there} if there else {"host": host, "port": port}
        servers.append((there or f"{host}:{port}", partial(pymysql.connect, **common, **where)))
    return Servers("mysql+pymysql", servers, limits)


def _tls(values: Mapping[str, str]) -> dict[str, Any]:
    names = {
        "SSL_CACERT": "ca",
        "SSL_CAPATH": "capath",
        "SSL_CERT": "cert",
        "SSL_KEY": "key",
        "SSL_CIPHERS": "cipher",
    }
    found = {ours: values[name] for name, ours in names.items() if name in values}
    if not found:
        return {}
    # As the client library: the name in the certificate is not compared.
    return {"ssl": {**found, "check_hostname": False}}


def _local_socket() -> str:
    return next((path for path in _SOCKETS if Path(path).is_socket()), "")


def _number(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "0")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"MYSQL_{name} is not a number")
    return int(text)
