"""Tables of the SQL module; the same on SQLite and PostgreSQL.

`home` is relative to the mail root ("example.test/f/fr/fred"), so that the volume may be
mounted elsewhere; absolute homes stay as they are. `removed_homes` remembers every home whose
account is gone: none is ever given to another account. `revocations` is what journal.py keeps.
Times are unix seconds.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    text,
)

from restante.model import ErrorKind, MailError

VERSION: Final = 1

metadata = MetaData()

domains = Table(
    "domains",
    metadata,
    Column("name", String(253), primary_key=True),
    Column("default_quota", Text, nullable=False),
    Column("default_options", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("address", String(400), primary_key=True),
    Column("domain", String(253), ForeignKey("domains.name"), nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("gid", BigInteger, nullable=False),
    Column("home", Text, nullable=False, unique=True),
    Column("maildir", Text, nullable=False),  # relative to home, or absolute
    Column("name", Text, nullable=False),
    Column("quota", Text, nullable=False),  # "" takes the domain's default
    Column("options", Text, nullable=False),
    Column("password", Text, nullable=False),  # "" fits no password
    Column("disabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Index("accounts_domain", "domain", "address"),
)

removed_homes = Table(
    "removed_homes",
    metadata,
    Column("home", Text, primary_key=True),
    Column("address", String(400), nullable=False),
    Column("removed", BigInteger, nullable=False),
)

revocations = Table(
    "revocations",
    metadata,
    # An id is never given twice, not even after the newest row is gone.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("address", String(400), nullable=False),  # "" is every account
    Column("reason", Integer, nullable=False),  # restante.rpc.revocation.Reason
    Column("created", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

_version = Table("restante_schema", metadata, Column("version", BigInteger, primary_key=True))

_LOCK: Final = 7_265_737_461  # any number that only we use


def create(connection: Connection) -> None:
    """Make the tables where they are missing. Raises MailError(TEMPORARY) for a newer schema."""
    if connection.dialect.name == "postgresql":  # replicas may start at the same moment
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    metadata.create_all(connection)
    found = connection.execute(select(_version.c.version)).scalar()
    if found is None:
        connection.execute(insert(_version), {"version": VERSION})
    elif found > VERSION:
        raise MailError(ErrorKind.TEMPORARY, f"accounts database has schema {found}, not {VERSION}")
