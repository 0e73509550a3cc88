"""Second factors and app passwords in our database: every change of them, and what is shown.

Functions here run on a database thread. They raise MailError: BAD_REQUEST, NOT_FOUND,
ALREADY_EXISTS, LIMIT.

Invariants
- Whatever changes which password opens what writes the journal in the same transaction: all
  sessions of the account end on every replica (a session does not say which password opened it,
  so when one app password is withdrawn those of the others log in again), but for the webmail
  session that made the change. What takes nothing away (a new app password) ends none.
- A code counts once: `advance` and `use_recovery` change a row only while it is still good, so
  that of two replicas one wins.
- Recovery codes live only beside a second factor: they go with the last one.
"""

import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from restante.model import ErrorKind, MailError
from restante.rpc.revocation import Reason
from services.auth.database import journal
from services.auth.database.schema import (
    app_passwords,
    challenges,
    credentials,
    passkeys,
    recovery_codes,
    totp,
    web_sessions,
)
from services.auth.factors.app_passwords import MAX_PER_ACCOUNT, AppPassword
from services.auth.factors.passkeys import Passkey
from services.auth.factors.security import read, words

MAX_PASSKEYS: Final = 50  # of one account


# --- TOTP --------------------------------------------------------------------------------------


def begin_totp(connection: Connection, address: str, sealed: str) -> None:
    """Keep a secret that counts once a code fitted. Raises ALREADY_EXISTS where one counts."""
    found = get_totp(connection, address)
    if found is not None and found["confirmed"]:
        raise MailError(ErrorKind.ALREADY_EXISTS, "one-time codes are set up already")
    connection.execute(delete(totp).where(totp.c.address == address))
    connection.execute(
        insert(totp).values(
            address=address, secret=sealed, confirmed=False, last_step=0, created=int(time.time())
        )
    )
    journal.record(connection, address, Reason.CHANGED)


def get_totp(connection: Connection, address: str) -> RowMapping | None:
    """Return secret (sealed), confirmed, last_step."""
    query = select(totp.c.secret, totp.c.confirmed, totp.c.last_step)
    return connection.execute(query.where(totp.c.address == address)).mappings().first()


def advance(connection: Connection, address: str, sealed: str, step: int) -> bool:
    """Use up a step; False where it, or a newer one, was used meanwhile."""
    done = connection.execute(
        update(totp)
        .where(
            totp.c.address == address,
            totp.c.secret == sealed,
            totp.c.confirmed,
            totp.c.last_step < step,
        )
        .values(last_step=step)
    )
    return done.rowcount == 1


def confirm_totp(
    connection: Connection,
    address: str,
    sealed: str,
    step: int,
    *,
    recovery: Sequence[str],
    keep_session: str,
) -> bool:
    """Let a secret count, whose code of `step` fitted; True where `recovery` digests were taken.

    They are only where there are no recovery codes. Raises NOT_FOUND.
    """
    done = connection.execute(
        update(totp)
        .where(totp.c.address == address, totp.c.secret == sealed, totp.c.confirmed.is_(False))
        .values(confirmed=True, last_step=step)
    )
    if done.rowcount != 1:
        raise MailError(ErrorKind.NOT_FOUND, "begin with the one-time codes again")
    taken = not recovery_left(connection, address)
    if taken:
        new_recovery(connection, address, recovery)
    journal.record(connection, address, Reason.PASSWORD, keep_session=keep_session)
    return taken


def remove_totp(connection: Connection, address: str, keep_session: str) -> None:
    """Remove the one-time codes. Raises NOT_FOUND."""
    if connection.execute(delete(totp).where(totp.c.address == address)).rowcount != 1:
        raise MailError(ErrorKind.NOT_FOUND, "one-time codes are not set up")
    _after_removal(connection, address, keep_session)


# --- passkeys ----------------------------------------------------------------------------------


def list_passkeys(connection: Connection, address: str) -> Sequence[Passkey]:
    """Return the passkeys of an account, the oldest first."""
    rows = connection.execute(
        select(passkeys).where(passkeys.c.address == address).order_by(passkeys.c.created)
    )
    return [_passkey(row) for row in rows.mappings()]


def find_passkey(connection: Connection, credential: str) -> tuple[str, Passkey] | None:
    """Return the address and the passkey of a credential id."""
    query = select(passkeys).where(passkeys.c.id == credential)
    row = connection.execute(query).mappings().first()
    return None if row is None else (row["address"], _passkey(row))


def add_passkey(connection: Connection, address: str, passkey: Passkey, keep_session: str) -> None:
    """Add a passkey. Raises ALREADY_EXISTS, LIMIT."""
    count = select(func.count()).select_from(passkeys).where(passkeys.c.address == address)
    if (connection.execute(count).scalar() or 0) >= MAX_PASSKEYS:
        raise MailError(ErrorKind.LIMIT, f"at most {MAX_PASSKEYS} passkeys")
    try:
        connection.execute(
            insert(passkeys).values(
                id=passkey.id,
                address=address,
                public_key=passkey.public_key,
                sign_count=passkey.sign_count,
                name=passkey.name,
                created=passkey.created,
                last_used=0,
                transports=passkey.transports,
            )
        )
    except IntegrityError:
        raise MailError(ErrorKind.ALREADY_EXISTS, "this passkey is registered already") from None
    journal.record(connection, address, Reason.PASSWORD, keep_session=keep_session)


