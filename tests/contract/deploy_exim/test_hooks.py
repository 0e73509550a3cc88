"""Scanners that are switched on: stand-ins for clamd and rspamd, and what happens without them."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes

import pytest

from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.harness import Exim, free_ports
from tests.contract.deploy_exim.stack import FRED, Stack
from tests.support.system import unique_message

pytestmark = pytest.mark.slow


class Clamd(socketserver.StreamRequestHandler):
    """zINSTREAM: chunks with a length of four bytes in front, the last is empty."""

    def handle(self) -> None:
        assert self.rfile.read(10) == b"zINSTREAM\0"
        data = b""
        while size := int.from_bytes(self.rfile.read(4), "big"):
            data += self.rfile.read(size)
        found = b"Test-Virus FOUND" if b"Subject: virus" in data else b"OK"
        self.wfile.write(b"stream: %s\0" % found)


class Rspamd(socketserver.StreamRequestHandler):
    """The request and the answer that exim's variant=rspamd uses."""

    def handle(self) -> None:
        assert self.rfile.readline().startswith(b"CHECK RSPAMC/1.3")
        size = 0
        while (line := self.rfile.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                size = int(line.split()[1])
        data = self.rfile.read(size) if size else self.rfile.read()
        score, action = b"0.5", b"no action"
        for word in (b"reject", b"soft reject", b"greylist"):
            if b"Subject: spam " + word + b"\n" in data.replace(b"\r", b""):
                score, action = b"16.0", word
        self.wfile.write(
            b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; %s; %s / 15.0 / 0.0\r\n"
            b"Action: %s\r\nSymbol: TEST(1.00)\r\n" % (b"True", score, action)
        )


@contextmanager
def serving(handler: type[socketserver.StreamRequestHandler]) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def data(exim: Exim, subject: str) -> tuple[int, bytes]:
    with exim.smtp() as client:
        client.ehlo()
        client.mail("bob@x.test")
        client.rcpt(FRED)
        return client.data(unique_message(subject))


def test_clamd(stack: Stack, make_exim: MakeExim) -> None:
    with serving(Clamd) as where:
        exim = make_exim(stack, EXIM_CLAMAV=where)
        assert data(exim, "clean")[0] == 250
        assert data(exim, "virus") == (550, b"5.7.1 This message contains Test-Virus")


@pytest.mark.parametrize(("down", "code"), [("defer", 451), ("accept", 250)])
def test_clamd_is_away(down: str, code: int, stack: Stack, make_exim: MakeExim) -> None:
    (port,) = free_ports("127.0.0.1", 1)
    exim = make_exim(stack, EXIM_CLAMAV=f"127.0.0.1:{port}", EXIM_CLAMAV_DOWN=down)
    assert data(exim, "unscanned")[0] == code


def test_rspamd(stack: Stack, make_exim: MakeExim) -> None:
    with serving(Rspamd) as where:
        exim = make_exim(stack, EXIM_RSPAMD=where)
        assert data(exim, "ham and eggs")[0] == 250
        assert data(exim, "spam reject")[0] == 550
        assert data(exim, "spam soft reject")[0] == 451
        assert data(exim, "spam greylist")[0] == 451
        exim.wait_log("Completed")
        message = message_from_bytes(stack.stored("Subject: ham and eggs\n")[0])
        assert message["X-Spam-Score"] == "0.5"
        assert message["X-Spam-Action"] == "no action"


@pytest.mark.parametrize(("down", "code"), [("defer", 451), ("accept", 250)])
def test_rspamd_is_away(down: str, code: int, stack: Stack, make_exim: MakeExim) -> None:
    (port,) = free_ports("127.0.0.1", 1)
    exim = make_exim(stack, EXIM_RSPAMD=f"127.0.0.1:{port}", EXIM_RSPAMD_DOWN=down)
    assert data(exim, "unrated")[0] == code
