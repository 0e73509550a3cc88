"""What passes is waited for: auth or delivery away, silent, or talking nonsense. Never a bounce."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.harness import Exim, free_ports, loopback
from tests.contract.deploy_exim.stack import ANN, FRED, PASSWORD, Stack
from tests.support.certificates import Authority
from tests.support.system import unique_message

pytestmark = pytest.mark.slow


class Server:
    """Answers every connection with the same bytes, or keeps silent, or hangs up."""

    def __init__(self, first: bytes | None, then: bytes = b"") -> None:
        """`first` is sent at once, `then` after each line; None for `first` is silence."""
        self.address = loopback()
        self._socket = socket.create_server((self.address, 0))
        self.port: int = self._socket.getsockname()[1]
        self._first, self._then = first, then
        self._open: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self._first is None:
                return  # silent until close()
            client.sendall(self._first)
            while self._then and client.recv(4096):
                client.sendall(self._then)
            if not self._then:
                if self._first:
                    client.recv(4096)
                client.close()
        except OSError:
            return

    def close(self) -> None:
        # Wakes accept(), too.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._open:
            client.close()


@contextmanager
def answering(first: bytes | None, then: bytes = b"") -> Iterator[Server]:
    server = Server(first, then)
    try:
        yield server
    finally:
        server.close()


def nowhere() -> str:
    """An address where nobody listens."""
    host = loopback()
    return f"{host}:{free_ports(host, 1)[0]}"


# What a door may say that is no answer: (first, after each line)
NONSENSE: dict[str, tuple[bytes | None, bytes]] = {
    "silent": (None, b""),
    "hangs up": (b"", b""),
    "words": (b"hello world\r\n", b"hello world\r\n"),
    "half": (b"UID=1\nGID=1\n", b""),
    "http": (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""),
}


@pytest.mark.parametrize("kind", [*NONSENSE, "nobody"])
def test_auth_without_an_answer(
    kind: str, stack: Stack, make_exim: MakeExim, authority: Authority
) -> None:
    with ExitStack() as servers:
        where = nowhere()
        if kind != "nobody":
            server = servers.enter_context(answering(*NONSENSE[kind]))
            where = f"{server.address}:{server.port}"
        settings = {"EXIM_AUTH": where, "EXIM_AUTH_SECONDS": "1", "EXIM_VERIFY": "readsocket"}
        exim = make_exim(stack, **settings, EXIM_DOMAINS="example.test")
        for address in (FRED, "nobody@example.test", "x@other.test"):
            code, _ = exim.rcpt(address)
            assert code == 451, (kind, address)
        with exim.smtp(exim.submission) as client:
            client._host = "localhost"  # type: ignore[attr-defined] # the name in the certificate
            client.starttls(context=ssl.create_default_context(cafile=str(authority.certificate)))
            client.ehlo()
            code, _ = client.docmd("AUTH", "PLAIN AGZyZWRAZXhhbXBsZS50ZXN0AHg=")
            assert code == 435, kind
        assert "correct" not in exim.log()


# Exim itself bounces mail of the queue where a host says 5xx before MAIL; there is no setting.
REFUSES = ((b"554 5.3.2 no\r\n", b""), (b"220 hi\r\n", b"500 5.5.1 what?\r\n"))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        *REFUSES,
        (None, b""),
        (b"", b""),
        (b"hello world\r\n", b"hello world\r\n"),
        (b"421 4.3.2 no\r\n", b""),
        (b"220 hi\r\n", b"hello world\r\n"),
        (b"220 hi\r\n", b"451 4.3.0 auth is away\r\n"),
    ],
)
def test_delivery_without_an_answer(
    first: bytes | None, then: bytes, stack: Stack, make_exim: MakeExim
) -> None:
    with answering(first, then) as server:
        exim = make_exim(
            stack,
            EXIM_DELIVERY=f"{server.address}:{server.port}",
            EXIM_CALLOUT_SECONDS="1",
            EXIM_DELIVERY_SECONDS="1",
        )
        for address in (FRED, "nobody@example.test"):
            assert exim.rcpt(address)[0] == 451
        if (first, then) in REFUSES:
            return
        # Mail that is in the queue already waits there, too.
        exim.run("-odf", "-oi", "-f", "bob@x.test", FRED, stdin=unique_message("in the queue"))
        exim.wait_log("== fred@example.test")
        assert exim.queue() == [FRED]
        assert "**" not in exim.log()
        assert "<= <>" not in exim.log()


def test_one_replica_is_enough(stack: Stack, make_exim: MakeExim) -> None:
    there = stack.environment["EXIM_DELIVERY"]
    with answering(b"", b"") as rude:
        others = f"{nowhere()}, {rude.address}:{rude.port}"
        exim = make_exim(stack, EXIM_DELIVERY=f"{others}, {there}")
        for number in range(4):
            assert exim.rcpt("nobody@example.test")[0] == 550
            name = exim.send(unique_message(f"one of three {number}"), FRED)
            exim.wait_log(f"{name} Completed")
            assert len(stack.stored(f"Subject: one of three {number}\n")) == 1


@pytest.fixture
def own_stack(folder: Path) -> Iterator[Stack]:
    """Services that a test may stop."""
    with Stack(folder / "stack") as running:
        yield running


@pytest.mark.parametrize("variant", ["callout", "readsocket"])
def test_away_and_back(
    variant: str, own_stack: Stack, make_exim: MakeExim, authority: Authority
) -> None:
    """Auth goes, then delivery, each with mail under way: it waits and arrives, once."""
    exim = make_exim(own_stack, EXIM_VERIFY=variant)
    system = own_stack.system

    system["auth"].stop()
    assert exim.rcpt(FRED)[0] == 451
    assert exim.rcpt("nobody@example.test")[0] == 451
    exim.run("-odf", "-oi", "-f", "bob@x.test", FRED, stdin=unique_message("auth away"))
    exim.wait_log("== fred@example.test")
    assert exim.queue() == [FRED]
    mark = exim.mark()
    system["auth"].start()
    exim.wait_log("Completed", after=mark)
    assert exim.rcpt("nobody@example.test")[0] == 550

    system["delivery"].stop()
    mark = exim.mark()
    if variant == "callout":
        assert exim.rcpt(FRED)[0] == 451
        exim.run("-odf", "-oi", "-f", "bob@x.test", FRED, stdin=unique_message("away"))
        exim.run("-odf", "-oi", "-f", "bob@x.test", ANN, stdin=unique_message("away"))
    else:
        exim.send(unique_message("away"), FRED)  # auth knows him: taken, and kept
        exim.send(unique_message("away"), ANN)
    exim.wait_log("== .*@example.test", after=mark, count=2)
    mark = exim.mark()
    system["delivery"].start()
    exim.wait_log("Completed", after=mark, count=2)
    assert exim.queue() == []
    assert len(own_stack.mailbox(FRED)) == 2
    assert len(own_stack.mailbox(ANN)) == 1
    assert "**" not in exim.log()
    with exim.login(FRED, PASSWORD, trust=authority.certificate):
        pass


def test_mail_that_waited_goes_over_one_connection(own_stack: Stack, make_exim: MakeExim) -> None:
    exim = make_exim(own_stack, EXIM_VERIFY="readsocket", start=False)
    exim.start(queue="1h")
    own_stack.system["delivery"].stop()
    names = [exim.send(unique_message(f"waiting {n}"), FRED) for n in range(5)]
    exim.wait_log("== fred@example.test", count=5)
    own_stack.system["delivery"].start()
    exim.run("-qff")
    for name in names:
        exim.wait_log(f"{name} Completed")
    reused = [line for line in exim.log().splitlines() if re_used(line)]
    assert len(reused) == 4, exim.log()


def re_used(line: str) -> bool:
    """Exim marks the second and later messages of a connection with an asterisk behind the host."""
    return " => fred@" in line and "]* " in line


def test_a_configuration_that_bounces_is_caught(stack: Stack, make_exim: MakeExim) -> None:
    """The known-bad variant: without "cannot say now" a silent auth makes mail unknown."""
    bad = r"s/^NO_ANSWER = .*/NO_ANSWER =/; s/\{NO_ANSWER\}fail/{NO_ANSWER}fail/"
    with answering(b"hello world\r\n", b"") as server:
        where = {"EXIM_AUTH": f"{server.address}:{server.port}", "EXIM_VERIFY": "readsocket"}
        exim: Exim = make_exim(
            stack,
            changes=bad + r"; s/!eq\{ASK_WHOLE\}\{FAIL.n\}\{NO_ANSWER\}fail/eq{1}{2}{}fail/",
            **where,
            EXIM_DOMAINS="example.test",
        )
        assert exim.rcpt(FRED)[0] == 550
