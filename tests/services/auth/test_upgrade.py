"""Hashes that get better when their owner logs in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restante.model import Account
from restante.rpc.client import AuthClient
from restante.rpc.revocation import Reason
from services.auth import directory
from services.auth.backends.base import Record
from services.auth.mechanisms.base import Match
from services.auth.names import Login
from services.auth.passwords import schemes
from services.auth.passwords.upgrade import HashUpgrades
from services.auth.passwords.verifier import Verifier
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.watching import watching

FRED = "fred@example.test"
MD5 = "$1$12345678$tEJuFzLEyKZyXeDSPTvBt0"  # crypt("secret")
WEAKER = {"argon2_time": 1, "argon2_memory_kib": 64}


@pytest.fixture
async def server(data: Path) -> AsyncIterator[AuthServer]:
    async with serving(make_settings(data, upgrade_hashes=True)) as running:
        yield running


async def stored(server: AuthServer) -> str:
    row = await server.database.run(lambda c: directory.get_account(c, FRED))
    return str(row["password"])


async def settled(server: AuthServer) -> None:
    assert server.upgrades is not None
    await server.upgrades.close()


async def test_an_old_scheme_is_replaced_and_no_session_ends(
    server: AuthServer, client: AuthClient
) -> None:
    await add_account(server, FRED, stored="{SSHA}" + _ssha())
    async with watching(str(server.settings.listen)) as watcher:
        await watcher.synced()
        await client.authenticate(FRED, "secret", service="imap")
        await settled(server)
        await server.changes.catch_up()
        told = [t for t in await watcher.synced() if t.reason is not Reason.CHANGED]
    assert told == []
    assert schemes.scheme_of(await stored(server)) == "argon2id"
    await client.authenticate(FRED, "secret", service="imap")


async def test_a_wrong_password_upgrades_nothing(server: AuthServer, client: AuthClient) -> None:
    before = "{SSHA}" + _ssha()
    await add_account(server, FRED, stored=before)
    with pytest.raises(Exception, match="auth_failed"):
        await client.authenticate(FRED, "wrong", service="imap")
    await settled(server)
    assert await stored(server) == before


async def test_weaker_parameters_are_replaced_stronger_ones_stay() -> None:
    now = Verifier(time_cost=2, memory_kib=128)
    weak, strong = Verifier(time_cost=1, memory_kib=64), Verifier(time_cost=2, memory_kib=256)
    assert now.is_outdated(await weak.hash(b"x"))
    assert now.is_outdated("{ARGON2ID}" + await weak.hash(b"x"))
    assert not now.is_outdated(await now.hash(b"x"))
    assert not now.is_outdated(await strong.hash(b"x"))
    for kept in ("", "!", "{PLAIN}x", "{SCRAM-SHA-256}4096,c2FsdA==,eA==,eA==", "$argon2id$broken"):
        assert not now.is_outdated(kept)
    assert now.is_outdated(MD5)
    for verifier in (now, weak, strong):
        verifier.close()


class Module:
    """A module whose hash can be replaced; `gate` holds it up."""

    name = "fake"

    def __init__(self) -> None:
        self.replaced: list[tuple[str, str]] = []
        self.gate = asyncio.Event()

    async def replace_hash(self, login: Login, old: str, new: str) -> bool:
        await self.gate.wait()
        self.replaced.append((old, new))
        return True


def match_of(module: object, **fields: object) -> Match:
    account = Account(FRED, 1, 1, Path("/x"), Path("/x/Maildir"))
    values = {"account": account, "password": MD5, **fields}
    record = Record(**values)  # type: ignore[arg-type]  # by name
    return Match(Login(FRED, "fred", "example.test"), module, record)  # type: ignore[arg-type]  # fake


@pytest.fixture
async def upgrades() -> AsyncIterator[HashUpgrades]:
    verifier = Verifier(time_cost=1, memory_kib=64, threads=1)
    yield HashUpgrades(verifier)
    verifier.close()


async def test_never_twice_at_once(upgrades: HashUpgrades) -> None:
    module = Module()
    for _ in range(3):
        upgrades.consider(match_of(module), b"secret")
    module.gate.set()
    await upgrades.close()
    assert [old for old, _ in module.replaced] == [MD5]
    upgrades.consider(match_of(module), b"secret")
    await upgrades.close()
    assert len(module.replaced) == 2


async def test_only_where_the_module_can_and_the_hash_is_the_one_for_all(
    upgrades: HashUpgrades,
) -> None:
    module = Module()
    module.gate.set()
    upgrades.consider(match_of(object()), b"secret")
    upgrades.consider(match_of(module, checks=True), b"secret")
    upgrades.consider(match_of(module, service_passwords={"imap": MD5}), b"secret")
    await upgrades.close()
    assert module.replaced == []


async def test_a_password_changed_meanwhile_stays_changed(server: AuthServer) -> None:
    await add_account(server, FRED, stored=MD5)
    login = server.rules.parse(FRED)
    module = server.chain.modules[0]
    await server.database.run(
        lambda c: directory.update_account(c, FRED, {"password": "$1$other$hash"}), write=True
    )
    assert not await module.replace_hash(login, MD5, "$1$late$hash")  # type: ignore[attr-defined]  # sql
    assert await stored(server) == "$1$other$hash"


async def test_off_by_default(data: Path) -> None:
    assert not make_settings(data).upgrade_hashes


def _ssha() -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha1(b"secretsalt").digest() + b"salt").decode()
