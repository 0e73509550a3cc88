"""Who is logged in now: asked of the workers when somebody wants to know, never kept here.

The question goes out on the Watch streams (hub.py); each worker answers by ReportSessions, with
its sessions in parts. Other replicas get the question as a row of the table session_reports with
worker "": a notification of PostgreSQL, or the next poll, makes them look. Each asks its own
streams and writes what it heard as rows of its own, which the asker polls for.

Invariants
- Nothing is written on SQLite (its one auth process has all streams), and nowhere unless
  somebody asks: logins cost nothing.
- Who is asked is known before: our streams, and on PostgreSQL the replicas that listen, by their
  connections' application_name. Whoever has not answered after PATIENCE is counted as silent.
  MySQL cannot tell who listens: there the whole time is waited, and a silent replica is missing.
- Rows are deleted by the next question after KEPT seconds. Replicas' clocks may differ by KEPT.
"""

import asyncio
import base64
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, delete, insert, select, text

from restante.model import MailError
from restante.rpc.admin.v1 import admin_pb2
from restante.rpc.auth.v1 import auth_pb2
from restante.runtime.log import get_logger
from services.auth.database import journal
from services.auth.database.engine import Database
from services.auth.database.schema import session_reports, web_sessions
from services.auth.hub import Hub

log = get_logger(__name__)

PATIENCE: Final = 1.5  # seconds
ANSWER: Final = 1.1  # seconds that a replica waits for its workers when another one asks
KEPT: Final = 60  # seconds
MOST: Final = 500_000  # sessions of one answer
_POLL: Final = 0.05  # seconds
_PART: Final = 500  # sessions in one row
ASKED: Final = "sessions"  # what a notification says when a question was written
_NAME: Final = "restante-auth "  # application_name, before the replica's own


@dataclass(slots=True)
class Found:
    """An answer. `silent` workers or replicas did not say (all of) what they know."""

    sessions: list[auth_pb2.Session] = field(default_factory=list)
    workers: int = 0
    silent: int = 0


class _Collector:
    """What comes back from our own streams."""

    def __init__(self) -> None:
        self.asked = 0
        self.sessions: list[auth_pb2.Session] = []
        self.ready = asyncio.Event()
        self._answered: set[str] = set()

    def take(self, report: auth_pb2.ReportSessionsRequest) -> None:
        room = MOST - len(self.sessions)
        self.sessions.extend(report.sessions[:room])
        if report.last:
            self._answered.add(report.worker)
        self._look()

    def expect(self, streams: int) -> None:
        self.asked = streams
        self._look()

    def found(self) -> Found:
        workers = len(self._answered)
        return Found(self.sessions, workers, max(0, self.asked - workers))

    def _look(self) -> None:
        if len(self._answered) >= self.asked:
            self.ready.set()


