"""The service as a process: killed, restarted, asked for its health and its API."""

import asyncio
import os
import signal
import sqlite3
import sys
import urllib.request
from pathlib import Path

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from restante.model import ErrorKind, MailError
from restante.rpc.admin_client import read_token
from restante.rpc.client import AdminClient, AuthClient
from tests.services.auth.process import START, AuthProcess, auth_process, environment


def add_fred(auth: AuthProcess) -> None:
    with AdminClient(auth.target, read_token(auth.data / "run", {})) as admin:
        admin.create_domain("example.test")
        admin.create_account("fred@example.test", "secret")


def worker_of(auth: AuthProcess) -> int:
    pid = auth.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


async def outcome(client: AuthClient, user: str, password: str = "secret") -> str:
    try:
        await client.authenticate(user, password, service="imap")
    except MailError as error:
        return error.kind.value
    return "ok"


async def run_once(data: Path, **extra: str) -> tuple[int | None, bytes]:
    """Run a service that is expected to end by itself; return its exit code and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        START,
        env=environment(data, **extra),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            _, log = await process.communicate()
    finally:
        if process.returncode is None:  # it did not end by itself
            process.kill()
    return process.returncode, log


async def test_kill_9_is_temporary_at_worst(data: Path) -> None:
    with auth_process(data) as auth:
        await asyncio.to_thread(add_fred, auth)
        client = AuthClient(auth.target)
        assert await outcome(client, "fred@example.test") == "ok"
        for _ in range(2):
            worker = worker_of(auth)
            logins = [outcome(client, "fred@example.test") for _ in range(20)]
            calls = asyncio.gather(*logins, outcome(client, "nobody@example.test", "x"))
            os.kill(worker, signal.SIGKILL)
            *found, nobody = await calls
            # Nobody is refused who should not be, nobody admitted who should not be.
            assert set(found) <= {"ok", "temporary"}
            assert nobody in ("auth_failed", "temporary")
            async with asyncio.timeout(20):
                while await outcome(client, "fred@example.test") != "ok":
                    pass
        await client.close()


async def test_accounts_survive_a_restart(data: Path) -> None:
    with auth_process(data) as auth:
        await asyncio.to_thread(add_fred, auth)
    with auth_process(data) as auth:
        client = AuthClient(auth.target)
        assert await outcome(client, "fred@example.test") == "ok"
        assert await outcome(client, "fred@example.test", "x") == "auth_failed"
        await client.close()


async def test_a_lost_database_is_temporary(data: Path) -> None:
    with auth_process(data) as auth:
        await asyncio.to_thread(add_fred, auth)
        client = AuthClient(auth.target)
        assert await outcome(client, "fred@example.test") == "ok"
        blocker = sqlite3.connect(data / "auth/accounts.sqlite", isolation_level=None)
        blocker.execute("DROP TABLE accounts")
        assert await outcome(client, "fred@example.test") == "temporary"
        with pytest.raises(MailError) as caught:
            await client.lookup("nobody@example.test")
        assert caught.value.kind is ErrorKind.TEMPORARY
        blocker.close()
        await client.close()


async def test_health_and_reflection(data: Path) -> None:
    with auth_process(data, RESTANTE_AUTH_HEALTH_LISTEN="127.0.0.1:0") as auth:
        async with aio.insecure_channel(auth.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", "restante.rpc.auth.v1.Auth", "restante.rpc.admin.v1.Admin"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            )
            listed = await call.read()
            names = {service.name for service in listed.list_services_response.service}
            assert {"restante.rpc.auth.v1.Auth", "restante.rpc.admin.v1.Admin"} <= names

        url = f"http://{auth.endpoints['health_listen']}/readyz"

        def ready() -> int:
            with urllib.request.urlopen(url) as answer:
                return int(answer.status)

        assert await asyncio.to_thread(ready) == 200


async def test_a_second_service_does_not_take_the_socket(data: Path) -> None:
    with auth_process(data) as auth:
        code, log = await run_once(data)
        assert code == 1
        assert b"already in use" in log
        client = AuthClient(auth.target)
        assert await outcome(client, "fred@example.test") == "auth_failed"
        await client.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODULES", "sql nis"),
        ("MODULES", "sql sql"),
        ("SQL_URL", "mysql://x"),
        ("SQL_URL", "sqlite://"),
        ("DEFAULT_DOMAIN", "a/b"),
        ("ARGON2_TIME", "0"),
        ("LISTEN", "nonsense"),
        ("THROTTLE_PATIENCE_SECONDS", "60"),
    ],
)
async def test_wrong_settings_stop_the_service_with_one_line(
    data: Path, name: str, value: str
) -> None:
    code, log = await run_once(data, **{f"RESTANTE_AUTH_{name}": value})
    assert code == 78
    assert log.count(b"\n") == 1
    assert f"RESTANTE_AUTH_{name}".encode() in log
