"""The life of a service, with real processes."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from restante.runtime import runfile
from tests.support import ServiceProcess, StartError

COMMAND = (sys.executable, "-m", "tests.unit.runtime.example")


def example(tmp_path: Path, **env: str) -> ServiceProcess:
    return ServiceProcess("example", tmp_path, env, command=COMMAND)


def dial(service: ServiceProcess) -> socket.socket:
    endpoint = service.endpoint()
    if endpoint.is_unix:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(endpoint.path)
        return sock
    return socket.create_connection(endpoint.target, timeout=20)


def ask(service: ServiceProcess, command: bytes) -> bytes:
    """Send one command; return the whole answer."""
    with dial(service) as sock:
        sock.sendall(command)
        answer = b""
        while data := sock.recv(1000):
            answer += data
        return answer


def greeting(service: ServiceProcess) -> bytes:
    """Return what the service says by itself."""
    with dial(service) as sock:
        return sock.recv(100)


def hold(service: ServiceProcess, command: bytes = b"hold") -> tuple[socket.socket, int]:
    """Open a session that stays; return it and its worker's pid."""
    sock = dial(service)
    sock.sendall(command)
    return sock, int(sock.recv(100).removeprefix(b"held "))


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait for something that only another process knows."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@pytest.mark.parametrize("unix", [False, True])
def test_all_workers_share_the_address(tmp_path: Path, unix: bool) -> None:
    listen = f"unix:{tmp_path}/s" if unix else "127.0.0.1:0"
    with example(tmp_path, RESTANTE_WORKERS="2", RESTANTE_EXAMPLE_LISTEN=listen) as service:
        workers = service.worker_pids()
        assert len(workers) == 2
        seen: set[bytes] = set()
        until(lambda: len(seen.add(ask(service, b"pid")) or seen) == 2, "both workers accept")  # type: ignore[func-returns-value] # add() returns None on purpose
        assert {int(pid) for pid in seen} == set(workers)
        run = runfile.read(tmp_path / "run", "example")
        assert run is not None
        assert (run.pid, run.workers) == (service.pid, 2)
        assert service.stop() == 0
    assert runfile.read(tmp_path / "run", "example") is None
    assert not (tmp_path / "s").exists()
    assert list((tmp_path / "run").rglob("*.db")) == []


def test_health_and_metrics_of_all_workers(tmp_path: Path) -> None:
    with example(tmp_path, RESTANTE_WORKERS="2") as service:
        for _ in range(20):
            ask(service, b"pid")
        held = [hold(service)[0] for _ in range(3)]
        assert service.http("/livez") == (200, "live\n")
        assert service.http("/readyz") == (200, "ready\n")
        assert service.http("/other")[0] == 404
        wanted = ('example_sessions_total{service="example"} 23', 'held{service="example"} 3')
        until(lambda: all(w in service.http("/metrics")[1] for w in wanted), "what was counted")
        text = service.http("/metrics")[1]
        assert 'restante_workers{service="example",state="ready"} 2' in text
        assert 'restante_ready{service="example"} 1' in text
        assert 'restante_build_info{service="example",version=' in text
        for sock in held:
            sock.close()


def test_counters_survive_their_workers(tmp_path: Path) -> None:
    """However many workers die, no counter falls and nothing piles up."""
    with example(tmp_path, RESTANTE_WORKERS="1") as service:

        def counted() -> int:
            found = re.search(r"example_sessions_total\{.*\} (\d+)", service.http("/metrics")[1])
            return int(found[1]) if found else 0

        def counts(number: int) -> bool:
            return counted() == number

        def replaced(old: int) -> bool:
            return service.worker_pids() not in ([], [old])

        for number in range(1, 6):
            ask(service, b"pid")
            until(partial(counts, number), "the session")
            (victim,) = service.worker_pids()
            os.kill(victim, signal.SIGKILL)
            until(partial(replaced, victim), "a new worker")
            until(lambda: service.http("/readyz")[0] == 200, "a ready worker")
            assert counted() == number
        assert 'restarts_total{service="example"} 5' in service.http("/metrics")[1]
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["example.json"]


