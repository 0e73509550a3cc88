"""Sessions of webmail: in our database, so that any replica answers for any of them.

A token is 256 random bits, and only its SHA-256 is kept. A session ends after `soft` seconds
without use (SQWEBMAIL_TIMEOUTSOFT), and `hard` seconds after login whatever happens
(SQWEBMAIL_TIMEOUTHARD). A pending one lacks the second factor: it is good for that alone, for
PENDING seconds and TRIES tries.

Invariants
- Whatever ends an account's sessions removes their rows in its own transaction
  (database/journal.py). So every replica sees it at the next question.
- A login may race with that. Its session is made under the journal's lock, and only if nothing
  ended the account's sessions since before its password was checked (`position`).
- Use is written at most every BEAT seconds of a session, so `soft` is that much shorter.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from restante.model import ErrorKind, MailError
from restante.rpc.revocation import Reason, Revocation
from services.auth.database import journal
from services.auth.database.engine import Database
from services.auth.database.schema import challenges, revocations, web_sessions
from services.auth.factors.challenges import Challenge

PENDING: Final = 300  # seconds
TRIES: Final = 5  # of a second factor, before the password is asked again
BEAT: Final = 60  # seconds
ENDED: Final = "the session has ended: log in again"
MAX_PER_ACCOUNT: Final = 100  # the longest unused one ends
_CLEAN: Final = 60  # seconds between two removals of what expired, by one process


@dataclass(frozen=True, slots=True)
class Session:
    """A session; times in unix seconds."""

    id: str
    address: str
    actor: str  # the master user who came in as the account, "" for its owner
    pending: bool
    peer: str
    client: str
    created: int
    last_seen: int
    expires: int
    confirmed_at: int  # when the password was checked last

    @property
    def person(self) -> str:
        """Whose second factor counts."""
        return self.actor or self.address


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a new session is for."""

    address: str
    peer: str
    client: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session, and its token, which nobody is told again."""

    session: Session
    token: str = field(repr=False)


class Sessions:
    """All sessions; used from the event loop. Every method raises MailError(TEMPORARY)."""

    def __init__(
        self, database: Database, *, soft: int, hard: int, clock: Callable[[], float] = time.time
    ) -> None:
        """`soft` and `hard` in seconds."""
        self._database, self._clock = database, clock
        self._soft, self._hard = soft, hard
        self._clean_at = 0.0

    async def position(self) -> int:
        """Return where the journal is; to be asked before a password is checked."""
        return await self._database.run(journal.last)

    async def open(
        self, visitor: Visitor, *, since: int, pending: bool = False, challenge: str = ""
    ) -> Opened:
        """Make a session for somebody who was checked after `since`.

        `challenge` is a passkey's, for the second factor of a pending one. Raises
        MailError(AUTH_FAILED) where the account's sessions were ended meanwhile.
        """
        token = secrets.token_urlsafe(32)
        now = int(self._clock())
        session = self._new(visitor, now, pending)

        def work(connection: Connection) -> None:
            journal.lock(connection)
            if _ended_since(connection, {visitor.address, visitor.actor, ""}, since):
                raise _ended()
            _insert(connection, session, token)
            if pending:
                data = json.dumps({"tries": 0, "challenge": challenge})
                kept = Challenge(session.id, _KIND, session.address)
                kept.keep(connection, data, now + PENDING)
            else:
                _drop_oldest(connection, session)

        await self._clean(now)
        await self._database.run(work, write=True)
        return Opened(session, token)

    async def complete(self, pending: Session) -> Opened:
        """Make a whole session of a pending one, with a new token. Raises AUTH_FAILED."""
        token = secrets.token_urlsafe(32)
        visitor = Visitor(pending.address, pending.peer, pending.client, pending.actor)
        session = self._new(visitor, int(self._clock()), False)

        def work(connection: Connection) -> None:
            journal.lock(connection)
            if not _delete(connection, pending.id):
                raise _ended()
            _insert(connection, session, token)
            _drop_oldest(connection, session)

        await self._database.run(work, write=True)
        return Opened(session, token)

    async def find(self, token: str) -> Session:
        """Return the session of a token, and keep it alive. Raises MailError(AUTH_FAILED)."""
        query = select(web_sessions).where(web_sessions.c.digest == _digest(token))
        row = await self._database.run(lambda c: c.execute(query).mappings().first())
        now = int(self._clock())
        if row is None:
            raise _ended()
        session = _session(row)
        if now >= self.ends(session):
            await self.end(session.address, session.id)
            raise _ended()
        if not session.pending and now - session.last_seen >= min(BEAT, self._soft // 2):
            seen = update(web_sessions).where(web_sessions.c.id == session.id)
            await self._database.run(lambda c: c.execute(seen.values(last_seen=now)), write=True)
        return session

    def ends(self, session: Session) -> int:
        """Return when a session ends if nobody uses it, in unix seconds."""
        if session.pending:
            return session.expires
        return min(session.expires, session.last_seen + self._soft)

    async def confirm(self, session: Session) -> None:
        """Note that the password was checked just now."""
        now = int(self._clock())
        checked = update(web_sessions).where(web_sessions.c.id == session.id)
        await self._database.run(lambda c: c.execute(checked.values(confirmed_at=now)), write=True)

    async def list(self, address: str) -> Sequence[Session]:
        """Return the whole sessions of an account that have not ended, the newest first."""
        query = (
            select(web_sessions)
            .where(web_sessions.c.address == address, web_sessions.c.pending.is_(False))
            .order_by(web_sessions.c.created.desc(), web_sessions.c.id)
        )
        rows = await self._database.run(lambda c: c.execute(query).mappings().all())
        now = self._clock()
        return [found for found in map(_session, rows) if now < self.ends(found)]

    async def end(self, address: str, session: str) -> bool:
        """End a session of an account; False where it has none of that id."""
        return await self._database.run(
            lambda c: _owned(c, address, session) and _delete(c, session), write=True
        )

    async def revoke(self, revocation: Revocation) -> None:
        """End what a revocation ends that no journal holds: that of a module's own files."""
        ended = delete(web_sessions)
        if revocation.address:
            ours = (web_sessions.c.address, web_sessions.c.actor)
            ended = ended.where(or_(*(column == revocation.address for column in ours)))
        await self._database.run(lambda c: c.execute(ended) and None, write=True)

    async def end_others(self, session: Session) -> None:
        """End every session of the account but this one."""

        def work(connection: Connection) -> None:
            connection.execute(
                delete(web_sessions).where(
                    web_sessions.c.address == session.address, web_sessions.c.id != session.id
                )
            )

        await self._database.run(work, write=True)

    async def try_factor(self, pending: Session) -> str:
        """Count a try of the second factor; return the passkey's challenge.

        The last one that is allowed ends the session where it fails, since no other is counted.
        Raises MailError(AUTH_FAILED).
        """

        def work(connection: Connection) -> str | None:
            kept = Challenge(pending.id, _KIND, pending.address)
            found = kept.read(connection)
            data = json.loads(found) if found else None
            if data is None or data["tries"] >= TRIES:
                _delete(connection, pending.id)
                return None
            data["tries"] += 1
            kept.write(connection, json.dumps(data))
            return str(data["challenge"])

        challenge = await self._database.run(work, write=True)
        if challenge is None:
            raise _ended()
        return challenge

    def _new(self, visitor: Visitor, now: int, pending: bool) -> Session:
        return Session(
            secrets.token_hex(12),
            visitor.address,
            visitor.actor,
            pending,
            visitor.peer[:64],
            visitor.client[:400],
            now,
            now,
            now + (PENDING if pending else self._hard),
            now,
        )

    async def _clean(self, now: int) -> None:
        if now < self._clean_at:
            return
        self._clean_at = now + _CLEAN
        idle = now - self._soft

        def work(connection: Connection) -> None:
            connection.execute(
                delete(web_sessions).where(
                    or_(web_sessions.c.expires <= now, web_sessions.c.last_seen < idle)
                )
            )
            connection.execute(delete(challenges).where(challenges.c.expires <= now))

        await self._database.run(work, write=True)


