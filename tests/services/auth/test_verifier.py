"""Work is counted, not timed: the attack row "enumeration, timing" and the cache of verdicts."""

import asyncio
import threading

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from services.auth.backends.base import PasswordChange
from services.auth.passwords import schemes
from services.auth.passwords.verifier import Verifier
from services.auth.server import AuthServer
from tests.services.auth.accounts import sql_of
from tests.services.auth.conftest import AddAccount


@pytest.fixture
def verifier() -> Verifier:
    return Verifier(time_cost=1, memory_kib=64, threads=2)


async def fail(client: AuthClient, user: str, password: str = "wrong") -> None:
    with pytest.raises(MailError) as caught:
        await client.authenticate(user, password, service="imap")
    assert caught.value.kind is ErrorKind.AUTH_FAILED


async def test_unknown_user_costs_what_a_wrong_password_costs(
    client: AuthClient, add: AddAccount, server: AuthServer
) -> None:
    await add("fred@example.test")
    work = server.verifier.work
    for user in ("fred@example.test", "nobody@example.test", "fred@nowhere.test", "../x", ""):
        work.clear()
        await fail(client, user)
        assert dict(work) == {"argon2id": 1}, user


async def test_a_cheap_stored_hash_costs_the_default_as_well(
    client: AuthClient, add: AddAccount, server: AuthServer
) -> None:
    await add("old@example.test", stored="{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=")
    await add("locked@example.test", stored="!")
    work = server.verifier.work
    work.clear()
    await fail(client, "old@example.test")
    assert dict(work) == {"sha": 1, "argon2id": 1}
    work.clear()
    await fail(client, "locked@example.test")
    assert work["argon2id"] == 1
    for password in ("x" * 5000, "a\0b", ""):
        work.clear()
        await fail(client, "old@example.test", password)
        assert work["argon2id"] == 1


async def test_a_repeated_login_is_remembered(
    client: AuthClient, add: AddAccount, server: AuthServer
) -> None:
    await add("fred@example.test")
    work = server.verifier.work
    work.clear()
    for _ in range(5):
        await client.authenticate("fred@example.test", "secret", service="imap")
    assert dict(work) == {"argon2id": 1, "hit": 4}


async def test_a_changed_password_works_nowhere_afterwards(
    client: AuthClient, add: AddAccount, server: AuthServer
) -> None:
    await add("fred@example.test")
    await client.authenticate("fred@example.test", "secret", service="imap")
    login = server.rules.parse("fred@example.test")
    stored = await server.verifier.hash(b"new")
    assert await sql_of(server).set_password(login, PasswordChange(b"x", stored))
    await fail(client, "fred@example.test", "secret")
    await client.authenticate("fred@example.test", "new", service="imap")


async def test_neither_password_nor_hash_is_kept(verifier: Verifier) -> None:
    stored = await verifier.hash(b"needle-in-memory")
    assert await verifier.verify(stored, b"needle-in-memory")
    kept = b"".join(verifier._known)
    assert b"needle" not in kept
    assert stored.encode() not in kept


async def test_memory_is_bounded() -> None:
    verifier = Verifier(time_cost=1, memory_kib=64, remembered=3)
    for n in range(10):
        assert await verifier.verify(f"{{PLAIN}}{n}", str(n).encode())
    assert len(verifier._known) == 3
    verifier.work.clear()
    assert await verifier.verify("{PLAIN}9", b"9")
    assert verifier.work["hit"] == 1


async def test_equal_checks_share_one_hash_and_full_pools_are_temporary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier = Verifier(time_cost=1, memory_kib=64, threads=1, queue=2)
    go = threading.Event()

    def slow(stored: str, password: bytes) -> bool:
        go.wait(10)
        return stored == "{PLAIN}x"

    monkeypatch.setattr(schemes, "verify", slow)
    same = [asyncio.ensure_future(verifier.verify("{PLAIN}x", b"x")) for _ in range(20)]
    other = asyncio.ensure_future(verifier.verify("{PLAIN}y", b"x"))
    await asyncio.sleep(0)
    with pytest.raises(MailError) as caught:
        await verifier.verify("{PLAIN}z", b"x")
    assert caught.value.kind is ErrorKind.TEMPORARY
    same[0].cancel()  # one client gave up; the others still get their answer
    go.set()
    assert await asyncio.gather(*same[1:]) == [True] * 19
    assert not await other
    assert verifier.work["plain"] == 2


async def test_new_hashes(verifier: Verifier) -> None:
    stored = await verifier.hash(b"secret")
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    for bad in (b"", b"a\0b", b"x" * 2000):
        with pytest.raises(MailError) as caught:
            await verifier.hash(bad)
        assert caught.value.kind is ErrorKind.BAD_REQUEST
