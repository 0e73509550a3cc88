"""Settings: existing tables, described by authmysqlrc, authpgsqlrc or authsqliterc."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from restante.runtime.settings import AbsolutePath, ServiceSettings


class CourierSqlSettings(ServiceSettings):
    """The modules mysql, pgsql and sqlite. Connections and timeouts are those of SQL_*."""

    mysqlrc: AbsolutePath = Field(
        Path("/etc/courier/authmysqlrc"),
        description="Module mysql: Courier's authmysqlrc, read as it stands.",
    )
    pgsqlrc: AbsolutePath = Field(
        Path("/etc/courier/authpgsqlrc"),
        description="Module pgsql: Courier's authpgsqlrc, read as it stands.",
    )
    sqliterc: AbsolutePath = Field(
        Path("/etc/courier/authsqliterc"),
        description="Module sqlite: Courier's authsqliterc, read as it stands.",
    )
    courier_sql_password_scheme: Literal["sha512-crypt", "argon2id"] = Field(
        "sha512-crypt",
        description="Modules mysql, pgsql, sqlite: hash of new passwords;"
        " crypt(3) is what Courier and others can read, too.",
    )
