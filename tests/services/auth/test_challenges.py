"""CRAM and SCRAM end to end: where their secrets come from, and when they are void."""

import base64
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from restante.model import ErrorKind, MailError
from restante.rpc.attempt import LoginAttempt
from restante.rpc.client import AuthClient
from restante.wire import hmac_state
from services.auth import credentials, directory
from services.auth.backends.base import PasswordChange
from services.auth.database import schema
from services.auth.mechanisms.base import Attempt
from services.auth.passwords.scram import make_keys, prepared, read_keys
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account, sql_of
from tests.services.auth.conftest import AddAccount, make_settings, serving
from tests.services.auth.sasl import cram, cram_attempt, scram

FRED = "fred@example.test"
# Dovecot 2.3: doveadm pw -s SCRAM-SHA-256 -p pencil, and -s CRAM-MD5 -p secret
DOVECOT_CRAM = "{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56"


@pytest.fixture
async def deriving(data: Path) -> AsyncIterator[AuthServer]:
    settings = make_settings(data, derive="scram-sha-256, cram-md5", scram_iterations=4096)
    async with serving(settings) as running:
        yield running


@pytest.fixture
async def door(deriving: AuthServer) -> AsyncIterator[AuthClient]:
    found = AuthClient(str(deriving.settings.listen))
    yield found
    await found.close()


async def refused(work: object) -> ErrorKind:
    with pytest.raises(MailError) as fault:
        await work  # type: ignore[misc]  # any login
    return fault.value.kind


async def rows(server: AuthServer) -> dict[str, str]:
    def read(connection: object) -> dict[str, str]:
        found = connection.execute(schema.credentials.select())  # type: ignore[attr-defined]
        return {row.kind: row.value for row in found}

    return await server.database.run(read)


# --- the arithmetic -----------------------------------------------------------------------------


def test_keys_are_kept_and_read_in_both_forms() -> None:
    keys = make_keys(b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    assert read_keys(str(keys)) == keys
    _, salt, stored, server = str(keys).split(",")
    assert read_keys(f"SCRAM-SHA-256$4096:{salt}${stored}:{server}") == keys
    # The proof of RFC 7677 section 3.
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)"
        b"hNlF$k0"
    )
    assert keys.fits(proof, message)
    assert base64.b64encode(keys.signature(message)) == (
        b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
    assert not keys.fits(proof, message + b"x")
    assert not keys.fits(proof[:-1] + b"x", message)
    assert not keys.fits(b"", message)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{SCRAM-SHA-256}",
        "{SCRAM-SHA-256}0,AAAA,AAAA,AAAA",
        "{SCRAM-SHA-256}4096,AAAA,AAAA,AAAA",
        "{SCRAM-SHA-256}99999999,c2FsdA==," + "A" * 43 + "=," + "A" * 43 + "=",
        "{SCRAM-SHA-1}4096,c2FsdA==," + "A" * 43 + "=," + "A" * 43 + "=",
        "{SCRAM-SHA-256}4096,c2FsdA=," + "A" * 43 + "=," + "A" * 43 + "=",
    ],
)
def test_what_is_no_key(stored: str) -> None:
    assert read_keys(stored) is None


def test_passwords_are_prepared_where_they_can_be() -> None:
    assert prepared("I\u00adX".encode()) == b"IX"
    assert prepared(b"\xff") == b"\xff"
    assert prepared(b"a\x07") == b"a\x07"
    assert prepared("\u00ad".encode()) == "\u00ad".encode()


# --- what modules keep --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "password"),
    [
        ("{PLAIN}s e cret", "s e cret"),
        (str(make_keys(b"secret", b"0123456789abcdef", 5000)), "secret"),
        ("{PLAIN.B64}c2VjcmV0", "secret"),
    ],
)
async def test_scram_from_stored_forms(
    server: AuthServer, client: AuthClient, stored: str, password: str
) -> None:
    await add_account(server, FRED, stored=stored)
    admitted = await scram(client, "Fred@Example.test", password)
    assert admitted.account.address == FRED
    assert await refused(scram(client, FRED, password + "x")) is ErrorKind.AUTH_FAILED
    # Plain passwords go on working.
    await client.authenticate(FRED, password, service="imap")


