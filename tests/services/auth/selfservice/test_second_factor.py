"""One-time codes, recovery codes and passkeys: set up, asked for, each good once."""

import json
import sqlite3
import time
from pathlib import Path

import pyotp
import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from services.auth import masters
from services.auth.factors import totp
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.selfservice.authenticator import SoftKey
from tests.services.auth.selfservice.conftest import FRED
from tests.services.auth.selfservice.owner import PEER, Owner, owner_at


class App:
    """An authenticator app; its codes are told by their distance from the first one."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self._first = int(time.time()) // totp.PERIOD

    def code(self, step: int) -> str:
        return pyotp.TOTP(self.secret).generate_otp(self._first + step)


async def set_totp(owner: Owner) -> tuple[App, list[str]]:
    """Set one-time codes up by the first code; return the app and the recovery codes."""
    app = App((await owner.BeginTotp(password=b"secret")).secret)
    confirmed = await owner.ConfirmTotp(code=app.code(0))
    return app, list(confirmed.recovery_codes)


async def set_passkey(owner: Owner, key: SoftKey, name: str = "key") -> None:
    begun = await owner.BeginPasskey(password=b"secret")
    await owner.ConfirmPasskey(state=begun.state, passkey=key.create(begun.options), name=name)


async def begin(guest: Owner, user: str = FRED) -> tuple[str, list[str], str]:
    answer = await guest.Login(user=user, password=b"secret", peer=PEER)
    assert not answer.HasField("account")
    return answer.token, list(answer.second_factors), answer.passkey_options


async def test_one_time_codes_from_set_up_to_login(fred: Owner, guest: Owner) -> None:
    begun = await fred.BeginTotp(password=b"secret")
    assert begun.uri.startswith("otpauth://totp/")
    assert not (await fred.GetSecurity()).totp  # not before a code fitted
    wrong = await fred.refused("ConfirmTotp", code="000000")
    assert wrong.kind is ErrorKind.BAD_REQUEST
    app = App(begun.secret)
    confirmed = await fred.ConfirmTotp(code=app.code(0))
    assert len(set(confirmed.recovery_codes)) == 10
    security = await fred.GetSecurity()
    assert security.totp
    assert security.recovery_codes == 10

    token, offered, _ = await begin(guest)
    assert offered == ["totp", "recovery"]
    pending = guest.at(token)
    assert (await pending.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
    assert (await pending.refused("ChangePassword")).kind is ErrorKind.AUTH_FAILED
    answer = await guest.SecondFactor(token=token, totp=app.code(1), peer=PEER)
    assert answer.account.address == FRED
    assert answer.token != token
    assert (await guest.at(answer.token).GetSession()).account.address == FRED
    assert (await pending.refused("GetSession")).kind is ErrorKind.AUTH_FAILED


async def test_a_used_code_works_nowhere_afterwards(fred: Owner, guest: Owner) -> None:
    app, recovery = await set_totp(fred)
    token, _, _ = await begin(guest)
    # The code that confirmed the set-up, that of a step before, and after its use the next one.
    for used in (app.code(0), app.code(-1)):
        refused = await guest.refused("SecondFactor", token=token, totp=used, peer=PEER)
        assert refused.kind is ErrorKind.AUTH_FAILED
    await guest.SecondFactor(token=token, totp=app.code(1), peer=PEER)
    token, _, _ = await begin(guest)
    refused = await guest.refused("SecondFactor", token=token, totp=app.code(1), peer=PEER)
    assert refused.kind is ErrorKind.AUTH_FAILED
    typed = recovery[0].upper().replace("-", " ")
    await guest.SecondFactor(token=token, recovery=typed, peer=PEER)
    token, _, _ = await begin(guest)
    refused = await guest.refused("SecondFactor", token=token, recovery=recovery[0], peer=PEER)
    assert refused.kind is ErrorKind.AUTH_FAILED
    assert (await fred.GetSecurity()).recovery_codes == 9


async def test_the_main_password_opens_nothing_but_webmails_first_step(
    fred: Owner, guest: Owner, server: AuthServer, client: AuthClient
) -> None:
    await client.authenticate(FRED, "secret", service="imap")
    await set_totp(fred)
    for service in ("imap", "pop3", "smtp", "webmail", "login", ""):
        with pytest.raises(MailError) as refused:
            await client.authenticate(FRED, "secret", service=service)
        assert refused.value.kind is ErrorKind.AUTH_FAILED
    await fred.RemoveTotp(password=b"secret")
    assert (await client.authenticate(FRED, "secret", service="imap")).address == FRED
    assert (await fred.GetSecurity()).recovery_codes == 0  # they go with the last factor


async def test_few_tries_then_the_password_again(fred: Owner, guest: Owner) -> None:
    app, _ = await set_totp(fred)
    token, _, _ = await begin(guest)
    for _ in range(5):
        refused = await guest.refused("SecondFactor", token=token, totp="000000", peer=PEER)
        assert refused.text == "authentication failed"
    refused = await guest.refused("SecondFactor", token=token, totp=app.code(1), peer=PEER)
    assert "ended" in refused.text


async def test_exactly_one_factor_is_given(fred: Owner, guest: Owner) -> None:
    await set_totp(fred)
    token, _, _ = await begin(guest)
    for given in ({}, {"totp": "1", "recovery": "x"}):
        refused = await guest.refused("SecondFactor", token=token, peer=PEER, **given)
        assert refused.kind is ErrorKind.BAD_REQUEST
    refused = await guest.refused("SecondFactor", token="x" * 43, totp="123456", peer=PEER)
    assert refused.kind is ErrorKind.AUTH_FAILED


async def test_a_factor_ends_other_sessions_and_keeps_this_one(fred: Owner, guest: Owner) -> None:
    other = await guest.login(FRED)
    await set_totp(fred)
    assert (await other.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
    assert (await fred.GetSession()).account.address == FRED


async def test_a_pending_session_ends_with_the_account(
    fred: Owner, guest: Owner, server: AuthServer
) -> None:
    app, _ = await set_totp(fred)
    token, _, _ = await begin(guest)
    await fred.ChangePassword(old_password=b"secret", new_password=b"zebra-lamp-42")
    refused = await guest.refused("SecondFactor", token=token, totp=app.code(1), peer=PEER)
    assert "ended" in refused.text


async def test_an_old_session_asks_for_the_password_again(fred: Owner, server: AuthServer) -> None:
    with sqlite3.connect(server.database.url.database or "") as connection:
        connection.execute("UPDATE web_sessions SET confirmed_at = confirmed_at - 601")
    for name in ("BeginTotp", "BeginPasskey", "RemoveTotp", "RemovePasskey", "NewRecoveryCodes"):
        assert (await fred.refused(name)).kind is ErrorKind.PERMISSION, name
        assert (await fred.refused(name, password=b"wrong")).kind is ErrorKind.AUTH_FAILED, name
    assert (await fred.BeginTotp(password=b"secret")).secret
    assert (await fred.BeginTotp()).secret  # for some minutes


async def test_secrets_are_sealed_or_digests(fred: Owner, server: AuthServer) -> None:
    app, recovery = await set_totp(fred)
    with sqlite3.connect(server.database.url.database or "") as connection:
        dump = "\n".join(connection.iterdump())
    assert app.secret not in dump
    assert not [code for code in recovery if code in dump or code.replace("-", "") in dump]


async def test_new_recovery_codes_void_the_old_ones(fred: Owner, guest: Owner) -> None:
    assert (await fred.refused("NewRecoveryCodes")).kind is ErrorKind.CANNOT
    _, old = await set_totp(fred)
    new = (await fred.NewRecoveryCodes()).recovery_codes
    token, _, _ = await begin(guest)
    refused = await guest.refused("SecondFactor", token=token, recovery=old[0], peer=PEER)
    assert refused.kind is ErrorKind.AUTH_FAILED
    await guest.SecondFactor(token=token, recovery=new[0], peer=PEER)


# --- passkeys ----------------------------------------------------------------------------------


async def test_a_passkey_as_second_factor(fred: Owner, guest: Owner) -> None:
    key = SoftKey(verify=False)
    await set_passkey(fred, key, "yubi")
    assert [p.name for p in (await fred.GetSecurity()).passkeys] == ["yubi"]
    token, offered, options = await begin(guest)
    assert offered == ["passkey"]
    answer = await guest.SecondFactor(token=token, passkey=key.get(options), peer=PEER)
    assert answer.account.address == FRED
    assert (await fred.GetSecurity()).passkeys[0].last_used.seconds > 0


async def test_a_passkey_alone_is_both_factors(fred: Owner, guest: Owner) -> None:
    key = SoftKey()
    await set_passkey(fred, key)
    begun = await guest.BeginPasskeyLogin()
    assert (
        "allowCredentials" not in json.loads(begun.options)
        or not json.loads(begun.options)["allowCredentials"]
    )
    answer = await guest.PasskeyLogin(
        state=begun.state, passkey=key.get(begun.options), peer=PEER, client="Firefox"
    )
    assert answer.account.address == FRED
    assert (await guest.at(answer.token).GetSession()).account.address == FRED


async def test_a_passkey_alone_must_verify_its_user(fred: Owner, guest: Owner) -> None:
    key = SoftKey(verify=False)
    await set_passkey(fred, key)
    begun = await guest.BeginPasskeyLogin(user=FRED)
    refused = await guest.refused(
        "PasskeyLogin", state=begun.state, passkey=key.get(begun.options), peer=PEER
    )
    assert refused.kind is ErrorKind.AUTH_FAILED


@pytest.mark.parametrize("counts", [True, False])
async def test_a_passkeys_answer_counts_once(counts: bool, fred: Owner, guest: Owner) -> None:
    key = SoftKey(counts=counts)
    await set_passkey(fred, key)
    begun = await guest.BeginPasskeyLogin()
    answer = key.get(begun.options)
    await guest.PasskeyLogin(state=begun.state, passkey=answer, peer=PEER)
    again = await guest.refused("PasskeyLogin", state=begun.state, passkey=answer, peer=PEER)
    assert again.kind is ErrorKind.AUTH_FAILED
    other = await guest.BeginPasskeyLogin()
    again = await guest.refused("PasskeyLogin", state=other.state, passkey=answer, peer=PEER)
    assert again.kind is ErrorKind.AUTH_FAILED


async def test_a_copy_of_a_passkey_is_noticed(fred: Owner, guest: Owner) -> None:
    key = SoftKey(count=7)
    await set_passkey(fred, key)
    key.count = 3
    begun = await guest.BeginPasskeyLogin()
    refused = await guest.refused(
        "PasskeyLogin", state=begun.state, passkey=key.get(begun.options), peer=PEER
    )
    assert refused.kind is ErrorKind.AUTH_FAILED


async def test_a_page_of_somebody_else_gets_nothing(fred: Owner, guest: Owner) -> None:
    key = SoftKey()
    await set_passkey(fred, key)
    key.origin = "https://mail.example.test.evil.test"
    begun = await guest.BeginPasskeyLogin()
    refused = await guest.refused(
        "PasskeyLogin", state=begun.state, passkey=key.get(begun.options), peer=PEER
    )
    assert refused.kind is ErrorKind.AUTH_FAILED
    begun = await fred.BeginPasskey(password=b"secret")
    made = SoftKey(origin="https://evil.test").create(begun.options)
    refused = await fred.refused("ConfirmPasskey", state=begun.state, passkey=made, name="x")
    assert refused.kind is ErrorKind.BAD_REQUEST


async def test_a_passkey_of_another_account_is_no_second_factor(
    fred: Owner, guest: Owner, server: AuthServer
) -> None:
    await add_account(server, "eve@example.test")
    eve, eves, freds = await guest.login("eve@example.test"), SoftKey(), SoftKey()
    await set_passkey(eve, eves)
    await set_passkey(fred, freds)
    token, _, options = await begin(guest)
    refused = await guest.refused("SecondFactor", token=token, passkey=eves.get(options), peer=PEER)
    assert refused.kind is ErrorKind.AUTH_FAILED
    assert (await eve.refused("RemovePasskey", id=freds.id)).kind is ErrorKind.NOT_FOUND


async def test_nobody_is_told_whose_passkeys_exist(fred: Owner, guest: Owner) -> None:
    await set_passkey(fred, SoftKey())
    for user in (FRED, "nobody@example.test", ""):
        options = json.loads((await guest.BeginPasskeyLogin(user=user)).options)
        assert not options.get("allowCredentials")
        assert options["userVerification"] == "required"


@pytest.mark.parametrize(
    "answer",
    ["", "{}", "[]", "x" * 20_000, "[" * 5_000, '{"id": 1, "response": {}}', '{"response": 1}'],
)
async def test_what_is_no_passkey_is_refused(answer: str, fred: Owner, guest: Owner) -> None:
    await set_passkey(fred, SoftKey())
    begun = await guest.BeginPasskeyLogin()
    refused = await guest.refused("PasskeyLogin", state=begun.state, passkey=answer, peer=PEER)
    assert refused.kind is ErrorKind.BAD_REQUEST
    begun = await fred.BeginPasskey(password=b"secret")
    refused = await fred.refused("ConfirmPasskey", state=begun.state, passkey=answer)
    assert refused.kind is ErrorKind.BAD_REQUEST
    refused = await guest.refused(
        "PasskeyLogin", state="x", passkey=SoftKey().create(begun.options), peer=PEER
    )
    assert refused.kind is ErrorKind.AUTH_FAILED


async def test_a_passkey_is_registered_once_and_its_state_counts_once(fred: Owner) -> None:
    key = SoftKey()
    begun = await fred.BeginPasskey(password=b"secret")
    made = key.create(begun.options)
    await fred.ConfirmPasskey(state=begun.state, passkey=made, name="a")
    assert (await fred.refused("ConfirmPasskey", state=begun.state, passkey=made)).kind is (
        ErrorKind.NOT_FOUND
    )
    begun = await fred.BeginPasskey(password=b"secret")
    assert json.loads(begun.options)["excludeCredentials"][0]["id"] == key.id
    refused = await fred.refused(
        "ConfirmPasskey", state=begun.state, passkey=key.create(begun.options)
    )
    assert refused.kind is ErrorKind.ALREADY_EXISTS


# --- the algorithm -----------------------------------------------------------------------------


def test_codes_of_rfc_6238() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890", appendix B
    for now, expected in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        step = now // totp.PERIOD
        assert totp.fitting_step(secret, expected, now, 0) == step
        assert totp.fitting_step(secret, f"{expected[:3]} {expected[3:]}", now, 0) == step
        assert totp.fitting_step(secret, expected, now + 30, 0) == step
        assert totp.fitting_step(secret, expected, now - 30, 0) == step
        assert totp.fitting_step(secret, expected, now + 60, 0) is None
        assert totp.fitting_step(secret, expected, now, step) is None
        assert totp.fitting_step(secret, expected, now, step + 1) is None


@pytest.mark.parametrize("typed", ["", "28708", "2870822", "28708x", "２８７０８２", "-87082"])
def test_what_is_no_code(typed: str) -> None:
    assert totp.fitting_step("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", typed, 59, 0) is None


# --- as an attacker sees it --------------------------------------------------------------------


async def test_a_refused_main_password_looks_and_costs_like_a_wrong_one(
    fred: Owner, server: AuthServer, client: AuthClient
) -> None:
    await add_account(server, "ann@example.test")
    await set_totp(fred)
    tries = ((FRED, "secret"), (FRED, "wrong"), ("ann@example.test", "wrong"), ("no@x.test", "x"))
    seen = set()
    for user, password in tries:
        before = dict(server.verifier.work)
        with pytest.raises(MailError) as refused:
            await client.authenticate(user, password, service="imap")
        work = {k: v - before.get(k, 0) for k, v in server.verifier.work.items()}
        seen.add((refused.value.kind, refused.value.text, work["argon2id"], work.get("hit", 0)))
    assert seen == {(ErrorKind.AUTH_FAILED, "authentication failed", 1, 0)}


async def test_a_right_password_does_not_buy_new_tries(data: Path) -> None:
    """Wrong codes wait like wrong passwords, and a right password between them clears nothing."""
    settings = make_settings(
        data, throttle_base_seconds=30, throttle_cap_seconds=60, throttle_patience_seconds=0
    )
    async with serving(settings) as server, owner_at(str(settings.listen)) as guest:
        await add_account(server, FRED, "secret")
        app, _ = await set_totp(await guest.login(FRED))
        token, _, _ = await begin(guest)
        refused = await guest.refused("SecondFactor", token=token, totp="000000", peer=PEER)
        assert refused.kind is ErrorKind.AUTH_FAILED
        token, _, _ = await begin(guest)
        refused = await guest.refused("SecondFactor", token=token, totp=app.code(1), peer=PEER)
        assert refused.kind is ErrorKind.TEMPORARY


async def test_a_master_user_brings_his_own_factor_and_changes_nothing(
    fred: Owner, guest: Owner, server: AuthServer
) -> None:
    await add_account(server, "boss@example.test", "secret")
    await server.database.run(lambda c: masters.create(c, "boss@example.test", ()), write=True)
    await set_totp(fred)
    came = await guest.login(f"{FRED}*boss@example.test")
    session = await came.GetSession()
    assert (session.account.address, session.actor) == (FRED, "boss@example.test")
    for name in ("BeginTotp", "ChangePassword", "CreateAppPassword", "NewRecoveryCodes"):
        assert (await came.refused(name)).kind is ErrorKind.PERMISSION, name
    app, _ = await set_totp(await guest.login("boss@example.test"))
    assert (await came.refused("GetSession")).kind is ErrorKind.AUTH_FAILED  # ended with his
    token, offered, _ = await begin(guest, f"{FRED}*boss@example.test")
    assert offered == ["totp", "recovery"]
    answer = await guest.SecondFactor(token=token, totp=app.code(1), peer=PEER)
    assert answer.account.address == FRED
