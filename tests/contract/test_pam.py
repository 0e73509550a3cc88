"""The module pam against Linux-PAM and the C library's name service, through the whole service."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from grpc import aio

from restante.model import ErrorKind, MailError
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.client import AuthClient
from tests.contract.pam_host import PamHost, skip_unless_possible
from tests.services.auth.process import AuthProcess, auth_process

CODES = {
    # authentication, account management -> what the client is told
    ("auth_err", "success"): ErrorKind.AUTH_FAILED,
    ("user_unknown", "success"): ErrorKind.AUTH_FAILED,
    ("maxtries", "success"): ErrorKind.AUTH_FAILED,
    ("perm_denied", "success"): ErrorKind.AUTH_FAILED,
    ("success", "acct_expired"): ErrorKind.AUTH_FAILED,
    ("success", "perm_denied"): ErrorKind.AUTH_FAILED,
    ("success", "new_authtok_reqd"): ErrorKind.AUTH_FAILED,
    ("success", "auth_err"): ErrorKind.AUTH_FAILED,
    ("authinfo_unavail", "success"): ErrorKind.TEMPORARY,
    ("system_err", "success"): ErrorKind.TEMPORARY,
    ("service_err", "success"): ErrorKind.TEMPORARY,
    ("buf_err", "success"): ErrorKind.TEMPORARY,
    ("abort", "success"): ErrorKind.TEMPORARY,
    ("cred_insufficient", "success"): ErrorKind.TEMPORARY,
    ("success", "authinfo_unavail"): ErrorKind.TEMPORARY,
    ("success", "system_err"): ErrorKind.TEMPORARY,
    ("success", "success"): None,
}
PERMIT = "account required pam_permit.so"


@pytest.fixture(scope="module")
def host() -> Iterator[PamHost]:
    skip_unless_possible()
    with tempfile.TemporaryDirectory(prefix="rstpam") as name:
        made = PamHost(Path(name))
        made.user("fred", 2001, password="unix", gecos="Fred Fisher,Room 1,,")
        made.user("ann", 2002, password="unix")
        made.user("gone", 2003, password="unix", expires="1")
        made.user("locked", 2004)
        made.user("daemonlike", 200, password="unix")
        made.user("toor", 0, password="unix")
        made.user("Capital", 2005)
        made.user("homeless", 2006)
        passwd = made.etc / "passwd"
        passwd.write_text(passwd.read_text().replace(str(made.homes / "homeless"), ""))
        made.service("imap", made.password_file("imap", fred="one", ghost="x", toor="x"), PERMIT)
        made.service("pop3", made.password_file("pop3", fred="two", ann="two"), PERMIT)
        unix = ("auth required pam_unix.so", "account required pam_unix.so")
        made.service("webmail", *unix)
        made.service("passwd", "password required pam_unix.so sha512")
        made.service("smtp", made.script("hang", "echo $$ >> /etc/mail/hung\nsleep 600\n"))
        made.service("peer", made.script("peer", '[ "$PAM_RHOST" = 192.0.2.7 ]\n'), PERMIT)
        made.service("stdin", made.script("stdin", '[ -z "$(cat)" ]\n'), PERMIT)
        made.service("missing", "auth required pam_of_nobody.so", PERMIT)
        for first, second in CODES:
            made.service(
                f"{first}-{second}",
                f"auth required pam_debug.so auth={first}",
                f"account required pam_debug.so acct={second}",
            )
        yield made


@pytest.fixture(scope="module")
def running(host: PamHost) -> Iterator[AuthProcess]:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        settings = {
            "RESTANTE_AUTH_MODULES": "pam",
            "RESTANTE_AUTH_DEFAULT_DOMAIN": "example.test",
            "RESTANTE_AUTH_DEFAULT_OPTIONS": "wbnodsn=1",
            "RESTANTE_AUTH_PAM_SERVICES": "sieve=pop3",
            "RESTANTE_AUTH_PAM_HELPERS": "3",
            "RESTANTE_AUTH_PAM_TIMEOUT_SECONDS": "2",
            "RESTANTE_AUTH_THROTTLE_CAP_SECONDS": "0",
        }
        with auth_process(Path(name), wrapper=host.wrapper, **settings) as process:
            yield process


@pytest.fixture
async def client(running: AuthProcess) -> AsyncIterator[AuthClient]:
    made = AuthClient(running.target)
    yield made
    await made.close()


async def kind(
    client: AuthClient, user: str, password: str, service: str, peer: str = "192.0.2.7"
) -> ErrorKind | None:
    try:
        await client.authenticate(user, password, service=service, peer=peer)
    except MailError as error:
        return error.kind
    return None


async def test_the_account_is_the_systems(client: AuthClient, host: PamHost) -> None:
    account = await client.authenticate("fred", "one", service="imap")
    assert (account.address, account.uid, account.gid) == ("fred@example.test", 2001, 2001)
    assert account.home == host.homes / "fred"
    assert account.maildir == account.home / "Maildir"
    assert account.name == "Fred Fisher"
    assert account.options.enabled("wbnodsn")
    assert await client.lookup("FRED@Example.Test") == account


async def test_each_protocol_is_a_service_of_its_own(client: AuthClient) -> None:
    assert await kind(client, "fred", "one", "imap") is None
    assert await kind(client, "fred", "two", "imap") is ErrorKind.AUTH_FAILED
    assert await kind(client, "fred", "two", "pop3") is None
    assert await kind(client, "fred", "two", "sieve") is None  # by RESTANTE_AUTH_PAM_SERVICES
    assert await kind(client, "fred", "unix", "webmail") is None
    assert await kind(client, "fred", "unix", "other") is ErrorKind.AUTH_FAILED
    assert await kind(client, "fred", "unix", "../imap") is ErrorKind.AUTH_FAILED


async def test_a_change_by_others_holds_at_once(running: AuthProcess, host: PamHost) -> None:
    client = AuthClient(running.target, verdict_seconds=600)
    client.watch(lambda _: None)
    try:
        host.service("changing", host.password_file("changing", ann="old"), PERMIT)
        assert await kind(client, "ann", "old", "changing") is None
        host.password_file("changing", ann="new")
        assert await kind(client, "ann", "old", "changing") is ErrorKind.AUTH_FAILED
        assert await kind(client, "ann", "new", "changing") is None
        host.service("changing", "auth required pam_permit.so", "account required pam_deny.so")
        assert await kind(client, "ann", "new", "changing") is ErrorKind.AUTH_FAILED
    finally:
        await client.close()


async def test_the_unix_password_and_expired_and_locked_accounts(client: AuthClient) -> None:
    assert await kind(client, "ann", "unix", "webmail") is None
    assert await kind(client, "ann", "Unix", "webmail") is ErrorKind.AUTH_FAILED
    assert await kind(client, "gone", "unix", "webmail") is ErrorKind.AUTH_FAILED
    assert await kind(client, "locked", "unix", "webmail") is ErrorKind.AUTH_FAILED


async def test_names_that_are_not_of_the_system(client: AuthClient) -> None:
    for name in ("nobody", "toor", "root", "daemonlike", "ghost", "fred@other.test", "capital"):
        assert await kind(client, name, "x", "imap") is ErrorKind.AUTH_FAILED, name
        with pytest.raises(MailError) as caught:
            await client.lookup(name)
        assert caught.value.kind is ErrorKind.NO_SUCH_USER, name


async def test_a_user_without_a_home_is_no_unknown_user(client: AuthClient) -> None:
    with pytest.raises(MailError) as caught:
        await client.lookup("homeless")
    assert caught.value.kind is ErrorKind.TEMPORARY


@pytest.mark.parametrize(("auth", "account"), CODES)
async def test_what_pam_says(client: AuthClient, auth: str, account: str) -> None:
    assert await kind(client, "fred", "x", f"{auth}-{account}") is CODES[auth, account]


async def test_a_module_that_is_missing_is_no_verdict(client: AuthClient) -> None:
    assert await kind(client, "fred", "x", "missing") is ErrorKind.TEMPORARY


async def test_modules_are_told_the_clients_address(client: AuthClient) -> None:
    assert await kind(client, "fred", "x", "peer") is None
    with pytest.raises(MailError):
        await client.authenticate("fred", "x", service="peer", peer="192.0.2.8")


async def test_modules_cannot_talk_to_auth(client: AuthClient) -> None:
    assert await kind(client, "fred", "x", "stdin") is None


async def test_passwords_that_are_no_text(client: AuthClient) -> None:
    for password in ("päßwört", "\udcff\udcfe", "a\nb", "x" * 400):
        assert await kind(client, "fred", password, "webmail") is ErrorKind.AUTH_FAILED


async def test_a_module_that_hangs_stops_nobody_else(client: AuthClient, host: PamHost) -> None:
    hung = host.etc / "mail" / "hung"
    hung.unlink(missing_ok=True)
    waiting = [
        asyncio.create_task(kind(client, "fred", "x", "smtp", f"192.0.2.{10 + n}"))
        for n in range(5)
    ]
    await until(lambda: hung.exists() and len(hung.read_text().split()) >= 2)
    # All helpers that this service may have hang now.
    assert await kind(client, "fred", "one", "imap") is None
    assert (await client.lookup("ann")).uid == 2002
    assert not any(task.done() for task in waiting)
    assert set(await asyncio.gather(*waiting)) == {ErrorKind.TEMPORARY}
    # They are killed, with what their modules started, and others take their places.
    for pid in hung.read_text().split():
        await until(partial(ended, int(pid)))
    peers = (f"192.0.2.{20 + n}" for n in range(8))
    answers = await asyncio.gather(*(kind(client, "fred", "one", "imap", p) for p in peers))
    assert set(answers) == {None}


async def test_enumeration(client: AuthClient, host: PamHost) -> None:
    found = {account.address: account async for account in client.enumerate()}
    assert {"fred@example.test", "ann@example.test", "gone@example.test"} <= found.keys()
    users = [name.partition("@")[0] for name in found]
    assert not {"root", "toor", "daemonlike", "nobody", "Capital", "homeless"} & set(users)
    assert found["fred@example.test"].home == host.homes / "fred"


async def test_many_users_are_enumerated_page_by_page(client: AuthClient, host: PamHost) -> None:
    passwd = host.etc / "passwd"
    before = passwd.read_text()
    try:
        with passwd.open("a") as out:
            for number in range(1000):
                out.write(f"many{number}:x:{3000 + number}:100:{'x' * 200}:/home/many:/bin/sh\n")
            out.write("many7:x:3007:100::/home/many:/bin/sh\n")  # twice
        names = [account.address async for account in client.enumerate()]
    finally:
        passwd.write_text(before)
    assert sum(name.startswith("many") for name in names) == 1000


async def test_a_broken_name_service_is_temporary(client: AuthClient, host: PamHost) -> None:
    passwd = host.etc / "passwd"
    aside = passwd.rename(host.etc / "passwd.aside")
    try:
        passwd.mkdir()  # reading it is an error
        with pytest.raises(MailError) as caught:
            await client.lookup("fred")
        assert caught.value.kind is ErrorKind.TEMPORARY
        assert await kind(client, "fred", "one", "imap") is ErrorKind.TEMPORARY
    finally:
        passwd.rmdir()
        aside.rename(passwd)
    assert await kind(client, "fred", "one", "imap") is None


async def test_a_password_is_changed(
    client: AuthClient, running: AuthProcess, host: PamHost
) -> None:
    async with aio.insecure_channel(running.target) as channel:
        stub = auth_pb2_grpc.AuthStub(channel)

        async def change(old: bytes, new: bytes) -> None:
            await stub.ChangePassword(
                auth_pb2.ChangePasswordRequest(
                    user="ann", old_password=old, new_password=new, service="webmail"
                )
            )

        new = b"correct horse battery 1"
        with pytest.raises(aio.AioRpcError):
            await change(b"wrong", new)
        before = (host.etc / "shadow").read_text()
        await change(b"unix", new)
        assert (host.etc / "shadow").read_text() != before
        assert await kind(client, "ann", "unix", "webmail") is ErrorKind.AUTH_FAILED
        assert await kind(client, "ann", new.decode(), "webmail") is None
        host.service("passwd", "password required pam_deny.so")
        with pytest.raises(aio.AioRpcError):
            await change(new, b"another horse battery 2")
        assert await kind(client, "ann", new.decode(), "webmail") is None


def test_no_password_is_in_the_log(running: AuthProcess) -> None:
    text = running.log()
    assert "PAM could not decide" in text
    assert "battery" not in text


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return " Z " in Path(f"/proc/{pid}/stat").read_text()