@pytest.mark.parametrize("stored", ["{PLAIN}secret", DOVECOT_CRAM, DOVECOT_CRAM.upper()])
async def test_cram_from_stored_forms(server: AuthServer, client: AuthClient, stored: str) -> None:
    await add_account(server, FRED, stored=stored)
    assert (await cram(client, FRED, "secret")).address == FRED
    assert await refused(cram(client, FRED, "wrong")) is ErrorKind.AUTH_FAILED
    await client.authenticate(FRED, "secret", service="imap")
    assert await refused(client.authenticate(FRED, "x", service="imap")) is ErrorKind.AUTH_FAILED


@pytest.mark.parametrize("name", hmac_state.NAMES)
async def test_cram_with_every_hash(server: AuthServer, client: AuthClient, name: str) -> None:
    await add_account(server, FRED, stored="{PLAIN}secret")
    assert (await cram(client, FRED, "secret", name)).address == FRED


async def test_a_hash_answers_no_challenge(client: AuthClient, add: AddAccount) -> None:
    await add(FRED)
    assert await refused(cram(client, FRED, "secret")) is ErrorKind.AUTH_FAILED
    assert await refused(scram(client, FRED, "secret")) is ErrorKind.AUTH_FAILED
    assert await refused(scram(client, "nobody@x.test", "secret")) is ErrorKind.AUTH_FAILED


async def test_a_challenge_has_a_bound(server: AuthServer, client: AuthClient) -> None:
    await add_account(server, FRED, stored="{PLAIN}secret")
    attempt = cram_attempt(FRED, "secret")
    long = replace(
        attempt,
        challenge=b"x" * 1025,
        secret=hmac.new(b"secret", b"x" * 1025, "md5").hexdigest().encode(),
    )
    assert await refused(client.admit(long)) is ErrorKind.AUTH_FAILED


async def test_userdb_contexts(data: Path) -> None:
    path = data / "userdb"
    own = hmac_state.contexts("md5", b"imap only")
    every = hmac_state.contexts("md5", b"secret")
    path.write_text(
        f"fred@x.test\thome=/home/fred|uid=1|gid=1|hmac-md5pw={every}|imap-hmac-md5pw={own}\n"
        f"jane@x.test\thome=/home/jane|uid=1|gid=1|hmac-md5pw={every}\n"
        "dot@x.test\thome=/home/dot|uid=1|gid=1|hmac-md5pw=nonsense|systempw={PLAIN}secret\n"
    )
    path.chmod(0o600)
    async with serving(make_settings(data, modules="userdb", userdb=path)) as server:
        client = AuthClient(str(server.settings.listen))
        assert (await cram(client, "jane@x.test", "secret")).address == "jane@x.test"
        assert (await cram(client, "fred@x.test", "imap only")).address == "fred@x.test"
        assert await refused(cram(client, "fred@x.test", "secret")) is ErrorKind.AUTH_FAILED
        assert await refused(cram(client, "dot@x.test", "secret")) is ErrorKind.AUTH_FAILED
        assert await refused(cram(client, "jane@x.test", "", "sha1")) is ErrorKind.AUTH_FAILED
        await client.close()


# --- derived verifiers --------------------------------------------------------------------------


async def test_verifiers_are_made_when_a_password_is_set(
    deriving: AuthServer, door: AuthClient
) -> None:
    await add_account(deriving, FRED, "old password 1")
    login = deriving.rules.parse(FRED)
    new = b"new password 2"
    change = PasswordChange(
        new,
        await deriving.verifier.hash(new),
        verifiers=await deriving.mechanisms.deriver.derive(new),
    )
    assert await sql_of(deriving).set_password(login, change)
    assert (await scram(door, FRED, new.decode())).account.address == FRED
    assert (await cram(door, FRED, new.decode())).address == FRED
    assert set(await rows(deriving)) == {"scram-sha-256", "hmac-md5"}


