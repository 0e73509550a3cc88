"""Authenticate, Lookup and Enumerate over real gRPC."""

from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError, Quota
from restante.rpc.client import AuthClient
from services.auth.server import AuthServer
from tests.services.auth.conftest import AddAccount


async def refused(client: AuthClient, user: str, password: str) -> MailError:
    with pytest.raises(MailError) as caught:
        await client.authenticate(user, password, service="imap", peer="192.0.2.1")
    return caught.value


async def test_login_describes_the_account(
    client: AuthClient, add: AddAccount, server: AuthServer
) -> None:
    await add("fred@example.test", quota="1000S,5C", options="disableimap=1", name="Fred F")
    account = await client.authenticate("Fred@EXAMPLE.test", "secret", service="imap")
    home = server.settings.mail_root / "example.test/f/fr/fred"
    assert account.address == "fred@example.test"
    assert account.home == home
    assert account.maildir == home / "Maildir"
    assert account.quota == Quota(1000, 5)
    assert account.options.enabled("disableimap")
    assert (account.uid, account.gid, account.name) == (1000, 1000, "Fred F")
    assert await client.lookup("fred@example.test") == account
    assert [a async for a in client.enumerate()] == [account]


async def test_wrong_password_and_unknown_user_look_alike(
    client: AuthClient, add: AddAccount
) -> None:
    await add("fred@example.test")
    wrong = await refused(client, "fred@example.test", "wrong")
    unknown = await refused(client, "nobody@example.test", "wrong")
    odd = await refused(client, "../../etc/passwd", "wrong")
    assert wrong.kind is unknown.kind is odd.kind is ErrorKind.AUTH_FAILED
    assert wrong.text == unknown.text == odd.text


async def test_disabled_needs_the_right_password_first(client: AuthClient, add: AddAccount) -> None:
    await add("fred@example.test", disabled=True)
    assert (await refused(client, "fred@example.test", "secret")).kind is ErrorKind.DISABLED
    assert (await refused(client, "fred@example.test", "wrong")).kind is ErrorKind.AUTH_FAILED
    assert (await client.lookup("fred@example.test")).disabled


async def test_lookup_of_nobody(client: AuthClient) -> None:
    for address in ("nobody@example.test", "a/../b@example.test", "x\ud800@example.test"):
        with pytest.raises(MailError) as caught:
            await client.lookup(address)
        assert caught.value.kind is ErrorKind.NO_SUCH_USER


async def test_unreachable_is_temporary(tmp_path: Path) -> None:
    client = AuthClient(f"unix:{tmp_path}/none.sock", deadline=0.3)
    with pytest.raises(MailError) as caught:
        await client.lookup("fred@example.test")
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert (await refused(client, "fred@example.test", "secret")).kind is ErrorKind.TEMPORARY
    with pytest.raises(MailError) as caught:
        [a async for a in client.enumerate()]
    assert caught.value.kind is ErrorKind.TEMPORARY
    await client.close()
