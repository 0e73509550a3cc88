"""The page, its headers, and the service as a process."""

import re
from pathlib import Path

import httpx
import pytest

from services.webmail.app import create_app
from tests.support import ServiceProcess


@pytest.fixture
async def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://mail")


@pytest.mark.parametrize("path", ["/", "/style.css", "/nothing", "/../main.py", "/docs"])
async def test_every_answer_carries_the_security_headers(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == (200 if path in ("/", "/style.css") else 404)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


async def test_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "<html lang=" in page
    assert re.findall(r"""(?:src|href)=["']([^"']+)""", page) == ["/style.css"]
    assert "<script" not in page
    assert " style=" not in page
    assert "url(" not in (await client.get("/style.css")).text


async def test_only_reading(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405
    head = await client.head("/")
    assert head.status_code == 200
    assert head.content == b""


def test_as_a_process(tmp_path: Path) -> None:
    with ServiceProcess("webmail", tmp_path, {"RESTANTE_WORKERS": "4"}) as webmail:
        assert webmail.http("/readyz") == (200, "ready\n")
        status, page = webmail.http("/", "listen")
        assert (status, "Restante" in page) == (200, True)
        assert len(webmail.worker_pids()) == 1, "one worker whatever RESTANTE_WORKERS says"
        assert 'restante_workers{service="webmail",state="ready"} 1' in webmail.http("/metrics")[1]
        assert webmail.stop() == 0
    assert not (tmp_path / "run" / "webmail.json").exists()
