"""SQLite only: a number that rises with every change that a login could depend on.

Triggers raise it, so a change made by hand with another program counts, too, and so does one of
the tables themselves (`PRAGMA schema_version`). What is written all
the time and changes no verdict (the audit log, sessions, when something was last used) does not:
caches that hang on the number outlive it.

Reading it costs one PRAGMA as long as nothing at all was written: `PRAGMA data_version` of a
connection that never writes changes with every commit of any other connection, in this process
or another. Only then is the number itself read.
"""

import sqlite3
from typing import Final

from sqlalchemy import Connection

# Table -> the columns whose update counts; () is all of them.
_WATCHED: Final[dict[str, tuple[str, ...]]] = {
    "accounts": (),
    "domains": (),
    "revocations": (),
    "credentials": (),
    "totp": ("address", "secret", "confirmed"),
    "passkeys": ("id", "address", "public_key"),
    "app_passwords": (
        "id",
        "address",
        "name",
        "digest",
        "services",
        "networks",
        "read_only",
        "expires",
    ),
    "masters": (),
}


def install(connection: Connection) -> None:
    """Make table and triggers where they are missing."""
    run = connection.exec_driver_sql
    if run("SELECT 1 FROM sqlite_master WHERE name = 'restante_generation'").first():
        return
    run("CREATE TABLE restante_generation (number INTEGER NOT NULL)")
    run("INSERT INTO restante_generation VALUES (1)")
    for table, columns in _WATCHED.items():
        for event in ("INSERT", "DELETE", "UPDATE"):
            what = f"UPDATE OF {', '.join(columns)}" if event == "UPDATE" and columns else event
            body = "UPDATE restante_generation SET number = number + 1"
            name = f"generation_{table}_{event.lower()}"
            run(f"CREATE TRIGGER {name} AFTER {what} ON {table} BEGIN {body}; END")


class Generation:
    """Reads the number; used by one thread at a time."""

    def __init__(self, path: str) -> None:
        """`path` of a database that `install` has seen."""
        self._connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA query_only=ON").close()
        self._commits = -1
        self._number = 0

    def read(self) -> int | None:
        """Return the number, None where it cannot be told just now."""
        try:
            (commits,) = self._connection.execute("PRAGMA data_version").fetchone()
            if commits != self._commits:
                query = "SELECT number FROM restante_generation"
                (number,) = self._connection.execute(query).fetchone()
                (tables,) = self._connection.execute("PRAGMA schema_version").fetchone()
                self._number = tables << 40 | number
                self._commits = commits  # what was committed between the two is seen next time
        except (sqlite3.Error, TypeError):
            return None
        return self._number

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
