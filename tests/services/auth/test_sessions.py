"""Who is logged in: questions on Watch streams, answers of workers, those who stay silent."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert

from restante.model import ErrorKind
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.auth.v1 import auth_pb2
from restante.rpc.client import AuthClient
from restante.rpc.sessions import PART, parts
from restante.runtime.connection import Facts, Peer
from services.auth.database.schema import web_sessions
from services.auth.server import AuthServer
from services.auth.sessions import SessionReports
from tests.services.auth.admin.calls import Admin
from tests.services.auth.watching import watching


@dataclass
class Held:
    """A connection as a worker has it."""

    user: str
    peer: Peer = field(default_factory=lambda: Peer("192.0.2.1", tls=True))
    facts: Facts = field(default_factory=lambda: Facts(1_700_000_000, "plain", "", "Mail 1.0"))
    session: str = "aa00000000000001"


@asynccontextmanager
async def worker(server: AuthServer, *held: Held) -> AsyncIterator[AuthClient]:
    client = AuthClient(str(server.settings.listen))
    before = len(server.hub._streams)
    client.watch(lambda _: None, lambda: held, service="imap", host="one")
    while len(server.hub._streams) == before:
        await asyncio.sleep(0)
    try:
        yield client
    finally:
        await client.close()


async def test_every_worker_is_heard(server: AuthServer) -> None:
    fred = Held("fred@example.test")
    many = [Held(f"u{n}@other.test") for n in range(2 * PART + 1)]
    nobody = Held("")  # has not logged in
    async with worker(server, fred, nobody), worker(server, *many), worker(server):
        found = await server.sessions.find()
        assert (found.workers, found.silent, len(found.sessions)) == (3, 0, len(many) + 1)
        shown = next(s for s in found.sessions if s.address == "fred@example.test")
        assert (shown.service, shown.host, shown.peer, shown.tls) == ("imap", "one", "192.0.2.1", 1)
        assert shown.session == "aa00000000000001"
        assert (shown.client, shown.mechanism) == ("Mail 1.0", "plain")
        assert shown.since.seconds == 1_700_000_000
        only = await server.sessions.find("fred@example.test")
        assert [s.address for s in only.sessions] == ["fred@example.test"]
        assert len((await server.sessions.find("@other.test")).sessions) == len(many)
        assert not (await server.sessions.find("@example")).sessions


async def test_who_does_not_answer_is_counted(server: AuthServer) -> None:
    fred = Held("fred@example.test")
    async with worker(server, fred), watching(str(server.settings.listen)) as silent:
        await silent.synced()
        found = await server.sessions.find()
    assert (found.workers, found.silent, len(found.sessions)) == (1, 1, 1)


async def add_web_session(server: AuthServer, name: str, address: str, **fields: Any) -> None:
    now = int(time.time())
    row = {
        "id": name,
        "digest": name,
        "address": address,
        "peer": "192.0.2.7",
        "client": "Browser " * 50,
        "created": now - 60,
        "last_seen": now,
        "expires": now + 60,
        **fields,
    }
    await server.database.run(lambda c: c.execute(insert(web_sessions), row), write=True)


async def test_sessions_of_webmail(server: AuthServer) -> None:
    now = int(time.time())
    await add_web_session(server, "a", "fred@example.test", actor="boss@example.test")
    await add_web_session(server, "b", "ann@other.test")
    await add_web_session(server, "c", "sue@example.test", pending=True)
    await add_web_session(server, "d", "tom@example.test", expires=now - 1)
    await add_web_session(server, "e", "joe@example.test", last_seen=now - 86400)
    found = (await server.sessions.find()).sessions
    assert sorted(s.address for s in found) == ["ann@other.test", "fred@example.test"]
    (fred,) = (await server.sessions.find("@example.test")).sessions
    assert (fred.service, fred.peer, fred.actor) == ("webmail", "192.0.2.7", "boss@example.test")
    assert len(fred.client) <= 100
    assert (await server.sessions.find("fred@example.test")).sessions == [fred]


async def test_a_domain_admin_sees_his_domains(server: AuthServer) -> None:
    admin = Admin(server)
    await admin("CreateDomain", pb.CreateDomainRequest(domain=pb.Domain(name="example.test")))
    token = await admin.token(pb.ROLE_DOMAIN_ADMIN, "example.test")
    bound = Admin(server, token)
    await add_web_session(server, "a", "fred@example.test")
    await add_web_session(server, "b", "ann@other.test")
    seen = await bound("ListSessions", pb.ListSessionsRequest())
    assert [s.address for s in seen.sessions] == ["fred@example.test"]
    for request in (
        pb.ListSessionsRequest(address="ann@other.test"),
        pb.ListSessionsRequest(domain="other.test"),
    ):
        assert await bound.kind("ListSessions", request) is ErrorKind.PERMISSION
    both = pb.ListSessionsRequest(address="ann@other.test", domain="other.test")
    assert await admin.kind("ListSessions", both) is ErrorKind.BAD_REQUEST
    await admin.close()
    await bound.close()


async def test_nobody_to_ask(server: AuthServer) -> None:
    while not server.hub.calm:  # it has just started
        await asyncio.sleep(0.01)
    found = await server.sessions.find()
    assert (found.workers, found.silent, found.sessions) == (0, 0, [])


async def test_while_nobody_can_be_asked_it_says_so(server: AuthServer) -> None:
    async with worker(server, Held("fred@example.test")):
        server.hub.lost(source := object())
        found = await server.sessions.find()
        assert (found.sessions, found.silent) == ([], 1)
        server.hub.found(source)


async def test_late_and_unknown_answers_are_dropped(server: AuthServer) -> None:
    reports: SessionReports = server.sessions
    session = auth_pb2.Session(address="fred@example.test")
    reports.take(auth_pb2.ReportSessionsRequest(request="x", worker="w", sessions=[session]))
    assert not (await reports.find()).sessions


async def test_a_question_neither_ends_a_stream_nor_looks_like_a_change(
    server: AuthServer,
) -> None:
    async with watching(str(server.settings.listen)) as watcher:
        await watcher.synced()
        server.hub.ask("x", "")
        assert await watcher.synced() == []


async def test_a_part_is_never_larger_than_a_call_may_be() -> None:
    facts = Facts(2**40, "scram-sha-256-plus", "m" * 400, "c" * 80)
    held = [Held("a" * 380 + f"{n}@example.test", Peer("f" * 45), facts) for n in range(PART)]
    made = [part async for part in parts(held, "", service="imap", host="h" * 253)]
    sizes = [auth_pb2.ReportSessionsRequest(sessions=part).ByteSize() for part in made]
    assert [len(part) for part in made] == [PART, 0]
    assert max(sizes) < 250 * 1024
