"""AuthClient against servers that misbehave: no fault of theirs is ever a verdict."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from restante.model import ErrorKind, MailError
from restante.rpc.admin_client import AdminClient, read_token
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.client import AuthClient
from restante.rpc.errors import abort
from tests.support.auth_stub import AuthStub

Behaviour = Callable[[Any], Any]


class Odd(AuthStub):
    """Answers every call by `behave`; counts the calls."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.calls = 0
        self.last: Any = None

    async def _call(self, request: Any, context: Any) -> Any:
        self.calls += 1
        self.last = request
        await self.behave(context)
        return auth_pb2.AuthenticateResponse(account=auth_pb2.Account(address="a@b"))

    async def Authenticate(self, request: Any, context: Any) -> Any:
        return await self._call(request, context)

    async def Lookup(self, request: Any, context: Any) -> Any:
        return await self._call(request, context)

    async def Enumerate(self, request: Any, context: Any) -> Any:
        yield auth_pb2.EnumerateResponse(account=auth_pb2.Account(address="a@b"))
        await self._call(request, context)

    async def Watch(self, request: Any, context: Any) -> Any:
        yield auth_pb2.WatchResponse()


@pytest.fixture
def target() -> Any:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        yield f"unix:{name}/s"


@asynccontextmanager
async def serving(target: str, servicer: Odd) -> AsyncIterator[None]:
    server = aio.server()
    auth_pb2_grpc.add_AuthServicer_to_server(servicer, server)
    server.add_insecure_port(target)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


async def fine(context: Any) -> None:
    return None


def aborts(code: grpc.StatusCode) -> Behaviour:
    async def behave(context: Any) -> None:
        await context.abort(code, "no mark of ours")

    return behave


async def login(client: AuthClient) -> ErrorKind | None:
    try:
        await client.authenticate("fred", "secret", service="imap")
    except MailError as error:
        return error.kind
    return None


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
async def test_a_status_without_our_mark_is_temporary(target: str, code: grpc.StatusCode) -> None:
    servicer = Odd(aborts(code))
    async with serving(target, servicer):
        client = AuthClient(target, deadline=2)
        assert await login(client) is ErrorKind.TEMPORARY
        assert servicer.calls == (2 if code is grpc.StatusCode.UNAVAILABLE else 1)
        with pytest.raises(MailError) as caught:
            await client.lookup("fred")
        assert caught.value.kind is ErrorKind.TEMPORARY
        await client.close()


async def test_a_crash_in_the_server_is_temporary(target: str) -> None:
    async def crash(context: Any) -> None:
        raise ValueError("oops")

    async with serving(target, Odd(crash)):
        client = AuthClient(target)
        assert await login(client) is ErrorKind.TEMPORARY
        await client.close()


async def test_our_own_temporary_is_not_asked_again(target: str) -> None:
    async def busy(context: Any) -> None:
        await abort(context, MailError(ErrorKind.TEMPORARY, "busy"))

    servicer = Odd(busy)
    async with serving(target, servicer):
        client = AuthClient(target)
        with pytest.raises(MailError) as caught:
            await client.lookup("fred")
        assert (caught.value.kind, caught.value.text) == (ErrorKind.TEMPORARY, "busy")
        assert servicer.calls == 1
        await client.close()


async def test_a_server_that_hangs_costs_the_deadline_only(target: str) -> None:
    async def hang(context: Any) -> None:
        await asyncio.Event().wait()

    async with serving(target, Odd(hang)):
        client = AuthClient(target, deadline=0.2)
        async with asyncio.timeout(5):
            assert await login(client) is ErrorKind.TEMPORARY
        await client.close()


async def test_a_restart_is_not_noticed(target: str) -> None:
    client = AuthClient(target)
    async with serving(target, Odd(fine)):
        assert await login(client) is None
    for _ in range(3):
        waiting = asyncio.ensure_future(login(client))
        async with serving(target, Odd(fine)):
            assert await waiting is None
            assert await login(client) is None
    await client.close()


async def test_enumeration_that_breaks_off_says_so(target: str) -> None:
    async with serving(target, Odd(aborts(grpc.StatusCode.INTERNAL))):
        client = AuthClient(target)
        seen = []

        async def run() -> None:
            async for account in client.enumerate():
                seen.append(account.address)

        with pytest.raises(MailError) as caught:
            await run()
        assert caught.value.kind is ErrorKind.TEMPORARY
        assert seen == ["a@b"]
        await client.close()


async def test_passwords_travel_as_bytes(target: str) -> None:
    servicer = Odd(fine)
    async with serving(target, servicer):
        client = AuthClient(target)
        for text, sent in (("pä", "pä".encode()), ("\udcff\udc00", None), ("p\udce4", b"p\xe4")):
            try:
                await client.authenticate("fred", text, service="imap")
            except MailError as error:
                assert error.kind is ErrorKind.AUTH_FAILED
                assert sent is None
            else:
                assert servicer.last.password == sent
        await client.close()


def test_tokens(tmp_path: Path) -> None:
    assert read_token(tmp_path, {"RESTANTE_ADMIN_TOKEN": "x"}) == "x"
    with pytest.raises(MailError) as caught:
        read_token(tmp_path, {})
    assert caught.value.kind is ErrorKind.TEMPORARY
    (tmp_path / "other").write_text("y\n")
    assert read_token(tmp_path, {"RESTANTE_ADMIN_TOKEN_FILE": str(tmp_path / "other")}) == "y"
    (tmp_path / "admin.token").write_text("z\n")
    assert read_token(tmp_path, {}) == "z"
    (tmp_path / "admin.token").write_bytes(b"\xff")
    with pytest.raises(MailError) as caught:
        read_token(tmp_path, {})
    assert caught.value.kind is ErrorKind.PERMISSION


def test_admin_without_a_server(target: str) -> None:
    with AdminClient(target, "x", deadline=1) as client, pytest.raises(MailError) as caught:
        list(client.domains())
    assert caught.value.kind is ErrorKind.TEMPORARY
