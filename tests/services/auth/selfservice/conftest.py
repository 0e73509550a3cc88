"""Self in this process, with one account."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.selfservice.owner import Owner, owner_at

FRED = "fred@example.test"


@pytest.fixture
async def server(data: Path) -> AsyncIterator[AuthServer]:
    settings = make_settings(
        data, passkey_domain="example.test", passkey_origins=("https://mail.example.test",)
    )
    async with serving(settings) as running:
        await add_account(running, FRED, "secret")
        yield running


@pytest.fixture
async def guest(server: AuthServer) -> AsyncIterator[Owner]:
    """Nobody yet."""
    async with owner_at(str(server.settings.listen)) as found:
        yield found


@pytest.fixture
async def fred(guest: Owner) -> Owner:
    """Fred, logged in to webmail by his password."""
    return await guest.login(FRED)
