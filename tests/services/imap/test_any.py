"""CAPABILITY, NOOP, LOGOUT, ID, and commands nobody knows."""

from collections.abc import Callable

from tests.services.imap.server import Server


def test_logout(server: Server) -> None:
    with server.connect() as wire:
        assert wire.run("LOGOUT") == [b"* BYE Logging out", b"OK Logout completed."]
        assert wire.ended()


def test_id(server: Server) -> None:
    with server.connect() as wire:
        assert wire.ok('ID ("name" "sed\tfish" "os" NIL)') == [b'* ID ("name" "Restante")']
        assert wire.ok("ID NIL") == [b'* ID ("name" "Restante")']


def test_unknown_commands_are_bad_and_end_the_connection_at_last(
    start: Callable[..., Server],
) -> None:
    server = start(max_bad_commands=3)
    with server.login() as wire:
        wire.bad("FROB")
        wire.bad("FROB")
        wire.ok("NOOP")
        wire.bad("FROB")
        wire.bad("FETCH")
        wire.bad("SELECT")
        assert wire.line().startswith(b"* BYE Too many bad commands")
        assert wire.ended()


def test_pipelined_commands_are_answered_in_order(server: Server) -> None:
    with server.login() as wire:
        wire.send(b"a NOOP\r\nb SELECT INBOX\r\nc NOOP\r\nd LOGOUT\r\n")
        answers = [line for line in wire.until(b"d") if line[:1] in b"abcd"]
        assert [line[:4] for line in answers] == [b"a OK", b"b OK", b"c OK", b"d OK"]


def test_drain_says_bye(server: Server) -> None:
    with server.login() as wire, server.connect() as other:
        idle = server.select()
        idle.send(b"i IDLE\r\n")
        assert idle.line() == b"+ idling"
        server.stop()
        assert wire.line().startswith(b"* BYE [UNAVAILABLE] Server is shutting down")
        assert other.line().startswith(b"* BYE")
        assert idle.line().startswith(b"* BYE")
        assert wire.ended()


def test_new_mail_is_told_by_noop(server: Server) -> None:
    with server.select() as wire:
        assert wire.ok("NOOP") == []
        server.deliver(b"Subject: a\n\nb\n")
        assert wire.ok("NOOP") == [b"* 1 EXISTS", b"* 1 RECENT"]
