"""Traces across services at a collector, and that one that is away harms nobody."""

import imaplib
import poplib
import smtplib
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.logs.collector import Collector, Seen
from tests.services.logs.following import wait_for
from tests.support import System
from tests.support.system import unique_message

FRED, JANE, PASSWORD = "fred@example.test", "jane@example.test", "s3cret phrase"
DELIVERY, AUTH, IMAP, POP3 = (f"restante-{n}" for n in ("delivery", "auth", "imap", "pop3"))
LOOKUP = "restante.rpc.auth.v1.Auth/Lookup"
AUTHENTICATE = "restante.rpc.auth.v1.Auth/Authenticate"
SERVER, CLIENT = 2, 3  # SpanKind


def traced(url: str) -> dict[str, str]:
    return {
        "RESTANTE_OTLP_ENDPOINT": url,
        "RESTANTE_OTLP_SHARE": "1",
        "RESTANTE_VERDICT_SECONDS": "0",
        "RESTANTE_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=post",
    }


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("traces")
    with System(folder, ("delivery", "pop3", "imap"), traced(collector.url)) as system:
        system.add_account(FRED, PASSWORD)
        system.add_account(JANE, PASSWORD)
        yield system


def send(system: System, *recipients: str) -> None:
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen"), "client.test") as client:
        assert client.sendmail("bob@x.test", recipients, unique_message()) == {}


def one(trace: list[Seen], service: str, name: str) -> Seen:
    (found,) = [s for s in trace if (s.service, s.name) == (service, name)]
    return found


def test_a_delivery_from_lmtp_to_auth_and_the_disk(system: System, collector: Collector) -> None:
    send(system, FRED)
    trace = collector.wait_for(
        (DELIVERY, "lmtp transaction"),
        (DELIVERY, LOOKUP),
        (DELIVERY, "store"),
        (DELIVERY, "fsync file"),
        (DELIVERY, "fsync directory"),
        (AUTH, LOOKUP),
    )
    root = one(trace, DELIVERY, "lmtp transaction")
    asked, answered = one(trace, DELIVERY, LOOKUP), one(trace, AUTH, LOOKUP)
    stored = one(trace, DELIVERY, "store")
    assert (root.parent, root.kind) == ("", SERVER)
    assert (asked.parent, asked.kind) == (root.id, CLIENT)
    assert (answered.parent, answered.kind) == (asked.id, SERVER)
    assert stored.parent == root.id
    assert {s.parent for s in trace if s.name.startswith("fsync")} == {stored.id}
    delivered = wait_for([system["delivery"]], event="delivered", id=stored.attributes["id"])
    assert root.attributes["session"] == delivered["session"]
    assert answered.attributes["session"] == delivered["session"]
    assert "x-tenant: post" in collector.headers[0]


def test_many_recipients_are_one_trace(system: System, collector: Collector) -> None:
    with socket.create_connection(system.address("delivery", "lmtp_listen"), 20) as client:
        file = client.makefile("rb")
        file.readline()
        message = unique_message().replace(b"\r\n.", b"\r\n..")
        batch = b"".join(b"RCPT TO:<%b>\r\n" % r.encode() for r in (FRED, JANE, "no@example.test"))
        client.sendall(b"LHLO c.test\r\nMAIL FROM:<many@x.test>\r\n" + batch + b"DATA\r\n")
        while not file.readline().startswith(b"354"):
            pass
        client.sendall(message + b"\r\n.\r\nQUIT\r\n")
        assert file.read().count(b"250 2.1.5") == 2
    give_up = 30
    with collector._arrived:
        assert collector._arrived.wait_for(
            lambda: any(s.attributes.get("sender") == "many@x.test" for s in collector.spans),
            give_up,
        )
    (stored,) = [s for s in collector.spans if s.attributes.get("sender") == "many@x.test"]
    trace = collector.wait_for((DELIVERY, LOOKUP), (DELIVERY, "store"))
    trace = [s for s in collector.spans if s.trace == stored.trace]
    assert (
        len([s for s in trace if (s.service, s.name) == (DELIVERY, LOOKUP)]) >= 2
    )  # Fred may be known yet


