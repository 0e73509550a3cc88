"""Somebody else's tables on each kind of server, with the file of Courier's that describes them."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from services.auth.backends.courier_sql import CourierSqlBackend, Kind, Scheme
from services.auth.database.drivers import Limits
from services.auth.names import NameRules
from tests.contract.mariadb import Mariadb
from tests.contract.postgres import Postgres

COLUMNS = (
    *("id", "crypt", "clear", "name", "uid", "gid", "home"),
    *("maildir", "quota", "options", "server"),
)
FIELDS = {
    "USER_TABLE": "passwd",
    "CRYPT_PWFIELD": "crypt",
    "CLEAR_PWFIELD": "clear",
    "UID_FIELD": "uid",
    "GID_FIELD": "gid",
    "LOGIN_FIELD": "id",
    "HOME_FIELD": "home",
    "NAME_FIELD": "name",
    "MAILDIR_FIELD": "maildir",
    "QUOTA_FIELD": "quota",
    "AUXOPTIONS_FIELD": "options",
}
_CREATE = (
    "CREATE TABLE passwd (id VARCHAR(200) NOT NULL PRIMARY KEY, crypt VARCHAR(200),"
    " clear VARCHAR(100), name VARCHAR(100), uid VARCHAR(20), gid VARCHAR(20), home VARCHAR(200),"
    " maildir VARCHAR(100), quota VARCHAR(50), options VARCHAR(200), server VARCHAR(50))"
)


class ForeignTables:
    """A database with Courier's suggested table."""

    name: str  # of the module
    prefix: str
    mark = "%s"
    characters = ""

    def __init__(self, folder: Path) -> None:
        self.rc = folder / f"auth{self.name}rc"
        self.execute(_CREATE + self.characters)

    def connection_lines(self) -> dict[str, str]:
        raise AssertionError

    def connect(self) -> Any:
        raise AssertionError

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
        finally:
            connection.close()
        return rows

    def add(self, id: str, **fields: object) -> None:
        row: dict[str, object] = {"uid": "1001", "gid": "1002", "home": f"/home/{id}", **fields}
        names = ", ".join(["id", *row])
        marks = ", ".join([self.mark] * (len(row) + 1))
        self.execute(f"INSERT INTO passwd ({names}) VALUES ({marks})", id, *row.values())

    def passwords(self) -> dict[str, tuple[str, str]]:
        rows = self.execute("SELECT id, crypt, clear FROM passwd")
        return {row[0]: (row[1], row[2]) for row in rows}

    def describe(self, *, domain: str = "", **changes: str | None) -> None:
        """Write the file; `changes` add settings, or leave some out (None)."""
        values = {**self.connection_lines(), **FIELDS, **changes}
        lines = [f"{self.prefix}{name}\t{value}" for name, value in values.items() if value]
        lines += [f"DEFAULT_DOMAIN {domain}"] if domain else []
        self.rc.write_text("\n".join([*lines, "##NAME: MARKER:0", "#", ""]))
        self.rc.chmod(0o640)

    def backend(
        self,
        rules: NameRules,
        *,
        limits: Limits = Limits(),  # noqa: B008
        scheme: Scheme = "sha512-crypt",
        **changes: Any,
    ) -> CourierSqlBackend:
        self.describe(**changes)
        return CourierSqlBackend(self.kind(), self.rc, rules, limits, scheme)

    def kind(self) -> Kind:
        raise AssertionError

    def concat(self, pieces: Sequence[str]) -> str:
        return " || ".join(pieces)


class MysqlTables(ForeignTables):
    name, prefix = "mysql", "MYSQL_"
    characters = " CHARACTER SET utf8mb4"

    def __init__(self, server: Mariadb, folder: Path) -> None:
        self.server, self._database = server, server.new_name()
        super().__init__(folder)

    def connection_lines(self) -> dict[str, str]:
        return {
            "SERVER": "localhost",
            "SOCKET": str(self.server.socket),
            "PORT": "0",
            "OPT": "0",
            "USERNAME": "restante",
            "PASSWORD": "secret",
            "DATABASE": self._database,
        }

    def connect(self) -> Any:
        return pymysql.connect(
            unix_socket=str(self.server.socket),
            user="root",
            database=self._database,
            charset="utf8mb4",
        )

    def kind(self) -> Kind:
        from services.auth.backends.courier_sql_mysql import _servers

        return Kind(self.name, self.prefix, "mysql", _servers)

    def concat(self, pieces: Sequence[str]) -> str:
        return f"CONCAT({', '.join(pieces)})"


class PgsqlTables(ForeignTables):
    name, prefix = "pgsql", "PGSQL_"

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server, self._url = server, server.new_database()
        super().__init__(folder)

    def connection_lines(self) -> dict[str, str]:
        host = self._url.partition("host=")[2]
        text = f"host={host} \\\n   user=restante \\\n\tdbname={self.database}"
        return {"CONNECTION": text, "DATABASE": "template1"}  # as in the file that is shipped

    @property
    def database(self) -> str:
        return self._url.split("/")[3].partition("?")[0]

    def connect(self) -> Any:
        return psycopg.connect(self._url)

    def kind(self) -> Kind:
        from services.auth.backends.courier_sql_pgsql import _servers

        return Kind(self.name, self.prefix, "pgsql", _servers)


class SqliteTables(ForeignTables):
    name, prefix, mark = "sqlite", "SQLITE_", "?"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "users.db"
        super().__init__(folder)

    def connection_lines(self) -> dict[str, str]:
        return {"DATABASE": str(self.path)}

    def connect(self) -> Any:
        return sqlite3.connect(self.path)

    def kind(self) -> Kind:
        from services.auth.backends.courier_sql_sqlite import _servers

        return Kind(self.name, self.prefix, "sqlite", _servers)
