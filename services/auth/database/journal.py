"""The journal of revocations: what changed, for every auth process on the same database.

Invariants
- A row is written in the transaction of the change itself: whoever sees the change can see the
  row, and a crash loses neither or both.
- Ids become visible in their order, so that "after N" misses none: from before they take an id
  until they commit, writers hold an advisory lock on PostgreSQL and a row on MySQL; SQLite has
  one writer anyway. (A Galera cluster must be written to at one node.)
- PostgreSQL wakes listeners on CHANNEL when the transaction commits. The rows are the truth, a
  notification only says "look".

Functions here run on a database thread.
"""

import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, func, insert, or_, select, text

from restante.rpc.revocation import Reason, Revocation
from services.auth.database.schema import revision, revocations, web_sessions

CHANNEL: Final = "restante_revocations"
KEPT: Final = 7 * 86400  # seconds
PAGE: Final = 500

_LOCK: Final = 7_265_737_462  # any number that only we use

Entry = tuple[int, Revocation]  # position and what was revoked


def record(connection: Connection, address: str, reason: Reason, *, keep_session: str = "") -> None:
    """Note a change in the transaction that makes it; `address` "" is every account.

    Where that ends sessions, webmail's end here and now, but for the one with the id
    `keep_session`: that of whoever makes the change.
    """
    lock(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))
    connection.execute(
        insert(revocations).values(address=address, reason=int(reason), created=int(time.time()))
    )
    if reason is not Reason.CHANGED:
        ended = delete(web_sessions).where(web_sessions.c.id != keep_session)
        if address:
            ours = or_(web_sessions.c.address == address, web_sessions.c.actor == address)
            ended = ended.where(ours)
        connection.execute(ended)


def lock(connection: Connection) -> None:
    """Let no other change be noted until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    elif connection.dialect.name == "mysql":
        connection.execute(select(revision.c.version_num).with_for_update())


def last(connection: Connection) -> int:
    """Return the newest position, 0 where nothing was ever revoked."""
    return connection.execute(select(func.max(revocations.c.id))).scalar() or 0


def first(connection: Connection) -> int:
    """Return the oldest position that is still kept, 0 where there is none."""
    return connection.execute(select(func.min(revocations.c.id))).scalar() or 0


def after(connection: Connection, position: int) -> Sequence[Entry]:
    """Return the entries after a position in their order, at most PAGE of them."""
    rows = connection.execute(
        select(revocations.c.id, revocations.c.address, revocations.c.reason)
        .where(revocations.c.id > position)
        .order_by(revocations.c.id)
        .limit(PAGE)
    )
    return [(row.id, Revocation(row.address, Reason(row.reason))) for row in rows]


def prune(connection: Connection) -> None:
    """Remove entries that are older than KEPT, but for the newest."""
    newest = last(connection)  # first, since MySQL deletes from no table that it asks
    connection.execute(
        delete(revocations).where(
            revocations.c.created < int(time.time()) - KEPT, revocations.c.id < newest
        )
    )
