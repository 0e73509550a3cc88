"""API tokens: made once, kept as digests, good until they expire or are deleted."""

import time
from collections.abc import AsyncIterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select, update

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.database.schema import api_tokens
from services.auth.server import AuthServer
from tests.services.auth.admin.calls import Admin

LIST = pb.ListDomainsRequest()


@pytest.fixture
async def admin(server: AuthServer) -> AsyncIterator[Admin]:
    found = Admin(server)
    yield found
    await found.close()


async def kind(server: AuthServer, secret: str) -> ErrorKind | None:
    caller = Admin(server, secret)
    try:
        return await caller.kind("ListDomains", LIST)
    finally:
        await caller.close()


async def last_used(server: AuthServer) -> int:
    query = select(api_tokens.c.last_used)
    found = await server.database.run(lambda c: c.execute(query).scalar_one())
    return int(found)


async def set_last_used(server: AuthServer, to: int) -> None:
    query = update(api_tokens).values(last_used=to)
    await server.database.run(lambda c: c.execute(query), write=True)


async def test_a_token_opens_until_it_is_deleted(server: AuthServer, admin: Admin) -> None:
    secret = await admin.token(pb.ROLE_READ_ONLY, name="backup")
    assert await kind(server, secret) is None
    (listed,) = (await admin("ListTokens", pb.ListTokensRequest())).tokens
    assert (listed.name, listed.role, list(listed.domains)) == ("backup", pb.ROLE_READ_ONLY, [])
    assert listed.id in secret
    assert listed.last_used.seconds > 0
    await admin("DeleteToken", pb.DeleteTokenRequest(id=listed.id))
    assert await kind(server, secret) is ErrorKind.PERMISSION
    again = await admin.kind("DeleteToken", pb.DeleteTokenRequest(id=listed.id))
    assert again is ErrorKind.NOT_FOUND


async def test_only_a_digest_is_kept(server: AuthServer, admin: Admin) -> None:
    secret = await admin.token(pb.ROLE_SUPERADMIN)
    row = await server.database.run(lambda c: c.execute(select(api_tokens)).mappings().one())
    assert secret.rpartition(".")[2] not in str(dict(row))


@pytest.mark.parametrize("cut", [1, 10, 64, 65, 80])
async def test_parts_of_a_token_open_nothing(server: AuthServer, admin: Admin, cut: int) -> None:
    secret = await admin.token(pb.ROLE_SUPERADMIN)
    other = await admin.token(pb.ROLE_SUPERADMIN)
    for wrong in (
        secret[:-cut],
        secret[cut:],
        secret + "0",
        secret.upper(),
        secret.rpartition(".")[0] + other[-65:],  # the id of one, the secret of another
    ):
        assert await kind(server, wrong) is ErrorKind.PERMISSION


async def test_a_token_expires(
    server: AuthServer, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = int(time.time()) + 1000
    token = pb.Token(name="x", role=pb.ROLE_READ_ONLY, expires=Timestamp(seconds=soon))
    made = await admin("CreateToken", pb.CreateTokenRequest(token=token))
    assert made.token.expires.seconds == soon
    assert await kind(server, made.secret) is None
    monkeypatch.setattr("services.auth.admin.tokens.time.time", lambda: float(soon))
    assert await kind(server, made.secret) is ErrorKind.PERMISSION


async def test_the_last_use_is_written_once_a_minute(server: AuthServer, admin: Admin) -> None:
    secret = await admin.token(pb.ROLE_READ_ONLY)
    assert await kind(server, secret) is None
    now = await last_used(server)
    assert now > 0
    for age, written in ((30, False), (61, True)):
        await set_last_used(server, now - age)
        assert await kind(server, secret) is None
        assert (await last_used(server) >= now) is written


async def test_what_no_token_can_be(admin: Admin) -> None:
    past = Timestamp(seconds=1)
    for token in (
        pb.Token(name="x"),
        pb.Token(name="", role=pb.ROLE_READ_ONLY),
        pb.Token(name="a\nb", role=pb.ROLE_READ_ONLY),
        pb.Token(name="x" * 101, role=pb.ROLE_READ_ONLY),
        pb.Token(name="x", role=pb.ROLE_DOMAIN_ADMIN),
        pb.Token(name="x", role=pb.ROLE_SUPERADMIN, domains=["example.test"]),
        pb.Token(name="x", role=pb.ROLE_READ_ONLY, domains=["a/b"]),
        pb.Token(name="x", role=pb.ROLE_READ_ONLY, expires=past),
    ):
        request = pb.CreateTokenRequest(token=token)
        assert await admin.kind("CreateToken", request) is ErrorKind.BAD_REQUEST


async def test_a_token_does_not_reach_any_log(
    server: AuthServer, admin: Admin, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = await admin.token(pb.ROLE_READ_ONLY)
    assert await kind(server, secret) is None
    assert await kind(server, secret[:-1] + "x") is ErrorKind.PERMISSION
    entries = (await admin("ListAudit", pb.ListAuditRequest())).entries
    assert secret.rpartition(".")[2][:-1] not in str(entries) + str(capfd.readouterr())


async def test_the_database_away_is_no_refusal(
    server: AuthServer, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The admin token is known without it; any other might be one of ours."""
    secret = await admin.token(pb.ROLE_READ_ONLY)

    async def down(*_: object, **__: object) -> object:
        raise MailError(ErrorKind.TEMPORARY, "the database cannot be used")

    monkeypatch.setattr(server.database, "run", down)
    assert await kind(server, secret) is ErrorKind.TEMPORARY
    assert await kind(server, "nonsense") is ErrorKind.PERMISSION
