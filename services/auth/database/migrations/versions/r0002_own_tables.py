"""Second factors, app passwords, sessions, roles, the audit table: what auth keeps of its own."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    column,
    update,
)
from sqlalchemy import table as known
from sqlalchemy.dialects import mysql

from services.auth.database.migrations.making import make, table

revision = "0002"
down_revision = "0001"

_BASE64URL = String(1364).with_variant(
    mysql.VARCHAR(1364, charset="ascii", collation="ascii_bin"), "mysql"
)
_LONG = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
_NUMBERED = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

table(
    metadata,
    "credentials",
    Column("address", String(400), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)
table(
    metadata,
    "totp",
    Column("address", String(400), primary_key=True),
    Column("secret", Text, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
)
table(
    metadata,
    "passkeys",
    Column("id", _BASE64URL, primary_key=True),
    Column("address", String(400), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
    Column("transports", Text, nullable=False),
    Index("passkeys_address", "address"),
)
table(
    metadata,
    "recovery_codes",
    Column("address", String(400), primary_key=True),
    Column("digest", String(128), primary_key=True),
    Column("used", BigInteger, nullable=False),
)
table(
    metadata,
    "app_passwords",
    Column("id", String(64), primary_key=True),
    Column("address", String(400), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", String(128), nullable=False, unique=True),
    Column("services", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
    Column("last_peer", String(64), nullable=False),
    Column("last_service", String(32), nullable=False),
    Index("app_passwords_address", "address"),
)
table(
    metadata,
    "web_sessions",
    Column("id", String(64), primary_key=True),
    Column("digest", String(128), nullable=False, unique=True),
    Column("address", String(400), nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("actor", String(400), nullable=False),
    Column("peer", String(64), nullable=False),
    Column("client", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger, nullable=False),
    Index("web_sessions_address", "address"),
    Index("web_sessions_actor", "actor"),
)
table(
    metadata,
    "challenges",
    Column("id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("address", String(400), nullable=False),
    Column("data", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Index("challenges_expires", "expires"),
)
table(
    metadata,
    "api_tokens",
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(128), nullable=False, unique=True),
    Column("role", String(32), nullable=False),
    Column("domains", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
)
table(
    metadata,
    "masters",
    Column("address", String(400), primary_key=True),
    Column("domains", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)
table(
    metadata,
    "audit",
    Column("id", _NUMBERED, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("action", String(64), nullable=False),
    Column("actor", String(400), nullable=False),
    Column("address", String(400), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("service", String(32), nullable=False),
    Column("peer", String(64), nullable=False),
    Column("result", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_address", "address", "id"),
    Index("audit_domain", "domain", "id"),
    Index("audit_time", "time"),
    sqlite_autoincrement=True,
)
table(
    metadata,
    "session_reports",
    Column("request", String(64), primary_key=True),
    Column("worker", String(128), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("body", _LONG, nullable=False),
    Column("last", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Index("session_reports_created", "created"),
)
table(
    metadata,
    "known_places",
    Column("address", String(400), primary_key=True),
    Column("place", String(64), primary_key=True),
    Column("seen", BigInteger, nullable=False),
    Index("known_places_seen", "seen"),
)


def upgrade() -> None:
    """Make what is missing; programs that know only the first schema refuse from now on."""
    connection = op.get_bind()
    make(connection, metadata)
    connection.execute(update(known("restante_schema", column("version"))).values(version=2))
