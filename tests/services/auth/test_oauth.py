"""OAUTHBEARER and XOAUTH2 against an issuer: which tokens open an account, and which never."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from restante.model import ErrorKind, MailError
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.rpc.client import AuthClient
from services.auth import masters
from services.auth.oauth.claims import Rules, user_in
from services.auth.oauth.fetch import MAX_BYTES, make_client
from services.auth.oauth.keys import IssuerKeys
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.issuer import Issuer

FRED = "fred@example.test"


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer() as running:
        yield running


def settings_of(data: Path, issuer: Issuer, **changes: Any) -> Any:
    return make_settings(
        data,
        **{
            "oauth_issuer": issuer.url,
            "oauth_audience": "mail,imap",
            "oauth_leeway_seconds": 0,
            "oauth_refresh_seconds": 0,
            **changes,
        },
    )


@pytest.fixture
async def house(data: Path, issuer: Issuer) -> AsyncIterator[AuthServer]:
    async with serving(settings_of(data, issuer)) as running:
        await add_account(running, FRED)
        yield running


@pytest.fixture
async def door(house: AuthServer) -> AsyncIterator[AuthClient]:
    found = AuthClient(str(house.settings.listen), verdict_seconds=300)
    found.verdicts.open()
    yield found
    await found.close()


async def enter(
    client: AuthClient, token: bytes, user: str = FRED, mechanism: str = "oauthbearer"
) -> Admitted:
    return await client.admit(LoginAttempt(user, token, "imap", tls=True, mechanism=mechanism))


async def refused(client: AuthClient, token: bytes, user: str = FRED) -> ErrorKind:
    with pytest.raises(MailError) as fault:
        await enter(client, token, user)
    return fault.value.kind


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> bytes:
    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    return b".".join(
        (part(json.dumps(header).encode()), part(json.dumps(claims).encode()), part(signature))
    )


async def test_a_good_token(door: AuthClient, issuer: Issuer) -> None:
    for user in (FRED, "", "Fred@Example.test"):
        assert (await enter(door, issuer.token(), user)).account.address == FRED
    assert (await enter(door, issuer.token(), mechanism="xoauth2")).account.address == FRED
    assert (await enter(door, issuer.token(aud=["x", "imap"]))).account.address == FRED
    assert len(door.verdicts) == 0
    assert issuer.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("RS512", None),
        ("PS256", None),
        ("ES256", ECKey.generate_key("P-256", {"kid": "other"})),
        ("ES512", ECKey.generate_key("P-521", {"kid": "other"})),
        ("Ed25519", OKPKey.generate_key("Ed25519", {"kid": "other"})),
        ("EdDSA", OKPKey.generate_key("Ed25519", {"kid": "other"})),
    ],
)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_algorithms(door: AuthClient, issuer: Issuer, alg: str, key: Any) -> None:
    if key is not None:
        issuer.keys["other"] = key
    token = issuer.token("one" if key is None else "other", alg)
    assert (await enter(door, token)).account.address == FRED


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "never"},
        {"exp": True},
        {"nbf": 2**40},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"aud": ["other"]},
        {"aud": {"mail": 1}},
        {"email": None},
        {"email": ["fred@example.test"]},
        {"email": ""},
        {"email": "nobody@example.test"},
        {"email": "../fred"},
        {"email_verified": False},
    ],
)
async def test_claims_that_are_not_good_enough(
    door: AuthClient, issuer: Issuer, changes: dict[str, Any]
) -> None:
    assert await refused(door, issuer.token(**changes), "") is ErrorKind.AUTH_FAILED


async def test_alg_none(door: AuthClient, issuer: Issuer) -> None:
    for alg in ("none", "None", "", None, ["RS256"], 1):
        token = forged({"alg": alg, "kid": "one"}, issuer.claims())
        assert await refused(door, token) is ErrorKind.AUTH_FAILED
    assert "/keys" not in issuer.asked


async def test_the_public_key_is_no_shared_secret(door: AuthClient, issuer: Issuer) -> None:
    """Algorithm confusion: HS256 "signed" with what everybody can read."""
    key = issuer.keys["one"]
    assert isinstance(key, RSAKey)
    public = key.public_key
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(key.as_dict(private=False)).encode(),
    ):
        import hashlib
        import hmac

        token = forged({"alg": "HS256", "kid": "one"}, issuer.claims()).rsplit(b".", 1)[0]
        signature = hmac.digest(secret, token, hashlib.sha256)
        token += b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
        assert await refused(door, token) is ErrorKind.AUTH_FAILED


async def test_a_symmetric_key_of_the_issuer_is_not_taken(door: AuthClient, issuer: Issuer) -> None:
    issuer.keys["shared"] = OctKey.import_key("x" * 64, {"kid": "shared"})
    issuer.raw["/keys"] = json.dumps(
        {"keys": [key.as_dict() for key in (issuer.keys["shared"],)]}
    ).encode()
    claims = issuer.claims()
    token = jwt.encode(
        {"alg": "HS256", "kid": "shared"}, claims, issuer.keys["shared"], algorithms=["HS256"]
    )
    assert await refused(door, token.encode()) is ErrorKind.AUTH_FAILED


async def test_another_signature(door: AuthClient, issuer: Issuer) -> None:
    good = issuer.token()
    head, claims, signature = good.split(b".")
    _, other, _ = issuer.token(email="jane@example.test").split(b".")
    for token in (
        b".".join((head, other, signature)),
        b".".join((head, claims, b"")),
        b".".join((head, claims, signature[:-4] + b"AAAA")),
        forged({"alg": "RS256", "kid": "one"}, issuer.claims(), b"x" * 256),
        forged({"alg": "ES256", "kid": "one"}, issuer.claims(), b"x" * 64),
        forged({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": False}, issuer.claims()),
        forged({"alg": "RS256", "kid": 1}, issuer.claims()),
        b"..",
        b"not a token",
        b"a.b.c",
        b"x" * 9000,
    ):
        assert await refused(door, token) is ErrorKind.AUTH_FAILED
    # A key in the token itself is nobody's.
    evil = RSAKey.generate_key(2048, {"kid": "evil"})
    header = {"alg": "RS256", "kid": "one", "jwk": evil.as_dict(private=False)}
    token = jwt.encode(header, issuer.claims(), evil).encode()
    assert await refused(door, token) is ErrorKind.AUTH_FAILED


async def test_another_name_beside_the_token(
    house: AuthServer, door: AuthClient, issuer: Issuer
) -> None:
    await add_account(house, "jane@example.test")
    kind = await refused(door, issuer.token(), "jane@example.test")
    assert kind is ErrorKind.PERMISSION
    await house.database.run(lambda c: masters.create(c, FRED, ["example.test"]), write=True)
    admitted = await enter(door, issuer.token(), "jane@example.test")
    assert (admitted.account.address, admitted.actor) == ("jane@example.test", FRED)


async def test_an_unknown_key_is_looked_for(door: AuthClient, issuer: Issuer) -> None:
    await enter(door, issuer.token())
    old = issuer.token()
    issuer.keys = {"two": RSAKey.generate_key(2048, {"kid": "two"})}
    assert (await enter(door, issuer.token("two"))).account.address == FRED
    assert issuer.asked["/keys"] == 2
    # The old key went with that.
    assert await refused(door, old) is ErrorKind.AUTH_FAILED


async def test_known_keys_work_while_the_issuer_is_away(door: AuthClient, issuer: Issuer) -> None:
    issuer.down = True
    assert await refused(door, issuer.token()) is ErrorKind.TEMPORARY
    issuer.down = False
    await enter(door, issuer.token())
    issuer.down = True
    await enter(door, issuer.token())
    issuer.keys["two"] = RSAKey.generate_key(2048, {"kid": "two"})
    assert await refused(door, issuer.token("two")) is ErrorKind.TEMPORARY
    await enter(door, issuer.token())
    issuer.down = False
    await enter(door, issuer.token("two"))


async def test_an_issuer_that_is_not_there(data: Path, issuer: Issuer) -> None:
    async with serving(settings_of(data, issuer, oauth_issuer="http://127.0.0.1:9")) as server:
        await add_account(server, FRED)
        client = AuthClient(str(server.settings.listen))
        assert await refused(client, issuer.token()) is ErrorKind.TEMPORARY
        # Passwords do not need it.
        await client.authenticate(FRED, "secret", service="imap")
        await client.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/keys", b"{}"),
        ("/keys", b"[]"),
        ("/keys", b"not json"),
        ("/keys", b'{"keys": 1}'),
        ("/keys", b'{"keys": "' + b"x" * MAX_BYTES + b'"}'),
        ("/keys", b"[" * 100_000),
        ("/.well-known/openid-configuration", b'{"issuer": "https://evil.test"}'),
        ("/.well-known/openid-configuration", b'{"jwks_uri": 1}'),
    ],
)
async def test_nonsense_of_the_issuer_is_temporary(
    door: AuthClient, issuer: Issuer, path: str, body: bytes
) -> None:
    issuer.raw[path] = body
    assert await refused(door, issuer.token()) is ErrorKind.TEMPORARY
    issuer.raw.clear()
    await enter(door, issuer.token())


async def test_strange_keys_are_passed_over(door: AuthClient, issuer: Issuer) -> None:
    good = issuer.keys["one"].as_dict(private=False)
    strange: list[Any] = [
        1,
        {},
        {"kty": "new"},
        {"kty": "RSA"},
        {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA", "kid": "x"},
        {**good, "use": "enc", "kid": "for encryption"},
        {**good, "kid": 7},
    ]
    issuer.raw["/keys"] = json.dumps({"keys": [*strange, {**good, "use": "sig"}]}).encode()
    await enter(door, issuer.token())


# --- how often the issuer is asked --------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_made_up_key_ids_do_not_load_the_issuer(issuer: Issuer) -> None:
    clock, client = Clock(), make_client()
    keys = IssuerKeys(client, issuer.url, cache=3600, refresh=30, clock=clock)
    assert await keys.find("one") is not None
    for number in range(5):
        assert await keys.find(f"made up {number}") is None
    assert issuer.asked["/keys"] == 1
    clock.now += 31
    assert await keys.find("made up") is None
    assert issuer.asked["/keys"] == 2
    clock.now += 3600
    assert await keys.find("one") is not None
    assert issuer.asked["/keys"] == 3
    # Older than that, and nobody to ask: still good; and asked again only after a while.
    issuer.down = True
    clock.now += 3600
    for _ in range(3):
        assert await keys.find("one") is not None
    assert issuer.asked["/keys"] == 4
    with pytest.raises(MailError):
        await keys.find("two")
    assert issuer.asked["/keys"] == 4
    await keys.close()
    await client.aclose()


async def test_a_token_without_a_key_id(issuer: Issuer) -> None:
    client = make_client()
    keys = IssuerKeys(client, issuer.url, f"{issuer.url}/keys", refresh=0)
    assert await keys.find("") is not None
    assert "/.well-known/openid-configuration" not in issuer.asked
    issuer.keys["two"] = RSAKey.generate_key(2048, {"kid": "two"})
    assert await keys.find("two") is not None
    assert await keys.find("") is None  # which of them?
    await client.aclose()


# --- introspection ------------------------------------------------------------------------------


async def test_introspection(data: Path, issuer: Issuer) -> None:
    settings = settings_of(
        data,
        issuer,
        oauth_issuer=None,
        oauth_introspection_url=f"{issuer.url}/introspect",
        oauth_client_id="restante",
        oauth_client_secret="hush",
        oauth_user_claim="username",
    )
    issuer.tokens = {
        "good": {"active": True, "username": FRED, "aud": "mail"},
        "ended": {"active": True, "username": FRED, "aud": "mail", "exp": 1},
        "other": {"active": True, "username": FRED, "aud": "other"},
        "nobody": {"active": True, "aud": "mail"},
        "odd": {"active": "true", "username": FRED, "aud": "mail"},
        "off": {"active": False, "username": FRED, "aud": "mail"},
    }
    async with serving(settings) as server:
        await add_account(server, FRED)
        client = AuthClient(str(server.settings.listen))
        assert (await enter(client, b"good")).account.address == FRED
        assert issuer.credentials == "restante:hush"
        for token in (b"ended", b"other", b"nobody", b"odd", b"off", b"unknown"):
            assert await refused(client, token) is ErrorKind.AUTH_FAILED
        issuer.down = True
        assert await refused(client, b"good") is ErrorKind.TEMPORARY
        await client.close()


async def test_both_kinds_of_tokens(data: Path, issuer: Issuer) -> None:
    settings = settings_of(data, issuer, oauth_introspection_url=f"{issuer.url}/introspect")
    issuer.tokens = {"opaque": {"active": True, "email": FRED, "aud": "mail"}}
    async with serving(settings) as server:
        await add_account(server, FRED)
        client = AuthClient(str(server.settings.listen))
        await enter(client, issuer.token())
        assert "/introspect" not in issuer.asked
        await enter(client, b"opaque")
        await client.close()


async def test_without_an_issuer_no_token_is_good(
    server: AuthServer, client: AuthClient, issuer: Issuer
) -> None:
    await add_account(server, FRED)
    assert await refused(client, issuer.token()) is ErrorKind.AUTH_FAILED


@pytest.mark.parametrize("url", ["http://issuer.test", "ftp://x", "https://", "http://10.0.0.1/"])
def test_an_issuer_is_reached_safely(data: Path, url: str) -> None:
    with pytest.raises(ValueError, match="expected https"):
        make_settings(data, oauth_issuer=url)


def test_an_issuer_needs_an_audience(data: Path) -> None:
    with pytest.raises(ValueError, match="OAUTH_AUDIENCE"):
        make_settings(data, oauth_issuer="https://issuer.test")


async def test_an_issuer_that_hangs_delays_no_known_key_for_long(issuer: Issuer) -> None:
    clock, client = Clock(), make_client()
    keys = IssuerKeys(client, issuer.url, cache=3600, clock=clock)
    assert await keys.find("one") is not None
    clock.now += 3600
    issuer.hangs = asyncio.Event()
    async with asyncio.timeout(30):
        assert await keys.find("one") is not None
        issuer.hangs.set()
        await keys.close()
    await client.aclose()


def test_leeway() -> None:
    rules = Rules("sub", leeway=30)
    assert user_in({"exp": 100, "sub": "x"}, rules, 129, expires=True) == "x"
    assert user_in({"exp": 100, "sub": "x"}, rules, 130, expires=True) is None
    assert user_in({"exp": 999, "nbf": 130, "sub": "x"}, rules, 100, expires=True) == "x"
    assert user_in({"exp": 999, "nbf": 131, "sub": "x"}, rules, 100, expires=True) is None
    assert user_in({"exp": float("nan"), "sub": "x"}, rules, 100, expires=True) is None
