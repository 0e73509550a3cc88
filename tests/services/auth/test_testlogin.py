"""Admin.TestLogin: the way of a login told step by step; authtest prints it as Courier's does."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restante.cli.authtest import shown
from restante.model import ErrorKind, MailError
from restante.rpc.admin_client import AdminClient
from restante.rpc.admin_reports import LoginTest
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import AddAccount, make_settings, serving

Try = Callable[..., Any]


async def call(server: AuthServer, method: str, *args: Any, **options: Any) -> Any:
    token = (server.settings.run_dir / "admin.token").read_text().strip()

    def work() -> Any:
        with AdminClient(str(server.settings.listen), token) as client:
            return getattr(client, method)(*args, **options)

    return await asyncio.to_thread(work)


async def attempt(server: AuthServer, user: str, password: str = "", **options: Any) -> LoginTest:
    result: LoginTest = await call(server, "test_login", user, password, **options)
    return result


async def test_what_courier_prints(server: AuthServer, add: AddAccount) -> None:
    await add(
        "fred@example.test",
        stored="{PLAIN}secret",
        quota="1000000S,100C",
        options="disableimap=1,group=staff",
    )
    result = await attempt(server, "fred@example.test", "secret", show_hash=True)
    home = server.settings.mail_root / "example.test/f/fr/fred"
    assert shown(result, typed="secret") == (
        "Authentication succeeded.\n"
        "\n"
        "     Authenticated: fred@example.test  (uid 1000, gid 1000)\n"
        f"    Home Directory: {home}\n"
        f"           Maildir: {home}/Maildir\n"
        "             Quota: 1000000S,100C\n"
        "Encrypted Password: {PLAIN}secret\n"
        "Cleartext Password: secret\n"
        "           Options: disableimap=1,group=staff\n"
    )
    refused = await attempt(server, "fred@example.test", "wrong")
    assert shown(refused) == "Authentication FAILED: Operation not permitted\n"
    assert refused.outcome == "auth_failed"
    nobody = await attempt(server, "nobody@example.test")
    assert nobody.outcome == "no_such_user"
    assert shown(nobody).startswith("Authentication FAILED: Operation not permitted")


async def test_the_way_through_the_modules(data: Path) -> None:
    users = data / "userdb"
    users.write_text("ann@example.test\thome=/srv/ann|uid=5|gid=6|systempw={PLAIN}x\n")
    users.chmod(0o600)
    settings = make_settings(data, modules=("userdb", "sql"), userdb=users)
    async with serving(settings) as server:
        ann = await attempt(server, "ann@example.test", "x")
        assert (ann.outcome, ann.module, ann.credential) == ("ok", "userdb", "password")
        assert ann.password_hash == ""
        told = [(step.who, step.answer) for step in ann.steps]
        assert told == [
            ("throttle", "go on"),
            ("module userdb", "found"),
            ("password plain", "fits"),
        ]
        assert all(step.seconds >= 0 for step in ann.steps)
        bob = await attempt(server, "bob@example.test", "x")
        told = [(step.who, step.answer) for step in bob.steps]
        assert told[1:] == [("module userdb", "not mine"), ("module sql", "not mine")]
        users.chmod(0o644)  # nobody may trust it now
        fault = await attempt(server, "ann@example.test", "x")
        assert fault.outcome == "temporary"
        assert shown(fault).startswith("Authentication FAILED: Input/output error")
        assert fault.steps[-1].who == "module userdb"
        assert fault.steps[-1].answer == "temporary"


async def test_a_change_of_password(server: AuthServer, add: AddAccount) -> None:
    await add("fred@example.test", "secret")
    changed = await attempt(server, "fred@example.test", "secret", new_password="another Word 7")
    assert changed.outcome == "ok"
    assert (await attempt(server, "fred@example.test", "another Word 7")).outcome == "ok"
    refused = await attempt(server, "fred@example.test", "secret", new_password="third Word 8")
    assert refused.outcome == "auth_failed"
    with pytest.raises(MailError) as caught:
        await attempt(server, "fred@example.test", new_password="fourth Word 9")
    assert caught.value.kind is ErrorKind.BAD_REQUEST


async def test_debugging_takes_no_step_away(data: Path) -> None:
    async with serving(make_settings(data, debug_login=True)) as server:
        await add_account(server, "fred@example.test", "secret")
        changed = await attempt(server, "fred@example.test", "secret", new_password="a new Word 7")
        assert ("module sql", "found") in [(step.who, step.answer) for step in changed.steps]


async def test_a_disabled_account(server: AuthServer, add: AddAccount) -> None:
    await add("fred@example.test", "secret", disabled=True)
    assert (await attempt(server, "fred@example.test", "secret")).outcome == "disabled"
    found = await attempt(server, "fred@example.test")
    assert found.account is not None
    assert found.account.disabled
    assert "Options: disableimap=1,disablepop3=1,disablewebmail=1\n" in shown(found)


async def test_other_mechanisms(server: AuthServer) -> None:
    with pytest.raises(MailError) as caught:
        await attempt(server, "fred@example.test", "x", mechanism="scram-sha-256")
    assert caught.value.kind is ErrorKind.BAD_REQUEST


async def test_an_import_through_the_door(server: AuthServer) -> None:
    from restante.rpc.admin.v1 import admin_pb2 as pb

    def given(address: str, **fields: Any) -> pb.ImportAccount:
        stored = fields.pop("password_hash", "{PLAIN}x")
        return pb.ImportAccount(account=pb.Account(address=address, **fields), password_hash=stored)

    batch = [
        given("fred@old.test", home="/srv/fred", uid=7),
        given("not an address"),
        given("ann@old.test", password_hash="nonsense"),
        given("joe@old.test", password_hash="*"),
    ]
    for dry_run in (True, False):
        request = pb.ImportAccountsRequest(accounts=batch, create_domains=True, dry_run=dry_run)
        results = await call(server, "import_accounts", request)
        outcomes = [result.outcome for result in results]
        assert outcomes == ["created", "refused", "refused", "created"]
    fred = await attempt(server, "fred@old.test", "x")
    assert fred.account is not None
    assert (fred.account.uid, fred.account.gid, str(fred.account.home)) == (7, 1000, "/srv/fred")
    assert (await attempt(server, "joe@old.test", "*")).outcome == "auth_failed"


async def test_nobody_is_in(server: AuthServer) -> None:
    while not server.hub.calm:  # it has just started
        await asyncio.sleep(0.01)
    found = await call(server, "sessions")
    assert (found.sessions, found.workers, found.silent) == ([], 0, 0)