async def test_verifiers_are_made_when_a_password_is_seen(
    deriving: AuthServer, door: AuthClient
) -> None:
    await add_account(deriving, FRED)
    assert await refused(scram(door, FRED, "secret")) is ErrorKind.AUTH_FAILED
    await door.authenticate(FRED, "secret", service="imap")
    await deriving.mechanisms.deriver.close()
    assert (await scram(door, FRED, "secret")).account.address == FRED
    assert (await cram(door, FRED, "secret")).address == FRED
    # A change by the owner replaces them.
    attempt = await deriving.authenticator.judge(_attempt())
    assert attempt.account.address == FRED
    await deriving.authenticator.change_password(_attempt(), b"a quite different phrase")
    assert (await scram(door, FRED, "a quite different phrase")).account.address == FRED
    assert await refused(scram(door, FRED, "secret")) is ErrorKind.AUTH_FAILED
    assert await refused(cram(door, FRED, "secret")) is ErrorKind.AUTH_FAILED


def _attempt() -> Attempt:
    return Attempt(FRED, b"secret", "webmail")


async def test_a_hash_changed_by_any_hand_voids_them(
    deriving: AuthServer, door: AuthClient
) -> None:
    await add_account(deriving, FRED)
    await door.authenticate(FRED, "secret", service="imap")
    await deriving.mechanisms.deriver.close()
    await cram(door, FRED, "secret")
    other = await deriving.verifier.hash(b"other")
    accounts = schema.accounts
    await deriving.database.run(
        lambda c: c.execute(update(accounts).values(password=other)).rowcount, write=True
    )
    assert await refused(cram(door, FRED, "secret")) is ErrorKind.AUTH_FAILED
    assert await refused(scram(door, FRED, "secret")) is ErrorKind.AUTH_FAILED


async def test_a_hash_set_or_cleared_by_an_administrator_drops_them(
    deriving: AuthServer, door: AuthClient
) -> None:
    await add_account(deriving, FRED)
    await door.authenticate(FRED, "secret", service="imap")
    await deriving.mechanisms.deriver.close()
    assert await rows(deriving)
    await deriving.database.run(
        lambda c: directory.update_account(c, FRED, {"name": "Fred"}), write=True
    )
    assert await rows(deriving)
    await deriving.database.run(
        lambda c: directory.update_account(c, FRED, {"password": ""}), write=True
    )
    assert not await rows(deriving)
    assert await refused(cram(door, FRED, "secret")) is ErrorKind.AUTH_FAILED


async def test_an_upgraded_hash_keeps_them(deriving: AuthServer, door: AuthClient) -> None:
    old = "{SHA256.HEX}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    await add_account(deriving, FRED, stored=old)
    made = await deriving.mechanisms.deriver.derive(b"secret")
    await deriving.database.run(lambda c: credentials.add(c, FRED, old, made), write=True)
    await cram(door, FRED, "secret")
    new = await deriving.verifier.hash(b"secret")
    assert await sql_of(deriving).replace_hash(deriving.rules.parse(FRED), old, new)
    await cram(door, FRED, "secret")
    await scram(door, FRED, "secret")
    # What was derived for a hash that is gone is not kept.
    await deriving.database.run(lambda c: credentials.add(c, FRED, old, {}), write=True)
    await cram(door, FRED, "secret")


async def test_nothing_is_derived_by_default(
    server: AuthServer, client: AuthClient, add: AddAccount
) -> None:
    await add(FRED)
    await client.authenticate(FRED, "secret", service="imap")
    await server.mechanisms.deriver.close()
    assert not await rows(server)


# --- who is told what ---------------------------------------------------------------------------


async def test_salts_are_the_same_each_time_and_at_every_replica(data: Path) -> None:
    async def ask(client: AuthClient, user: str) -> tuple[bytes, int]:
        return await client.scram_parameters(user, mechanism="scram-sha-256", service="imap")

    found = []
    for number in range(2):
        home = data / str(number)
        home.mkdir()
        settings = make_settings(home, secret="x" * 32, sql_url=f"sqlite:///{data}/db")
        async with serving(settings) as server:
            if not number:
                await add_account(server, FRED)
                await add_account(server, "jane@example.test", stored="{PLAIN}secret")
            client = AuthClient(str(server.settings.listen))
            names = (FRED, "nobody@example.test", "jane@example.test", "no such name", "")
            found.append([await ask(client, name) for name in names])
            assert await ask(client, "NOBODY@Example.test") == found[-1][1]
            await client.close()
    assert found[0] == found[1]
    assert len({salt for salt, _ in found[0]}) == 5
    assert {len(salt) for salt, _ in found[0]} == {16}
    assert {rounds for _, rounds in found[0]} == {32768}


