"""Accounts of the module sql, and the journal of revocations.

What the first release made by itself; such a database is adopted as it is.
"""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    insert,
    select,
)
from sqlalchemy.dialects import mysql

from services.auth.database.migrations.making import make, table

revision = "0001"
down_revision = None

_HOME = Text().with_variant(mysql.VARCHAR(700), "mysql")

metadata = MetaData()

table(
    metadata,
    "domains",
    Column("name", String(253), primary_key=True),
    Column("default_quota", Text, nullable=False),
    Column("default_options", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)
table(
    metadata,
    "accounts",
    Column("address", String(400), primary_key=True),
    Column("domain", String(253), ForeignKey("domains.name"), nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("gid", BigInteger, nullable=False),
    Column("home", _HOME, nullable=False, unique=True),
    Column("maildir", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("quota", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Index("accounts_domain", "domain", "address"),
)
table(
    metadata,
    "removed_homes",
    Column("home", _HOME, primary_key=True),
    Column("address", String(400), nullable=False),
    Column("removed", BigInteger, nullable=False),
)
table(
    metadata,
    "revocations",
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("address", String(400), nullable=False),
    Column("reason", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
_version = table(metadata, "restante_schema", Column("version", BigInteger, primary_key=True))


def upgrade() -> None:
    """Make what is missing."""
    connection = op.get_bind()
    make(connection, metadata)
    if connection.execute(select(_version.c.version)).first() is None:
        connection.execute(insert(_version).values(version=1))
