"""The HTTP door: who comes in, what errors look like, bounds, TLS."""

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.admin_client import read_token
from restante.rpc.auth.v1.auth_pb2 import Session
from restante.rpc.client import AuthClient
from restante.runtime.settings import ListenAddress
from services.auth.admin.http.entrance import MAX_BODY
from services.auth.admin.http.problems import STATUS
from services.auth.admin.rules import RULES
from services.auth.server import AuthServer
from services.auth.sessions import Found
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.process import auth_process
from tests.services.auth.test_tls import Authority

PROBLEM = "application/problem+json"
OURS, FRED = "example.test", "fred@example.test"


@pytest.fixture
async def door(data: Path) -> AsyncIterator[AuthServer]:
    settings = make_settings(data, http_listen=ListenAddress(path=str(data / "http.sock")))
    async with serving(settings) as server:
        yield server


def http(server: AuthServer, token: str | None = None, **headers: str) -> httpx.AsyncClient:
    """Return a client with a token: the admin's where none is given."""
    given = read_token(server.settings.run_dir, {}) if token is None else token
    transport = httpx.AsyncHTTPTransport(uds=server.settings.http_listen.path)
    return httpx.AsyncClient(
        transport=transport,
        base_url="http://auth",
        headers={"Authorization": f"Bearer {given}", **headers},
    )


@pytest.fixture
async def admin(door: AuthServer) -> AsyncIterator[httpx.AsyncClient]:
    async with http(door) as client:
        await client.post("/v1/domains", json={"name": OURS})
        await client.post("/v1/accounts", json={"address": FRED, "password": "secret"})
        yield client


