"""`restante all` as `make run` starts it, and `restante status` beside it."""

import imaplib
import json
import os
import poplib
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.runtime import runfile
from tests.support.process import ROOT, ServiceProcess, StartError, clean_environment

FREE = {
    f"RESTANTE_{name}": "127.0.0.1:0"
    for name in (
        "AUTH_HEALTH_LISTEN",
        "DELIVERY_LMTP_LISTEN",
        "DELIVERY_HTTP_LISTEN",
        "DELIVERY_HEALTH_LISTEN",
        "POP3_LISTEN",
        "POP3_TLS_LISTEN",
        "POP3_HEALTH_LISTEN",
        "IMAP_LISTEN",
        "IMAP_TLS_LISTEN",
        "IMAP_HEALTH_LISTEN",
        "WEBMAIL_LISTEN",
        "WEBMAIL_HEALTH_LISTEN",
    )
}
SERVICES = ("auth", "delivery", "pop3", "imap", "webmail")


def system(data: Path, **env: str) -> ServiceProcess:
    return ServiceProcess("all", data, {**FREE, **env}, log_path=data.with_suffix(".log"))


def endpoint(data: Path, service: str, field: str = "listen") -> tuple[str, int]:
    run = runfile.read(data / "run", service)
    assert run is not None
    return run.endpoint(field).target


def shown_password(log: str) -> str:
    return str(re.findall(r"^  Password +(\S+)$", log, re.MULTILINE)[-1])


def subjects(data: Path, password: str) -> list[bytes]:
    """Log in by IMAP under TLS as a mail program would; return the subjects in INBOX."""
    context = ssl.create_default_context(cafile=str(data / "tls" / "cert.pem"))
    _, port = endpoint(data, "imap", "tls_listen")
    with imaplib.IMAP4_SSL("localhost", port, ssl_context=context) as imap:
        imap.login("demo@example.test", password)
        imap.select()
        _, found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [part[1].strip() for part in found if isinstance(part, tuple)]


