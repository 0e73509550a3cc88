"""Master users: who may enter whose account, and how that ends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from restante.model import ErrorKind, MailError
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.rpc.client import AuthClient
from services.auth import masters
from services.auth.database import schema
from services.auth.factors import store
from services.auth.factors.app_passwords import AppPassword, digest_of
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.sasl import cram_attempt, scram

FRED, JANE, OTHER = "fred@example.test", "jane@example.test", "dot@other.test"
BOSS, HELP, ROOT = "boss@example.test", "help@example.test", "root@other.test"


@pytest.fixture
async def house(server: AuthServer) -> AuthServer:
    """boss and help are masters of example.test, root of all."""
    for address in (FRED, JANE, OTHER, BOSS, HELP, ROOT):
        password = address.partition("@")[0] + " secret"
        await add_account(server, address, stored="{PLAIN}" + password)
    await add_account(server, "off@example.test", stored="{PLAIN}x", disabled=True)
    for address, domains in ((BOSS, ["example.test"]), (HELP, ["example.test"]), (ROOT, [])):
        await server.database.run(
            lambda c, a=address, d=domains: masters.create(c, a, d),  # type: ignore[misc]
            write=True,
        )
    return server


@pytest.fixture
async def door(house: AuthServer) -> AsyncIterator[AuthClient]:
    found = AuthClient(str(house.settings.listen), verdict_seconds=300)
    found.verdicts.open()
    yield found
    await found.close()


async def enter(client: AuthClient, user: str, password: str, wanted: str = "") -> Admitted:
    attempt = LoginAttempt(user, password.encode(), "imap", authorization=wanted)
    return await client.admit(attempt)


async def refused(client: AuthClient, user: str, password: str, wanted: str = "") -> ErrorKind:
    with pytest.raises(MailError) as fault:
        await enter(client, user, password, wanted)
    return fault.value.kind


async def test_both_ways_to_say_it(door: AuthClient) -> None:
    for admitted in (
        await enter(door, f"{FRED}*{BOSS}", "boss secret"),
        await enter(door, BOSS, "boss secret", FRED),
        await enter(door, f"Fred@Example.Test*{BOSS}", "boss secret"),
    ):
        assert (admitted.account.address, admitted.actor) == (FRED, BOSS)
    assert len(door.verdicts) == 0  # never remembered
    himself = await enter(door, BOSS, "boss secret", BOSS)
    assert (himself.account.address, himself.actor) == (BOSS, "")


async def test_challenges_too(door: AuthClient) -> None:
    admitted = await door.admit(cram_attempt(f"{FRED}*{BOSS}", "boss secret"))
    assert (admitted.account.address, admitted.actor) == (FRED, BOSS)
    admitted = await scram(door, f"{FRED}*{BOSS}", "boss secret")
    assert (admitted.account.address, admitted.actor) == (FRED, BOSS)
    admitted = await scram(door, BOSS, "boss secret", authorization=FRED)
    assert (admitted.account.address, admitted.actor) == (FRED, BOSS)


async def test_what_is_not_allowed(door: AuthClient) -> None:
    # Other domains, other masters, nobody.
    for wanted in (OTHER, HELP, ROOT, "nobody@example.test", "../x", "x@y@z"):
        assert await refused(door, BOSS, "boss secret", wanted) is ErrorKind.PERMISSION
        assert await refused(door, f"{wanted}*{BOSS}", "boss secret") is ErrorKind.PERMISSION
    # Whoever is no master.
    assert await refused(door, FRED, "fred secret", JANE) is ErrorKind.PERMISSION
    # A wrong password says nothing of all that, and neither does the other one's.
    assert await refused(door, BOSS, "wrong", FRED) is ErrorKind.AUTH_FAILED
    assert await refused(door, f"{FRED}*{BOSS}", "fred secret") is ErrorKind.AUTH_FAILED
    assert await refused(door, FRED, "boss secret") is ErrorKind.AUTH_FAILED


async def test_an_app_password_carries_no_office(house: AuthServer, door: AuthClient) -> None:
    secret = "AAAAAA-BBBBBB-CCCCCC-DDDDDD-EE"
    new = AppPassword("1", "phone", digest_of(secret.encode()))
    await house.database.run(lambda c: store.add_app_password(c, BOSS, new), write=True)
    assert (await enter(door, BOSS, secret)).account.address == BOSS
    assert await refused(door, f"{FRED}*{BOSS}", secret) is ErrorKind.PERMISSION
    assert (await enter(door, f"{FRED}*{BOSS}", "boss secret")).actor == BOSS


async def test_a_master_of_all(door: AuthClient) -> None:
    for wanted in (FRED, OTHER, BOSS):
        admitted = await enter(door, f"{wanted}*{ROOT}", "root secret")
        assert (admitted.account.address, admitted.actor) == (wanted, ROOT)


async def test_disabled_accounts_stay_shut(door: AuthClient) -> None:
    kind = await refused(door, f"off@example.test*{BOSS}", "boss secret")
    assert kind is ErrorKind.DISABLED


async def test_the_role_ends_at_once(house: AuthServer, door: AuthClient) -> None:
    await enter(door, f"{FRED}*{BOSS}", "boss secret")
    await house.database.run(lambda c: masters.remove(c, BOSS), write=True)
    assert await refused(door, f"{FRED}*{BOSS}", "boss secret") is ErrorKind.PERMISSION
    with pytest.raises(MailError) as fault:
        await house.database.run(lambda c: masters.remove(c, BOSS), write=True)
    assert fault.value.kind is ErrorKind.NOT_FOUND
    found = await house.database.run(masters.every)
    assert [master.address for master in found] == [HELP, ROOT]


async def test_an_account_that_is_removed_takes_its_role_along(house: AuthServer) -> None:
    from services.auth import directory

    await house.database.run(lambda c: directory.delete_account(c, BOSS, dry_run=False), write=True)
    assert BOSS not in [m.address for m in await house.database.run(masters.every)]


async def test_made_once(house: AuthServer) -> None:
    with pytest.raises(MailError) as fault:
        await house.database.run(lambda c: masters.create(c, BOSS, []), write=True)
    assert fault.value.kind is ErrorKind.ALREADY_EXISTS


async def test_both_names_are_in_the_audit_log(house: AuthServer, door: AuthClient) -> None:
    await enter(door, f"{FRED}*{BOSS}", "boss secret")
    await refused(door, f"{OTHER}*{BOSS}", "boss secret")
    await refused(door, f"{FRED}*{BOSS}", "wrong")
    await house.audit.flush()
    table = schema.audit
    columns = (table.c.actor, table.c.address, table.c.result)
    found = await house.database.run(lambda c: c.execute(select(*columns).order_by("id")).all())
    assert [tuple(row) for row in found] == [
        (f"master {BOSS}", FRED, "ok"),
        (f"master {BOSS}", OTHER, "permission"),
        ("", BOSS, "auth_failed"),
    ]


async def test_the_separator_is_a_setting(data: Path) -> None:
    async with serving(make_settings(data, master_separator="")) as server:
        await add_account(server, FRED)
        await add_account(server, BOSS, "boss secret")
        await server.database.run(lambda c: masters.create(c, BOSS, []), write=True)
        client = AuthClient(str(server.settings.listen))
        assert await refused(client, f"{FRED}*{BOSS}", "boss secret") is ErrorKind.AUTH_FAILED
        admitted = await enter(client, BOSS, "boss secret", FRED)
        assert admitted.actor == BOSS
        await client.close()
