"""The table `audit`: rows in, pages out, old rows away. Functions here run on a database thread."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import gt
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from services.auth.database.schema import audit

# Columns in the order of an Entry's fields, with what they hold at most.
_WIDTHS: Final = {
    "action": 64,
    "actor": 400,
    "address": 400,
    "domain": 253,
    "service": 32,
    "peer": 64,
    "result": 64,
    "detail": 2000,
}


class Entry(NamedTuple):
    """One record. `time` in unix seconds."""

    time: float
    action: str  # "login", "account.password", "admin.account.update"
    actor: str  # "owner", "master ADDRESS", "token NAME", "certificate NAME"
    address: str  # canonical; the account, or what else was changed
    domain: str
    service: str
    peer: str
    result: str  # "ok" or the kind of error
    detail: str
    id: int = 0  # of its row


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries; "" and None mean all."""

    address: str = ""
    domains: Collection[str] | None = None
    action: str = ""


def add(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write rows in the order given."""
    connection.execute(insert(audit), [_row(entry) for entry in entries])


def page(connection: Connection, query: Query, *, before: int, limit: int) -> Sequence[Entry]:
    """Return up to `limit` entries, newest first, those older than the row `before` (0: all)."""
    found = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before:
        found = found.where(audit.c.id < before)
    if query.address:
        found = found.where(audit.c.address == query.address)
    if query.domains is not None:
        found = found.where(audit.c.domain.in_(sorted(query.domains)))
    if query.action:
        found = found.where(audit.c.action == query.action)
    return [Entry(**row) for row in connection.execute(found).mappings()]


def prune(connection: Connection, *, days: int, limit: int) -> int:
    """Remove up to `limit` rows that are older than `days`; return how many."""
    oldest = int(time.time()) - days * 86400
    old = select(audit.c.id).where(audit.c.time < oldest).order_by(audit.c.id).limit(limit)
    last = connection.execute(select(func.max(old.subquery().c.id))).scalar()
    if last is None:
        return 0
    gone = connection.execute(delete(audit).where(audit.c.id <= last, audit.c.time < oldest))
    return gone.rowcount


def _row(entry: Entry) -> dict[str, object]:
    values: tuple[str, ...] = entry[1:9]
    if not "".join(values).isprintable() or any(map(gt, map(len, values), _WIDTHS.values())):
        values = tuple(map(_text, values, _WIDTHS.values()))
    return {"time": int(entry.time), **dict(zip(_WIDTHS, values, strict=True))}


def _text(value: str, width: int) -> str:
    """Return what every database takes: no NUL, no lone surrogate, not too long."""
    value = value[:width]
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
