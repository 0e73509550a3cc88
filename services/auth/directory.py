"""Changes to domains and accounts of the SQL module: one transaction each.

Functions here run on a database thread with a Connection. They raise MailError: BAD_REQUEST,
NOT_FOUND, NO_SUCH_USER, ALREADY_EXISTS, IN_USE.

Invariant: a home belongs to one account for ever. A new account gets the first of its homes that
no account has, no removed account had, and that does not exist on disk; so whoever gets an
address after its owner left finds an empty mailbox, whether or not the old mail was kept.

Every change of what a login or a delivery depends on is noted in the journal of revocations, in
the same transaction.
"""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from restante.model import ErrorKind, MailError, Options, Quota
from restante.rpc.revocation import Reason
from services.auth import credentials, masters
from services.auth.database import journal
from services.auth.database.schema import accounts, domains, removed_homes
from services.auth.factors.store import forget
from services.auth.names import Login, homes

MAX_TEXT: Final = 4096
MAX_ID: Final = 2**32 - 2


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is made from; texts are checked by `create_account`."""

    login: Login
    uid: int
    gid: int
    name: str = ""
    quota: str = ""
    options: str = ""
    password: str = ""  # a hash, "" for none
    disabled: bool = False
    verifiers: Mapping[str, str] = field(default_factory=dict)  # beside the hash: credentials.py


def check_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as they are stored. Raises MailError(BAD_REQUEST)."""
    out = dict(values)
    for key, value in values.items():
        if isinstance(value, str) and (len(value) > MAX_TEXT or any(c < " " for c in value)):
            raise MailError(ErrorKind.BAD_REQUEST, f"{key} is too long or has control characters")
        if key in ("uid", "gid") and not 0 <= value <= MAX_ID:
            raise MailError(ErrorKind.BAD_REQUEST, f"{key} is at most {MAX_ID}")
        if key in ("quota", "default_quota"):
            Quota.parse(value)
        if key in ("options", "default_options"):
            out[key] = str(Options.parse(value))
    return out


def create_domain(connection: Connection, name: str, quota: str, options: str) -> RowMapping:
    """Add a domain and return its row."""
    fields = check_fields({"default_quota": quota, "default_options": options})
    try:
        connection.execute(insert(domains).values(name=name, created=int(time.time()), **fields))
    except IntegrityError:
        raise MailError(ErrorKind.ALREADY_EXISTS, f"domain {name} exists already") from None
    return get_domain(connection, name)


def get_domain(connection: Connection, name: str) -> RowMapping:
    """Return a domain's row with its number of accounts."""
    return _one(list_domains(connection, after=None, limit=1, name=name), f"no domain {name}")


def list_domains(
    connection: Connection, *, after: str | None, limit: int, name: str | None = None
) -> Sequence[RowMapping]:
    """Return up to `limit` domains by name, those behind `after`."""
    count = (
        select(func.count())
        .select_from(accounts)
        .where(accounts.c.domain == domains.c.name)
        .scalar_subquery()
    )
    query = select(domains, count.label("accounts")).order_by(domains.c.name).limit(limit)
    if after is not None:
        query = query.where(domains.c.name > after)
    if name is not None:
        query = query.where(domains.c.name == name)
    return connection.execute(query).mappings().all()


def update_domain(connection: Connection, name: str, values: Mapping[str, Any]) -> RowMapping:
    """Change fields of a domain and return its row."""
    fields = check_fields(values)
    if fields:
        connection.execute(update(domains).where(domains.c.name == name).values(**fields))
        journal.record(connection, "", Reason.CHANGED)
    return get_domain(connection, name)


def delete_domain(connection: Connection, name: str, *, dry_run: bool) -> None:
    """Remove a domain that has no accounts."""
    row = get_domain(connection, name)
    if row["accounts"]:
        raise MailError(ErrorKind.IN_USE, f"domain {name} still has accounts: {row['accounts']}")
    if dry_run:
        return
    try:
        connection.execute(delete(domains).where(domains.c.name == name))
    except IntegrityError:  # an account was added meanwhile
        raise MailError(ErrorKind.IN_USE, f"domain {name} has accounts") from None


