"""The HTTP hook: envelope, status rules, idempotency, limits."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from restante.model import ErrorKind, MailError
from restante.runtime import log
from tests.services.delivery.worker import ANN, FRED, TOKEN, Worker

MESSAGE = b"Subject: hello\r\n\r\nFirst line\r\n.dot\r\n.\r\n"


def client_of(worker: Worker, token: str = TOKEN) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(worker.app, client=("192.0.2.7", 4711)),
        base_url="http://mx.test",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"},
    )


async def deliver(
    worker: Worker,
    *recipients: str,
    body: bytes | AsyncIterator[bytes] = MESSAGE,
    sender: str = "bob@x.test",
    **headers: str,
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client_of(worker) as client:
        return await client.post(
            "/v1/deliver",
            params={"sender": sender, "recipient": list(recipients or (FRED,))},
            content=body,
            headers=named,
        )


def statuses(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(r["status"], r["code"]) for r in answer.json()["recipients"]]


async def test_one_message(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        answer = await deliver(worker)
        assert answer.status_code == 200
        assert statuses(answer) == [("delivered", "2.1.5")]
        (stored,) = worker.messages()
        assert stored.startswith(
            b"Return-Path: <bob@x.test>\nDelivered-To: fred@example.test\n"
            b"Received: from [192.0.2.7]\n\tby mx.test (Restante) with HTTP id "
        )
        assert answer.json()["id"].encode() in stored
        assert stored.endswith(b"Subject: hello\n\nFirst line\n.dot\n.\n")


async def test_lf_line_ends_and_no_body(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        await deliver(worker, body=b"Return-Path: <evil@x>\nSubject: x\n\na\nb\n")
        await deliver(worker, body=b"Subject: only header\n")
        await deliver(worker, body=b"")
        stored = worker.messages()
        assert stored[0].endswith(b"+0000\nSubject: x\n\na\nb\n")
        assert stored[1].endswith(b"+0000\nSubject: only header\n")
        assert stored[2].endswith(b"+0000\n")


async def test_envelope_in_headers(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker, client_of(worker) as client:
        worker.add("a,b@example.test")
        answer = await client.post(
            "/v1/deliver",
            content=MESSAGE,
            headers={
                "X-Envelope-From": "<>",
                "X-Envelope-To": f'<{FRED}>, {ANN} ,"a,b"@example.test',
            },
        )
        # The quoted form is another spelling of no account that exists here.
        assert [s for s, _ in statuses(answer)] == ["delivered", "delivered", "refused"]
        assert worker.messages()[0].startswith(b"Return-Path: <>\n")


async def test_mixed_is_207(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.add("full@example.test", "10S")
        answer = await deliver(worker, FRED, "nobody@example.test", "full@example.test", FRED)
        assert answer.status_code == 207
        assert statuses(answer) == [
            ("delivered", "2.1.5"),
            ("refused", "5.1.1"),
            ("deferred", "4.2.2"),
            ("delivered", "2.1.5"),
        ]
        assert len(worker.messages()) == 1


async def test_nobody_is_404(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        answer = await deliver(worker, "nobody@example.test")
        assert answer.status_code == 404
        assert statuses(answer) == [("refused", "5.1.1")]


@pytest.mark.parametrize(("over_quota", "status"), [(452, 503), (552, 422)])
async def test_over_quota(tmp_path: Path, over_quota: int, status: int) -> None:
    async with Worker(tmp_path, over_quota=over_quota) as worker:
        worker.add("full@example.test", "10S")
        answer = await deliver(worker, "full@example.test")
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) == (status == 503)


async def test_auth_down_is_503(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.fault = MailError(ErrorKind.TEMPORARY)
        answer = await deliver(worker)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "60"
        assert statuses(answer) == [("deferred", "4.3.0")]


async def test_disk_down_is_503_and_unhealthy(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker, client_of(worker) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        (worker.root / ".restante-volume").unlink()
        assert (await deliver(worker)).status_code == 503
        assert (await client.get("/healthz")).status_code == 503


@pytest.mark.parametrize(
    "params",
    [
        {"recipient": FRED},
        {"sender": ""},
        {"sender": "bob", "recipient": "fred@exa mple.test"},
        {"sender": "a@b\r\nX: y", "recipient": FRED},
        {"sender": "", "recipient": "alice@a.org)<bob@b.org>"},
        {"sender": "", "recipient": "../bob@example.test"},
        {"sender": "", "recipient": ""},
    ],
)
async def test_bad_envelopes(tmp_path: Path, params: dict[str, str]) -> None:
    async with Worker(tmp_path) as worker, client_of(worker) as client:
        answer = await client.post("/v1/deliver", params=params, content=MESSAGE)
        assert answer.status_code == 400
        assert answer.json()["error"] == "bad_envelope"
        assert worker.messages() == []


async def test_token(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        for token in ("wrong", "", TOKEN + "x", "é"):
            headers = [(b"Authorization", f"Bearer {token}".encode())]
            async with client_of(worker) as client:
                answer = await client.post(
                    "/v1/deliver", params={"recipient": FRED}, headers=headers
                )
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                answer = await client.get(f"/v1/recipients/{FRED}", headers=headers)
                assert answer.status_code == 401


async def test_content_type(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        answer = await deliver(worker, Content_Type="application/json")
        assert answer.status_code == 415
        assert (await deliver(worker, Content_Type="message/global; x=y")).status_code == 200


async def test_body_limit(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    async with Worker(tmp_path, max_message_size=1_000_000) as worker:
        assert (await deliver(worker, body=b"x" * 1_000_001)).status_code == 413
        assert (await deliver(worker, body=chunks())).status_code == 413
        assert (await deliver(worker, body=b"x" * 1_000_000)).status_code == 200
        assert len(worker.messages()) == 1
        assert worker.left_in_tmp() == []


async def test_a_large_body_goes_through_the_disk(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"A: b\r\n\r"
        for number in range(30):
            yield b"\n%06d " % number + b"x" * 60_000 + b"\r"
        yield b"\n"

    async with Worker(tmp_path) as worker:
        assert (await deliver(worker, FRED, ANN, body=chunks())).status_code == 200
        stored = worker.messages(ANN)[0]
        assert b"\r" not in stored
        assert stored.count(b"\n") == 4 + 2 + 30  # Return-Path and Received, header, body


async def test_a_body_that_stops_coming(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"A: b\r\n\r\n" + b"x" * 300_000
        await asyncio.Event().wait()

    async with Worker(tmp_path, idle_timeout=0.2) as worker:
        answer = await deliver(worker, body=chunks())
        assert answer.status_code == 408
        assert worker.messages() == []
        assert worker.left_in_tmp() == []


async def test_recipients(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker, client_of(worker) as client:
        answer = await client.get("/v1/recipients/fred+x@example.test")
        assert answer.json() == {"recipient": "fred+x@example.test", "account": FRED}
        assert (await client.get("/v1/recipients/nobody@example.test")).status_code == 404
        assert (await client.get("/v1/recipients/no%20body@example.test")).status_code == 400
        worker.fault = MailError(ErrorKind.TEMPORARY)
        assert (await client.get(f"/v1/recipients/{ANN}")).status_code == 503


async def test_openapi(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker, client_of(worker) as client:
        schema: dict[str, Any] = (await client.get("/openapi.json")).json()
        assert set(schema["paths"]) == {"/v1/deliver", "/v1/recipients/{address}", "/healthz"}
        post = schema["paths"]["/v1/deliver"]["post"]
        assert "message/rfc822" in post["requestBody"]["content"]
        assert {"200", "207", "413", "422", "503"} <= set(post["responses"])


# --- idempotency --------------------------------------------------------------------------------


async def test_a_repeated_request_delivers_once(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        first = await deliver(worker, FRED, ANN, Idempotency_Key="k-1")
        again = await deliver(worker, FRED, ANN, Idempotency_Key="k-1")
        assert [s for s, _ in statuses(first)] == ["delivered", "delivered"]
        assert again.status_code == 200
        assert [s for s, _ in statuses(again)] == ["duplicate", "duplicate"]
        assert len(worker.messages(FRED)) == len(worker.messages(ANN)) == 1


async def test_once_across_replicas_and_restarts(tmp_path: Path) -> None:
    async with Worker(tmp_path) as one, Worker(tmp_path) as two:
        answers = await asyncio.gather(
            *(deliver(worker, Idempotency_Key="k-1") for worker in (one, two, one, two))
        )
        assert sorted(s for a in answers for s, _ in statuses(a)) == [
            "delivered",
            "duplicate",
            "duplicate",
            "duplicate",
        ]
    async with Worker(tmp_path) as three:
        (file,) = three.files()
        file.rename(file.parents[1] / "cur" / f"{file.name}:2,S")
        assert statuses(await deliver(three, Idempotency_Key="k-1")) == [("duplicate", "2.1.5")]
        assert three.messages() == []


async def test_a_partly_failed_request_completes_on_retry(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.add("full@example.test", "10S")
        first = await deliver(worker, FRED, "full@example.test", Idempotency_Key="k-1")
        assert first.status_code == 207
        worker.add("full@example.test")
        worker.backend.recipients._known.clear()
        again = await deliver(worker, FRED, "full@example.test", Idempotency_Key="k-1")
        assert [s for s, _ in statuses(again)] == ["duplicate", "delivered"]
        assert len(worker.messages(FRED)) == len(worker.messages("full@example.test")) == 1


async def test_a_key_for_something_else_is_422(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        assert (await deliver(worker, Idempotency_Key="k-1")).status_code == 200
        others = [
            await deliver(worker, body=MESSAGE + b"more\r\n", Idempotency_Key="k-1"),
            await deliver(worker, ANN, Idempotency_Key="k-1"),
            await deliver(worker, sender="eve@x.test", Idempotency_Key="k-1"),
        ]
        for answer in others:
            assert answer.status_code == 422
            assert answer.json()["error"] == "key_reused"
        assert len(worker.messages()) == 1
        assert worker.messages(ANN) == []
        assert worker.left_in_tmp() == []
        assert (await deliver(worker, ANN, Idempotency_Key="k-2")).status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_bad_keys(tmp_path: Path, key: str) -> None:
    async with Worker(tmp_path) as worker:
        assert (await deliver(worker, Idempotency_Key=key)).status_code == 400


async def test_the_mtas_id_goes_to_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    log.configure("info", "console", lines.append)
    try:
        async with Worker(tmp_path) as worker:
            answer = await deliver(worker, X_MTA_Id="1tABCd-000123-4X")
            refused = await deliver(worker, X_MTA_Id="two words")
            keyed = await deliver(worker, Idempotency_Key="k1")
    finally:
        log.configure("info", "console")
    assert (answer.status_code, refused.status_code, keyed.status_code) == (200, 400, 200)
    first, second = (line for line in lines if " delivered id=" in line)
    assert f"id={answer.json()['id']} mta_id=1tABCd-000123-4X session=" in first
    assert "mta_id" not in second
    assert " name=K" in second
