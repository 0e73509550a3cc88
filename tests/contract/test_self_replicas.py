"""Two auth replicas on one server: a code counts once among them, a session counts at both."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1.admin_pb2 import AppPassword
from restante.rpc.client import AuthClient
from services.auth import directory
from services.auth.server import AuthServer
from tests.contract.mariadb import Mariadb
from tests.contract.postgres import Postgres
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.selfservice.authenticator import SoftKey
from tests.services.auth.selfservice.owner import PEER, Owner, owner_at
from tests.services.auth.selfservice.test_second_factor import set_passkey, set_totp

FRED = "fred@example.test"


@pytest.fixture(params=["postgres", "mariadb"])
async def replicas(request: pytest.FixtureRequest) -> AsyncIterator[list[tuple[AuthServer, Owner]]]:
    """Both servers, each with somebody who has no session yet; fred has an account."""
    database: Postgres | Mariadb = request.getfixturevalue(request.param)
    url = database.new_database()
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rst")))
            settings = make_settings(
                data,
                sql_url=url,
                secret="shared by both replicas",
                passkey_domain="example.test",
                passkey_origins=("https://mail.example.test",),
            )
            server = await stack.enter_async_context(serving(settings))
            guest = await stack.enter_async_context(owner_at(str(settings.listen)))
            found.append((server, guest))
        await add_account(found[0][0], FRED)
        yield found


async def test_a_session_counts_at_both(replicas: list[tuple[AuthServer, Owner]]) -> None:
    (first, here), (_, there) = replicas
    fred = await here.login(FRED)
    beside = there.at(fred.token)
    assert (await beside.GetSession()).account.address == FRED
    await first.database.run(lambda c: directory.kick(c, FRED), write=True)
    for owner in (fred, beside):
        assert (await owner.refused("GetSession")).kind is ErrorKind.AUTH_FAILED


async def test_a_code_counts_once_among_replicas(
    replicas: list[tuple[AuthServer, Owner]],
) -> None:
    (_, here), (_, there) = replicas
    fred = await here.login(FRED)
    app, recovery = await set_totp(fred)

    async def try_at(guest: Owner, **factor: str) -> bool:
        begun = await guest.Login(user=FRED, password=b"secret", peer=PEER)
        try:
            await guest.SecondFactor(token=begun.token, peer=PEER, **factor)
        except MailError as error:
            assert error.kind is ErrorKind.AUTH_FAILED
            return False
        return True

    code = app.code(1)
    tries = [try_at(guest, totp=code) for guest in (here, there) * 3]
    assert sorted(await asyncio.gather(*tries)) == [False] * 5 + [True]
    tries = [try_at(guest, recovery=recovery[0]) for guest in (here, there) * 3]
    assert sorted(await asyncio.gather(*tries)) == [False] * 5 + [True]


async def test_a_passkeys_answer_counts_once_among_replicas(
    replicas: list[tuple[AuthServer, Owner]],
) -> None:
    (_, here), (_, there) = replicas
    key = SoftKey(counts=False)
    await set_passkey(await here.login(FRED), key)
    begun = await here.BeginPasskeyLogin()
    answer = key.get(begun.options)

    async def try_at(guest: Owner) -> bool:
        try:
            await guest.PasskeyLogin(state=begun.state, passkey=answer, peer=PEER)
        except MailError as error:
            assert error.kind is ErrorKind.AUTH_FAILED
            return False
        return True

    tries = await asyncio.gather(*(try_at(guest) for guest in (here, there) * 2))
    assert sorted(tries) == [False] * 3 + [True]


async def refused_soon(client: AuthClient, secret: str) -> None:
    """The other replica hears of it on the journal's stream, within milliseconds."""
    async with asyncio.timeout(20):
        while await opens(client, secret):
            pass


async def opens(client: AuthClient, secret: str) -> bool:
    try:
        await client.authenticate(FRED, secret, service="imap")
    except MailError:
        return False
    return True


async def test_what_one_replica_changes_counts_at_the_other(
    replicas: list[tuple[AuthServer, Owner]],
) -> None:
    (_, here), (second, _) = replicas
    fred = await here.login(FRED)
    client = AuthClient(str(second.settings.listen))
    made = await fred.CreateAppPassword(app_password=AppPassword(name="phone"))
    await client.authenticate(FRED, made.secret, service="imap")
    await set_totp(fred)
    await refused_soon(client, "secret")
    await client.authenticate(FRED, made.secret, service="imap")
    await fred.DeleteAppPassword(id=made.app_password.id)
    await refused_soon(client, made.secret)
    await second.factors.last_use.flush()  # of what is gone
    await client.close()