def create_account(connection: Connection, new: NewAccount, mail_root: Path) -> RowMapping:
    """Add an account and return its row, joined as `get_account` does."""
    login = new.login
    if not login.domain:
        raise MailError(ErrorKind.BAD_REQUEST, "an account needs a domain: user@domain")
    get_domain(connection, login.domain)
    fields = check_fields(
        {
            "uid": new.uid,
            "gid": new.gid,
            "name": new.name,
            "quota": new.quota,
            "options": new.options,
        }
    )
    if _exists(connection, login.address):
        raise MailError(ErrorKind.ALREADY_EXISTS, f"account {login.address} exists already")
    now = int(time.time())
    try:
        connection.execute(
            insert(accounts).values(
                address=login.address,
                domain=login.domain,
                home=free_home(connection, login, mail_root),
                maildir="Maildir",
                password=new.password,
                disabled=new.disabled,
                created=now,
                updated=now,
                **fields,
            )
        )
    except IntegrityError:
        raise MailError(
            ErrorKind.ALREADY_EXISTS, f"account {login.address} was made by another just now"
        ) from None
    credentials.replace(connection, login.address, new.password, new.verifiers)
    journal.record(connection, login.address, Reason.CHANGED)
    return get_account(connection, login.address)


def get_account(connection: Connection, address: str) -> RowMapping:
    """Return an account's row with its domain's defaults."""
    found = list_accounts(connection, after=None, limit=1, address=address)
    if not found:
        raise MailError(ErrorKind.NO_SUCH_USER, f"no account {address}")
    return found[0]


def list_accounts(
    connection: Connection,
    *,
    after: str | None,
    limit: int,
    domain: str = "",
    address: str | None = None,
    within: Collection[str] | None = None,
) -> Sequence[RowMapping]:
    """Return up to `limit` accounts by address, those behind `after`; `within` some domains."""
    query = (
        select(accounts, domains.c.default_quota, domains.c.default_options)
        .join_from(accounts, domains, isouter=True)  # so that MariaDB begins with the accounts
        .order_by(accounts.c.address)
        .limit(limit)
    )
    if after is not None:
        query = query.where(accounts.c.address > after)
    if domain:
        query = query.where(accounts.c.domain == domain)
    if address is not None:
        query = query.where(accounts.c.address == address)
    if within is not None:
        query = query.where(accounts.c.domain.in_(sorted(within)))
    return connection.execute(query).mappings().all()


def update_account(
    connection: Connection,
    address: str,
    values: Mapping[str, Any],
    verifiers: Mapping[str, str] | None = None,
) -> RowMapping:
    """Change fields of an account (also password, a hash, with its verifiers); return its row."""
    fields = check_fields(values)
    connection.execute(
        update(accounts)
        .where(accounts.c.address == address)
        .values(updated=int(time.time()), **fields)
    )
    row = get_account(connection, address)
    if "password" in fields:
        credentials.replace(connection, address, fields["password"], verifiers or {})
    journal.record(connection, address, reason_of(fields))
    return row


def delete_account(connection: Connection, address: str, *, dry_run: bool) -> RowMapping:
    """Remove an account, remember its home, and return the row that was."""
    row = get_account(connection, address)
    if not dry_run:
        connection.execute(delete(accounts).where(accounts.c.address == address))
        connection.execute(
            insert(removed_homes).values(
                home=row["home"], address=address, removed=int(time.time())
            )
        )
        forget(connection, address)
        masters.forget(connection, address)
        journal.record(connection, address, Reason.REMOVED)
    return row


def kick(connection: Connection, address: str) -> None:
    """End the sessions of an account."""
    journal.record(connection, address, Reason.KICKED)


def reason_of(changed: Mapping[str, Any]) -> Reason:
    """Return what a change of these fields is to those who watch."""
    if "password" in changed:
        return Reason.PASSWORD
    return Reason.DISABLED if changed.get("disabled") else Reason.CHANGED


def _exists(connection: Connection, address: str) -> bool:
    query = select(accounts.c.address).where(accounts.c.address == address)
    return connection.execute(query).first() is not None


def free_home(connection: Connection, login: Login, mail_root: Path) -> str:
    """Return the first home of an account that nobody has, had, or left on disk."""
    for home in homes(login.local, login.domain):
        taken = connection.execute(
            select(accounts.c.home)
            .where(accounts.c.home == home)
            .union_all(select(removed_homes.c.home).where(removed_homes.c.home == home))
        ).first()
        if taken is None and not os.path.lexists(mail_root / home):
            return home
    raise AssertionError("homes() does not end")


def _one(rows: Sequence[RowMapping], text: str) -> RowMapping:
    if not rows:
        raise MailError(ErrorKind.NOT_FOUND, text)
    return rows[0]
