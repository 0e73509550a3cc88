"""Sessions of webmail: who is in, how long, and what ends it."""

import sqlite3

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.revocation import Reason, Revocation
from restante.rpc.self.v1 import self_pb2 as pb
from services.auth import directory
from services.auth.selfservice.servicer import SelfServicer
from services.auth.selfservice.sessions import Sessions, Visitor
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.selfservice.conftest import FRED
from tests.services.auth.selfservice.owner import PEER, Owner


def test_every_method_is_guarded() -> None:
    methods = pb.DESCRIPTOR.services_by_name["Self"].methods_by_name
    for name in methods:
        assert getattr(getattr(SelfServicer, name), "guarded", False), name


async def test_without_a_session_nothing_is_answered(guest: Owner) -> None:
    steps = {"Login", "SecondFactor", "BeginPasskeyLogin", "PasskeyLogin"}
    for name in set(pb.DESCRIPTOR.services_by_name["Self"].methods_by_name) - steps:
        assert (await guest.refused(name)).kind is ErrorKind.AUTH_FAILED, name
        assert (await guest.at("x" * 43).refused(name)).kind is ErrorKind.AUTH_FAILED, name


async def test_login_gives_a_session(fred: Owner, server: AuthServer) -> None:
    session = await fred.GetSession()
    assert session.account.address == FRED
    assert session.actor == ""
    listed = (await fred.ListSessions()).sessions
    assert [(s.peer, s.client, s.current) for s in listed] == [(PEER, "Firefox", True)]
    await fred.Logout()
    assert (await fred.refused("GetSession")).kind is ErrorKind.AUTH_FAILED


async def test_only_the_digest_of_a_token_is_kept(fred: Owner, server: AuthServer) -> None:
    with sqlite3.connect(server.database.url.database or "") as connection:
        dump = "\n".join(connection.iterdump())
    assert fred.token not in dump
    assert (await fred.ListSessions()).sessions[0].id in dump


async def test_a_wrong_password_is_refused_as_everywhere(guest: Owner) -> None:
    wrong = await guest.refused("Login", user=FRED, password=b"wrong", peer=PEER)
    unknown = await guest.refused("Login", user="nobody@example.test", password=b"x", peer=PEER)
    assert wrong.kind is unknown.kind is ErrorKind.AUTH_FAILED
    assert wrong.text == unknown.text


async def test_disablewebmail_refuses_login_and_ends_nothing_else(
    guest: Owner, server: AuthServer
) -> None:
    await add_account(server, "off@example.test", options="disablewebmail=1")
    refused = await guest.refused("Login", user="off@example.test", password=b"secret", peer=PEER)
    assert refused.kind is ErrorKind.DISABLED
    assert refused.text == "Webmail access disabled for this account."


async def test_an_option_set_later_counts_at_once(fred: Owner, server: AuthServer) -> None:
    await server.database.run(
        lambda c: directory.update_account(c, FRED, {"options": "disablewebmail=1"}), write=True
    )
    assert (await fred.refused("GetSession")).kind is ErrorKind.DISABLED


@pytest.mark.parametrize("what", ["password", "disabled", "removed", "kicked"])
async def test_what_ends_sessions_ends_webmails(
    what: str, fred: Owner, guest: Owner, server: AuthServer
) -> None:
    await add_account(server, "eve@example.test")
    eve = await guest.login("eve@example.test")
    changes = {
        "password": lambda c: directory.update_account(c, FRED, {"password": "!"}),
        "disabled": lambda c: directory.update_account(c, FRED, {"disabled": True}),
        "removed": lambda c: directory.delete_account(c, FRED, dry_run=False),
        "kicked": lambda c: directory.kick(c, FRED),
    }
    await server.database.run(changes[what], write=True)
    assert (await fred.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
    assert (await eve.GetSession()).account.address == "eve@example.test"


async def test_what_no_journal_holds_ends_webmails_sessions(
    fred: Owner, server: AuthServer
) -> None:
    server.hub.publish(Revocation(FRED, Reason.CHANGED))
    assert (await fred.GetSession()).account.address == FRED
    server.hub.publish(Revocation(FRED, Reason.PASSWORD))  # as userdb's source does
    assert server._ender is not None
    await server._ender.close()
    assert (await fred.refused("GetSession")).kind is ErrorKind.AUTH_FAILED


async def test_sessions_are_ended_one_by_one_or_all_others(fred: Owner, guest: Owner) -> None:
    second, third = await guest.login(FRED, client="Opera"), await guest.login(FRED)
    (opera,) = [s.id for s in (await fred.ListSessions()).sessions if s.client == "Opera"]
    await fred.EndSession(id=opera)
    assert (await second.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
    assert (await fred.refused("EndSession", id=opera)).kind is ErrorKind.NOT_FOUND
    await fred.EndSession()
    assert (await third.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
    assert len((await fred.ListSessions()).sessions) == 1


async def test_nobody_ends_sessions_of_others(
    fred: Owner, guest: Owner, server: AuthServer
) -> None:
    await add_account(server, "eve@example.test")
    eve = await guest.login("eve@example.test")
    (mine,) = (await fred.ListSessions()).sessions
    assert (await eve.refused("EndSession", id=mine.id)).kind is ErrorKind.NOT_FOUND
    assert (await fred.GetSession()).account.address == FRED


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_idle_and_absolute_lifetime(server: AuthServer) -> None:
    clock = Clock()
    sessions = Sessions(server.database, soft=1200, hard=7200, clock=clock)
    visitor = Visitor(FRED, PEER)
    idle = await sessions.open(visitor, since=await sessions.position())
    used = await sessions.open(visitor, since=await sessions.position())
    for _ in range(7):
        clock.now += 1000
        await sessions.find(used.token)
    assert used.session.id in [s.id for s in await sessions.list(FRED)]
    with pytest.raises(MailError) as ended:
        await sessions.find(idle.token)
    assert ended.value.kind is ErrorKind.AUTH_FAILED
    clock.now += 201  # 7201 seconds old, used 201 seconds ago
    with pytest.raises(MailError):
        await sessions.find(used.token)


async def test_a_login_that_a_kick_overtakes_opens_no_session(server: AuthServer) -> None:
    sessions = Sessions(server.database, soft=1200, hard=7200)
    since = await sessions.position()
    await server.database.run(lambda c: directory.kick(c, FRED), write=True)
    with pytest.raises(MailError) as ended:
        await sessions.open(Visitor(FRED, PEER), since=since)
    assert ended.value.kind is ErrorKind.AUTH_FAILED
    await sessions.open(Visitor(FRED, PEER), since=await sessions.position())


async def test_an_account_has_so_many_sessions(
    server: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.selfservice.sessions.MAX_PER_ACCOUNT", 2)
    clock = Clock()
    sessions = Sessions(server.database, soft=1200, hard=7200, clock=clock)
    opened = []
    for _ in range(3):
        clock.now += 1
        opened.append(await sessions.open(Visitor(FRED, PEER), since=await sessions.position()))
    assert {s.id for s in await sessions.list(FRED)} == {o.session.id for o in opened[1:]}
