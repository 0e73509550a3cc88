"""What administrators do for accounts that are not in the SQL module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.client import AuthClient
from services.auth.server import AuthServer
from tests.services.auth.admin.calls import Admin
from tests.services.auth.conftest import make_settings, serving

FRED = "fred@example.test"


@pytest.fixture(params=["userdb", "sql userdb"])
async def server(request: pytest.FixtureRequest, data: Path) -> AsyncIterator[AuthServer]:
    path = data / "userdb"
    path.write_text(f"{FRED}\tuid=1000|gid=1000|home=/mail/fred|systempw={{PLAIN}}first\n")
    path.chmod(0o600)
    async with serving(make_settings(data, modules=request.param, userdb=path)) as running:
        yield running


@pytest.fixture
async def admin(server: AuthServer) -> AsyncIterator[Admin]:
    found = Admin(server)
    yield found
    await found.close()


async def opens(server: AuthServer, password: str) -> bool:
    client = AuthClient(str(server.settings.listen))
    try:
        await client.authenticate(FRED, password, service="imap")
    except MailError as error:
        assert error.kind is ErrorKind.AUTH_FAILED
        return False
    finally:
        await client.close()
    return True


async def test_a_superadmin_sets_a_password(server: AuthServer, admin: Admin) -> None:
    assert await opens(server, "first")
    dry = pb.SetPasswordRequest(address=FRED, password=b"second", dry_run=True)
    assert (await admin("SetPassword", dry)).changed
    assert await opens(server, "first")
    assert (
        await admin("SetPassword", pb.SetPasswordRequest(address=FRED, password=b"second"))
    ).changed
    assert (await opens(server, "first"), await opens(server, "second")) == (False, True)
    for request in (
        pb.SetPasswordRequest(address=FRED, password_hash="{PLAIN}x"),
        pb.SetPasswordRequest(address=FRED, clear=True),
    ):
        assert await admin.kind("SetPassword", request) is ErrorKind.CANNOT
    nobody = pb.SetPasswordRequest(address="nobody@example.test", password=b"x")
    assert await admin.kind("SetPassword", nobody) is ErrorKind.NO_SUCH_USER


async def test_a_domain_admin_does_not(server: AuthServer, admin: Admin) -> None:
    """They may be system accounts, and this one root."""
    bound = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, "example.test"))
    request = pb.SetPasswordRequest(address=FRED, password=b"second")
    assert await bound.kind("SetPassword", request) is ErrorKind.PERMISSION
    assert await opens(server, "first")
    await bound.close()


async def test_what_is_for_accounts_of_any_module(server: AuthServer, admin: Admin) -> None:
    for method, request in (
        ("Kick", pb.KickRequest(address=FRED)),
        ("GetSecurity", pb.GetSecurityRequest(address=FRED)),
        ("ResetSecondFactor", pb.ResetSecondFactorRequest(address=FRED)),
        ("ListSessions", pb.ListSessionsRequest(address=FRED)),
        ("CreateMaster", pb.CreateMasterRequest(master=pb.Master(address=FRED))),
        ("DeleteMaster", pb.DeleteMasterRequest(address=FRED)),
    ):
        assert await admin.kind(method, request) is None
    assert (await admin("TestLogin", pb.TestLoginRequest(user=FRED))).module == "userdb"
    assert len((await admin("ListAudit", pb.ListAuditRequest(address=FRED))).entries) >= 4
    sql = "sql" in server.settings.modules
    absent = ErrorKind.NO_SUCH_USER if sql else ErrorKind.CANNOT
    look = pb.GetAccountRequest(address=FRED)
    assert await admin.kind("GetAccount", look) is absent
    removal = pb.DeleteAccountRequest(address=FRED)
    assert await admin.kind("DeleteAccount", removal) is absent
