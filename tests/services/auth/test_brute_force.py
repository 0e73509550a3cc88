"""The attack row "brute force" against the service: 1,000 attempts, many addresses and users.

Hashes are counted, not seconds: what the throttle refuses costs none. The victim logs in while the
attack goes on, from where he was before and from elsewhere. So too where Redis is away.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving

USERS = [f"user{n}@example.test" for n in range(10)]
ATTEMPTS = 1000
ADDRESSES = 8  # of the attacker


@pytest.fixture(params=["local", "redis is away", "off"])
async def server(request: pytest.FixtureRequest, data: Path) -> AsyncIterator[AuthServer]:
    settings = make_settings(
        data,
        throttle_base_seconds=0 if request.param == "off" else 0.25,
        throttle_patience_seconds=0.5,
        throttle_redis="redis://127.0.0.1:1/0" if request.param == "redis is away" else None,
    )
    async with serving(settings) as running:
        for user in USERS:
            await add_account(running, user)
        yield running


async def outcome(client: AuthClient, user: str, password: str, peer: str) -> str:
    try:
        await client.authenticate(user, password, service="imap", peer=peer)
    except MailError as error:
        return error.kind.value
    return "ok"


async def test_a_thousand_guesses(server: AuthServer) -> None:
    client = AuthClient(str(server.settings.listen), deadline=60)
    for user in USERS:
        assert await outcome(client, user, "secret", "198.51.100.1") == "ok"
    before = server.verifier.work.total()
    guesses = [
        outcome(client, USERS[n % len(USERS)], f"guess {n}", f"192.0.2.{n % ADDRESSES}")
        for n in range(ATTEMPTS)
    ]
    attack = asyncio.gather(*guesses)
    owners = []
    for n in range(20):
        peer = "198.51.100.1" if n % 2 else "203.0.113.7"
        owners.append(await outcome(client, USERS[n % len(USERS)], "secret", peer))
    answers = await attack
    assert set(owners) == {"ok"}
    assert set(answers) <= {ErrorKind.AUTH_FAILED.value, ErrorKind.TEMPORARY.value}
    looked_at = answers.count(ErrorKind.AUTH_FAILED.value)
    # Each pair of user and address gets some guesses before it has to wait too long, no more.
    pairs = len({(n % len(USERS), n % ADDRESSES) for n in range(ATTEMPTS)})
    throttled = looked_at <= 6 * pairs
    assert throttled is bool(server.settings.throttle_base_seconds)  # off: this test sees it
    assert server.verifier.work.total() - before <= looked_at + len(owners)
    await client.close()
