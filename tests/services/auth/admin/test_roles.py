"""Who may do what: every method for every role, over gRPC."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from restante.model import ErrorKind
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.server import AuthServer
from tests.services.auth.admin.calls import METHODS, Admin
from tests.services.auth.conftest import AddAccount

OURS, THEIRS = "example.test", "other.test"
FRED, EVE = f"fred@{OURS}", f"eve@{THEIRS}"


def _update(address: str) -> pb.UpdateAccountRequest:
    account = pb.Account(address=address, name="New")
    return pb.UpdateAccountRequest(account=account, update_mask=FieldMask(paths=["name"]))


# What a request about an account, or its domain, looks like.
REQUESTS: dict[str, Callable[[str, str], Any]] = {
    "CreateDomain": lambda a, d: pb.CreateDomainRequest(domain=pb.Domain(name=f"new.{d}")),
    "GetDomain": lambda a, d: pb.GetDomainRequest(name=d),
    "ListDomains": lambda a, d: pb.ListDomainsRequest(),
    "UpdateDomain": lambda a, d: pb.UpdateDomainRequest(
        domain=pb.Domain(name=d), update_mask=FieldMask(paths=["default_quota"])
    ),
    "DeleteDomain": lambda a, d: pb.DeleteDomainRequest(name=d, dry_run=True),
    "CreateAccount": lambda a, d: pb.CreateAccountRequest(account=pb.Account(address=f"new.{a}")),
    "GetAccount": lambda a, d: pb.GetAccountRequest(address=a),
    "ListAccounts": lambda a, d: pb.ListAccountsRequest(domain=d),
    "UpdateAccount": lambda a, d: _update(a),
    "DeleteAccount": lambda a, d: pb.DeleteAccountRequest(address=a, dry_run=True),
    "ImportAccounts": lambda a, d: pb.ImportAccountsRequest(
        accounts=[pb.ImportAccount(account=pb.Account(address=a))], dry_run=True
    ),
    "SetPassword": lambda a, d: pb.SetPasswordRequest(address=a, clear=True, dry_run=True),
    "Kick": lambda a, d: pb.KickRequest(address=a),
    "ListSessions": lambda a, d: pb.ListSessionsRequest(address=a),
    "TestLogin": lambda a, d: pb.TestLoginRequest(user=a),
    "CreateToken": lambda a, d: pb.CreateTokenRequest(
        token=pb.Token(name="x", role=pb.ROLE_READ_ONLY)
    ),
    "ListTokens": lambda a, d: pb.ListTokensRequest(),
    "DeleteToken": lambda a, d: pb.DeleteTokenRequest(id="0"),
    "CreateMaster": lambda a, d: pb.CreateMasterRequest(master=pb.Master(address=a)),
    "ListMasters": lambda a, d: pb.ListMastersRequest(),
    "DeleteMaster": lambda a, d: pb.DeleteMasterRequest(address=a),
    "GetSecurity": lambda a, d: pb.GetSecurityRequest(address=a),
    "ResetSecondFactor": lambda a, d: pb.ResetSecondFactorRequest(address=a),
    "DeleteAppPassword": lambda a, d: pb.DeleteAppPasswordRequest(address=a, id="0"),
    "ListAudit": lambda a, d: pb.ListAuditRequest(domain=d),
}
LOOK = {
    *("GetDomain", "ListDomains", "GetAccount", "ListAccounts", "ListSessions", "TestLogin"),
    *("GetSecurity", "ListAudit"),
}
MANAGE = {
    *("CreateAccount", "UpdateAccount", "DeleteAccount", "SetPassword", "Kick"),
    *("ResetSecondFactor", "DeleteAppPassword"),
}
NAMES_NOTHING = {"ListDomains"}  # of LOOK; the answer is narrowed instead


@pytest.fixture
async def admin(server: AuthServer, add: AddAccount) -> AsyncIterator[Admin]:
    await add(FRED)
    await add(EVE)
    found = Admin(server)
    yield found
    await found.close()


def test_every_method_is_asked_below() -> None:
    assert set(REQUESTS) == {method.name for method in METHODS}


async def refused(admin: Admin, address: str, domain: str) -> set[str]:
    """Return the methods that are refused for the caller."""
    kinds = {
        method: await admin.kind(method, make(address, domain)) for method, make in REQUESTS.items()
    }
    return {method for method, kind in kinds.items() if kind is ErrorKind.PERMISSION}


async def test_a_superadmin_may_do_everything(server: AuthServer, admin: Admin) -> None:
    by_token = Admin(server, await admin.token(pb.ROLE_SUPERADMIN))
    assert await refused(admin, FRED, OURS) == set()
    assert await refused(by_token, EVE, THEIRS) == set()
    await by_token.close()


async def test_a_read_only_one_may_look(server: AuthServer, admin: Admin) -> None:
    reader = Admin(server, await admin.token(pb.ROLE_READ_ONLY))
    assert await refused(reader, FRED, OURS) == REQUESTS.keys() - LOOK
    bound = Admin(server, await admin.token(pb.ROLE_READ_ONLY, OURS))
    assert await refused(bound, FRED, OURS) == REQUESTS.keys() - LOOK
    assert await refused(bound, EVE, THEIRS) == REQUESTS.keys() - NAMES_NOTHING
    await reader.close()
    await bound.close()


async def test_a_domain_admin_manages_the_accounts_of_his_domains(
    server: AuthServer, admin: Admin
) -> None:
    bound = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, "EXAMPLE.test"))
    assert await refused(bound, FRED, OURS) == REQUESTS.keys() - LOOK - MANAGE
    assert await refused(bound, EVE, THEIRS) == REQUESTS.keys() - NAMES_NOTHING
    for crooked in ("", "fred", f"{EVE}@", f"{EVE}@{OURS}", f"fred@{OURS}@{THEIRS}", "@", "\0"):
        kind = await bound.kind("GetAccount", pb.GetAccountRequest(address=crooked))
        assert kind is ErrorKind.PERMISSION
    # Two names that do not agree: both count.
    for method, request in (
        ("ListSessions", pb.ListSessionsRequest(address=EVE, domain=OURS)),
        ("ListAudit", pb.ListAuditRequest(address=FRED, domain=THEIRS)),
        ("ListAudit", pb.ListAuditRequest(address=EVE)),
    ):
        assert await bound.kind(method, request) is ErrorKind.PERMISSION
    await bound.close()


async def test_lists_show_a_domain_admin_what_is_his(server: AuthServer, admin: Admin) -> None:
    bound = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, OURS, "absent.test"))
    domains = await bound("ListDomains", pb.ListDomainsRequest())
    assert [domain.name for domain in domains.domains] == [OURS]
    accounts = await bound("ListAccounts", pb.ListAccountsRequest())
    assert [account.address for account in accounts.accounts] == [FRED]
    for address in (FRED, EVE):
        await admin("Kick", pb.KickRequest(address=address))
    entries = (await bound("ListAudit", pb.ListAuditRequest())).entries
    assert {entry.address for entry in entries} == {FRED}
    assert await bound.kind("ListSessions", pb.ListSessionsRequest()) is None
    await bound.close()


async def test_pages_of_a_domain_admins_domains(server: AuthServer, admin: Admin) -> None:
    names = [f"d{n}.test" for n in range(5)]
    for name in names:
        await admin("CreateDomain", pb.CreateDomainRequest(domain=pb.Domain(name=name)))
    bound = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, *names))
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListDomainsRequest(page_size=2, page_token=token)
        page = await bound("ListDomains", request)
        seen += [domain.name for domain in page.domains]
        token = page.next_page_token
        if not token:
            break
    assert seen == names
    await bound.close()


async def test_a_domain_admin_cannot_reach_beyond_his_domain_through_an_account(
    server: AuthServer, admin: Admin
) -> None:
    """Not by another system user, not by another's folders, not by a host that gets passwords."""
    bound = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, OURS))

    def change(**fields: Any) -> pb.UpdateAccountRequest:
        account = pb.Account(address=FRED, **fields)
        return pb.UpdateAccountRequest(account=account, update_mask=FieldMask(paths=list(fields)))

    changes: tuple[dict[str, Any], ...] = (
        {"uid": 0},
        {"gid": 0},
        {"options": "group=administrators"},
        {"options": "disablepop3=1,sharedgroup=theirs"},
        {"options": "mailhost=evil.test"},
    )
    for fields in changes:
        assert await bound.kind("UpdateAccount", change(**fields)) is ErrorKind.PERMISSION
        new = pb.Account(**{"address": f"new@{OURS}", **fields, "uid": fields.get("uid", 0) or 1})
        request = pb.CreateAccountRequest(account=new)
        assert await bound.kind("CreateAccount", request) is ErrorKind.PERMISSION
    purge = pb.DeleteAccountRequest(address=FRED, purge_mail=True)
    assert await bound.kind("DeleteAccount", purge) is ErrorKind.PERMISSION
    # What an operator has set stays, and the rest may change around it.
    await admin("UpdateAccount", change(options="group=staff"))
    kept = change(options="disablepop3=1,group=staff")
    assert await bound.kind("UpdateAccount", kept) is None
    assert await bound.kind("UpdateAccount", change(options="")) is ErrorKind.PERMISSION
    await bound.close()


