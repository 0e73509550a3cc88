"""App passwords: what they open, what they do not, and how they end."""

import base64
import hashlib
import time
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1.admin_pb2 import AppPassword
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.client import AuthClient
from restante.rpc.revocation import Reason, Revocation
from restante.runtime.settings import ListenAddress
from services.auth import directory
from services.auth.factors import codes
from services.auth.factors.app_passwords import AppPassword as Kept
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.selfservice.conftest import FRED
from tests.services.auth.selfservice.owner import Owner, owner_at
from tests.services.auth.selfservice.test_second_factor import set_totp
from tests.services.auth.test_authdaemon import ask, body
from tests.services.auth.watching import watching


async def create(owner: Owner, **fields: object) -> tuple[str, str]:
    """Return (secret, id)."""
    wanted = AppPassword(**{"name": "phone", **fields})  # type: ignore[arg-type]  # by name
    made = await owner.CreateAppPassword(app_password=wanted, password=b"secret")
    return made.secret, made.app_password.id


async def opens(client: AuthClient, secret: str, service: str = "imap", peer: str = "") -> bool:
    try:
        account = await client.authenticate(FRED, secret, service=service, peer=peer)
    except MailError as error:
        assert error.kind is ErrorKind.AUTH_FAILED
        assert error.text == "authentication failed"
        return False
    return account.address == FRED


async def test_it_opens_mail_but_not_webmail(fred: Owner, guest: Owner, client: AuthClient) -> None:
    secret, _ = await create(fred)
    assert len(secret.replace("-", "")) == codes.APP_PASSWORD
    for service in ("imap", "pop3", "smtp", "esmtp"):
        assert await opens(client, secret, service)
    assert not await opens(client, secret, "webmail")
    refused = await guest.refused("Login", user=FRED, password=secret.encode())
    assert refused.kind is ErrorKind.AUTH_FAILED
    assert await opens(client, "secret")  # no second factor: the main password stays


async def test_typing_it_is_easy(fred: Owner, client: AuthClient) -> None:
    secret, _ = await create(fred)
    for typed in (secret.upper(), secret.replace("-", ""), secret.replace("-", " ")):
        assert await opens(client, typed)
    for wrong in (secret[:-1], secret + "a", secret[:-1] + ("a" if secret[-1] != "a" else "b")):
        assert not await opens(client, wrong)


async def test_with_a_second_factor_it_is_the_only_way_in(fred: Owner, client: AuthClient) -> None:
    secret, _ = await create(fred)
    await set_totp(fred)
    assert not await opens(client, "secret")
    assert await opens(client, secret)


async def test_it_is_bound_to_services(fred: Owner, client: AuthClient) -> None:
    secret, _ = await create(fred, services=["smtp"])
    assert await opens(client, secret, "smtp")
    assert await opens(client, secret, "esmtp")
    assert not await opens(client, secret, "imap")
    for services in (["webmail"], ["imap", "x"], [""]):
        refused = await fred.refused(
            "CreateAppPassword", app_password={"name": "x", "services": services}
        )
        assert refused.kind is ErrorKind.BAD_REQUEST


async def test_it_is_bound_to_networks(fred: Owner, client: AuthClient) -> None:
    secret, _ = await create(fred, networks=["192.0.2.7/24", "2001:db8::/32"])
    for peer in ("192.0.2.200", "2001:db8::1", "::ffff:192.0.2.1"):
        assert await opens(client, secret, peer=peer)
    for peer in ("192.0.3.1", "2001:db9::1", "", "unix"):
        assert not await opens(client, secret, peer=peer)
    listed = (await fred.GetSecurity()).app_passwords[0]
    assert list(listed.networks) == ["192.0.2.0/24", "2001:db8::/32"]
    for networks in (["x"], ["192.0.2.0/33"], ["10.0.0.0/8"] * 33):
        refused = await fred.refused(
            "CreateAppPassword", app_password={"name": "x", "networks": networks}
        )
        assert refused.kind is ErrorKind.BAD_REQUEST


async def test_it_ends(fred: Owner) -> None:
    refused = await fred.refused(
        "CreateAppPassword", app_password={"name": "x", "expires": Timestamp(seconds=1)}
    )
    assert refused.kind is ErrorKind.BAD_REQUEST
    kept = Kept("1", "x", "d", expires=1000)
    assert kept.opens("imap", "", 999.9)
    assert not kept.opens("imap", "", 1000)


async def test_read_only_is_told_with_the_account(fred: Owner, client: AuthClient) -> None:
    secret, _ = await create(fred, read_only=True)
    assert (await client.authenticate(FRED, secret, service="imap")).read_only
    assert not (await client.authenticate(FRED, "secret", service="imap")).read_only
    assert not (await client.lookup(FRED)).read_only
    assert await opens(client, secret, "pop3")
    assert not await opens(client, secret, "smtp")  # sending is no reading
    wanted = {"name": "x", "services": ["smtp"], "read_only": True}
    refused = await fred.refused("CreateAppPassword", app_password=wanted)
    assert refused.kind is ErrorKind.BAD_REQUEST


async def test_what_may_be_remembered(fred: Owner, server: AuthServer) -> None:
    async def reusable(secret: str) -> bool:
        async with aio.insecure_channel(str(server.settings.listen)) as channel:
            answer = await auth_pb2_grpc.AuthStub(channel).Authenticate(
                auth_pb2.AuthenticateRequest(
                    user=FRED, password=secret.encode(), service="imap", peer="192.0.2.1"
                )
            )
            return answer.reusable

    assert await reusable("secret")
    assert await reusable((await create(fred))[0])
    assert not await reusable((await create(fred, networks=["192.0.2.0/24"]))[0])
    now = int(time.time())
    soon, late = Timestamp(seconds=now + 3000), Timestamp(seconds=now + 9000)
    assert not await reusable((await create(fred, expires=soon))[0])
    assert await reusable((await create(fred, expires=late))[0])


