"""IDLE: pushes of deliveries, of flags, of other programs' files; DONE; keep-alive."""

import os
import time
from collections.abc import Callable

from tests.services.imap.samples import PLAIN
from tests.services.imap.server import Server
from tests.services.imap.wire import Wire


def idle(wire: Wire) -> bytes:
    tag = wire.start("IDLE")
    assert wire.line() == b"+ idling"
    return tag


def done(wire: Wire, tag: bytes) -> list[bytes]:
    wire.send(b"DONE\r\n")
    lines = wire.until(tag)
    assert lines[-1].startswith(tag + b" OK")
    return lines[:-1]


def test_delivery_by_another_process_is_pushed(server: Server) -> None:
    with server.select() as wire:
        tag = idle(wire)
        server.deliver(PLAIN)
        assert wire.line() == b"* 1 EXISTS"
        assert wire.line() == b"* 1 RECENT"
        assert done(wire, tag) == []


def test_a_file_dropped_into_new_by_another_program_is_pushed(server: Server) -> None:
    """As exim delivers: tmp, then rename into new/, and nobody told us."""
    with server.select() as wire:
        tag = idle(wire)
        tmp = server.maildir() / "tmp" / "1700000000.H1P2.host"
        tmp.write_bytes(b"Subject: exim\n\nhello\n")
        os.rename(tmp, server.maildir() / "new" / tmp.name)
        assert wire.line() == b"* 1 EXISTS"
        assert wire.line() == b"* 1 RECENT"
        done(wire, tag)


def test_a_push_takes_milliseconds(server: Server) -> None:
    """No timed assertion but a generous one: a push must not wait for the slow rescan."""
    with server.select() as wire:
        idle(wire)
        began = time.monotonic()
        server.deliver(PLAIN)
        wire.line()
        assert time.monotonic() - began < 20


def test_flags_and_expunge_of_another_session_are_pushed(server: Server) -> None:
    server.deliver(PLAIN)
    server.deliver(PLAIN)
    with server.select() as wire, server.select() as other:
        tag = idle(wire)
        other.ok("STORE 2 +FLAGS.SILENT \\Deleted")
        assert b"2 FETCH (UID 2 FLAGS (\\Deleted" in wire.line()
        other.ok("EXPUNGE")
        assert wire.line() == b"* 2 EXPUNGE"
        assert wire.line() == b"* 1 RECENT"
        assert done(wire, tag) == []


def test_flags_changed_in_the_file_name_are_pushed(server: Server) -> None:
    """As mutt does."""
    server.deliver(PLAIN)
    with server.select() as wire:
        tag = idle(wire)
        (file,) = (server.maildir() / "cur").iterdir()
        os.rename(file, file.with_name(file.name + "F"))
        assert b"\\Flagged" in wire.line()
        done(wire, tag)


def test_what_happened_before_idle_is_told_at_once(server: Server) -> None:
    with server.select() as wire:
        server.deliver(PLAIN)
        tag = wire.start("IDLE")
        assert {wire.line() for _ in range(3)} == {b"+ idling", b"* 1 EXISTS", b"* 1 RECENT"}
        done(wire, tag)


def test_idle_without_a_mailbox(server: Server) -> None:
    with server.login() as wire:
        done(wire, idle(wire))


def test_anything_but_done_is_bad(server: Server) -> None:
    with server.select() as wire:
        tag = idle(wire)
        wire.send(b"NOOP\r\n")
        assert wire.line().startswith(tag + b" BAD")
        wire.ok("NOOP")


def test_done_pipelined_with_the_next_command(server: Server) -> None:
    with server.select() as wire:
        wire.send(b"a IDLE\r\nDONE\r\nb NOOP\r\n")
        assert wire.until(b"b")[-1].startswith(b"b OK")


def test_keepalive(start: Callable[..., Server]) -> None:
    server = start(keepalive=1)
    with server.select() as wire:
        tag = idle(wire)
        assert wire.line() == b"* OK Still here"
        assert wire.line() == b"* OK Still here"
        server.deliver(PLAIN)
        assert wire.line() == b"* 1 EXISTS"
        wire.line()
        wire.send(b"DONE\r\n")
        assert wire.until(tag)[-1].startswith(tag + b" OK")


def test_idle_too_long_is_ended(start: Callable[..., Server]) -> None:
    server = start(idle_timeout=1, keepalive=1)
    with server.select() as wire:
        idle(wire)
        while (line := wire.line()) == b"* OK Still here":
            pass
        assert line.startswith(b"* BYE Idle for too long")
        assert wire.ended()


def test_no_command_for_too_long_ends_the_session(start: Callable[..., Server]) -> None:
    server = start(idle_timeout=1)
    with server.login() as wire:
        assert wire.line().startswith(b"* BYE Idle for too long")


def test_many_idle_sessions_hear_one_delivery(server: Server) -> None:
    wires = [server.select() for _ in range(20)]
    for wire in wires:
        idle(wire)
    server.deliver(PLAIN)
    for wire in wires:
        assert wire.line() == b"* 1 EXISTS"
        wire.close()
