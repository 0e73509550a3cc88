"""APPEND: APPENDUID, flags and date, TRYCREATE, quota, size limit, literals."""

import re
from collections.abc import Callable

from tests.services.imap.samples import PLAIN
from tests.services.imap.server import Server
from tests.services.imap.wire import text


def test_append_with_flags_and_date(server: Server) -> None:
    with server.select() as wire:
        answer = wire.append("INBOX", PLAIN, '(\\Seen work) " 5-Feb-2020 12:34:56 +0100" ')
        assert re.match(rb"OK \[APPENDUID [1-9]\d* 1\]", answer)
        said = text(wire.ok("FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])"))
        assert "\\Seen work" in said
        assert '" 5-Feb-2020 11:34:56 +0000"' in said
        assert PLAIN.decode() in said


def test_append_to_the_selected_mailbox_tells_exists_before_ok(server: Server) -> None:
    with server.select() as wire:
        wire.send(b"a APPEND INBOX {%d}\r\n" % len(PLAIN))
        assert wire.line() == b"+ OK"
        wire.send(PLAIN + b"\r\n")
        lines = wire.until(b"a")
        assert b"* 1 EXISTS" in lines[:-1]


def test_append_to_nowhere_is_refused_before_the_message(server: Server) -> None:
    with server.login() as wire:
        answer = wire.no("APPEND INBOX.Nowhere {1000}")
        assert answer.startswith(b"NO [TRYCREATE]")
        wire.ok("NOOP")  # the message was not awaited


def test_append_to_nowhere_without_waiting_reads_past_the_message(server: Server) -> None:
    with server.login() as wire:
        trap = b"x LOGOUT\r\n"
        assert wire.append("INBOX.Nowhere", trap).startswith(b"NO [TRYCREATE]")
        wire.ok("NOOP")


def test_append_over_quota(server: Server) -> None:
    server.accounts.add("small@example.test", quota="1000S")
    with server.login("small@example.test") as wire:
        answer = wire.no("APPEND INBOX {5000}")
        assert answer.startswith(b"NO [OVERQUOTA]")
        assert wire.append("INBOX", b"x" * 5000).startswith(b"NO [OVERQUOTA]")
        assert wire.append("INBOX", PLAIN).startswith(b"OK")
        assert not list((server.maildir("small@example.test") / "tmp").iterdir())


def test_append_of_too_large_a_message(start: Callable[..., Server]) -> None:
    server = start(max_message_size=1000)
    with server.login() as wire:
        assert wire.no("APPEND INBOX {1001}").startswith(b"NO [TOOBIG]")
        assert wire.append("INBOX", b"x" * 1001).startswith(b"NO [TOOBIG]")
        assert wire.append("INBOX", b"x" * 1000).startswith(b"OK")


def test_append_of_a_large_message_is_streamed(server: Server) -> None:
    large = b"Subject: large\r\n\r\n" + b"0123456789abcde\n" * 80_000
    with server.select() as wire:
        assert wire.append("INBOX", large).startswith(b"OK")
        said = b"\n".join(wire.ok("FETCH 1 BODY.PEEK[]"))
        assert large.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r") in said
        assert not list((server.maildir() / "tmp").iterdir())


def test_append_broken_off_leaves_nothing(server: Server) -> None:
    with server.login() as wire:
        wire.send(b"a APPEND INBOX {1000000+}\r\n" + b"x" * 500_000)
    with server.select() as wire:
        assert "* 0 EXISTS" in text(wire.ok("SELECT INBOX"))


def test_append_with_rubbish_behind_the_message(server: Server) -> None:
    with server.select() as wire:
        wire.send(b"a APPEND INBOX {5+}\r\nhello rubbish\r\n")
        assert wire.until(b"a")[-1].startswith(b"a BAD")
        assert wire.ok("NOOP") == []
        assert not list((server.maildir() / "tmp").iterdir())


def test_empty_message(server: Server) -> None:
    with server.select() as wire:
        wire.run("APPEND INBOX {0+}\r\n")
        wire.ok("NOOP")


def test_appended_keywords_are_announced(server: Server) -> None:
    with server.select() as wire:
        wire.append("INBOX", PLAIN, "(fresh) ")
        assert "fresh" in text(wire.ok("FETCH 1 FLAGS"))
