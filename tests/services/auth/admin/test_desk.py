"""Deadlines, callers who go away, faults: a change is recorded as what it became."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.desk import Desk
from services.auth.admin.gate import Credentials, Gate, UnknownCallerError
from services.auth.admin.roles import Caller
from services.auth.audit_table import Query
from services.auth.server import AuthServer

ME = Credentials("192.0.2.1", b"the admin token")
KICK = pb.KickRequest(address="fred@example.test")
LIST = pb.ListTokensRequest()

Run = Callable[[Caller, object], Awaitable[object]]


@pytest.fixture
def desk(server: AuthServer) -> Desk:
    gate = Gate(server.database, "the admin token")
    return Desk(gate, server.rules, server.database, server.audit, server.changes.catch_up)


async def results(server: AuthServer) -> list[tuple[str, str, str]]:
    await server.audit.flush()
    found = await server.audit.entries(Query())
    return [(entry.action, entry.actor, entry.result) for entry in reversed(found)]


async def quick(caller: Caller, request: object) -> object:
    return caller.name


def waiting(for_: asyncio.Event) -> Run:
    async def run(caller: Caller, request: object) -> object:
        await for_.wait()
        return "done"

    return run


def failing(error: Exception) -> Run:
    async def run(caller: Caller, request: object) -> object:
        raise error

    return run


async def test_a_change_is_in_the_table_before_its_answer(server: AuthServer, desk: Desk) -> None:
    assert await desk.perform("Kick", ME, KICK, quick) == "admin token"
    (entry,) = await server.audit.entries(Query())
    assert (entry.action, entry.actor, entry.address, entry.domain, entry.peer, entry.result) == (
        "admin.account.kick",
        "admin token",
        "fred@example.test",
        "example.test",
        "192.0.2.1",
        "ok",
    )


async def test_a_change_goes_on_after_its_time(server: AuthServer, desk: Desk) -> None:
    event = asyncio.Event()
    with pytest.raises(MailError) as caught:
        await desk.perform("Kick", ME, KICK, waiting(event), seconds=0.01)
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert await results(server) == []
    event.set()
    await desk.close(10)
    assert await results(server) == [("admin.account.kick", "admin token", "ok")]


async def test_a_change_goes_on_without_its_caller(server: AuthServer, desk: Desk) -> None:
    event = asyncio.Event()
    call = asyncio.ensure_future(desk.perform("Kick", ME, KICK, waiting(event)))
    while not desk.busy:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    event.set()
    await desk.close(10)
    assert await results(server) == [("admin.account.kick", "admin token", "ok")]


async def test_a_look_ends_with_its_caller(server: AuthServer, desk: Desk) -> None:
    call = asyncio.ensure_future(desk.perform("ListTokens", ME, LIST, waiting(asyncio.Event())))
    while not desk.busy:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await desk.close(10)
    assert not desk.busy


async def test_what_fails_is_recorded_as_that(server: AuthServer, desk: Desk) -> None:
    for error, kind in (
        (MailError(ErrorKind.NO_SUCH_USER, "no such user"), ErrorKind.NO_SUCH_USER),
        (RuntimeError("a bug with secret-words"), ErrorKind.INTERNAL),
    ):
        with pytest.raises(MailError) as caught:
            await desk.perform("Kick", ME, KICK, failing(error))
        assert caught.value.kind is kind
        assert "secret-words" not in caught.value.text
    assert [result for _, _, result in await results(server)] == ["no_such_user", "internal"]


async def test_nobody_gets_anything(server: AuthServer, desk: Desk) -> None:
    with pytest.raises(UnknownCallerError):
        await desk.perform("Kick", Credentials("192.0.2.1", b"wrong"), KICK, quick)
    with pytest.raises(MailError) as caught:
        await desk.perform("Unheard", ME, KICK, quick)
    assert caught.value.kind is ErrorKind.PERMISSION
    assert await results(server) == [("admin.account.kick", "nobody", "permission")]
