"""No password, token or text of a message reaches a log line or a trace, whatever goes wrong.

Every way in is used with marked secrets, right and wrong, at level debug and with all traces kept.
"""

import base64
import contextlib
import hmac
import imaplib
import poplib
import smtplib
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from restante.model import MailError
from restante.rpc.admin_client import AdminClient
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.self.v1 import self_pb2, self_pb2_grpc
from tests.services.logs.collector import Collector
from tests.support import System
from tests.support.scram import ScramClient

FRED, JANE = "fred@example.test", "jane@example.test"
RIGHT, WRONG, CHANGED = "xqRIGHTzk9 phrase", "xqWRONGzk9 phrase", "xqCHANGEDzk9 phrase"
TOKEN, SUBJECT, BODY = "xqTOKENzk9.aa.bb", "xqSUBJECTzk9", "xqBODYzk9"
MARKS = [RIGHT, WRONG, CHANGED, TOKEN, SUBJECT, BODY]
MESSAGE = (
    f"From: a@b.test\r\nSubject: {SUBJECT}\r\nX-Broken {SUBJECT}\r\n"
    f"Content-Type: multipart/mixed; boundary={BODY}\r\n\r\n--{BODY}\r\n{BODY} =?x\r\n"
).encode()
MECHANISMS = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN OAUTHBEARER XOAUTH2 EXTERNAL"


class Secrets:
    """What was sent and must not be found: marks, and all that was made of them."""

    def __init__(self) -> None:
        self.forms: set[bytes] = {mark.encode() for mark in MARKS}

    def sent(self, data: bytes) -> bytes:
        """Note octets that hold a secret, as they are and in base64 and hex."""
        if not data:
            return data
        self.forms |= {data, base64.b64encode(data), data.hex().encode()}
        return data

    def coded(self, data: bytes) -> bytes:
        """Note them; return their base64."""
        return base64.b64encode(self.sent(data))


@pytest.fixture
def secrets() -> Iterator[Secrets]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    yield Secrets()
    socket.setdefaulttimeout(before)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def system(tmp_path: Path, collector: Collector) -> Iterator[System]:
    env = {
        "RESTANTE_LOG_LEVEL": "debug",
        "RESTANTE_OTLP_ENDPOINT": collector.url,
        "RESTANTE_OTLP_SHARE": "1",
        "RESTANTE_SASL_MECHANISMS": MECHANISMS,
        "RESTANTE_AUTH_DERIVE": "scram-sha-256 cram-md5",
        "RESTANTE_AUTH_DEBUG_LOGIN": "true",
        "RESTANTE_AUTH_HTTP_LISTEN": "127.0.0.1:0",
        "RESTANTE_AUTH_AUTHDAEMON_LISTEN": f"unix:{tmp_path}/authdaemon",
        "RESTANTE_AUTH_AUTHDAEMON_PASSWORDS": "true",
    }
    with System(tmp_path, env=env) as system:
        system.add_account(FRED, RIGHT)
        system.add_account(JANE, RIGHT)
        yield system


def test_nothing_secret_is_written(
    system: System, collector: Collector, secrets: Secrets, tmp_path: Path
) -> None:
    for password in (RIGHT, WRONG):
        imap(system, secrets, password)
        pop3(system, secrets, password)
        courier(tmp_path, secrets, password)
        webmail(system, secrets, password)
    for token in (TOKEN, (system.data / "run/delivery.token").read_text().strip()):
        http(system, secrets, token)
    for token in (TOKEN, system.admin_token):
        admin(system, secrets, token)
    lmtp(system)
    out_of_step(system, secrets)
    secrets.sent((system.data / "run/delivery.token").read_text().strip().encode())
    secrets.sent(system.admin_token.encode())
    services = list(system.services.values())
    system.stop()
    logs = {service.name: service.log() for service in services}
    assert logs["imap"].count("login failed") >= 5
    assert logs["auth"].count("login debug") >= 20
    assert "delivered" in logs["delivery"]
    names = {(span.service, span.name) for span in collector.spans}
    assert {("restante-imap", "imap login"), ("restante-delivery", "store")} <= names
    texts = {name: log.encode() for name, log in logs.items()}
    texts["traces"] = b"\0".join(collector.raw)
    found = {(name, form) for name, text in texts.items() for form in secrets.forms if form in text}
    assert not found
    # The search finds what is there.
    assert all(FRED.encode() in texts[name] for name in ("imap", "auth", "traces"))
    assert JANE.encode() in texts["pop3"]


# --- every way in -------------------------------------------------------------------------------


def attempts(
    secrets: Secrets, password: str, user: str = FRED
) -> list[tuple[str, Callable[[bytes], bytes]]]:
    """Return SASL mechanisms, each with its answers to challenges."""
    scram = ScramClient(user, password)
    scram_steps = iter((lambda _: scram.first(), scram.final, lambda _: b""))
    login_steps = iter((user.encode(), password.encode()))

    def cram(challenge: bytes) -> bytes:
        digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
        return user.encode() + b" " + secrets.sent(digest.encode())

    def by_scram(challenge: bytes) -> bytes:
        answer = next(scram_steps)(challenge)
        return secrets.sent(answer) if answer else b""

    bearer = f"user={user}\1auth=Bearer {TOKEN}\1\1".encode()
    return [
        ("PLAIN", lambda _: secrets.sent(f"\0{user}\0{password}".encode())),
        ("LOGIN", lambda _: next(login_steps)),
        ("CRAM-MD5", cram),
        ("SCRAM-SHA-256", by_scram),
        ("XOAUTH2", lambda challenge: b"" if challenge else secrets.sent(bearer)),
        ("OAUTHBEARER", lambda challenge: b"\1" if challenge else secrets.sent(b"n,," + bearer)),
    ]


