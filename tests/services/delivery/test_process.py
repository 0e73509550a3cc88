"""The delivery service as a real process: TLS, unix socket, workers, both hooks, restarts."""

import asyncio
import http.client
import json
import os
import signal
import smtplib
import socket
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from restante.cli.cert import make_certificate
from tests.support import ServiceProcess, System
from tests.support.process import StartError
from tests.support.system import unique_message

FRED = "fred@example.test"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(
        tmp_path_factory.mktemp("delivery"), ("delivery",), {"RESTANTE_WORKERS": "2"}
    ) as system:
        system.add_account(FRED, "secret1")
        system.add_account("ann@example.test", "secret1")
        yield system


def stored(system: System, address: str = FRED) -> list[bytes]:
    local, _, domain = address.partition("@")
    new = system.mail_root / domain / local[:1] / local[:2] / local / "Maildir" / "new"
    return [file.read_bytes() for file in sorted(new.iterdir())] if new.exists() else []


def post(
    system: System, body: bytes, *recipients: str, **headers: str
) -> tuple[int, dict[str, Any]]:
    token = (system.data / "run" / "delivery.token").read_text().strip()
    query = urllib.parse.urlencode({"sender": "bob@x.test", "recipient": recipients}, doseq=True)
    connection = http.client.HTTPConnection(*system.address("delivery", "http_listen"), timeout=10)
    try:
        connection.request(
            "POST",
            f"/v1/deliver?{query}",
            body,
            {
                "Authorization": f"Bearer {token}",
                "Content-Type": "message/rfc822",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class Raw:
    """A socket that speaks LMTP byte by byte."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address)
        self.socket.settimeout(10)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def reply(self) -> list[bytes]:
        lines = []
        while True:
            line = self.file.readline()
            lines.append(line.rstrip(b"\r\n"))
            if line[3:4] != b"-":
                return lines

    def ask(self, line: bytes) -> list[bytes]:
        self.socket.sendall(line + b"\r\n")
        return self.reply()


def test_smtplib(system: System) -> None:
    before = len(stored(system))
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        assert client.sendmail("bob@x.test", FRED, unique_message("one")) == {}
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("bob@x.test", "nobody@example.test", unique_message())
        assert refused.value.recipients["nobody@example.test"][0] == 550
    assert len(stored(system)) == before + 1


def test_both_hooks_store_alike(system: System) -> None:
    status, answer = post(system, unique_message("by http"), FRED, "ann@example.test")
    assert status == 200, answer
    assert any(b"Subject: by http\n" in message for message in stored(system))
    assert any(b"with HTTP id " in message for message in stored(system, "ann@example.test"))


def test_a_key_holds_for_all_workers(system: System) -> None:
    body = unique_message("keyed")
    rows = [post(system, body, FRED, Idempotency_Key="w-1")[1]["recipients"][0] for _ in range(6)]
    assert sorted(row["status"] for row in rows) == ["delivered", *["duplicate"] * 5]
    assert sum(b"Subject: keyed\n" in message for message in stored(system)) == 1


def test_starttls(system: System) -> None:
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen"), "client.test") as client:
        client.ehlo()
        assert client.has_extn("starttls")
        client._host = "localhost"  # type: ignore[attr-defined] # the name in the certificate
        client.starttls(context=system.tls_client())
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.sendmail("bob@x.test", FRED, unique_message("under tls")) == {}
    message = next(m for m in stored(system) if b"Subject: under tls\n" in m)
    assert b"with LMTPS id " in message


def test_starttls_injection(system: System) -> None:
    """CVE-2021-33515: what comes in clear behind STARTTLS is never read as sent under TLS."""
    with Raw(system.address("delivery", "lmtp_listen")) as raw:
        raw.reply()
        raw.ask(b"LHLO client.test")
        raw.socket.sendall(b"STARTTLS\r\nLHLO evil.test\r\nMAIL FROM:<evil@x>\r\n")
        assert raw.reply()[0].startswith(b"220")
        tls = system.tls_client().wrap_socket(raw.socket, server_hostname="localhost")
        tls.settimeout(10)
        # LHLO must be said again, and the first answer under TLS is to the first command there.
        tls.sendall(b"MAIL FROM:<a@b.test>\r\n")
        assert tls.recv(4096).startswith(b"503 5.5.1 LHLO first")
        tls.sendall(b"NOOP\r\n")
        assert tls.recv(4096).startswith(b"250")
        tls.close()


def _stores(system: System) -> bool:
    try:
        with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
            return client.sendmail("bob@x.test", FRED, unique_message("after")) == {}
    except (OSError, smtplib.SMTPException):
        return False


def test_a_worker_that_is_killed_is_replaced(system: System) -> None:
    victims = system["delivery"].worker_pids()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if set(system["delivery"].worker_pids()).isdisjoint(victims) and _stores(system):
            break
        system["delivery"].http("/readyz")
    assert any(b"Subject: after\n" in message for message in stored(system))


def test_unix_socket_with_xclient(tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    env = {"RESTANTE_DELIVERY_LMTP_LISTEN": f"unix:{path}", "RESTANTE_DELIVERY_HTTP_LISTEN": ""}
    with System(tmp_path, ("delivery",), env) as system:
        system.add_account(FRED, "secret1")
        with Raw(str(path)) as raw:
            assert raw.reply()[0].startswith(b"220 ")
            assert any(line.startswith(b"250 XCLIENT ") for line in raw.ask(b"LHLO here"))
            assert raw.ask(b"XCLIENT ADDR=192.0.2.9 HELO=far.test")[0].startswith(b"220")
            raw.ask(b"LHLO here")
            raw.ask(b"MAIL FROM:<>")
            raw.ask(b"RCPT TO:<fred@example.test>")
            raw.ask(b"DATA")
            assert raw.ask(b"A: b\r\n\r\nx\r\n.")[0].startswith(b"250 2.1.5")
        assert b"from far.test ([192.0.2.9])\n" in stored(system)[0]


def test_auth_down_defers_and_comes_back(tmp_path: Path) -> None:
    with System(tmp_path, ("delivery",), {"RESTANTE_DELIVERY_LOOKUP_CACHE": "0"}) as system:
        system.add_account(FRED, "secret1")
        system["auth"].stop()
        with Raw(system.address("delivery", "lmtp_listen")) as raw:
            raw.reply()
            raw.ask(b"LHLO here")
            raw.ask(b"MAIL FROM:<>")
            assert raw.ask(b"RCPT TO:<fred@example.test>")[0].startswith(b"451 4.3.0 ")
            assert post(system, b"A: b\r\n\r\n", FRED)[0] == 503
            system["auth"].start()
            assert raw.ask(b"RCPT TO:<fred@example.test>")[0].startswith(b"250")


def test_no_start_without_the_volume(tmp_path: Path) -> None:
    service = ServiceProcess("delivery", tmp_path / "data")
    service.spawn()
    assert service.wait() != 0
    assert ".restante-volume" in service.log()
    service.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESTANTE_DELIVERY_OVER_QUOTA", "550"),
        ("RESTANTE_DELIVERY_HTTP_TOKEN", "short"),
        ("RESTANTE_DELIVERY_LMTP_LISTEN", "nowhere"),
        ("RESTANTE_DELIVERY_TRUSTED_PEERS", "10.0.0.0/99"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, name: str, value: str) -> None:
    service = ServiceProcess("delivery", tmp_path / "data", {name: value})
    service.spawn()
    assert service.wait() == 78
    (line,) = service.log().strip().splitlines()
    assert line.startswith(f"restante: wrong settings: {name}: ")
    service.stop()


def test_a_stopped_service_finishes_what_it_has_begun(tmp_path: Path) -> None:
    with System(tmp_path, ("delivery",)) as system:
        system.add_account(FRED, "secret1")
        with Raw(system.address("delivery", "lmtp_listen")) as raw:
            raw.reply()
            raw.ask(b"LHLO here")
            raw.ask(b"MAIL FROM:<>")
            raw.ask(b"RCPT TO:<fred@example.test>")
            raw.ask(b"DATA")
            system["delivery"].signal(signal.SIGTERM)
            assert raw.ask(b"A: b\r\n\r\nx\r\n.")[0].startswith(b"250")
            assert raw.reply()[0].startswith(b"421")
        assert system["delivery"].wait() == 0
        assert len(stored(system)) == 1


async def test_sixteen_connections(system: System) -> None:
    host, port = system.address("delivery", "lmtp_listen")

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        transaction = (
            b"MAIL FROM:<>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n"
            + unique_message(f"many {number}")
            + b".\r\n"
        )
        writer.write(b"LHLO x\r\n" + transaction * 5 + b"QUIT\r\n")
        replies = (await reader.read()).split(b"\r\n")
        assert sum(line.startswith(b"250 2.1.5 <") for line in replies) == 5
        writer.close()

    before = len(stored(system, "ann@example.test"))
    await asyncio.gather(*map(one, range(16)))
    assert len(stored(system, "ann@example.test")) == before + 80


def test_plain_http_under_tls_port_is_no_crash(system: System) -> None:
    with Raw(system.address("delivery", "http_listen")) as raw:
        raw.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100)
        raw.socket.shutdown(socket.SHUT_WR)
        while raw.socket.recv(4096):
            pass
    assert system["delivery"].http("/healthz", "http_listen")[0] == 200
    assert isinstance(system.tls_client(), ssl.SSLContext)


def test_the_http_hook_with_tls_that_is_renewed(tmp_path: Path) -> None:
    with System(tmp_path, ("delivery",), {"RESTANTE_DELIVERY_HTTP_TLS": "true"}) as own:

        def ask(context: ssl.SSLContext) -> int:
            port = own.address("delivery", "http_listen")[1]
            client = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
            try:
                client.request("GET", "/healthz")
                return client.getresponse().status
            finally:
                client.close()

        first = own.tls_client()
        assert ask(first) == 200
        make_certificate(own.certificate, own.data / "tls" / "key.pem", ["localhost"])
        give_up = time.monotonic() + 30
        while True:
            try:
                assert ask(own.tls_client()) == 200
                break
            except ssl.SSLCertVerificationError:
                assert time.monotonic() < give_up  # files are looked at once a second
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(first)


def test_half_a_pair_for_the_http_hook_is_told(tmp_path: Path) -> None:
    env = {"RESTANTE_DELIVERY_HTTP_CERTIFICATE": str(tmp_path / "c.pem")}
    with pytest.raises(StartError, match="RESTANTE_DELIVERY_HTTP_CERTIFICATE and _HTTP_KEY"):
        System(tmp_path, ("delivery",), env).start()