def test_health_server_is_not_held_up_by_odd_clients(tmp_path: Path) -> None:
    with example(tmp_path) as service:
        address = service.address("health_listen")
        silent = socket.create_connection(address, timeout=20)
        for request in (b"x" * 5000, b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe / HTTP/1.0\r\n\r\n"):
            with socket.create_connection(address, timeout=20) as sock:
                sock.sendall(request)
                assert sock.recv(100).startswith(b"HTTP/1.0 40")
        with socket.create_connection(address, timeout=20) as sock:
            sock.sendall(b"POST /livez HTTP/1.0\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.0 405")
        with socket.create_connection(address, timeout=20) as sock:
            for byte in b"GET /livez?x HTTP/1.1\r\nHost: a\r\n\r\n":
                sock.sendall(bytes([byte]))
            assert sock.recv(100).startswith(b"HTTP/1.0 200 OK")
        assert service.http("/livez")[0] == 200
        silent.close()


def test_killed_worker_is_restarted_and_its_counts_cleared(tmp_path: Path) -> None:
    env = {"RESTANTE_WORKERS": "2", "RESTANTE_EXAMPLE_MAX_CONNECTIONS": "4"}
    with example(tmp_path, **env) as service:
        held = [hold(service) for _ in range(4)]
        assert greeting(service) == b"busy"
        victim = held[0][1]
        theirs = sum(pid == victim for _, pid in held)
        os.kill(victim, signal.SIGKILL)
        until(
            lambda: len(service.worker_pids()) == 2 and victim not in service.worker_pids(),
            "a new worker",
        )
        again = [hold(service)[0] for _ in range(theirs)]
        assert greeting(service) == b"busy"
        assert 'restarts_total{service="example"} 1' in service.http("/metrics")[1]
        for sock in [*again, *(sock for sock, _ in held)]:
            sock.close()
        assert "a worker died and is started again" in service.log()
        assert service.stop() == 0


def test_worker_that_ends_itself_is_restarted_again_and_again(tmp_path: Path) -> None:
    with example(tmp_path) as service:
        for _ in range(3):
            before = service.worker_pids()
            assert ask(service, b"crash") == b""
            until(lambda b=before: service.worker_pids() not in ([], b), "a new worker")  # type: ignore[misc] # the default binds the value
            until(lambda: service.http("/readyz")[0] == 200, "ready again")
        assert ask(service, b"pid").isdigit()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains(tmp_path: Path, number: int) -> None:
    with example(tmp_path, RESTANTE_WORKERS="2") as service:
        held = [hold(service)[0] for _ in range(4)]
        service.signal(number)
        for sock in held:
            assert b" bye" in sock.recv(100)
            sock.close()
        assert service.wait() == 0
        assert "stopped" in service.log()


def test_drain_is_bounded(tmp_path: Path) -> None:
    with example(tmp_path, RESTANTE_DRAIN_SECONDS="0.3") as service:
        sock, _ = hold(service, b"deaf")
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        sock.close()


def test_second_signal_does_not_wait(tmp_path: Path) -> None:
    with example(tmp_path, RESTANTE_DRAIN_SECONDS="600") as service:
        sock, _ = hold(service, b"deaf")
        service.signal(signal.SIGINT)
        until(lambda: "stopping" in service.log(), "it drains")
        assert service.http("/readyz") == (503, "stopping\n")
        service.signal(signal.SIGINT)
        assert service.wait() == 0
        sock.close()


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    service = example(tmp_path, RESTANTE_WORKERS="2").start()
    workers = service.worker_pids()
    sock, _ = hold(service)
    os.kill(service.pid, signal.SIGKILL)
    service.wait()
    assert b" bye" in sock.recv(100)
    sock.close()
    until(lambda: not any(map(alive, workers)), "workers end by themselves")
    with service.start():  # and the address is free again
        assert ask(service, b"pid").isdigit()


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended but was not waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_service_ends_when_its_supervisor_is_gone(tmp_path: Path) -> None:
    with example(tmp_path) as service:
        service._close()  # the other end of the readiness socket
        assert service.wait() == 0
        assert "supervisor is gone" in service.log()


@pytest.mark.parametrize("fault", ["cannot", "crash"])
def test_fault_at_the_first_start_ends_the_service(tmp_path: Path, fault: str) -> None:
    with pytest.raises(StartError) as caught:
        example(tmp_path, RESTANTE_EXAMPLE_FAULT=fault).start()
    text = str(caught.value)
    if fault == "cannot":
        assert "ended with code 1" in text
        assert 'cannot start reason="the example cannot"' in text
        assert "Traceback" not in text
    else:
        assert "RuntimeError: a fault of ours" in text


def test_a_start_that_hangs_can_be_stopped(tmp_path: Path) -> None:
    service = example(tmp_path, RESTANTE_EXAMPLE_FAULT="slow")
    service.spawn()
    until(lambda: runfile.read(tmp_path / "run", "example") is not None, "it runs")
    until(lambda: len(service.worker_pids()) == 1, "its worker runs")
    status, text = service.http("/readyz")
    assert (status, text) == (503, "not ready: worker 0: starting\n")
    assert service.stop() == 0


def test_address_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            example(tmp_path, RESTANTE_EXAMPLE_LISTEN=f"127.0.0.1:{port}").start()
    lines = str(caught.value).splitlines()
    assert lines[0] == "example ended with code 1:"
    assert len(lines) == 2
    assert f'cannot start reason="cannot listen on 127.0.0.1:{port}: ' in lines[1]
    assert "already in use" in lines[1]


def test_a_second_one_does_not_share_the_port(tmp_path: Path) -> None:
    with example(tmp_path / "a") as first:
        address = str(first.endpoint())
        with pytest.raises(StartError, match="already in use"):
            example(tmp_path / "b", RESTANTE_EXAMPLE_LISTEN=address).start()
        path = tmp_path / "s"
    with (
        example(tmp_path / "a", RESTANTE_EXAMPLE_LISTEN=f"unix:{path}"),
        pytest.raises(StartError, match="already in use"),
    ):
        example(
            tmp_path / "b", RESTANTE_EXAMPLE_LISTEN=f"unix:{path}", RESTANTE_WORKERS="2"
        ).start()


def test_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with example(tmp_path, RESTANTE_EXAMPLE_LISTEN=f"unix:{path}") as service:
        assert ask(service, b"pid").isdigit()


def test_wrong_setting_exits_78(tmp_path: Path) -> None:
    with pytest.raises(StartError) as caught:
        example(tmp_path, RESTANTE_EXAMPLE_LISTEN="nowhere").start()
    lines = str(caught.value).splitlines()
    assert lines[0] == "example ended with code 78:"
    assert lines[1:] == [
        "restante: wrong settings: RESTANTE_EXAMPLE_LISTEN: 'nowhere': "
        "expected host:port, [ipv6]:port, *:port or unix:/path"
    ]


def test_readiness_for_systemd(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(20)
        notify.bind(str(tmp_path / "notify"))
        with example(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")) as service:
            assert notify.recv(100) == b"READY=1"
            service.signal(signal.SIGTERM)
            assert notify.recv(100) == b"STOPPING=1"


def test_run_directory_is_private(tmp_path: Path) -> None:
    with example(tmp_path / "data"):
        assert (tmp_path / "data" / "run").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "data" / "run" / "example.json").stat().st_mode & 0o777 == 0o600