def imap(system: System, secrets: Secrets, password: str) -> None:
    def connect() -> imaplib.IMAP4:
        port = system.address("imap", "tls_listen")[1]
        return imaplib.IMAP4_SSL("localhost", port, ssl_context=system.tls_client())

    for mechanism, answer in attempts(secrets, password):
        client = connect()
        with contextlib.suppress(imaplib.IMAP4.error):
            client.authenticate(mechanism, answer)
        client.shutdown()
    client = connect()
    with contextlib.suppress(imaplib.IMAP4.error):
        client.login(FRED, password)
        client.select()
        client.append("INBOX", "", "", MESSAGE)
        client.search(None, "BODY", BODY, "SUBJECT", SUBJECT)
        client.fetch("1:*", "(BODY[] ENVELOPE BODYSTRUCTURE)")
        client.create(f"{BODY}/..")
    client.shutdown()
    plain = secrets.coded(f"\0{FRED}\0{password}".encode())
    with tls(system, "imap") as raw:
        raw.sendall(
            b"a AUTHENTICATE PLAIN %b\r\nb AUTHENTICATE PLAIN %b!\r\nc LOGIN x %b\r\n"
            b"d LOGIN {3+}\r\nfoo {999999999}\r\n" % (plain, plain, password.encode())
        )
        raw.recv(65536)


def pop3(system: System, secrets: Secrets, password: str) -> None:
    def connect() -> poplib.POP3:
        port = system.address("pop3", "tls_listen")[1]
        return poplib.POP3_SSL("localhost", port, context=system.tls_client())

    for mechanism, answer in attempts(secrets, password, JANE):
        client = connect()
        with contextlib.suppress(poplib.error_proto):
            line = client._shortcmd  # type: ignore[attr-defined]
            said = line(f"AUTH {mechanism}")
            while said.startswith(b"+ "):
                reply = answer(base64.b64decode(said[2:]))
                said = line(base64.b64encode(reply).decode())
        client.close()
    client = connect()
    with contextlib.suppress(poplib.error_proto):
        client.user(JANE)
        client.pass_(password)
        client.retr(1)
    client.close()
    with tls(system, "pop3") as raw:
        raw.sendall(
            b"PASS %b\r\nAUTH PLAIN %b extra\r\nAPOP %b %b\r\n"
            % ((password.encode(),) + (secrets.coded(password.encode()),) * 3)
        )
        raw.recv(65536)


def courier(folder: Path, secrets: Secrets, password: str) -> None:
    fields = f"imap\nlogin\n{FRED}\n{password}\n".encode()
    for request in (
        b"AUTH %d\n%b" % (len(fields), secrets.sent(fields)),
        b"PASSWD imap\t%b\t%b\t%b\n" % (FRED.encode(), password.encode() + b"?", CHANGED.encode()),
        b"PRE . imap %b\n" % FRED.encode(),
        b"NONSENSE %b\n" % password.encode(),
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(folder / "authdaemon"))
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass


def webmail(system: System, secrets: Secrets, password: str) -> None:
    with grpc.insecure_channel(system.auth_target) as channel:
        own, auth = self_pb2_grpc.SelfStub(channel), auth_pb2_grpc.AuthStub(channel)
        with contextlib.suppress(grpc.RpcError):
            answer = own.Login(
                self_pb2.LoginRequest(user=JANE, password=password.encode()), timeout=20
            )
            secrets.sent(answer.token.encode())
        with contextlib.suppress(grpc.RpcError):
            auth.ChangePassword(
                auth_pb2.ChangePasswordRequest(
                    user=JANE,
                    old_password=password.encode() + b"?",
                    new_password=CHANGED.encode(),
                    service="webmail",
                ),
                timeout=20,
            )


def http(system: System, secrets: Secrets, token: str) -> None:
    host, port = system.address("delivery", "http_listen")
    for query in ("sender=a@b.test&recipient=" + FRED, "sender=a@b.test", "recipient=%00"):
        request = urllib.request.Request(
            f"http://{host}:{port}/v1/deliver?{query}",
            MESSAGE,
            {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"},
        )
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=20).close()
    host, port = system.address("auth", "http_listen")
    for path in ("/v1/domains", "/v1/nothing"):
        request = urllib.request.Request(
            f"http://{host}:{port}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=20).close()


def admin(system: System, secrets: Secrets, token: str) -> None:
    with AdminClient(system.auth_target, token) as client:
        for call in (
            lambda: client.set_password(FRED, CHANGED),
            lambda: client.set_password("nobody@example.test", CHANGED),
            client.sessions,
        ):
            with contextlib.suppress(MailError):
                call()


def lmtp(system: System) -> None:
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen"), "client.test") as client:
        for recipients in ([FRED], [JANE], ["nobody@example.test"]):
            with contextlib.suppress(smtplib.SMTPException):
                client.sendmail("bob@x.test", recipients, MESSAGE)


def out_of_step(system: System, secrets: Secrets) -> None:
    """Text of a message where commands are due."""
    for service, field in (("delivery", "lmtp_listen"), ("imap", "listen"), ("pop3", "listen")):
        with socket.create_connection(system.address(service, field), 20) as client:
            client.settimeout(20)
            client.sendall(MESSAGE * 3)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
    with socket.create_connection(system.address("imap", "tls_listen"), 20) as client:
        client.sendall(WRONG.encode() * 10)  # no handshake
        with contextlib.suppress(OSError):
            client.recv(100)


def tls(system: System, service: str) -> ssl.SSLSocket:
    plain = socket.create_connection(system.address(service, "tls_listen"), 20)
    return system.tls_client().wrap_socket(plain, server_hostname="localhost")