def routes(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield method and path of each operation, with parameters that are there."""
    for path, operations in document["paths"].items():
        for method in operations:
            yield method.upper(), path.format(name=OURS, address=FRED, id="0")


def check_problem(answer: httpx.Response, status: int, kind: ErrorKind) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    body = answer.json()
    assert (body["type"], body["status"], body["kind"]) == ("about:blank", status, kind.value)
    assert body["title"]
    assert body["detail"]


async def test_nobody_gets_anything_without_a_token(
    door: AuthServer, admin: httpx.AsyncClient
) -> None:
    document = (await admin.get("/openapi.json")).json()
    found = list(routes(document))
    assert len(found) == len(RULES)  # one for each method of Admin
    token = read_token(door.settings.run_dir, {})
    for given in ("", "Bearer", "Bearer wrong", f"Basic {token}", token):
        async with http(door, Authorization=given) as stranger:
            for method, path in found if given == "" else found[:1]:
                answer = await stranger.request(method, path)
                check_problem(answer, 401, ErrorKind.PERMISSION)
                assert answer.headers["www-authenticate"] == "Bearer"
            assert (await stranger.get("/openapi.json")).status_code == 200


async def test_an_account_from_beginning_to_end(door: AuthServer, admin: httpx.AsyncClient) -> None:
    eve = "/v1/accounts/eve@example.test"
    made = await admin.post(
        "/v1/accounts", json={"address": "Eve@EXAMPLE.test", "password": "first", "quota": "5S"}
    )
    assert made.status_code == 201
    assert made.json()["address"] == "eve@example.test"
    assert made.json()["created"].endswith("Z")
    changed = await admin.patch(eve, json={"name": "Eve", "quota": ""})
    assert (changed.json()["name"], changed.json()["quota"]) == ("Eve", "")
    client = AuthClient(str(door.settings.listen))
    await client.authenticate("eve@example.test", "first", service="imap")
    for body, says in (
        ({"password": "second", "dry_run": True}, True),
        ({"password": "second"}, True),
        ({"password_hash": "{PLAIN}third"}, True),
        ({"password_hash": "{PLAIN}third", "dry_run": True}, False),
        ({"password_hash": "{PLAIN}third"}, False),
    ):
        answer = await admin.put(f"{eve}/password", json=body)
        assert answer.json() == {"changed": says}, body
    await client.authenticate("eve@example.test", "third", service="imap")
    await client.close()
    assert (await admin.post(f"{eve}/kick")).status_code == 204
    assert (await admin.get(f"{eve}/security")).json()["totp"] is False
    assert (await admin.delete(f"{eve}/security/second-factor")).status_code == 204
    listed = (await admin.get("/v1/accounts", params={"domain": OURS, "page_size": 1})).json()
    assert [account["address"] for account in listed["accounts"]] == ["eve@example.test"]
    assert listed["next_page_token"]
    tried = await admin.post("/v1/test-login", json={"user": "eve@example.test", "password": "no"})
    assert (tried.status_code, tried.json()["outcome"]) == (200, "auth_failed")
    assert (await admin.delete(eve, params={"dry_run": True})).json()["purged"] is False
    assert (await admin.get(eve)).status_code == 200
    await admin.delete(eve)
    check_problem(await admin.get(eve), 404, ErrorKind.NO_SUCH_USER)
    log = (await admin.get("/v1/audit", params={"address": "eve@example.test"})).json()
    actions = [entry["action"].removeprefix("admin.account.") for entry in log["entries"]]
    assert (actions[0], actions[-1]) == ("delete", "create")
    assert actions.count("password") == 5


async def test_roles_and_tokens(door: AuthServer, admin: httpx.AsyncClient) -> None:
    body = {"name": "desk", "role": "domain-admin", "domains": [OURS]}
    made = (await admin.post("/v1/tokens", json=body)).json()
    assert (made["token"]["role"], made["token"]["expires"]) == ("domain-admin", None)
    async with http(door, made["secret"]) as bound:
        assert (await bound.get(f"/v1/accounts/{FRED}")).status_code == 200
        check_problem(await bound.get("/v1/tokens"), 403, ErrorKind.PERMISSION)
        check_problem(await bound.get("/v1/accounts/x@other.test"), 403, ErrorKind.PERMISSION)
        wide = {"options": "mailhost=evil.test"}
        answer = await bound.patch(f"/v1/accounts/{FRED}", json=wide)
        check_problem(answer, 403, ErrorKind.PERMISSION)
        assert (await admin.delete(f"/v1/tokens/{made['token']['id']}")).status_code == 204
        check_problem(await bound.get(f"/v1/accounts/{FRED}"), 401, ErrorKind.PERMISSION)


async def test_sessions_are_bounded(
    door: AuthServer, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is made on the event loop on which logins are judged."""

    async def find(_only: str = "") -> Found:
        sessions = [Session(address=FRED, service="imap", peer=f"192.0.2.{n}") for n in range(7)]
        return Found(sessions, workers=2, silent=1)

    monkeypatch.setattr(door.sessions, "find", find)
    found = (await admin.get("/v1/sessions", params={"limit": 3})).json()
    assert [session["peer"] for session in found["sessions"]] == [f"192.0.2.{n}" for n in range(3)]
    assert (found["workers"], found["silent"], found["more"]) == (2, 1, 4)
    assert (await admin.get("/v1/sessions")).json()["more"] == 0
    answer = await admin.get("/v1/sessions", params={"limit": 500_000})
    check_problem(answer, 400, ErrorKind.BAD_REQUEST)


async def test_what_is_not_understood(admin: httpx.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    for content in (
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'"x"',
        b"[" * 100_000,
        b'{"name": "\\ud800"}',
        b'{"name": "\\ud800.test", "more": 1}',
        b'{"name": 5}',
        b'{"name": "x.test", "default_quota": "nonsense"}',
        b'{"name": "a/b"}',
        b'{"name": "a\\u0000b"}',
    ):
        answer = await admin.post("/v1/domains", content=content, headers=json)
        check_problem(answer, 400, ErrorKind.BAD_REQUEST)
    for path in ("/v1/accounts?page_size=-1", "/v1/accounts?page_size=x", "/v1/audit?page_token=x"):
        check_problem(await admin.get(path), 400, ErrorKind.BAD_REQUEST)
    check_problem(await admin.get("/v1/nothing"), 404, ErrorKind.NOT_FOUND)
    answer = await admin.put("/v1/domains", json={})
    check_problem(answer, 405, ErrorKind.BAD_REQUEST)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}
    again = await admin.post("/v1/domains", json={"name": OURS})
    check_problem(again, 409, ErrorKind.ALREADY_EXISTS)


async def test_what_was_sent_is_not_sent_back(admin: httpx.AsyncClient) -> None:
    """It may be a password."""
    for body in ({"password": ["hidden-word"]}, {"password": "hidden-word", "hidden": 1}):
        answer = await admin.put(f"/v1/accounts/{FRED}/password", json=body)
        assert answer.status_code == 400
        assert "hidden-word" not in answer.text


async def test_bodies_are_bounded(admin: httpx.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    answer = await admin.post("/v1/domains", content=b" " * (MAX_BODY + 1), headers=json)
    check_problem(answer, 413, ErrorKind.TOO_LARGE)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 2**16 + 1):
            yield b" " * 2**16

    answer = await admin.post("/v1/domains", content=pieces(), headers=json)
    check_problem(answer, 413, ErrorKind.TOO_LARGE)


async def test_a_fault_of_ours(
    door: AuthServer, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> object:
        raise RuntimeError("hidden-word")

    with monkeypatch.context() as patch:
        patch.setattr(door.database, "run", broken)
        answer = await admin.get("/v1/domains")
    check_problem(answer, 500, ErrorKind.INTERNAL)
    assert "hidden-word" not in answer.text


async def test_a_fault_that_passes(
    door: AuthServer, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object, **__: object) -> object:
        raise MailError(ErrorKind.TEMPORARY, "the database cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(door.database, "run", down)
        answer = await admin.get("/v1/domains")
    check_problem(answer, 503, ErrorKind.TEMPORARY)
    assert answer.headers["retry-after"].isdigit()


def test_every_kind_of_error_has_a_status() -> None:
    assert set(STATUS) == set(ErrorKind)


async def test_a_door_that_cannot_be_opened_is_said_at_start(data: Path) -> None:
    taken = ListenAddress(path=str(data / "http.sock"))
    missing = {"http_certificate": data / "none.pem", "http_key": data / "none.key"}
    for listen, more in ((taken, {}), (ListenAddress("127.0.0.1", 0), missing)):
        async with serving(make_settings(data, http_listen=taken)):
            settings = make_settings(
                data, http_listen=listen, listen=ListenAddress(path=str(data / "other")), **more
            )
            with pytest.raises(MailError) as caught:
                async with serving(settings):
                    pass
            assert caught.value.kind is ErrorKind.CANNOT


def test_tls(data: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    certificate, key = authority.issue("server")
    settings = {
        "RESTANTE_AUTH_HTTP_LISTEN": "127.0.0.1:0",
        "RESTANTE_AUTH_HTTP_CERTIFICATE": str(certificate),
        "RESTANTE_AUTH_HTTP_KEY": str(key),
    }
    with auth_process(data, **settings) as auth:
        token = read_token(data / "run", {})
        address = auth.endpoints["http_listen"]
        headers = {"Authorization": f"Bearer {token}"}
        trust = ssl.create_default_context(cafile=authority.file)
        url = f"https://{address}/v1/domains"
        assert httpx.get(url, headers=headers, verify=trust).json()["domains"] == []
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, headers=headers)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{address}/v1/domains", headers=headers)
