"""The accounts of our own tables, in whatever database they lie.

Records are kept in memory as long as nothing changed (remembered.py).

Every read asks for the newest position of the journal in the same statement, so that a replica
may answer it (Database.read). Look-ups go by the primary key, pages by the key behind the last.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, RowMapping, bindparam, func, literal, select, update

from restante.model import Account, ErrorKind, MailError, Options, Quota
from restante.rpc.revocation import Reason
from restante.runtime.log import get_logger
from services.auth import credentials
from services.auth.backends.base import Check, ModuleContext, PasswordChange, Record
from services.auth.database import journal, schema
from services.auth.database.engine import Database
from services.auth.database.remembered import Remembered
from services.auth.names import Login
from services.auth.settings import AuthSettings

log = get_logger(__name__)

_PAGE: Final = 500

_POSITION: Final = (
    select(func.coalesce(func.max(schema.revocations.c.id), 0)).scalar_subquery().label("position")
)
_COLUMNS: Final = (
    _POSITION,
    schema.accounts,
    schema.domains.c.default_quota,
    schema.domains.c.default_options,
)
_ALWAYS: Final = select(literal(1).label("always")).subquery()  # a row also where no account is
_BY_ADDRESS: Final = select(*_COLUMNS).select_from(
    _ALWAYS.outerjoin(schema.accounts, schema.accounts.c.address == bindparam("address")).outerjoin(
        schema.domains, schema.domains.c.name == schema.accounts.c.domain
    )
)
# Outer joins: MariaDB would begin with the few domains, and sort all accounts for each page.
_AFTER: Final = (
    select(*_COLUMNS)
    .join_from(schema.accounts, schema.domains, isouter=True)
    .where(schema.accounts.c.address > bindparam("after"))
    .order_by(schema.accounts.c.address)
    .limit(_PAGE)
)


class SqlBackend:
    """The accounts of a database."""

    name = "sql"

    def __init__(self, database: Database, mail_root: Path) -> None:
        """`mail_root` is absolute; relative homes start there."""
        self.database = database
        self.mail_root = mail_root
        self._remembered = Remembered(database, self._read)

    async def open(self) -> None:
        """Connect, and create the tables where they are missing."""
        await self.database.open()

    async def find(self, login: Login) -> Record | None:
        """Return the account of login.address."""
        return await self._remembered.of(login.address)

    async def has_domain(self, name: str) -> bool:
        """Tell whether a domain stands in the table, with or without accounts."""
        return await self.database.run(partial(_has_domain, name=name))

    async def records(self) -> AsyncIterator[Record]:
        """Yield every account, by address, in pages: no long transaction, no big list."""
        after = ""
        while True:
            rows = await self.database.read(partial(_page, after=after))
            for row in rows:
                yield self.record_of(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["address"]

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Never asked: the tables keep hashes."""
        return False

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Store a new hash; False without such an account."""
        accounts = schema.accounts

        def work(connection: Connection) -> bool:
            done = connection.execute(
                update(accounts)
                .where(accounts.c.address == login.address)
                .values(password=change.stored)
            )
            if done.rowcount == 1:
                journal.record(
                    connection,
                    login.address,
                    Reason.PASSWORD,
                    keep_session=change.keep_session,
                )
                credentials.replace(connection, login.address, change.stored, change.verifiers)
            return done.rowcount == 1

        return await self.database.run(work, write=True)

    async def replace_hash(self, login: Login, old: str, new: str) -> bool:
        """Store another hash of the same password, where `old` is still stored."""
        accounts = schema.accounts

        def work(connection: Connection) -> bool:
            done = connection.execute(
                update(accounts)
                .where(accounts.c.address == login.address, accounts.c.password == old)
                .values(password=new)
            )
            if done.rowcount == 1:
                journal.record(connection, login.address, Reason.CHANGED)
                credentials.rebind(connection, login.address, old, new)
            return done.rowcount == 1

        return await self.database.run(work, write=True)

    async def close(self) -> None:
        """Nothing: the database belongs to the service."""

    async def _read(self, address: str) -> Record | None:
        row = await self.database.read(partial(_row, address=address))
        return None if row is None else self.record_of(row)

    def record_of(self, row: RowMapping) -> Record:
        """Return the record of a row joined with its domain. Raises MailError(TEMPORARY)."""
        try:
            home = self.mail_root / row["home"]
            account = Account(
                address=row["address"],
                uid=row["uid"],
                gid=row["gid"],
                home=home,
                maildir=home / row["maildir"],
                name=row["name"],
                quota=Quota.parse(row["quota"] or row["default_quota"]),
                options=Options.parse(row["options"]).merged(Options.parse(row["default_options"])),
                disabled=row["disabled"],
            )
        except MailError as error:  # somebody wrote nonsense into the table by hand
            text = error.text
            log.warning("account has a bad field", address=row["address"], field=text)
            raise MailError(ErrorKind.TEMPORARY, "the account cannot be read") from error
        return Record(account, row["password"])


def _row(connection: Connection, address: str) -> tuple[int, RowMapping | None]:
    row = connection.execute(_BY_ADDRESS, {"address": address}).mappings().one()
    return row["position"], row if row["address"] is not None else None


def _has_domain(connection: Connection, name: str) -> bool:
    query = select(schema.domains.c.name).where(schema.domains.c.name == name)
    return connection.execute(query).first() is not None


def _page(connection: Connection, after: str) -> tuple[int | None, Sequence[RowMapping]]:
    rows = connection.execute(_AFTER, {"after": after}).mappings().all()
    return rows[0]["position"] if rows else None, rows


def make(settings: AuthSettings, context: ModuleContext) -> SqlBackend:
    """Return the module "sql"."""
    return SqlBackend(context.database, settings.mail_root)
