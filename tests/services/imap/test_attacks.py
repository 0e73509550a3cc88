"""Input that means harm. Each case is a row of the project's list of attacks."""

import contextlib
import socket
import time
from collections.abc import Callable

import pytest

from tests.services.imap.samples import PLAIN
from tests.services.imap.server import LOG, PASSWORD, Server
from tests.services.imap.wire import Wire, text


def answer_or_end(wire: Wire) -> bytes:
    """Return everything that comes until the server closes or pauses."""
    wire.socket.settimeout(2)
    out = b""
    try:
        while more := wire.socket.recv(1 << 16):
            out += more
    except (TimeoutError, ConnectionError):
        pass
    return out


@pytest.mark.parametrize("size", ["2147483647", "9" * 60 + "+", "9" * 60, "-1", "8193"])
def test_literals_before_login_are_bounded(server: Server, size: str) -> None:
    with server.connect() as wire:
        wire.send(f"a LOGIN {{{size}}}\r\n".encode())
        assert wire.line().startswith((b"a BAD", b"* BAD"))
    with server.connect() as wire:
        wire.ok("NOOP")


def test_empty_literals(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"a LOGIN {0+}\r\n {0+}\r\n\r\n")
        assert wire.line().startswith(b"a NO [AUTHENTICATIONFAILED]")


def test_nesting_without_end(server: Server) -> None:
    """CVE-2026-27857."""
    with server.connect() as wire:
        with contextlib.suppress(ConnectionError):
            wire.send(b"a NOOP " + b"(" * (1 << 20))
        assert b"* BYE" in answer_or_end(wire)


def test_a_tag_of_64_kib(server: Server) -> None:
    with server.connect() as wire:
        with contextlib.suppress(ConnectionError):
            wire.send(b"a" * 65536 + b" NOOP\r\n")
        assert b"BAD" in answer_or_end(wire)


def test_slowloris_ends_at_the_login_timeout(start: Callable[..., Server]) -> None:
    server = start(login_timeout=2)
    with server.connect() as wire:
        wire.socket.settimeout(10)
        got = b""
        try:
            while b"* BYE" not in got:
                wire.send(b"a")
                wire.socket.settimeout(0.2)
                try:
                    more = wire.socket.recv(4096)
                    if not more:
                        break
                    got += more
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
        assert b"* BYE Login took too long" in got


def test_nul_in_a_quoted_string(server: Server) -> None:
    """CVE-2019-11500."""
    with server.connect() as wire:
        wire.send(b'a LOGIN "joe\0" "x"\r\n')
        assert wire.line().startswith(b"a BAD")
        assert server.accounts.asked == []


def test_sequence_sets_without_end(server: Server) -> None:
    server.deliver(PLAIN)
    with server.select() as wire:
        began = time.monotonic()
        many = b"1:4294967295," + b"1," * 20_000 + b"1"
        wire.send(b"a UID FETCH " + many + b" FLAGS\r\n")
        assert len(wire.until(b"a")) == 2
        assert time.monotonic() - began < 30


def test_user_name_with_line_ends_reaches_neither_log_nor_answer(server: Server) -> None:
    with server.connect() as wire:
        name = b"x\r\nOK bob logged in"
        wire.send(b"a LOGIN {%d+}\r\n%b secret\r\n" % (len(name), name))
        answer = wire.until(b"a")
        assert len(answer) == 1
        wire.ok("NOOP")
    logged = LOG.getvalue()
    assert "login failed" in logged
    assert "\nOK bob" not in logged
    assert "secret" not in logged


def test_password_is_never_logged(server: Server) -> None:
    with server.connect() as wire:
        wire.no("LOGIN joe@example.test hunter2")
        wire.run('LOGIN joe@example.test "hunter2')
        wire.ok(f'LOGIN joe@example.test "{PASSWORD}"')
    logged = LOG.getvalue()
    assert "login failed" in logged
    assert "hunter2" not in logged
    assert PASSWORD not in logged


def test_a_user_cannot_leave_the_mail_root(server: Server) -> None:
    with server.connect() as wire:
        wire.no('LOGIN "../../bob" x')


def test_connection_closed_in_the_middle_of_everything(server: Server) -> None:
    server.deliver(PLAIN)
    for cut in (b"a LOG", b"a LOGIN {10}\r\n12", b"a LOGIN joe@example.test x"):
        wire = server.connect()
        wire.send(cut)
        wire.close()
    for cut in (b"a FETCH 1 BODY[", b"a IDLE\r\n", b"a IDLE\r\nDO", b"a APPEND INBOX {9}\r\nabc"):
        wire = server.select()
        wire.send(cut)
        wire.socket.shutdown(socket.SHUT_WR)
        wire.close()
    with server.select() as wire:
        assert "* 1 EXISTS" in text(wire.ok("SELECT INBOX"))


def test_thousands_of_pipelined_commands(server: Server) -> None:
    with server.login() as wire:
        wire.send(b"".join(b"n%d NOOP\r\n" % n for n in range(5000)))
        assert wire.until(b"n4999")[-1] == b"n4999 OK NOOP completed."