class SessionReports:
    """Asks, and answers when another replica asks."""

    def __init__(self, hub: Hub, database: Database, *, web_idle: float = 1200.0) -> None:
        """`web_idle`: a session of webmail that was not used for so many seconds has ended."""
        self.replica = secrets.token_hex(8)
        self._web_idle = web_idle
        self._hub, self._database = hub, database
        self._collectors: dict[str, _Collector] = {}
        self._heard: dict[str, None] = {}  # questions of others, oldest first
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def application_name(self) -> str:
        """The name of this replica's connection for notifications."""
        return _NAME + self.replica

    async def find(self, only: str = "") -> Found:
        """Return the sessions of everybody, of an account, or of a "@domain".

        Raises MailError(TEMPORARY) where the database cannot be asked.
        """
        request = secrets.token_hex(16)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE
        others: set[str] | None = set()
        if not self._database.is_sqlite:
            self._heard[request] = None
            others = await self._database.run(lambda c: self._ask(c, request, only), write=True)
        found = await self._collect(request, only, PATIENCE)
        if others is None or others:
            await self._wait_for(request, others, give_up, found)
        found.sessions += await self._database.run(
            lambda c: _web_sessions(c, only, int(time.time() - self._web_idle))
        )
        return found

    def take(self, report: auth_pb2.ReportSessionsRequest) -> None:
        """A worker's answer; one to a question that nobody waits for any more is dropped."""
        collector = self._collectors.get(report.request)
        if collector is not None:
            collector.take(report)

    def asked(self) -> None:
        """Another replica may have asked: look, without making the caller wait."""
        task = asyncio.get_running_loop().create_task(self._answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def close(self) -> None:
        """Answer nobody any more."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    # --- our own streams --------------------------------------------------------------------------

    async def _collect(self, request: str, only: str, seconds: float) -> Found:
        collector = self._collectors[request] = _Collector()
        try:
            collector.expect(self._hub.ask(request, only))
            async with asyncio.timeout(seconds):
                await collector.ready.wait()
        except TimeoutError:
            pass
        finally:
            del self._collectors[request]
        found = collector.found()
        if not self._hub.calm:  # all streams were ended, and nobody could be asked
            found.silent += 1
        return found

    # --- other replicas ---------------------------------------------------------------------------

    def _ask(self, connection: Connection, request: str, only: str) -> set[str] | None:
        """Write the question; return the replicas that hear it, None where that is not known."""
        now = int(time.time())
        connection.execute(delete(session_reports).where(session_reports.c.created < now - KEPT))
        connection.execute(insert(session_reports), _row(request, "", 0, only, last=True))
        if connection.dialect.name != "postgresql":
            return None
        connection.execute(text(f"NOTIFY {journal.CHANNEL}, '{ASKED}'"))
        names = connection.execute(
            text(
                "SELECT application_name FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE :name"
            ),
            {"name": _NAME + "%"},
        )
        return {name.removeprefix(_NAME) for (name,) in names} - {self.replica}

    async def _wait_for(
        self, request: str, others: set[str] | None, give_up: float, found: Found
    ) -> None:
        loop = asyncio.get_running_loop()
        answered: set[str] = set()
        while others is None or not answered >= others:
            rows = await self._database.run(lambda c: _answers(c, request, answered))
            for worker, parts in rows.items():
                answered.add(worker)
                for part in parts:
                    found.sessions.extend(part.sessions[: MOST - len(found.sessions)])
                    found.workers += part.workers
                    found.silent += part.silent
            if loop.time() >= give_up:
                break
            await asyncio.sleep(_POLL)
        found.silent += len(others - answered) if others is not None else 0

    async def _answer(self) -> None:
        try:
            questions = await self._database.run(_questions)
            new = [q for q in questions if q[0] not in self._heard]
            self._heard.update(dict.fromkeys(request for request, _ in new))
            while len(self._heard) > 1000:
                del self._heard[next(iter(self._heard))]
            await asyncio.gather(*(self._answer_one(*question) for question in new))
        except MailError as error:
            log.warning("sessions cannot be reported", reason=error.text)

    async def _answer_one(self, request: str, only: str) -> None:
        found = await self._collect(request, only, ANSWER)
        parts = range(0, max(1, len(found.sessions)), _PART)
        rows = [
            _row(
                request,
                self.replica,
                number,
                _pack(found, at, counted=number == 0),
                last=at == parts[-1],
            )
            for number, at in enumerate(parts)
        ]
        await self._database.run(lambda c: c.execute(insert(session_reports), rows), write=True)


def _row(request: str, worker: str, part: int, body: str, *, last: bool) -> dict[str, object]:
    return {
        "request": request,
        "worker": worker,
        "part": part,
        "body": body,
        "last": last,
        "created": int(time.time()),
    }


def _pack(found: Found, at: int, *, counted: bool) -> str:
    """Return a part of an answer as text; the counts stand in one of them."""
    message = admin_pb2.ListSessionsResponse(sessions=found.sessions[at : at + _PART])
    if counted:
        message.workers, message.silent = found.workers, found.silent
    return base64.b64encode(message.SerializeToString()).decode("ascii")


def _questions(connection: Connection) -> list[tuple[str, str]]:
    """Return (request, only) of what was asked not long ago."""
    columns = session_reports.c
    rows = connection.execute(
        select(columns.request, columns.body).where(
            columns.worker == "", columns.created >= int(time.time()) - KEPT
        )
    )
    return [(row.request, row.body) for row in rows]


def _answers(
    connection: Connection, request: str, known: Iterable[str]
) -> dict[str, Sequence[admin_pb2.ListSessionsResponse]]:
    """Return the parts of each replica that has answered and is not known yet.

    All parts of an answer are written in one transaction.
    """
    columns = session_reports.c
    rows = connection.execute(
        select(columns.worker, columns.body).where(
            columns.request == request, columns.worker.not_in(["", *known])
        )
    )
    found: dict[str, list[admin_pb2.ListSessionsResponse]] = {}
    for worker, body in rows:
        part = admin_pb2.ListSessionsResponse.FromString(base64.b64decode(body))
        found.setdefault(worker, []).append(part)
    return dict(found)


def _web_sessions(connection: Connection, only: str, used: int) -> list[auth_pb2.Session]:
    """Return the sessions of webmail, which auth itself keeps."""
    columns = web_sessions.c
    query = select(web_sessions).where(
        columns.pending.is_(False), columns.expires > int(time.time()), columns.last_seen > used
    )
    if only and not only.startswith("@"):
        query = query.where(columns.address == only)
    return [
        auth_pb2.Session(
            address=row.address,
            service="webmail",
            peer=row.peer,
            client=row.client[:100],
            since=Timestamp(seconds=row.created),
            actor=row.actor,
        )
        for row in connection.execute(query)
        if not only.startswith("@") or row.address.endswith(only)
    ]
