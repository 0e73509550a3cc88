"""Master users: accounts that may log in as others, of some domains or of all.

A master logs in with his own secret, as "account*master" or with an authorization identity. His
login is never remembered by anybody, is written to the audit log with both names, and shows in
`restante who`. A master of some domains enters no account that is a master itself; a master of
all domains does. Sessions that he opened end with his own: when he is removed from the list, gets
another password, is disabled or kicked.

Functions with a Connection run on a database thread, and raise MailError(NOT_FOUND |
ALREADY_EXISTS).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from restante.model import ErrorKind, MailError
from restante.rpc.revocation import Reason
from services.auth.database import journal
from services.auth.database.engine import Database
from services.auth.database.schema import masters
from services.auth.names import Login


@dataclass(frozen=True, slots=True)
class Master:
    """One master user."""

    address: str  # canonical
    domains: tuple[str, ...] = ()  # canonical; none is all
    created: int = 0  # unix seconds

    def may_enter(self, login: Login, other: "Master | None") -> bool:
        """True where he may act as `login`, who is the master `other` or none."""
        if not self.domains:
            return True
        return login.domain in self.domains and other is None


def create(connection: Connection, address: str, domains: Sequence[str]) -> Master:
    """Make an account a master; both names are canonical."""
    made = Master(address, tuple(dict.fromkeys(domains)), int(time.time()))
    try:
        connection.execute(
            insert(masters).values(
                address=address, domains=",".join(made.domains), created=made.created
            )
        )
    except IntegrityError:
        raise MailError(ErrorKind.ALREADY_EXISTS, f"{address} is a master already") from None
    return made


def remove(connection: Connection, address: str) -> None:
    """Take the role away, and end his sessions."""
    done = connection.execute(delete(masters).where(masters.c.address == address))
    if not done.rowcount:
        raise MailError(ErrorKind.NOT_FOUND, f"{address} is no master")
    journal.record(connection, address, Reason.KICKED)


def forget(connection: Connection, address: str) -> None:
    """Take the role from an account that is removed: whoever gets the address is no master."""
    connection.execute(delete(masters).where(masters.c.address == address))


def forget_domain(connection: Connection, name: str) -> None:
    """Unbind masters from a domain that is removed; one of no other is no master any more."""
    for master in every(connection):
        left = [domain for domain in master.domains if domain != name]
        if left == list(master.domains):
            continue
        if left:
            change = update(masters).values(domains=",".join(left))
            connection.execute(change.where(masters.c.address == master.address))
        else:  # no domain would mean all of them
            remove(connection, master.address)


def every(connection: Connection) -> Sequence[Master]:
    """Return all, by address."""
    return [_master(row) for row in connection.execute(select(masters).order_by("address"))]


def find(connection: Connection, *addresses: str) -> dict[str, Master]:
    """Return those of these accounts that are masters."""
    rows = connection.execute(select(masters).where(masters.c.address.in_(addresses)))
    return {row.address: _master(row) for row in rows}


def _master(row: Row[Any]) -> Master:
    return Master(row.address, tuple(filter(None, row.domains.split(","))), row.created)


class Masters:
    """Answers for logins; used from the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def may_enter(self, actor: str, login: Login) -> bool:
        """True where `actor` (canonical) may act as `login`. Raises MailError(TEMPORARY)."""
        found = await self._database.run(lambda c: find(c, actor, login.address))
        master = found.get(actor)
        return master is not None and master.may_enter(login, found.get(login.address))