def restante(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services", *words],
        env=clean_environment(data, {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("all") / "data"


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[ServiceProcess]:
    with system(data) as process:
        yield process


def test_what_a_new_user_sees(running: ServiceProcess, data: Path) -> None:
    log = running.log()
    assert log.splitlines()[0].startswith("restante: starting auth, delivery, pop3, imap, webmail")
    for name, service, field in (
        ("IMAP", "imap", "listen"),
        ("IMAPS", "imap", "tls_listen"),
        ("POP3", "pop3", "listen"),
        ("POP3S", "pop3", "tls_listen"),
        ("LMTP", "delivery", "lmtp_listen"),
        ("HTTP hook", "delivery", "http_listen"),
    ):
        _, port = endpoint(data, service, field)
        assert re.search(rf"^  {name} +127\.0\.0\.1:{port} ", log, re.MULTILINE)
    assert re.search(r"^  SHA-256 +([0-9A-F]{2}:){31}[0-9A-F]{2}$", log, re.MULTILINE)
    assert "demo@example.test" in log
    assert "Ctrl-C" in log


def test_the_demo_account_has_its_welcome(running: ServiceProcess, data: Path) -> None:
    password = shown_password(running.log())
    assert subjects(data, password) == [b"Subject: Welcome to Restante"]
    pop3 = poplib.POP3(*endpoint(data, "pop3"), timeout=20)
    pop3.user("demo@example.test")
    pop3.pass_(password)
    assert pop3.stat()[0] == 1
    pop3.quit()


def test_nothing_is_stored_in_clear(running: ServiceProcess, data: Path) -> None:
    password = shown_password(running.log()).encode()
    kept = [p for p in data.rglob("*") if p.is_file() and p != running.log_path]
    assert len(kept) > 10
    assert not [path for path in kept if password in path.read_bytes()]


def test_everything_is_private(running: ServiceProcess, data: Path) -> None:
    assert data.stat().st_mode & 0o777 == 0o700
    for name in ("tls/key.pem", "tls/cert.pem", "run/admin.token", "run/delivery.token"):
        assert (data / name).stat().st_mode & 0o777 == 0o600, name


def test_status(running: ServiceProcess, data: Path) -> None:
    done = restante(data, "status", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["service"]: row for row in json.loads(done.stdout)}
    assert tuple(rows) == SERVICES
    assert all(row["ready"] for row in rows.values())
    host, port = endpoint(data, "imap")
    assert rows["imap"]["addresses"]["IMAP"] == f"{host}:{port}"
    assert len(restante(data, "status").stdout.splitlines()) == len(SERVICES)


def test_a_second_one_on_the_same_data_is_refused(running: ServiceProcess, data: Path) -> None:
    done = restante(data, "all")
    assert done.returncode == 1
    assert done.stderr == f"restante: Restante is running on {data} already\n"


def test_a_killed_service_comes_back(running: ServiceProcess, data: Path) -> None:
    before = runfile.read(data / "run", "pop3")
    assert before is not None
    handle = os.pidfd_open(before.pid)
    os.kill(before.pid, signal.SIGKILL)
    os.close(handle)
    with running.log_path.open() as log:
        log.seek(0)
        wait_for_line(running, "pop3     | ended with signal 9; started again")
        wait_for_line(running, "pop3: ready", 2)
    after = runfile.read(data / "run", "pop3")
    assert after is not None
    assert after.pid != before.pid
    poplib.POP3(*endpoint(data, "pop3"), timeout=20).quit()


def wait_for_line(process: ServiceProcess, part: str, count: int = 1) -> None:
    """Follow the log until a line has come `count` times; the file tells nobody, so look again."""
    import time

    end = time.monotonic() + 30
    while process.log().count(part) < count:
        assert time.monotonic() < end, process.log()
        time.sleep(0.02)


@pytest.mark.slow
def test_restart_keeps_data_and_gives_a_new_password(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with system(data) as first:
        old = shown_password(first.log())
        with imaplib.IMAP4(*endpoint(data, "imap")) as imap:
            imap.login("demo@example.test", old)
            imap.append("INBOX", "", "", b"Subject: kept\r\n\r\nx\r\n")
        first.signal(signal.SIGINT)
        assert first.wait(40) == 0
        assert first.log().rstrip().endswith("restante: stopped")
    certificate = (data / "tls" / "cert.pem").read_bytes()
    with system(data, RESTANTE_DEMO_PASSWORD="of my own") as second:
        assert "Password     of my own" in second.log()
        with (
            imaplib.IMAP4(*endpoint(data, "imap")) as imap,
            pytest.raises(imaplib.IMAP4.error),
        ):
            imap.login("demo@example.test", old)
        assert subjects(data, "of my own") == [b"Subject: Welcome to Restante", b"Subject: kept"]
        assert second.stop(40) == 0
    assert (data / "tls" / "cert.pem").read_bytes() == certificate
    assert restante(data, "status").returncode == 5


@pytest.mark.slow
def test_sessions_are_drained(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with system(data) as process:
        idle = socket.create_connection(endpoint(data, "imap"), timeout=30)
        assert idle.recv(1000).startswith(b"* OK")
        process.signal(signal.SIGTERM)
        rest = b""
        while part := idle.recv(1000):
            rest += part
        assert rest.startswith(b"* BYE")
        assert process.wait(40) == 0


def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError) as caught:
            system(tmp_path / "data", RESTANTE_IMAP_LISTEN=address).start(60)
    head, *lines = str(caught.value).splitlines()
    assert head == "all ended with code 1:"
    assert lines[0].startswith("restante: starting")
    assert lines[1:] == [
        f"restante: imap: cannot listen on {address}: the address is already in use"
    ]


def test_wrong_setting_of_a_service_is_shown(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"RESTANTE_POP3_LISTEN: 'x': expected") as caught:
        system(tmp_path / "data", RESTANTE_POP3_LISTEN="x").start(60)
    assert str(caught.value).splitlines()[-1] == "restante: pop3 ended with exit code 78"


def test_unmarked_mail_root_is_not_taken(tmp_path: Path) -> None:
    """A mail volume that is not mounted must be noticed, not replaced by an empty directory."""
    (tmp_path / "mnt").mkdir()
    with pytest.raises(StartError, match="restante volume init"):
        system(tmp_path / "data", RESTANTE_MAIL_ROOT=str(tmp_path / "mnt")).start(60)
    assert list((tmp_path / "mnt").iterdir()) == []


def test_path_that_no_socket_can_have(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="the path of RESTANTE_DATA is too long for a socket"):
        system(tmp_path / ("x" * 100)).start(60)


@pytest.mark.slow
def test_json_stays_json_and_userdb_needs_no_demo(tmp_path: Path) -> None:
    env = {"RESTANTE_LOG_FORMAT": "json", "RESTANTE_AUTH_MODULES": "userdb"}
    with system(tmp_path / "data", **env) as process:
        assert process.stop(40) == 0
        lines = [json.loads(line) for line in process.log().splitlines()]
    (running,) = [line for line in lines if line["event"] == "running"]
    assert set(running["endpoints"]) >= {"IMAP", "POP3S", "LMTP"}
    assert running["demo_trouble"] == "RESTANTE_AUTH_MODULES is without sql"
    assert "demo_password" not in running
