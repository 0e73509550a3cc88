"""AuthClient with a Watch stream, against a server whose answers the test holds in its hand."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from restante.model import ErrorKind, MailError
from restante.rpc.attempt import LoginAttempt
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.client import AuthClient, Reason, Revocation
from restante.rpc.errors import abort
from restante.rpc.revocation import revocation_to_message
from tests.support.auth_stub import AuthStub

FRED = "fred@example.test"
SYNCED = auth_pb2.WatchResponse(position=5)


def revoked(reason: Reason, address: str = FRED, position: int = 6) -> auth_pb2.WatchResponse:
    message = revocation_to_message(Revocation(address, reason))
    return auth_pb2.WatchResponse(position=position, revocation=message)


class Auth(AuthStub):
    """Says yes to every login; `stream` takes what Watch says, None ends it."""

    def __init__(self) -> None:
        self.calls = 0
        self.streams: list[asyncio.Queue[auth_pb2.WatchResponse | None]] = []
        self.positions: list[int] = []
        self.watched = asyncio.Event()
        self.reusable = True
        self.actor = ""
        self.kind: ErrorKind | None = None
        self.hold: asyncio.Event | None = None
        self.held = asyncio.Event()

    async def Authenticate(self, request: Any, context: Any) -> auth_pb2.AuthenticateResponse:
        self.calls += 1
        kind = self.kind  # judged before the answer is held back
        if self.hold is not None:
            self.held.set()
            await self.hold.wait()
        if kind is not None:
            await abort(context, MailError(kind))
        account = auth_pb2.Account(address=FRED, home="/h", maildir="/h/Maildir")
        return auth_pb2.AuthenticateResponse(
            account=account, reusable=self.reusable, actor=self.actor, proof=b"proof"
        )

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[auth_pb2.WatchResponse]:
        queue: asyncio.Queue[auth_pb2.WatchResponse | None] = asyncio.Queue()
        self.positions.append(request.position)
        self.streams.append(queue)
        self.watched.set()
        while (message := await queue.get()) is not None:
            yield message
        await context.abort(grpc.StatusCode.UNAVAILABLE, "over")

    async def Lookup(self, request: Any, context: Any) -> auth_pb2.LookupResponse:
        return auth_pb2.LookupResponse()

    async def Enumerate(self, request: Any, context: Any) -> Any:
        yield auth_pb2.EnumerateResponse()

    def say(self, message: auth_pb2.WatchResponse | None) -> None:
        self.streams[-1].put_nowait(message)


class Setup:
    """A client that watches, its server, and what the client was told."""

    def __init__(self, auth: Auth, client: AuthClient) -> None:
        self.auth, self.client = auth, client
        self.told: asyncio.Queue[Revocation] = asyncio.Queue()

    async def hears(self) -> Revocation:
        async with asyncio.timeout(10):
            return await self.told.get()

    async def login(self, password: str = "secret") -> ErrorKind | None:
        try:
            await self.client.authenticate("fred", password, service="imap")
        except MailError as error:
            return error.kind
        return None

    async def costs(self) -> int:
        """Log in, and return the calls that it cost."""
        before = self.auth.calls
        assert await self.login() is None
        return self.auth.calls - before

    async def sync(self) -> None:
        """Say "synced", and something after it, so that both have arrived."""
        self.auth.say(SYNCED)
        self.auth.say(revoked(Reason.CHANGED, "somebody@example.test"))
        while (await self.hears()).address != "somebody@example.test":
            pass


@pytest.fixture
def target() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        yield f"unix:{name}/s"


@asynccontextmanager
async def serving(target: str, auth: Auth) -> AsyncIterator[None]:
    server = aio.server()
    auth_pb2_grpc.add_AuthServicer_to_server(auth, server)
    server.add_insecure_port(target)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@pytest.fixture
async def setup(target: str) -> AsyncIterator[Setup]:
    auth = Auth()
    async with serving(target, auth):
        client = AuthClient(target, verdict_seconds=30)
        made = Setup(auth, client)
        client.watch(made.told.put_nowait)
        await auth.watched.wait()
        yield made
        await client.close()


async def test_only_a_synced_stream_makes_verdicts_usable(setup: Setup) -> None:
    assert [await setup.costs() for _ in range(2)] == [1, 1]
    await setup.sync()
    assert [await setup.costs() for _ in range(3)] == [1, 0, 0]


async def test_a_client_that_does_not_watch_asks_every_time(target: str) -> None:
    auth = Auth()
    async with serving(target, auth):
        client = AuthClient(target, verdict_seconds=30)
        for _ in range(2):
            await client.authenticate("fred", "x", service="imap")
        assert auth.calls == 2
        await client.close()


@pytest.mark.parametrize("reason", Reason)
async def test_a_revocation_drops_the_verdict(setup: Setup, reason: Reason) -> None:
    await setup.sync()
    assert [await setup.costs(), await setup.costs()] == [1, 0]
    setup.auth.say(revoked(reason))
    assert await setup.hears() == Revocation(FRED, reason)
    assert [await setup.costs(), await setup.costs()] == [1, 0]


async def test_refusals_and_one_time_verdicts_are_not_kept(setup: Setup) -> None:
    await setup.sync()
    setup.auth.kind = ErrorKind.AUTH_FAILED
    for n in range(2):
        assert await setup.login() is ErrorKind.AUTH_FAILED
        assert setup.auth.calls == n + 1
    setup.auth.kind = None
    setup.auth.reusable = False
    assert [await setup.costs(), await setup.costs()] == [1, 1]


async def test_another_password_is_another_question(setup: Setup) -> None:
    await setup.sync()
    assert await setup.costs() == 1
    setup.auth.kind = ErrorKind.AUTH_FAILED
    assert await setup.login("wrong") is ErrorKind.AUTH_FAILED
    assert await setup.login() is None


async def test_the_end_of_the_stream_clears_at_once(setup: Setup) -> None:
    await setup.sync()
    assert [await setup.costs(), await setup.costs()] == [1, 0]
    setup.auth.watched.clear()
    setup.auth.say(None)
    assert await setup.hears() == Revocation("", Reason.CHANGED)
    assert [await setup.costs(), await setup.costs()] == [1, 1]
    await setup.auth.watched.wait()
    assert setup.auth.positions == [0, 6]  # it goes on where it was
    await setup.sync()
    assert [await setup.costs(), await setup.costs()] == [1, 0]


async def test_silence_is_a_break(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restante.rpc.watch.SILENCE", 0.1)
    auth = Auth()
    async with serving(target, auth):
        client = AuthClient(target, verdict_seconds=30)
        made = Setup(auth, client)
        client.watch(made.told.put_nowait)
        assert await made.hears() == Revocation("", Reason.CHANGED)
        assert not client.verdicts.usable
        await client.close()


async def test_a_dead_server_is_a_break_and_a_new_one_heals(target: str) -> None:
    first = Auth()
    client = AuthClient(target, verdict_seconds=30)
    async with serving(target, first):
        made = Setup(first, client)
        client.watch(made.told.put_nowait)
        await first.watched.wait()
        await made.sync()
        assert [await made.costs(), await made.costs()] == [1, 0]
    assert await made.hears() == Revocation("", Reason.CHANGED)
    assert await made.login() is ErrorKind.TEMPORARY
    made.auth = second = Auth()
    async with serving(target, second):
        await second.watched.wait()
        assert [await made.costs(), await made.costs()] == [1, 1]
        await made.sync()
        assert [await made.costs(), await made.costs()] == [1, 0]
        await client.close()


async def start_login(setup: Setup) -> "asyncio.Task[ErrorKind | None]":
    """Begin a login that auth has seen and not yet answered."""
    setup.auth.hold = asyncio.Event()
    setup.auth.held.clear()
    task = asyncio.create_task(setup.login())
    await setup.auth.held.wait()
    return task


def answer(setup: Setup) -> None:
    hold, setup.auth.hold = setup.auth.hold, None
    assert hold is not None
    hold.set()


@pytest.mark.parametrize("address", [FRED, ""])
async def test_a_change_while_a_login_is_under_way_is_not_cached(
    setup: Setup, address: str
) -> None:
    await setup.sync()
    task = await start_login(setup)
    setup.auth.say(revoked(Reason.CHANGED, address))
    await setup.hears()
    answer(setup)
    assert await task is None
    assert setup.auth.calls == 1
    assert await setup.costs() == 1


async def test_a_break_while_a_login_is_under_way_is_not_cached(setup: Setup) -> None:
    await setup.sync()
    task = await start_login(setup)
    setup.auth.watched.clear()
    setup.auth.say(None)
    await setup.hears()
    await setup.auth.watched.wait()
    await setup.sync()  # healed before the answer: what was missed is still not known
    answer(setup)
    assert await task is None
    assert await setup.costs() == 1


@pytest.mark.parametrize("reason", [r for r in Reason if r is not Reason.CHANGED])
async def test_a_login_under_way_when_sessions_end_is_asked_again(
    setup: Setup, reason: Reason
) -> None:
    """Else the session would begin after the news that should have ended it."""
    await setup.sync()
    task = await start_login(setup)
    setup.auth.say(revoked(reason))
    await setup.hears()
    setup.auth.kind = ErrorKind.AUTH_FAILED
    answer(setup)
    assert await task is ErrorKind.AUTH_FAILED
    assert setup.auth.calls == 2


async def test_a_login_under_way_when_its_master_is_revoked_is_asked_again(setup: Setup) -> None:
    await setup.sync()
    setup.auth.actor, setup.auth.reusable = "boss@example.test", False
    task = await start_login(setup)
    setup.auth.say(revoked(Reason.KICKED, "boss@example.test"))
    await setup.hears()
    setup.auth.kind = ErrorKind.PERMISSION
    answer(setup)
    assert await task is ErrorKind.PERMISSION
    assert setup.auth.calls == 2


async def test_a_proof_is_judged_once_and_never_kept(setup: Setup) -> None:
    """It answers a challenge that was made once; the client begins anew."""
    await setup.sync()
    attempt = LoginAttempt("fred", b"proof", "imap", mechanism="scram-sha-256", challenge=b"x")
    assert (await setup.client.admit(attempt)).proof == b"proof"
    assert len(setup.client.verdicts) == 0
    setup.auth.hold = asyncio.Event()
    setup.auth.held.clear()
    task = asyncio.create_task(setup.client.admit(attempt))
    await setup.auth.held.wait()
    setup.auth.say(revoked(Reason.PASSWORD))
    await setup.hears()
    answer(setup)
    with pytest.raises(MailError) as fault:
        await task
    assert fault.value.kind is ErrorKind.TEMPORARY
    assert setup.auth.calls == 2


async def test_an_authorization_identity_is_no_question_of_the_cache(setup: Setup) -> None:
    await setup.sync()
    attempt = LoginAttempt("boss", b"secret", "imap", authorization="fred")
    for _ in range(2):
        await setup.client.admit(attempt)
    assert setup.auth.calls == 2


async def test_unknown_reasons_end_sessions() -> None:
    assert Reason(77) is Reason.KICKED
    assert Revocation(FRED, Reason(77)).ends_sessions
    assert not Revocation(FRED, Reason.CHANGED).ends_sessions