async def test_a_second_factor_refuses_what_the_main_password_makes(
    server: AuthServer, client: AuthClient
) -> None:
    await add_account(server, FRED, stored="{PLAIN}secret")
    row = {"address": FRED, "secret": "x", "confirmed": True, "last_step": 0, "created": 1}
    await server.database.run(
        lambda c: c.execute(schema.totp.insert().values(**row)).rowcount, write=True
    )
    assert await refused(cram(client, FRED, "secret")) is ErrorKind.AUTH_FAILED
    assert await refused(scram(client, FRED, "secret")) is ErrorKind.AUTH_FAILED


async def test_disabled_is_told_to_who_knows_the_password(
    server: AuthServer, client: AuthClient
) -> None:
    await add_account(server, FRED, stored="{PLAIN}secret", disabled=True)
    assert await refused(scram(client, FRED, "secret")) is ErrorKind.DISABLED
    assert await refused(scram(client, FRED, "wrong")) is ErrorKind.AUTH_FAILED
    assert await refused(cram(client, FRED, "secret")) is ErrorKind.DISABLED


async def test_failures_are_slowed(data: Path) -> None:
    settings = make_settings(data, throttle_base_seconds=60, throttle_patience_seconds=0.1)
    async with serving(settings) as server:
        await add_account(server, FRED, stored="{PLAIN}secret")
        client = AuthClient(str(server.settings.listen))
        assert await refused(cram(client, FRED, "wrong")) is ErrorKind.AUTH_FAILED
        assert await refused(cram(client, FRED, "secret")) is ErrorKind.TEMPORARY
        assert await refused(scram(client, FRED, "secret")) is ErrorKind.TEMPORARY
        await client.close()


async def test_a_proof_is_never_remembered(server: AuthServer) -> None:
    await add_account(server, FRED, stored="{PLAIN}secret")
    client = AuthClient(str(server.settings.listen), verdict_seconds=300)
    client.verdicts.open()
    await cram(client, FRED, "secret")
    await scram(client, FRED, "secret")
    assert len(client.verdicts) == 0
    await client.authenticate(FRED, "secret", service="imap")
    assert len(client.verdicts) == 1
    await client.close()


async def test_external_only_where_a_setting_says_so(
    server: AuthServer, client: AuthClient, add: AddAccount, tmp_path: Path
) -> None:
    await add(FRED)
    attempt = LoginAttempt(FRED, b"", "imap", tls=True, mechanism="external")
    assert await refused(client.admit(attempt)) is ErrorKind.AUTH_FAILED


async def test_external(data: Path) -> None:
    async with serving(make_settings(data, external=True)) as server:
        await add_account(server, FRED)
        client = AuthClient(str(server.settings.listen))

        def attempt(user: str, *, tls: bool = True, wanted: str = "") -> LoginAttempt:
            return LoginAttempt(
                user, b"", "imap", tls=tls, mechanism="external", authorization=wanted
            )

        assert (await client.admit(attempt(FRED))).account.address == FRED
        assert await refused(client.admit(attempt("x@example.test"))) is ErrorKind.AUTH_FAILED
        assert await refused(client.admit(attempt(FRED, tls=False))) is ErrorKind.AUTH_FAILED
        # "x*fred@example.test" is somebody's mail address, and no way to be fred.
        assert await refused(client.admit(attempt(f"x*{FRED}"))) is ErrorKind.AUTH_FAILED
        wanted = attempt(FRED, wanted="jane@example.test")
        assert await refused(client.admit(wanted)) is ErrorKind.PERMISSION
        await client.close()
