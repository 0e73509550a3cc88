"""Tables of our own database; the same on SQLite, PostgreSQL and MySQL or MariaDB.

Conventions
- An account is named by its canonical address (names.Login.address). Only the module sql keeps
  accounts here; what auth keeps about an account has no foreign key to them, since the account
  may live in LDAP, userdb or elsewhere.
- Times are unix seconds, 0 is never or not yet. No column is NULL: "" and 0 mean none.
- Secrets that are only compared are kept as digests, never in clear. Addresses compare exactly,
  byte by byte (utf8mb4_bin on MySQL).
- A change here is a new revision under migrations/ as well; a test compares the two.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

# MySQL's keys have at most 3072 bytes, and its TEXT has no key at all.
_HOME: Final = Text().with_variant(mysql.VARCHAR(700), "mysql")
_BASE64URL: Final = String(1364).with_variant(
    mysql.VARCHAR(1364, charset="ascii", collation="ascii_bin"), "mysql"
)
_LONG: Final = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
_NUMBERED: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER
_ADDRESS: Final = String(400)
_DOMAIN: Final = String(253)
_DIGEST: Final = String(128)  # of a token or code, in hex or base64url
_ID: Final = String(64)  # random, as the owner of the table makes it
_PEER: Final = String(64)  # IP address of a client


def _table(name: str, *parts: Any, **options: Any) -> Table:
    return Table(
        name,
        metadata,
        *parts,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        **options,
    )


# --- accounts of the module sql ---------------------------------------------------------------

domains = _table(
    "domains",
    Column("name", _DOMAIN, primary_key=True),
    Column("default_quota", Text, nullable=False),
    Column("default_options", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)

# `home` is relative to the mail root ("example.test/f/fr/fred"), so that the volume may be
# mounted elsewhere; absolute homes stay as they are.
accounts = _table(
    "accounts",
    Column("address", _ADDRESS, primary_key=True),
    Column("domain", _DOMAIN, ForeignKey("domains.name"), nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("gid", BigInteger, nullable=False),
    Column("home", _HOME, nullable=False, unique=True),
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

# Every home whose account is gone: none is ever given to another account.
removed_homes = _table(
    "removed_homes",
    Column("home", _HOME, primary_key=True),
    Column("address", _ADDRESS, nullable=False),
    Column("removed", BigInteger, nullable=False),
)

# --- what changed: journal.py ------------------------------------------------------------------

revocations = _table(
    "revocations",
    # An id is never given twice, not even after the newest row is gone.
    Column("id", _NUMBERED, primary_key=True),
    Column("address", _ADDRESS, nullable=False),  # "" is every account
    Column("reason", Integer, nullable=False),  # restante.rpc.revocation.Reason
    Column("created", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# --- what auth keeps about accounts of any module ----------------------------------------------

# Verifiers derived from the password when it was last set or seen.
credentials = _table(
    "credentials",
    Column("address", _ADDRESS, primary_key=True),
    Column("kind", String(64), primary_key=True),  # "scram-sha-256", "hmac-md5"...
    Column("value", Text, nullable=False),  # as the mechanism of that kind writes it
    Column("created", BigInteger, nullable=False),
)

totp = _table(
    "totp",
    Column("address", _ADDRESS, primary_key=True),
    Column("secret", Text, nullable=False),  # base32, RFC 6238; no digest can make codes
    Column("confirmed", Boolean, nullable=False, default=False),  # counts only once a code fitted
    Column("last_step", BigInteger, nullable=False, default=0),  # used last: no code counts twice
    Column("created", BigInteger, nullable=False),
)

passkeys = _table(
    "passkeys",
    Column("id", _BASE64URL, primary_key=True),  # credential id (WebAuthn), at most 1023 bytes
    Column("address", _ADDRESS, nullable=False),
    Column("public_key", Text, nullable=False),  # COSE key, base64url
    Column("sign_count", BigInteger, nullable=False, default=0),
    Column("name", Text, nullable=False, default=""),  # the owner's word for it
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False, default=0),
    Column("transports", Text, nullable=False, default=""),  # comma list: "usb,nfc"
    Index("passkeys_address", "address"),
)

recovery_codes = _table(
    "recovery_codes",
    Column("address", _ADDRESS, primary_key=True),
    Column("digest", _DIGEST, primary_key=True),
    Column("used", BigInteger, nullable=False, default=0),  # when; 0 is still good
)

app_passwords = _table(
    "app_passwords",
    Column("id", _ID, primary_key=True),
    Column("address", _ADDRESS, nullable=False),
    Column("name", Text, nullable=False),  # the owner's word for it
    Column("digest", _DIGEST, nullable=False, unique=True),
    Column("services", Text, nullable=False, default=""),  # comma list: "imap,smtp"; "" is all
    Column("networks", Text, nullable=False, default=""),  # comma list of CIDR; "" is anywhere
    Column("read_only", Boolean, nullable=False, default=False),
    Column("expires", BigInteger, nullable=False, default=0),
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False, default=0),
    Column("last_peer", _PEER, nullable=False, default=""),
    Column("last_service", String(32), nullable=False, default=""),
    Index("app_passwords_address", "address"),
)

web_sessions = _table(
    "web_sessions",
    Column("id", _ID, primary_key=True),  # shown to the owner, opens nothing
    Column("digest", _DIGEST, nullable=False, unique=True),  # of the token in the cookie
    Column("address", _ADDRESS, nullable=False),
    Column("pending", Boolean, nullable=False, default=False),  # the second factor is missing
    Column("actor", _ADDRESS, nullable=False, default=""),  # the master user who came in as him
    Column("peer", _PEER, nullable=False, default=""),
    Column("client", Text, nullable=False, default=""),  # User-Agent
    Column("created", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger, nullable=False, default=0),  # last check of the password
    Index("web_sessions_address", "address"),
    Index("web_sessions_actor", "actor"),
)

# Networks that an account has logged in from (throttle/known.py).
known_places = _table(
    "known_places",
    Column("address", _ADDRESS, primary_key=True),
    Column("place", _PEER, primary_key=True),
    Column("seen", BigInteger, nullable=False),
    Index("known_places_seen", "seen"),
)

# What is remembered between the two halves of a passkey's exchange.
challenges = _table(
    "challenges",
    Column("id", _ID, primary_key=True),
    Column("kind", String(32), nullable=False),  # "register", "login"...
    Column("address", _ADDRESS, nullable=False, default=""),
    Column("data", Text, nullable=False),  # JSON of the owner
    Column("expires", BigInteger, nullable=False),
    Index("challenges_expires", "expires"),
)

# --- administration ----------------------------------------------------------------------------

api_tokens = _table(
    "api_tokens",
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", _DIGEST, nullable=False, unique=True),
    Column("role", String(32), nullable=False),  # superadmin, domain-admin, read-only
    Column("domains", Text, nullable=False, default=""),  # comma list; "" is all
    Column("expires", BigInteger, nullable=False, default=0),
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False, default=0),
)

# Accounts that may log in as others.
masters = _table(
    "masters",
    Column("address", _ADDRESS, primary_key=True),
    Column("domains", Text, nullable=False, default=""),  # comma list; "" is all
    Column("created", BigInteger, nullable=False),
)

# What happened, never changed afterwards. Ids rise with time.
audit = _table(
    "audit",
    Column("id", _NUMBERED, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("action", String(64), nullable=False),  # "login", "account.update"...
    Column("actor", _ADDRESS, nullable=False, default=""),  # account, token or certificate
    Column("address", _ADDRESS, nullable=False, default=""),  # the account that it is about
    Column("domain", _DOMAIN, nullable=False, default=""),  # the domain that it is about
    Column("service", String(32), nullable=False, default=""),
    Column("peer", _PEER, nullable=False, default=""),
    Column("result", String(64), nullable=False, default=""),  # "ok" or the kind of the error
    Column("detail", Text, nullable=False, default=""),  # never a password, hash or token
    Index("audit_address", "address", "id"),
    Index("audit_domain", "domain", "id"),
    Index("audit_time", "time"),
    sqlite_autoincrement=True,
)

# Answers of the services' workers to one question ("who is logged in"), in parts.
session_reports = _table(
    "session_reports",
    Column("request", _ID, primary_key=True),
    Column("worker", String(128), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),  # from 0
    Column("body", _LONG, nullable=False),
    Column("last", Boolean, nullable=False),  # the worker has no more parts
    Column("created", BigInteger, nullable=False),
    Index("session_reports_created", "created"),
)

# --- which schema this is: migrate.py ----------------------------------------------------------

# Alembic's table, under a name of ours: the database may be shared.
revision = _table(
    "restante_revision",
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="restante_revision_pkc"),
)

# Programs of before alembic look here; anything above 1 makes them refuse, as they should: they
# know no second factors.
legacy_version = _table("restante_schema", Column("version", BigInteger, primary_key=True))
