"""Who is logged in: two auth replicas on one database, two IMAP workers and a POP3 worker."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from restante.rpc.auth.v1 import auth_pb2
from restante.runtime.limits import SharedCounts
from restante.runtime.log import get_logger
from restante.runtime.settings import ListenAddress
from restante.runtime.worker import WorkerContext
from restante.store.volume import create_volume
from services.auth import directory
from services.auth import sessions as auth_sessions
from services.auth.server import AuthServer
from services.imap.service import ImapService
from services.imap.settings import ImapSettings
from services.pop3.login_delay import LoginTimes
from services.pop3.service import Pop3Service
from services.pop3.settings import Pop3Settings
from tests.contract.mariadb import Mariadb
from tests.contract.postgres import Postgres
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.watching import watching

FRED, ANN = "fred@example.test", "ann@other.test"
ANY = ListenAddress("127.0.0.1", 0)
OFF = ListenAddress()


@dataclass
class System:
    """Replica 0 serves the first IMAP worker, replica 1 the others."""

    auth: list[AuthServer]
    imap: list[ImapService]
    pop3: Pop3Service

    async def listening(self, workers: list[int]) -> None:
        """Wait until each replica has the streams of so many workers."""
        async with asyncio.timeout(20):
            while [len(a.hub._streams) for a in self.auth] != workers:
                await asyncio.sleep(0.01)


def worker(kind: Any, settings_class: Any, auth: AuthServer, name: str, root: Path) -> Any:
    settings = settings_class(
        data=auth.settings.data,
        mail_root=root,
        listen=ANY,
        tls_listen=OFF,
        auth_target=str(auth.settings.listen),
        hostname=name,
        drain_seconds=1,
    )
    context = WorkerContext(name, settings, 0, SharedCounts(), get_logger(name))
    return kind(context)


@asynccontextmanager
async def system(url: str) -> AsyncIterator[System]:
    async with AsyncExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rst")))
        top.chmod(0o711)  # the store reads mail as its owner
        root = top / "mail"
        create_volume(root)
        auth = []
        for _ in range(2):
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rst")))
            settings = make_settings(data, sql_url=url, mail_root=root)
            auth.append(await stack.enter_async_context(serving(settings)))
        imap = [worker(ImapService, ImapSettings, auth[n], f"imap{n}", root) for n in range(2)]
        pop3 = worker(
            lambda context: Pop3Service(context, LoginTimes(0)), Pop3Settings, auth[1], "pop", root
        )
        for service in (*imap, pop3):
            await service.start()
            stack.push_async_callback(service.drain)
        for address in (FRED, ANN):
            await add_account(auth[0], address)
            owner = {"uid": os.getuid() or 1000, "gid": os.getgid() or 1000}
            await auth[0].database.run(
                lambda c, name=address, to=owner: directory.update_account(c, name, to),  # type: ignore[misc]  # both are bound
                write=True,
            )
        made = System(auth, imap, pop3)
        await made.listening([1, 2])
        yield made


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, line: bytes, end: bytes) -> bytes:
        """Send a line; return all up to the line that starts with `end`."""
        self._writer.write(line + b"\r\n")
        seen = b""
        async with asyncio.timeout(20):
            while True:
                answer = await self._reader.readline()
                assert answer, seen
                seen += answer
                if answer.startswith(end):
                    return seen

    async def ended(self) -> bool:
        async with asyncio.timeout(20):
            while await self._reader.readline():
                pass
        return True


_clients: list[Client] = []  # one that nobody holds any more hangs up


@pytest.fixture(autouse=True)
def hold_clients() -> Iterator[None]:
    yield
    _clients.clear()


async def connect(service: ImapService | Pop3Service) -> Client:
    host, port = service.doors.listeners[0].address.target
    reader, writer = await asyncio.open_connection(host, port)
    await reader.readline()
    client = Client(reader, writer)
    _clients.append(client)
    return client


async def imap(service: ImapService, user: str) -> Client:
    client = await connect(service)
    await client.send(b'i ID ("name" "Postbote" "version" "1.2" "os" "x")', b"i OK")
    await client.send(f"a LOGIN {user} secret".encode(), b"a OK")
    return client


async def pop3(service: Pop3Service, user: str) -> Client:
    client = await connect(service)
    await client.send(b"USER " + user.encode(), b"+OK")
    await client.send(b"PASS secret", b"+OK")
    return client


def shown(found: auth_sessions.Found) -> list[tuple[str, ...]]:
    return sorted((s.address, s.service, s.host, s.mechanism, s.client) for s in found.sessions)


async def test_every_replica_sees_everybody(database_server: Postgres | Mariadb) -> None:
    async with system(database_server.new_database()) as running:
        before = int(time.time())
        await imap(running.imap[0], FRED)
        kept = await imap(running.imap[1], FRED)
        await imap(running.imap[1], ANN)
        await pop3(running.pop3, FRED)
        await connect(running.imap[0])  # has not logged in
        everybody = [
            (ANN, "imap", "imap1", "login", "Postbote 1.2"),
            (FRED, "imap", "imap0", "login", "Postbote 1.2"),
            (FRED, "imap", "imap1", "login", "Postbote 1.2"),
            (FRED, "pop3", "pop", "login", ""),
        ]
        for auth in running.auth:
            found = await auth.sessions.find()
            assert (found.workers, found.silent) == (3, 0)
            assert shown(found) == everybody
            assert {s.peer for s in found.sessions} == {"127.0.0.1"}
            assert all(before <= s.since.seconds <= time.time() for s in found.sessions)
            assert shown(await auth.sessions.find(ANN)) == everybody[:1]
            assert shown(await auth.sessions.find("@example.test")) == everybody[1:]
        await kept.send(b"b LOGOUT", b"b OK")
        await kept.ended()
        assert len((await running.auth[0].sessions.find()).sessions) == 3


async def test_a_worker_of_the_other_replica_that_is_silent_is_counted(postgres: Postgres) -> None:
    async with system(postgres.new_database()) as running:
        await imap(running.imap[0], FRED)
        await pop3(running.pop3, ANN)
        async with watching(str(running.auth[1].settings.listen)) as silent:
            await silent.synced()
            found = await running.auth[0].sessions.find()
    assert (found.workers, found.silent) == (3, 1)
    assert {s.address for s in found.sessions} == {FRED, ANN}


async def test_a_replica_that_is_silent_is_counted(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with system(postgres.new_database()) as running:
        await imap(running.imap[0], FRED)
        monkeypatch.setattr(running.auth[1].sessions, "asked", lambda: None)
        found = await running.auth[0].sessions.find()
    assert (found.workers, found.silent) == (1, 1)
    assert [s.address for s in found.sessions] == [FRED]


async def test_questions_of_many_at_once_keep_apart(
    database_server: Postgres | Mariadb,
) -> None:
    async with system(database_server.new_database()) as running:
        await imap(running.imap[0], FRED)
        await imap(running.imap[1], ANN)
        asked = [auth.sessions.find(only) for auth in running.auth for only in (FRED, ANN, "")]
        found = await asyncio.gather(*asked)
    assert [sorted(s.address for s in f.sessions) for f in found] == [
        [FRED],
        [ANN],
        [ANN, FRED],
    ] * 2
    assert {f.silent for f in found} == {0}


async def test_many_sessions_come_in_parts(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [auth_pb2.Session(address=f"u{n}@example.test") for n in range(1201)]
    async with system(postgres.new_database()) as running:
        collect = running.auth[1].sessions._collect

        async def more(*args: Any) -> auth_sessions.Found:
            found = await collect(*args)
            found.sessions += many
            return found

        monkeypatch.setattr(running.auth[1].sessions, "_collect", more)
        found = await running.auth[0].sessions.find()
    assert sorted(s.address for s in found.sessions) == sorted(s.address for s in many)
    assert (found.workers, found.silent) == (3, 0)


async def test_nothing_stays_behind(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_sessions, "KEPT", -1)
    async with system(postgres.new_database()) as running:
        await running.auth[0].sessions.find()
        await running.auth[0].sessions.find()
        rows = await running.auth[0].database.run(
            lambda c: c.exec_driver_sql("SELECT count(*) FROM session_reports").scalar()
        )
    assert rows == 1  # the last question
