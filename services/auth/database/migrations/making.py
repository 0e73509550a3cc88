"""Makes the tables of a revision.

MySQL commits after every statement, so a revision may be cut off in its middle and run again:
what is there already is left as it is, table by table and index by index.
"""

from typing import Any

from sqlalchemy import Connection, MetaData, Table


def table(metadata: MetaData, name: str, *parts: Any, **options: Any) -> Table:
    """Return a table as all of ours are made; on MySQL InnoDB, and texts compare exactly."""
    return Table(
        name,
        metadata,
        *parts,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        **options,
    )


def make(connection: Connection, metadata: MetaData) -> None:
    """Create tables and indexes where they are missing."""
    for one in metadata.sorted_tables:
        one.create(connection, checkfirst=True)
        for index in one.indexes:
            index.create(connection, checkfirst=True)
