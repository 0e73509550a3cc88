"""Verifiers that stand beside the hash of a password: SCRAM's keys, CRAM's contexts.

Invariant: a verifier names the stored hash that it was made beside, and counts for nothing as soon
as another hash is stored, by whatever hand. So a changed password cannot live on in a verifier.
Only the module sql's hashes have verifiers, since only they change in our own transactions.

Functions here run on a database thread.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from services.auth.database.schema import accounts, credentials

SCRAM: Final = "scram-sha-256"
CRAM: Final = "hmac-md5"

MODULE: Final = "sql"  # whose hashes verifiers stand beside


def mark_of(stored: str) -> str:
    """Return what names a stored hash; tells nothing about it."""
    data = stored.encode("utf-8", "surrogateescape")
    return hashlib.blake2s(data, digest_size=12, person=b"verifier").hexdigest()


def every(connection: Connection, address: str) -> dict[str, str]:
    """Return all values of an address by kind, for `beside`."""
    rows = connection.execute(
        select(credentials.c.kind, credentials.c.value).where(credentials.c.address == address)
    )
    return {row.kind: row.value for row in rows}


def beside(values: Mapping[str, str], stored: str) -> dict[str, str]:
    """Return the verifiers, by kind, that stand beside a stored hash."""
    marked = ((kind, value.partition(" ")) for kind, value in values.items())
    return {kind: rest for kind, (mark, _, rest) in marked if stored and mark == mark_of(stored)}


def read(connection: Connection, address: str, stored: str) -> dict[str, str]:
    """Return the verifiers of an account, by kind, that stand beside a stored hash."""
    return beside(every(connection, address), stored)


def replace(
    connection: Connection, address: str, stored: str, verifiers: Mapping[str, str]
) -> None:
    """Put verifiers in place of all that are there; in the transaction that stores the hash."""
    connection.execute(delete(credentials).where(credentials.c.address == address))
    now, mark = int(time.time()), mark_of(stored)
    rows = [
        {"address": address, "kind": kind, "value": f"{mark} {verifier}", "created": now}
        for kind, verifier in verifiers.items()
    ]
    if rows:
        connection.execute(insert(credentials), rows)


def add(connection: Connection, address: str, stored: str, verifiers: Mapping[str, str]) -> None:
    """Keep verifiers, unless another hash is stored by now."""
    row = connection.execute(
        select(accounts.c.password).where(accounts.c.address == address).with_for_update()
    ).first()
    if row is not None and row.password == stored:
        replace(connection, address, stored, verifiers)


def rebind(connection: Connection, address: str, old: str, new: str) -> None:
    """Let verifiers stand beside another hash of the same password."""
    for kind, verifier in read(connection, address, old).items():
        connection.execute(
            update(credentials)
            .where(credentials.c.address == address, credentials.c.kind == kind)
            .values(value=f"{mark_of(new)} {verifier}")
        )