async def test_a_withdrawn_one_works_nowhere_and_ends_sessions(
    fred: Owner, guest: Owner, server: AuthServer, client: AuthClient
) -> None:
    secret, found = await create(fred)
    other, _ = await create(fred, name="tablet")
    second = await guest.login(FRED)
    assert await opens(client, secret)
    async with watching(str(server.settings.listen)) as watcher:
        await watcher.synced()
        await fred.DeleteAppPassword(id=found)
        while (told := await watcher.revocation()).reason is Reason.CHANGED:
            pass  # of before
        assert told == Revocation(FRED, Reason.PASSWORD)
    assert not await opens(client, secret)
    assert await opens(client, other)
    assert (await second.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
    assert [p.name for p in (await fred.GetSecurity()).app_passwords] == ["tablet"]
    assert (await fred.refused("DeleteAppPassword", id=found)).kind is ErrorKind.NOT_FOUND


async def test_nobody_withdraws_those_of_others(
    fred: Owner, guest: Owner, server: AuthServer, client: AuthClient
) -> None:
    secret, found = await create(fred)
    await add_account(server, "eve@example.test")
    eve = await guest.login("eve@example.test")
    assert (await eve.refused("DeleteAppPassword", id=found)).kind is ErrorKind.NOT_FOUND
    assert await opens(client, secret)
    with pytest.raises(MailError):
        await client.authenticate("eve@example.test", secret, service="imap")


async def test_last_use_is_shown(fred: Owner, server: AuthServer, client: AuthClient) -> None:
    secret, _ = await create(fred)
    assert not (await fred.GetSecurity()).app_passwords[0].HasField("last_used")
    await opens(client, secret, "pop3", "192.0.2.9")
    await server.factors.last_use.flush()
    shown = (await fred.GetSecurity()).app_passwords[0]
    assert (shown.last_peer, shown.last_service) == ("192.0.2.9", "pop3")
    assert shown.last_used.seconds > 0


async def test_it_changes_no_password(fred: Owner, server: AuthServer) -> None:
    secret, _ = await create(fred)
    async with aio.insecure_channel(str(server.settings.listen)) as channel:
        for service in ("imap", "webmail"):
            with pytest.raises(aio.AioRpcError) as refused:
                await auth_pb2_grpc.AuthStub(channel).ChangePassword(
                    auth_pb2.ChangePasswordRequest(
                        user=FRED,
                        old_password=secret.encode(),
                        new_password=b"zebra-lamp-42",
                        service=service,
                    )
                )
            assert "auth_failed" in str(refused.value.trailing_metadata())


async def test_who_gets_the_address_next_inherits_nothing(
    fred: Owner, server: AuthServer, client: AuthClient
) -> None:
    secret, _ = await create(fred)
    await set_totp(fred)
    await server.database.run(
        lambda c: directory.delete_account(c, FRED, dry_run=False), write=True
    )
    await add_account(server, FRED, "another")
    assert not await opens(client, secret)
    assert await opens(client, "another")


async def test_names_and_numbers_are_bounded(fred: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "x" * 101, "a\x01b"):
        refused = await fred.refused("CreateAppPassword", app_password={"name": name})
        assert refused.kind is ErrorKind.BAD_REQUEST
    monkeypatch.setattr("services.auth.factors.store.MAX_PER_ACCOUNT", 1)
    await create(fred)
    refused = await fred.refused("CreateAppPassword", app_password={"name": "x"})
    assert refused.kind is ErrorKind.LIMIT


async def test_authdaemond_takes_them_and_refuses_the_main_password(data: Path) -> None:
    settings = make_settings(
        data,
        authdaemon_listen=ListenAddress(path=str(data / "socket")),
        authdaemon_passwords=True,
        modules=("userdb",),
        userdb=data / "userdb",
    )
    file = data / "userdb"
    hashed = "{SSHA}" + base64.b64encode(hashlib.sha1(b"secretsalt").digest() + b"salt").decode()
    account = f"home={data}/fred|mail={data}/fred/Maildir|uid=1000|gid=1000|systempw={hashed}"
    file.write_text(f"{FRED}\t{account}\n")
    file.chmod(0o600)
    pre, change = f"PRE . imap {FRED}\n".encode(), f"PASSWD imap\t{FRED}\tsecret\tzebra-lamp-42\n"
    async with serving(settings), owner_at(str(settings.listen)) as guest:
        fred = await guest.login(FRED)
        secret, _ = await create(fred)
        reading, _ = await create(fred, read_only=True)
        assert b"ADDRESS=fred@" in await ask(data, body("imap", "login", FRED, "secret"))
        assert f"PASSWD={hashed}\n".encode() in await ask(data, pre)
        await set_totp(fred)
        assert await ask(data, body("imap", "login", FRED, "secret")) == b"FAIL\n"
        assert b"PASSWD" not in await ask(data, pre)
        assert b"ADDRESS=fred@" in await ask(data, body("imap", "login", FRED, secret))
        # Courier could not be told that it may only read.
        assert await ask(data, body("imap", "login", FRED, reading)) == b"FAIL\n"
        assert await ask(data, change.encode()) == b"FAIL\n"
