"""The Admin API over real gRPC: who may, pages, masks, removal, audit."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import aio

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.admin.v1 import admin_pb2_grpc
from restante.rpc.admin_client import read_token
from restante.rpc.client import AdminClient, AuthClient
from restante.rpc.errors import error_of
from services.auth.admin.interceptor import peer_address
from services.auth.admin.rules import RULES
from services.auth.server import AuthServer
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.process import AuthProcess, auth_process

METHODS = pb.DESCRIPTOR.services_by_name["Admin"].methods


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthProcess]:
    with tempfile.TemporaryDirectory(prefix="rst") as name, auth_process(Path(name)) as process:
        yield process


@pytest.fixture
def client(auth: AuthProcess) -> Iterator[AdminClient]:
    """A client of a service without any account or domain."""
    with AdminClient(auth.target, read_token(auth.data / "run", {})) as client:
        for account in list(client.accounts()):
            client.delete_account(account.address)
        for domain in list(client.domains()):
            client.delete_domain(domain.name)
        yield client


def kind_of(call: Any, *args: Any, **kwargs: Any) -> ErrorKind:
    with pytest.raises(MailError) as caught:
        call(*args, **kwargs)
    return caught.value.kind


def test_every_method_has_a_rule_and_no_rule_is_left_over() -> None:
    assert set(RULES) == {method.name for method in METHODS}


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer wrong"),),
        (("authorization", "Basic {token}"),),
        (("authorization", "{token}"),),
        (("authorization", "Bearer {token}x"),),
        (("x-authorization", "Bearer {token}"),),
    ],
)
async def test_no_method_answers_without_the_token(
    server: AuthServer, metadata: tuple[tuple[str, str], ...]
) -> None:
    token = read_token(server.settings.run_dir, {})
    given = tuple((key, value.format(token=token)) for key, value in metadata)
    async with aio.insecure_channel(str(server.settings.listen)) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        for method in METHODS:
            request = getattr(pb, method.input_type.name)()
            with pytest.raises(aio.AioRpcError) as caught:
                await getattr(stub, method.name)(request, metadata=given)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            error = error_of(caught.value.trailing_metadata(), "")
            assert error is not None
            assert error.kind is ErrorKind.PERMISSION


def test_peers_are_addresses() -> None:
    for peer, address in (
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::1"),
        ("unix:", "unix:"),
        ("", ""),
    ):
        assert peer_address(peer) == address


def test_domains(client: AdminClient) -> None:
    for n in range(7):
        client.create_domain(f"d{n}.test", default_quota=f"{n + 1}S")
    assert [d.name for d in client.domains()] == [f"d{n}.test" for n in range(7)]
    assert client.update_domain("d1.test", default_options="a=1").default_quota == "2S"
    assert client.get_domain("D1.TEST").default_options == "a=1"
    assert kind_of(client.get_domain, "none.test") is ErrorKind.NOT_FOUND
    assert kind_of(client.create_domain, "d1.test") is ErrorKind.ALREADY_EXISTS
    assert kind_of(client.create_domain, "a/b") is ErrorKind.BAD_REQUEST
    assert kind_of(client.create_domain, "x.test", default_quota="q") is ErrorKind.BAD_REQUEST
    assert kind_of(client.update_domain, "none.test", default_quota="") is ErrorKind.NOT_FOUND
    client.delete_domain("d1.test", dry_run=True)
    client.get_domain("d1.test")
    client.delete_domain("d1.test")
    assert kind_of(client.delete_domain, "d1.test") is ErrorKind.NOT_FOUND


def test_pages(auth: AuthProcess, client: AdminClient) -> None:
    client.create_domain("example.test")
    client.create_domain("other.test")
    client.create_account("zoe@other.test")
    for n in range(7):
        client.create_account(f"u{n}@example.test")
    stub, metadata = client._stub, client._metadata
    seen, token = [], ""
    while True:
        request = pb.ListAccountsRequest(domain="example.test", page_size=3, page_token=token)
        page = stub.ListAccounts(request, metadata=metadata)
        seen.append([account.address for account in page.accounts])
        token = page.next_page_token
        if not token:
            break
    assert [len(page) for page in seen] == [3, 3, 1]
    assert [address for page in seen for address in page] == [
        f"u{n}@example.test" for n in range(7)
    ]
    assert len(list(client.accounts())) == 8
    assert kind_of(lambda: list(client.accounts("none.test"))) is ErrorKind.NOT_FOUND


def test_masks(client: AdminClient) -> None:
    client.create_domain("example.test")
    client.create_account("fred@example.test", name="Fred", quota="1S")
    changed = client.update_account("fred@example.test", quota="", disabled=True)
    assert (changed.name, changed.quota, changed.disabled) == ("Fred", "", True)
    assert kind_of(client.update_account, "x@example.test", name="x") is ErrorKind.NO_SUCH_USER
    for paths in ([], ["home"], ["password"], ["name", "address"], ["nonsense"]):
        request = pb.UpdateAccountRequest(
            account=pb.Account(address="fred@example.test", home="/", name="x"),
            update_mask=FieldMask(paths=paths),
        )
        with pytest.raises(grpc.RpcError) as caught:
            client._stub.UpdateAccount(request, metadata=client._metadata)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert client.get_account("fred@example.test") == changed


def test_passwords(client: AdminClient) -> None:
    client.create_domain("example.test")
    fred = "fred@example.test"
    made = client.create_account(fred)
    assert (made.has_password, made.password_scheme) == (False, "")
    client.set_password(fred, "secret")
    assert client.get_account(fred).password_scheme == "argon2id"
    client.set_password_hash(fred, "$6$salt$x")
    assert client.get_account(fred).password_scheme == "sha512-crypt"
    client.set_password_hash(fred, "")
    assert not client.get_account(fred).has_password
    assert kind_of(client.set_password_hash, fred, "nonsense") is ErrorKind.BAD_REQUEST
    assert kind_of(client.set_password, fred, "") is ErrorKind.BAD_REQUEST
    assert kind_of(client.set_password, fred, "a\0b") is ErrorKind.BAD_REQUEST
    assert kind_of(client.set_password, "x@example.test", "x") is ErrorKind.NO_SUCH_USER
    both = pb.SetPasswordRequest(address=fred, password=b"x", password_hash="{PLAIN}x")
    with pytest.raises(grpc.RpcError):
        client._stub.SetPassword(both, metadata=client._metadata)


def test_bad_accounts(client: AdminClient) -> None:
    client.create_domain("example.test")
    for bad in ("fred", "../fred@example.test", "a/b@example.test", ".x@example.test", ""):
        assert kind_of(client.create_account, bad) is ErrorKind.BAD_REQUEST
    for fields in ({"quota": "x"}, {"name": "a\nb"}, {"uid": 2**32 - 1}, {"password_hash": "?"}):
        assert kind_of(client.create_account, "a@example.test", **fields) is ErrorKind.BAD_REQUEST
    assert list(client.accounts()) == []


def test_purging_stays_below_the_mail_root(auth: AuthProcess, client: AdminClient) -> None:
    client.create_domain("example.test")
    made = client.create_account("fred@example.test")
    elsewhere = auth.data / "elsewhere"
    (elsewhere / "fred").mkdir(parents=True)
    made.home.parent.parent.mkdir(parents=True)
    made.home.parent.symlink_to(elsewhere)  # .../f/fr -> elsewhere
    assert kind_of(client.delete_account, "fred@example.test", purge_mail=True) is ErrorKind.CANNOT
    assert (elsewhere / "fred").exists()
    client.get_account("fred@example.test")  # refused before anything was changed
    made.home.parent.unlink()
    (made.home / "Maildir/cur").mkdir(parents=True)
    (made.home / "Maildir/cur/link").symlink_to(elsewhere)
    done = client.delete_account("fred@example.test", purge_mail=True)
    assert (done.home, done.home_exists, done.purged) == (made.home, True, True)
    assert not made.home.exists()
    assert list(made.home.parent.iterdir()) == []
    assert (elsewhere / "fred").exists()


def test_the_audit_log_names_every_change(auth: AuthProcess, client: AdminClient) -> None:
    client.create_domain("example.test")
    client.create_account("fred@example.test", "hidden-word")
    client.update_account("fred@example.test", name="x", quota="1S")
    client.set_password("fred@example.test", "hidden-word-2")
    client.set_password_hash("fred@example.test", "{PLAIN}hidden-word-3")
    client.delete_account("fred@example.test")
    kind_of(client.delete_domain, "none.test")
    with AdminClient(auth.target, "x" * 20) as stranger:
        kind_of(stranger.create_domain, "evil.test\n action=x")
    log = auth.log()
    for record in (
        'action=admin.domain.create actor="admin token" address=example.test peer=unix: result=ok',
        'account.create actor="admin token" address=fred@example.test peer=unix: result=ok',
        "address=fred@example.test peer=unix: result=ok detail=name,quota",
        'account.password actor="admin token" address=fred@example.test peer=unix: result=ok',
        'account.delete actor="admin token" address=fred@example.test peer=unix: result=ok',
        'domain.delete actor="admin token" address=none.test peer=unix: result=not_found',
        "action=admin.domain.create actor=nobody ",
    ):
        assert record in log
    assert "hidden-word" not in log
    assert "\n action" not in log


async def test_a_token_from_a_setting(data: Path) -> None:
    settings = make_settings(data, admin_token="given-by-a-setting")
    async with serving(settings):
        assert not (data / "run/admin.token").exists()

        def use() -> list[object]:
            with AdminClient(str(settings.listen), "given-by-a-setting") as client:
                return list(client.domains())

        assert await asyncio.to_thread(use) == []


def test_a_token_from_the_environment(data: Path) -> None:
    with (
        auth_process(data, RESTANTE_ADMIN_TOKEN="given-by-environment") as auth,
        AdminClient(auth.target, "given-by-environment") as client,
    ):
        assert list(client.domains()) == []
        assert not (data / "run/admin.token").exists()


async def test_the_token_is_kept(data: Path) -> None:
    settings = make_settings(data)
    async with serving(settings):
        first = read_token(data / "run", {})
    async with serving(settings):
        assert read_token(data / "run", {}) == first
    (data / "run/admin.token").write_text("short\n")
    with pytest.raises(MailError):
        async with serving(settings):
            pass


async def test_without_sql_there_is_nothing_to_administrate(data: Path) -> None:
    path = data / "userdb"
    path.write_text("")
    path.chmod(0o600)
    settings = make_settings(data, modules="userdb", userdb=path)
    async with serving(settings):

        def use() -> None:
            with AdminClient(str(settings.listen), read_token(data / "run", {})) as client:
                list(client.domains())

        with pytest.raises(MailError) as caught:
            await asyncio.to_thread(use)
        assert caught.value.kind is ErrorKind.CANNOT


async def test_an_account_is_usable_the_moment_it_is_made(
    auth: AuthProcess, client: AdminClient
) -> None:
    """Also when the address was asked for before: "no such user" is not remembered wrongly."""
    client.create_domain("example.test")
    login = AuthClient(auth.target)
    for n in range(10):
        address = f"new{n}@example.test"
        with pytest.raises(MailError):
            await login.lookup(address)
        await asyncio.to_thread(client.create_account, address, "secret")
        account = await login.authenticate(address, "secret", service="imap")
        assert account.address == address
        await asyncio.to_thread(client.delete_account, address)
        with pytest.raises(MailError):
            await login.authenticate(address, "secret", service="imap")
    await login.close()