def use_passkey(connection: Connection, passkey: Passkey, sign_count: int) -> bool:
    """Keep the new sign count; False where the same answer, or a newer one, was used meanwhile."""
    done = connection.execute(
        update(passkeys)
        .where(passkeys.c.id == passkey.id, passkeys.c.sign_count == passkey.sign_count)
        .values(sign_count=sign_count, last_used=int(time.time()))
    )
    return done.rowcount == 1


def remove_passkey(
    connection: Connection, address: str, credential: str, keep_session: str
) -> None:
    """Remove a passkey. Raises NOT_FOUND."""
    done = connection.execute(
        delete(passkeys).where(passkeys.c.address == address, passkeys.c.id == credential)
    )
    if done.rowcount != 1:
        raise MailError(ErrorKind.NOT_FOUND, "no such passkey")
    _after_removal(connection, address, keep_session)


# --- recovery codes ----------------------------------------------------------------------------


def new_recovery(connection: Connection, address: str, digests: Sequence[str]) -> None:
    """Replace all recovery codes."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.address == address))
    connection.execute(
        insert(recovery_codes), [{"address": address, "digest": d, "used": 0} for d in digests]
    )


def use_recovery(connection: Connection, address: str, digest: str) -> bool:
    """Use a code up; False where it is none, or was used."""
    done = connection.execute(
        update(recovery_codes)
        .where(
            recovery_codes.c.address == address,
            recovery_codes.c.digest == digest,
            recovery_codes.c.used == 0,
        )
        .values(used=int(time.time()))
    )
    return done.rowcount == 1


def recovery_left(connection: Connection, address: str) -> int:
    """Return how many codes are good."""
    query = select(func.count()).select_from(recovery_codes)
    return (
        connection.execute(
            query.where(recovery_codes.c.address == address, recovery_codes.c.used == 0)
        ).scalar()
        or 0
    )


# --- app passwords -----------------------------------------------------------------------------


def list_app_passwords(connection: Connection, address: str) -> Sequence[AppPassword]:
    """Return the app passwords of an account, the oldest first."""
    query = select(app_passwords).where(app_passwords.c.address == address)
    rows = connection.execute(query.order_by(app_passwords.c.created, app_passwords.c.id))
    return [
        AppPassword(
            row["id"],
            row["name"],
            row["digest"],
            words(row["services"]),
            words(row["networks"]),
            bool(row["read_only"]),
            row["expires"],
            row["created"],
            row["last_used"],
            row["last_peer"],
            row["last_service"],
        )
        for row in rows.mappings()
    ]


def add_app_password(connection: Connection, address: str, new: AppPassword) -> None:
    """Add an app password. Raises LIMIT."""
    count = select(func.count()).select_from(app_passwords)
    count = count.where(app_passwords.c.address == address)
    if (connection.execute(count).scalar() or 0) >= MAX_PER_ACCOUNT:
        raise MailError(ErrorKind.LIMIT, f"at most {MAX_PER_ACCOUNT} app passwords")
    connection.execute(
        insert(app_passwords).values(
            id=new.id,
            address=address,
            name=new.name,
            digest=new.digest,
            services=",".join(new.services),
            networks=",".join(new.networks),
            read_only=new.read_only,
            expires=new.expires,
            created=new.created,
            last_used=0,
            last_peer="",
            last_service="",
        )
    )
    journal.record(connection, address, Reason.CHANGED)


def remove_app_password(
    connection: Connection, address: str, app_password: str, keep_session: str = ""
) -> None:
    """Withdraw an app password. Raises NOT_FOUND."""
    done = connection.execute(
        delete(app_passwords).where(
            app_passwords.c.address == address, app_passwords.c.id == app_password
        )
    )
    if done.rowcount != 1:
        raise MailError(ErrorKind.NOT_FOUND, "no such app password")
    journal.record(connection, address, Reason.PASSWORD, keep_session=keep_session)


# --- all of an account -------------------------------------------------------------------------


def reset_second_factor(connection: Connection, address: str) -> None:
    """Take TOTP, passkeys and recovery codes away from somebody who lost them."""
    for table in (totp, passkeys, recovery_codes):
        connection.execute(delete(table).where(table.c.address == address))
    journal.record(connection, address, Reason.PASSWORD)


def forget(connection: Connection, address: str) -> None:
    """Remove everything: who gets the address next inherits nothing."""
    for table in (totp, passkeys, recovery_codes, app_passwords, credentials, web_sessions):
        connection.execute(delete(table).where(table.c.address == address))
    connection.execute(delete(challenges).where(challenges.c.address == address))


def _after_removal(connection: Connection, address: str, keep_session: str) -> None:
    if not read(connection, address).second_factor:
        connection.execute(delete(recovery_codes).where(recovery_codes.c.address == address))
    journal.record(connection, address, Reason.PASSWORD, keep_session=keep_session)


def _passkey(row: RowMapping) -> Passkey:
    return Passkey(
        row["id"],
        row["public_key"],
        row["sign_count"],
        row["name"],
        row["created"],
        row["last_used"],
        row["transports"],
    )