_KIND: Final = "second-factor"


def _ended_since(connection: Connection, addresses: set[str], position: int) -> bool:
    query = select(revocations.c.id).where(
        revocations.c.id > position,
        revocations.c.address.in_(addresses),
        revocations.c.reason != int(Reason.CHANGED),
    )
    return connection.execute(query.limit(1)).first() is not None


def _insert(connection: Connection, session: Session, token: str) -> None:
    connection.execute(
        insert(web_sessions).values(
            id=session.id,
            digest=_digest(token),
            address=session.address,
            pending=session.pending,
            actor=session.actor,
            peer=session.peer,
            client=session.client,
            created=session.created,
            last_seen=session.last_seen,
            expires=session.expires,
            confirmed_at=session.confirmed_at,
        )
    )


def _drop_oldest(connection: Connection, session: Session) -> None:
    query = (
        select(web_sessions.c.id)
        .where(web_sessions.c.address == session.address, web_sessions.c.id != session.id)
        .order_by(web_sessions.c.last_seen.desc())
        .offset(MAX_PER_ACCOUNT - 1)
        .limit(MAX_PER_ACCOUNT)
    )
    surplus = connection.execute(query).scalars().all()
    if surplus:
        connection.execute(delete(web_sessions).where(web_sessions.c.id.in_(surplus)))


def _owned(connection: Connection, address: str, session: str) -> bool:
    query = select(web_sessions.c.id)
    query = query.where(web_sessions.c.id == session, web_sessions.c.address == address)
    return connection.execute(query).first() is not None


def _delete(connection: Connection, session: str) -> bool:
    connection.execute(delete(challenges).where(challenges.c.id == session))
    return (
        connection.execute(delete(web_sessions).where(web_sessions.c.id == session)).rowcount == 1
    )


def _session(row: RowMapping) -> Session:
    return Session(
        row["id"],
        row["address"],
        row["actor"],
        bool(row["pending"]),
        row["peer"],
        row["client"],
        row["created"],
        row["last_seen"],
        row["expires"],
        row["confirmed_at"],
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _ended() -> MailError:
    return MailError(ErrorKind.AUTH_FAILED, ENDED)
