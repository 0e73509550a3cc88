"""SELECT, EXAMINE, CHECK, CLOSE, UNSELECT."""

import re

from tests.services.imap.samples import PLAIN
from tests.services.imap.server import Server
from tests.services.imap.wire import text


def test_select_tells_all_that_is_required(server: Server) -> None:
    server.deliver(PLAIN)
    server.deliver(PLAIN)
    with server.login() as wire:
        lines = wire.run("SELECT INBOX")
        said = text(lines)
        assert "* 2 EXISTS" in said
        assert "* 2 RECENT" in said
        assert "* OK [UNSEEN 1]" in said
        assert re.search(r"\* OK \[UIDVALIDITY [1-9]\d*\]", said)
        assert "* OK [UIDNEXT 3]" in said
        assert re.search(r"\* OK \[HIGHESTMODSEQ [1-9]\d*\]", said)
        assert "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft" in said
        assert "[PERMANENTFLAGS (" in said
        assert "\\*)]" in said
        assert lines[-1].startswith(b"OK [READ-WRITE]")


def test_examine_changes_nothing(server: Server) -> None:
    server.deliver(PLAIN)
    with server.login() as wire:
        lines = wire.run("EXAMINE INBOX")
        assert lines[-1].startswith(b"OK [READ-ONLY]")
        assert "[PERMANENTFLAGS ()]" in text(lines)
        for command in ("STORE 1 +FLAGS \\Seen", "EXPUNGE", "MOVE 1 INBOX.Trash"):
            assert wire.no(command).startswith(b"NO [NOPERM]")
        wire.ok("FETCH 1 BODY[]")
        assert b"\\Seen" not in wire.ok("FETCH 1 FLAGS")[0]
        # \Recent was not taken from the next session either.
        assert "* 1 RECENT" in text(wire.run("SELECT INBOX"))
    with server.login() as wire:
        assert "* 0 RECENT" in text(wire.run("SELECT INBOX"))


def test_failed_select_leaves_nothing_selected(server: Server) -> None:
    with server.select() as wire:
        assert wire.no("SELECT INBOX.Nowhere").startswith(b"NO [NONEXISTENT]")
        wire.bad("FETCH 1 FLAGS")


def test_selecting_again_says_closed(server: Server) -> None:
    with server.select() as wire:
        assert wire.ok("SELECT INBOX.Sent")[0].startswith(b"* OK [CLOSED]")


def test_inbox_in_any_case(server: Server) -> None:
    with server.login() as wire:
        wire.ok("SELECT inBox")
        wire.ok('SELECT "inbox.Sent"')


def test_close_expunges_silently_and_unselect_does_not(server: Server) -> None:
    for _ in range(3):
        server.deliver(PLAIN)
    with server.select() as wire:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        wire.ok("UNSELECT")
        wire.bad("UNSELECT")
        assert "* 3 EXISTS" in text(wire.ok("SELECT INBOX"))
        assert wire.ok("CLOSE") == []
        assert "* 2 EXISTS" in text(wire.ok("SELECT INBOX"))


def test_close_after_examine_removes_nothing(server: Server) -> None:
    server.deliver(PLAIN)
    with server.select() as wire:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        wire.ok("EXAMINE INBOX")
        wire.ok("CLOSE")
        assert "* 1 EXISTS" in text(wire.ok("SELECT INBOX"))


def test_uids_stay_when_selected_again(server: Server) -> None:
    server.deliver(PLAIN)
    server.deliver(PLAIN)
    with server.select() as wire:
        first = [line for line in wire.ok("SELECT INBOX") if b"UIDVALIDITY" in line]
        uids = wire.ok("FETCH 1:* UID")
    with server.login() as wire:
        assert [line for line in wire.ok("SELECT INBOX") if b"UIDVALIDITY" in line] == first
        assert wire.ok("FETCH 1:* UID") == uids


def test_check_is_a_poll(server: Server) -> None:
    with server.select() as wire:
        server.deliver(PLAIN)
        assert b"* 1 EXISTS" in wire.ok("CHECK")


def test_nothing_is_parsed_on_select(server: Server) -> None:
    """No facts are computed, so none are cached."""
    server.deliver(PLAIN)
    with server.login() as wire:
        wire.ok("SELECT INBOX")
        (file,) = (server.maildir() / "cur").iterdir()
        file.write_bytes(b"")
        assert "* 1 EXISTS" in text(wire.ok("SELECT INBOX"))
        assert not list(server.maildir().glob("restante.cache"))


def test_a_mailbox_that_lost_its_index_must_be_selected_again(server: Server) -> None:
    """Its UIDs mean other messages now, so the session ends instead of mixing them up."""
    server.deliver(PLAIN)
    with server.select() as wire:
        (server.maildir() / "restante.index").unlink()
        server.deliver(PLAIN)
        tag = wire.start("NOOP")
        lines = wire.until(tag)
        assert b"* BYE The mailbox was replaced, please select it again." in lines
        assert wire.ended()
    with server.login() as wire:
        assert "* 2 EXISTS" in text(wire.ok("SELECT INBOX"))
