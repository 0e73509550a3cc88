"""`restante healthy`: the check that containers run every few seconds."""

import ast
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from restante.cli import endpoints, healthy
from restante.runtime.runfile import RunFile


@contextmanager
def _answering(status: bytes) -> Iterator[str]:
    """An HTTP server for one request."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.0 " + status + b"\r\n\r\nworker 0: starting\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


def _running(run_dir: Path, name: str, address: str) -> None:
    run_dir.mkdir(exist_ok=True)
    RunFile(name, os.getpid(), 1, 0.0, {"health_listen": address}).write(run_dir)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTANTE_DATA", str(tmp_path))
    return tmp_path / "run"


def test_ready(run_dir: Path) -> None:
    with _answering(b"200 OK") as address:
        _running(run_dir, "imap", address)
        assert healthy.main([]) == 0


def test_not_ready_says_why(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _answering(b"503 Service Unavailable") as address:
        _running(run_dir, "imap", address)
        assert healthy.main(["imap"]) == 1
    assert "imap: worker 0: starting" in capsys.readouterr().err


def test_nothing_runs(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert healthy.main([]) == 1
    assert healthy.main(["pop3"]) == 1
    assert healthy.main(["smtp"]) == 2
    assert "no service 'smtp'" in capsys.readouterr().err


def test_it_knows_the_services() -> None:
    assert healthy._SERVICES == endpoints.SERVICES


def test_it_loads_next_to_nothing() -> None:
    """It runs every few seconds in every container."""
    loaded = "import sys; sys.argv = ['restante', 'healthy']; from services.__main__ import main;"
    loaded += " main(); print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    heavy = {"pydantic_core", "typer", "http", "email", "asyncio", "structlog", "cryptography"}
    assert not heavy & set(ast.literal_eval(done.stdout))
