"""A password changed by its owner: through every module that can, and good nowhere afterwards."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restante.model import Account, ErrorKind, MailError
from restante.rpc.admin.v1.admin_pb2 import AppPassword
from restante.rpc.client import AuthClient
from services.auth import directory
from services.auth.backends.base import Check, PasswordChange, Record
from services.auth.names import Login
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.selfservice.conftest import FRED
from tests.services.auth.selfservice.owner import PEER, Owner, owner_at
from tests.services.auth.selfservice.test_second_factor import set_totp

NEW = b"zebra-lamp-42"


async def test_this_session_goes_on_and_all_others_end(fred: Owner, guest: Owner) -> None:
    other = await guest.login(FRED)
    await fred.ChangePassword(old_password=b"secret", new_password=NEW)
    assert (await fred.GetSession()).account.address == FRED
    assert (await other.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
    assert (await guest.refused("Login", user=FRED, password=b"secret", peer=PEER)).kind is (
        ErrorKind.AUTH_FAILED
    )
    await guest.login(FRED, NEW.decode())


async def test_a_changed_password_works_nowhere(
    fred: Owner, server: AuthServer, client: AuthClient, data: Path
) -> None:
    """Neither asked anew, nor out of the verdicts of a service that remembered it."""
    remembering = AuthClient(str(server.settings.listen), verdict_seconds=300)
    remembering.watch()
    while not remembering.verdicts.usable:
        await asyncio.sleep(0.01)
    for _ in range(2):
        await remembering.authenticate(FRED, "secret", service="imap")
    assert len(remembering.verdicts) == 1
    await fred.ChangePassword(old_password=b"secret", new_password=NEW)
    for asked in (client, remembering):
        for service in ("imap", "pop3", "smtp", "webmail"):
            with pytest.raises(MailError) as refused:
                await asked.authenticate(FRED, "secret", service=service)
            assert refused.value.kind is ErrorKind.AUTH_FAILED
            await asked.authenticate(FRED, NEW.decode(), service=service)
    await remembering.close()


async def test_the_old_one_is_asked_for(fred: Owner, client: AuthClient) -> None:
    refused = await fred.refused("ChangePassword", old_password=b"wrong", new_password=NEW)
    assert refused.kind is ErrorKind.AUTH_FAILED
    refused = await fred.refused("ChangePassword", old_password=b"secret", new_password=b"secret1")
    assert refused.kind is ErrorKind.BAD_REQUEST
    assert refused.text.startswith("the password is too short")
    await client.authenticate(FRED, "secret", service="imap")


async def test_wbnochangepass(fred: Owner, server: AuthServer, client: AuthClient) -> None:
    await server.database.run(
        lambda c: directory.update_account(c, FRED, {"options": "wbnochangepass=1"}), write=True
    )
    refused = await fred.refused("ChangePassword", old_password=b"secret", new_password=NEW)
    assert refused.kind is ErrorKind.PERMISSION
    await client.authenticate(FRED, "secret", service="imap")


async def test_what_the_owner_did_is_in_his_log_and_no_secret(fred: Owner) -> None:
    await fred.refused("ChangePassword", old_password=b"wrong", new_password=NEW)
    await fred.ChangePassword(old_password=b"secret", new_password=NEW)
    await fred.BeginTotp()
    page = await fred.ListAudit(page_size=2)
    rest = await fred.ListAudit(page_token=page.next_page_token)
    told = [(e.action, e.result) for e in (*page.entries, *rest.entries)]
    assert told[:3] == [
        ("totp.begin", "ok"),
        ("account.password", "ok"),
        ("account.password", "auth_failed"),
    ]
    assert ("login", "ok") in told
    text = str(page) + str(rest)
    assert "zebra" not in text
    assert "wrong" not in text
    assert (await fred.refused("ListAudit", page_token="x")).kind is ErrorKind.BAD_REQUEST


async def test_nobody_reads_the_log_of_others(
    fred: Owner, guest: Owner, server: AuthServer
) -> None:
    await add_account(server, "eve@example.test")
    eve = await guest.login("eve@example.test")
    entries = (await eve.ListAudit()).entries
    assert entries
    assert {e.address for e in entries} == {"eve@example.test"}


class Directory:
    """A module that checks passwords itself, like an LDAP bind, and may change them."""

    name = "fake"

    def __init__(self, *, can: bool) -> None:
        self.can, self.password = can, b"secret"
        self.asked: list[PasswordChange] = []
        self.checked: list[bytes] = []

    async def open(self) -> None:
        pass

    async def find(self, login: Login) -> Record | None:
        home = Path("/nonexistent")
        account = Account(login.address, 1, 1, home, home / "Maildir")
        return Record(account, checks=True) if login.address == FRED else None

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        self.checked.append(check.password)
        return check.password == self.password

    async def records(self) -> AsyncIterator[Record]:
        return
        yield

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        self.asked.append(change)
        if self.can:
            self.password = change.new
        return self.can

    async def close(self) -> None:
        pass


@pytest.fixture(params=[True, False])
async def elsewhere(
    request: pytest.FixtureRequest, data: Path
) -> AsyncIterator[tuple[Directory, Owner]]:
    settings = make_settings(data)
    async with serving(settings) as server:
        module = Directory(can=request.param)
        server.chain.modules = (module,)
        async with owner_at(str(settings.listen)) as guest:
            yield module, await guest.login(FRED)


async def test_through_any_module_that_can(elsewhere: tuple[Directory, Owner]) -> None:
    module, fred = elsewhere
    if module.can:
        await fred.ChangePassword(old_password=b"secret", new_password=NEW)
        assert (await fred.GetSession()).account.address == FRED
    else:
        refused = await fred.refused("ChangePassword", old_password=b"secret", new_password=NEW)
        assert refused.kind is ErrorKind.CANNOT
    (change,) = module.asked
    assert (change.old, change.new) == (b"secret", NEW)
    assert change.stored.startswith("$argon2id$")
    assert change.keep_session


async def test_a_directory_that_checks_itself_sees_no_app_password(
    elsewhere: tuple[Directory, Owner], data: Path
) -> None:
    """Nor the main password, once a second factor is set: its own locks would count it."""
    module, fred = elsewhere
    made = await fred.CreateAppPassword(app_password=AppPassword(name="phone"))
    client = AuthClient(f"unix:{data}/run/auth.sock")
    await client.authenticate(FRED, "secret", service="imap")
    await set_totp(fred)
    module.checked.clear()
    assert (await client.authenticate(FRED, made.secret, service="imap")).address == FRED
    with pytest.raises(MailError) as refused:
        await client.authenticate(FRED, "secret", service="pop3")
    assert refused.value.kind is ErrorKind.AUTH_FAILED
    assert module.checked == []
    await client.close()
