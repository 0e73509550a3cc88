"""Tokens, masters and the audit log on SQLite, PostgreSQL and MariaDB, and of two replicas."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import update

from restante.model import ErrorKind
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth import audit_table
from services.auth.audit_table import Query
from services.auth.database.schema import audit as table
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.admin.calls import Admin
from tests.services.auth.conftest import make_settings, serving

FRED = "fred@example.test"


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[AuthServer]:
    """A service with an admin token and a socket of its own."""
    with tempfile.TemporaryDirectory(prefix="rst") as data:
        async with serving(make_settings(Path(data), sql_url=url)) as server:
            yield server


async def test_a_token_is_good_at_every_replica(url: str) -> None:
    async with replica(url) as here, replica(url) as there:
        admin = Admin(here)
        await add_account(here, FRED)
        bound = Admin(there, await admin.token(pb.ROLE_DOMAIN_ADMIN, "example.test"))
        accounts = await bound("ListAccounts", pb.ListAccountsRequest())
        assert [account.address for account in accounts.accounts] == [FRED]
        assert await bound.kind("ListTokens", pb.ListTokensRequest()) is ErrorKind.PERMISSION
        (token,) = (await admin("ListTokens", pb.ListTokensRequest())).tokens
        assert token.last_used.seconds > 0
        await admin("DeleteToken", pb.DeleteTokenRequest(id=token.id))
        request = pb.ListAccountsRequest()
        assert await bound.kind("ListAccounts", request) is ErrorKind.PERMISSION
        await admin.close()
        await bound.close()


async def test_masters(url: str) -> None:
    async with replica(url) as server:
        admin = Admin(server)
        await add_account(server, FRED)
        master = pb.Master(address=FRED, domains=["b.test", "A.test"])
        request = pb.CreateMasterRequest(master=master)
        made = await admin("CreateMaster", request)
        assert list(made.domains) == ["a.test", "b.test"]
        assert await admin.kind("CreateMaster", request) is ErrorKind.ALREADY_EXISTS
        await admin("DeleteMaster", pb.DeleteMasterRequest(address=FRED))
        gone = await admin.kind("DeleteMaster", pb.DeleteMasterRequest(address=FRED))
        assert gone is ErrorKind.NOT_FOUND
        await admin.close()


async def test_the_audit_log(url: str) -> None:
    async with replica(url) as here, replica(url) as there:
        admin = Admin(here)
        await add_account(here, FRED)
        await admin("Kick", pb.KickRequest(address=FRED))
        for server in (here, there):
            for text in (
                "a\0b",
                "\udcff\ud800",
                "x" * 10_000,
                "\n\x1b",
                "ünïcødé \N{GRINNING FACE}",
            ):
                server.audit.record(action="login", address=FRED, peer=text, detail=text)
            await server.audit.flush()
        seen: list[int] = []
        token = ""
        while True:
            request = pb.ListAuditRequest(domain="example.test", page_size=4, page_token=token)
            page = await admin("ListAudit", request)
            seen += [entry.id for entry in page.entries]
            token = page.next_page_token
            if not token:
                break
        assert len(seen) == 11
        assert seen == sorted(seen, reverse=True)
        entries = await there.audit.entries(Query(address=FRED, action="admin.account.kick"))
        assert [entry.actor for entry in entries] == ["admin token"]
        await admin.close()


async def test_old_rows_go(url: str) -> None:
    async with replica(url) as server:
        for _ in range(7):
            server.audit.record(action="login", address=FRED)
        await server.audit.flush()
        ids = [entry.id for entry in await server.audit.entries(Query())]
        old = update(table).where(table.c.id < ids[1]).values(time=int(time.time()) - 3 * 86400)
        await server.database.run(lambda c: c.execute(old), write=True)
        gone = [
            await server.database.run(lambda c: audit_table.prune(c, days=2, limit=3), write=True)
            for _ in range(3)
        ]
        assert gone == [3, 2, 0]
        assert [entry.id for entry in await server.audit.entries(Query())] == ids[:2]