async def test_a_domain_admin_does_not_become_a_master(server: AuthServer, admin: Admin) -> None:
    """By the password of one whose mailbox is in his domain."""
    bound = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, OURS))
    changes = {method: REQUESTS[method](FRED, OURS) for method in MANAGE - {"CreateAccount"}}
    changes["TestLogin"] = pb.TestLoginRequest(user=FRED, password=b"x", new_password=b"y")

    async def refused() -> set[str]:
        kinds = {method: await bound.kind(method, changes[method]) for method in changes}
        return {method for method, kind in kinds.items() if kind is ErrorKind.PERMISSION}

    for domains, kept in (([], True), ([THEIRS], True), ([OURS, THEIRS], True), ([OURS], False)):
        master = pb.Master(address=FRED, domains=domains)
        await admin("CreateMaster", pb.CreateMasterRequest(master=master))
        assert await refused() == (changes.keys() if kept else set())
        assert await bound.kind("GetAccount", pb.GetAccountRequest(address=FRED)) is None
        await admin("DeleteMaster", pb.DeleteMasterRequest(address=FRED))
    assert await refused() == set()
    await bound.close()


async def test_who_gets_a_domain_next_does_not_meet_who_had_it(
    server: AuthServer, admin: Admin
) -> None:
    for name in ("old.test", "kept.test"):
        await admin("CreateDomain", pb.CreateDomainRequest(domain=pb.Domain(name=name)))
    one = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, "old.test"))
    two = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, "old.test", "kept.test"))
    for address, domains in ((FRED, ["old.test"]), (EVE, ["old.test", "kept.test"])):
        master = pb.Master(address=address, domains=domains)
        await admin("CreateMaster", pb.CreateMasterRequest(master=master))
    look = pb.GetDomainRequest(name="old.test")
    for dry_run, gone in ((True, False), (False, True)):
        await admin("DeleteDomain", pb.DeleteDomainRequest(name="old.test", dry_run=dry_run))
        for caller in (one, two):
            kind = await caller.kind("GetDomain", look)
            assert (kind is ErrorKind.PERMISSION) is gone
    assert await one.kind("ListDomains", pb.ListDomainsRequest()) is ErrorKind.PERMISSION
    assert await two.kind("GetDomain", pb.GetDomainRequest(name="kept.test")) is None
    masters = (await admin("ListMasters", pb.ListMastersRequest())).masters
    assert [(m.address, list(m.domains)) for m in masters] == [(EVE, ["kept.test"])]
    await one.close()
    await two.close()


async def test_hashes_are_for_superadmins(server: AuthServer, admin: Admin) -> None:
    bound = Admin(server, await admin.token(pb.ROLE_DOMAIN_ADMIN, OURS))
    reader = Admin(server, await admin.token(pb.ROLE_READ_ONLY))
    shown = pb.TestLoginRequest(user=FRED, show_hash=True)
    assert (await admin("TestLogin", shown)).password_hash
    assert await bound.kind("TestLogin", shown) is ErrorKind.PERMISSION
    assert await reader.kind("TestLogin", shown) is ErrorKind.PERMISSION
    guess = pb.TestLoginRequest(user=FRED, password=b"guess")
    assert await bound.kind("TestLogin", guess) is None
    assert await reader.kind("TestLogin", guess) is ErrorKind.PERMISSION
    assert not (await bound("TestLogin", guess)).password_hash
    await bound.close()
    await reader.close()