def test_http_goes_on_with_the_callers_trace(system: System, collector: Collector) -> None:
    host, port = system.address("delivery", "http_listen")
    query = urllib.parse.urlencode({"sender": "bob@x.test", "recipient": FRED})
    request = urllib.request.Request(
        f"http://{host}:{port}/v1/deliver?{query}",
        unique_message(),
        {
            "Authorization": "Bearer " + (system.data / "run/delivery.token").read_text().strip(),
            "Content-Type": "message/rfc822",
            "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01",
        },
    )
    urllib.request.urlopen(request, timeout=20).close()
    trace = collector.wait_for((DELIVERY, "http delivery"), (AUTH, LOOKUP), (DELIVERY, "store"))
    root = one(trace, DELIVERY, "http delivery")
    assert (root.trace, root.parent) == ("ab" * 16, "cd" * 8)


def test_logins_with_auths_questions(system: System, collector: Collector) -> None:
    imap = imaplib.IMAP4(*system.address("imap"))
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(FRED, "wrong")
    imap.login(FRED, PASSWORD)
    imap.logout()
    pop = poplib.POP3(*system.address("pop3"))
    pop.user(FRED)
    pop.pass_(PASSWORD)
    pop.quit()
    for service, name in ((IMAP, "imap login"), (POP3, "pop3 login")):
        trace = collector.wait_for(
            (service, name), (service, AUTHENTICATE), (AUTH, AUTHENTICATE), (AUTH, "throttle")
        )
        root = one(trace, service, name)
        assert root.attributes["user"] == FRED
        asked, answered = one(trace, service, AUTHENTICATE), one(trace, AUTH, AUTHENTICATE)
        assert (root.parent, asked.parent, answered.parent) == ("", root.id, asked.id)
        assert answered.attributes["session"] == root.attributes["session"]
        password = one(trace, AUTH, "password argon2id")
        parents = {s.id: s for s in trace}
        above = parents[password.parent]
        while above.parent in parents:
            above = parents[above.parent]
        assert above is root


def test_a_drain_sends_what_is_left(tmp_path: Path, collector: Collector) -> None:
    with System(tmp_path, ("delivery",), traced(collector.url)) as own:
        own.add_account("last@example.test", PASSWORD)
        with smtplib.LMTP(*own.address("delivery", "lmtp_listen"), "client.test") as client:
            client.sendmail("last@x.test", ["last@example.test"], unique_message())
    assert any(s.attributes.get("sender") == "last@x.test" for s in collector.spans)


@pytest.mark.parametrize("how", ["away", "hangs", "refuses"])
def test_a_collector_that_does_not_work_harms_nothing(tmp_path: Path, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if how == "away":
            silent.close()
        path = "/nothing" if how == "refuses" else ""
        with System(
            tmp_path, ("delivery", "imap"), traced(f"http://127.0.0.1:{port}{path}")
        ) as own:
            if how == "refuses":
                silent.close()
            own.add_account(FRED, PASSWORD)
            for _ in range(5):
                send(own, FRED)
                imap = imaplib.IMAP4(*own.address("imap"))
                imap.login(FRED, PASSWORD)
                imap.logout()
            wait_for([own["delivery"]], event="traces cannot be sent and are dropped")
            send(own, FRED)
            services = [own["delivery"], own["imap"], own["auth"]]
            own.stop()
            for service in services:
                assert service.log().count("traces cannot be sent") <= 1
                assert "Traceback" not in service.log()


def test_an_endpoint_without_opentelemetry_is_told(tmp_path: Path) -> None:
    """A package path without it: one line, and the service runs."""
    blocked = tmp_path / "blocked" / "opentelemetry"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('not here')\n")
    env = {**traced("http://127.0.0.1:9"), "PYTHONPATH": str(blocked.parent)}
    with System(tmp_path, ("imap",), env) as own:
        own.add_account(FRED, PASSWORD)
        imap = imaplib.IMAP4(*own.address("imap"))
        imap.login(FRED, PASSWORD)
        imap.logout()
        said = own["imap"].log().count("no traces: OpenTelemetry is not installed (extra otel)")
        assert said == 1


def test_without_an_endpoint_nothing_is_loaded() -> None:
    """Not by us: FastAPI, in other services, loads what it finds."""
    program = (
        "import sys\n"
        "import services.imap.main, services.pop3.main\n"
        "from restante.runtime import tracing\n"
        "from services.imap.settings import ImapSettings\n"
        "assert tracing.start('imap', ImapSettings()) is None\n"
        "tracing.announce(ImapSettings())\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
