"""Many accounts in one transaction: what is kept, what is refused, what a dry run leaves."""

from dataclasses import replace
from pathlib import Path

import pytest

from restante.rpc.revocation import Reason, Revocation
from services.auth import importing
from services.auth.importing import Candidate, Result
from services.auth.server import AuthServer
from tests.services.auth.accounts import sql_of
from tests.services.auth.watching import watching

HASH = "$6$salt$" + "x" * 86


async def run(server: AuthServer, *candidates: Candidate, **options: bool) -> list[Result]:
    root = sql_of(server).mail_root
    flags = {"create_domains": True, **options}
    return await server.database.run(
        lambda c: importing.import_accounts(c, candidates, root, **flags), write=True
    )


def candidate(server: AuthServer, address: str, **fields: object) -> Candidate:
    made = Candidate(server.rules.parse(address), 5000, 5001, password=HASH)
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of the test's choice


def outcomes(results: list[Result]) -> list[str]:
    return [result.outcome for result in results]


async def test_everything_stays_what_it_was(server: AuthServer) -> None:
    fred = candidate(
        server,
        "fred@old.test",
        home="/srv/mail/old/fred",
        maildir="/srv/mail/old/fred/mail/box",
        name="Fred",
        quota="5S",
        options="disableimap=1",
        disabled=True,
    )
    assert await run(server, fred) == [Result("created")]
    account = await server.authenticator.lookup("fred@old.test")
    assert (str(account.home), str(account.maildir)) == (fred.home, fred.maildir)
    assert (account.uid, account.gid, account.name, account.disabled) == (5000, 5001, "Fred", True)
    assert (str(account.quota), str(account.options)) == ("5S", "disableimap=1")
    found = await server.chain.find(server.rules.parse("fred@old.test"))
    assert found is not None
    assert found[1].password == HASH
    assert await run(server, fred) == [Result("unchanged")]


async def test_a_home_below_the_mail_root_has_one_spelling(server: AuthServer) -> None:
    root = sql_of(server).mail_root
    home = f"{root}/old.test/fred"
    fred, ann = (candidate(server, f"{n}@old.test", home=home) for n in ("fred", "ann"))
    results = await run(server, fred, ann)
    assert outcomes(results) == ["created", "refused"]
    assert "fred@old.test" in results[1].text
    again = await run(server, replace(ann, home=f"{root}//old.test/./fred/"))
    assert outcomes(again) == ["refused"]
    assert (await server.authenticator.lookup("fred@old.test")).home == Path(home)


async def test_the_home_of_a_removed_account_is_never_given_again(server: AuthServer) -> None:
    fred = candidate(server, "fred@old.test", home="/srv/fred")
    await run(server, fred)
    from services.auth import directory

    await server.database.run(
        lambda c: directory.delete_account(c, "fred@old.test", dry_run=False), write=True
    )
    assert outcomes(await run(server, candidate(server, "ann@old.test", home="/srv/fred"))) == [
        "refused"
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"home": "relative"},
        {"home": "/"},
        {"home": "/srv/../etc"},
        {"home": "/srv/a\nb"},
        {"home": "/srv/a", "maildir": "/srv/a/../../etc"},
        {"maildir": "Maildir2"},
        {"quota": "many"},
        {"uid": 2**32 - 1},
        {"name": "x" * 5000},
    ],
)
async def test_what_is_wrong_is_refused_and_stops_nobody(
    server: AuthServer, fields: dict[str, object]
) -> None:
    bad = candidate(server, "bad@old.test", **fields)
    good = candidate(server, "good@old.test", home="/srv/good")
    assert outcomes(await run(server, bad, good)) == ["refused", "created"]


async def test_who_is_there_is_changed_only_where_told(server: AuthServer) -> None:
    fred = candidate(server, "fred@old.test", home="/srv/fred", quota="5S")
    await run(server, fred)
    other = replace(fred, quota="6S", password="{PLAIN}x")
    assert outcomes(await run(server, other)) == ["exists"]
    assert str((await server.authenticator.lookup("fred@old.test")).quota) == "5S"
    await server.changes.catch_up()
    async with watching(str(server.settings.listen)) as watcher:
        await watcher.synced()
        assert outcomes(await run(server, other, update_existing=True)) == ["updated"]
        await server.changes.catch_up()
        assert await watcher.revocation() == Revocation("fred@old.test", Reason.PASSWORD)
    moved = replace(other, home="/srv/elsewhere")
    assert outcomes(await run(server, moved, update_existing=True)) == ["refused"]
    same = replace(other, home="", maildir="", password="")
    assert outcomes(await run(server, same, update_existing=True)) == ["unchanged"]


async def test_twice_in_one_batch(server: AuthServer) -> None:
    fred = candidate(server, "fred@old.test", home="/srv/fred")
    results = await run(server, fred, fred, replace(fred, quota="6S"), update_existing=True)
    assert outcomes(results) == ["created", "unchanged", "refused"]


async def test_a_domain_is_made_only_where_told(server: AuthServer) -> None:
    fred = candidate(server, "fred@old.test")
    refused = await run(server, fred, create_domains=False)
    assert outcomes(refused) == ["refused"]
    assert "no domain old.test" in refused[0].text


async def test_a_dry_run_leaves_nothing(server: AuthServer) -> None:
    fred = candidate(server, "fred@old.test")
    with pytest.raises(importing.DryRun) as caught:
        await run(server, fred, dry_run=True)
    assert caught.value.results == [Result("created")]
    assert await run(server, fred) == [Result("created")]


async def test_everybody_who_watches_hears_of_each(server: AuthServer) -> None:
    async with watching(str(server.settings.listen)) as watcher:
        await watcher.synced()
        names = [f"u{n}@old.test" for n in range(5)]
        await run(server, *(candidate(server, name, home=f"/srv/{name}") for name in names))
        await server.changes.catch_up()
        heard = [await watcher.revocation() for _ in names]
    assert sorted(r.address for r in heard) == names
    assert {r.reason for r in heard} == {Reason.CHANGED}
